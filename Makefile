# Each target makes the environment it needs: `make test` works in a fresh clone.
PYTHON ?= python3
VENV   ?= .venv
# One exact version, installed first and alone: where pip is offered a CPU build of it, that build is taken and kept,
# while a plain range would find a newer one and several gigabytes of CUDA packages.
TORCH  ?= torch==2.13.0

BIN   := $(VENV)/bin
STAMP := $(VENV)/.made

# Tests of one file share what they make, so a file stays with one process.
PYTEST := $(BIN)/python -m pytest -n logical --maxprocesses 4 --dist loadfile

.DEFAULT_GOAL := help
.PHONY: help setup demo test test-slow fuzz lint types bench surfaces shapes-from-views splat-fits refined compression workflow pictures gpu-check clean

help:  ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: $(STAMP)  ## Make the virtual environment in .venv

$(STAMP): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	    { echo "error: $(PYTHON) is older than Python 3.11"; echo "hint: make PYTHON=python3.11"; exit 1; } >&2
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet $(TORCH)
	$(BIN)/python -m pip install --quiet --editable '.[dev]'
	@touch $@

demo: $(STAMP)  ## Photos to a textured mesh: demo/scene.glb and a picture of it
	$(BIN)/mvgen reconstruct demo/images -o demo/scene.glb
	$(BIN)/mvgen render demo/scene.glb -o demo/scene.png

test: $(STAMP)  ## Run the fast tests
	$(PYTEST) -m "not slow and not gpu" $(ARGS)

test-slow: $(STAMP)  ## Run the tests that take longer
	$(PYTEST) -m "slow and not gpu" $(ARGS)

fuzz: $(STAMP)  ## Read 10,000 damaged files of every format (a quarter of an hour)
	$(BIN)/python -m tests.fuzz $(ARGS)

lint: $(STAMP)  ## Check style and formatting
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(STAMP)  ## Check types
	$(BIN)/mypy

bench: $(STAMP)  ## Print the speed and quality tables (more of them with MVGEN_DATA)
	$(BIN)/python -m benchmarks.kernels
	$(BIN)/python -m benchmarks.splats
	$(BIN)/python -m benchmarks.regions
	$(BIN)/python -m benchmarks.stereo
	$(BIN)/python -m benchmarks.reconstruct $(ARGS)

surfaces: $(STAMP)  ## Measure surfaces from points, depth maps and grids (long; ARGS="sphere torus" for some)
	$(BIN)/python -m benchmarks.surface $(ARGS)

shapes-from-views: $(STAMP)  ## Measure shapes from a few pictures (with MVGEN_DATA; ARGS="duck spot" for some)
	$(BIN)/python -m benchmarks.views $(ARGS)

refined: $(STAMP)  ## Measure the detail that refine brings back (with MVGEN_DATA)
	$(BIN)/python -m benchmarks.refine $(ARGS)

splat-fits: $(STAMP)  ## Splats fitted to the rendered sets in MVGEN_DATA, some photos held out
	$(BIN)/python -m benchmarks.fits $(ARGS)

compression: $(STAMP)  ## Compressed meshes beside decimation and Draco (with MVGEN_DATA; long; ARGS=--networks: key spheres too)
	$(BIN)/python -m benchmarks.compress $(ARGS)

workflow: $(STAMP)  ## Measure whether the workflow holds: large sets, kills, known cameras, ...
	$(BIN)/python -m benchmarks.workflow $(ARGS)

pictures: $(STAMP)  ## Render results of the demo and of the sets in MVGEN_DATA into docs/
	$(BIN)/python -m benchmarks.pictures $(ARGS)

gpu-check:  ## Compare the GPU kernels with the CPU ones (needs torch, numba-cuda, numpy and a GPU)
	$(PYTHON) -m benchmarks.gpu_check

clean:  ## Remove the environment and every cache
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache *.egg-info

"""Where compiled kernels are kept, and what happens where they cannot be."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from mvgen.kernels import jit

USE = """
import numpy as np
from mvgen.kernels import jit
from mvgen.kernels.patchmatch_pixel import next_state
assert next_state(np.uint32(1)) == 270369
jit.mark_warm("set")
print(jit.CACHE, jit.is_warm("set"), jit.wait_notice("set", 15), sep="|")
"""


MATCH = """
import hashlib
import numpy as np
from benchmarks.gpu_check import PIXEL, RANGE, scene
from mvgen.kernels import patchmatch
match, lens, planes = scene(160, 120, 4)
settings = np.tile(np.array([*RANGE, PIXEL, 1, 0.3, 12, 1e-5, 0.15], np.float32), (2, 1))
volume, cost = np.empty((120, 160, 32), np.uint8), np.full((120, 160), -1, np.float32)
patchmatch.sweep_volume(match, np.linspace(*RANGE, 32).astype(np.float32), settings[0], volume)
patchmatch.run_passes(match, lens, settings, np.arange(2), planes, cost)
print(hashlib.sha256(volume.tobytes() + planes.tobytes() + cost.tobytes()).hexdigest())
"""


DRAW = """
import hashlib
import torch
from mvgen.kernels import raster
from tests.kernels.test_raster import ball
screen, faces = ball()
screen = screen.float().requires_grad_(True)
seen = raster.rasterize(screen, faces, 24, 24)
picture = raster.antialias(raster.interpolate(screen, faces, seen), seen, screen, faces, raster.edge_twins(faces))
picture.square().sum().backward()
print(hashlib.sha256(b"".join(t.detach().numpy().tobytes() for t in (seen.depth, picture, screen.grad))).hexdigest())
"""


LEARN = """
import hashlib
import numpy as np
from mvgen.kernels.mlp import LEAKY, LINEAR, SINE, offsets_of, train
rng = np.random.default_rng(0)
sizes, kinds = np.array([3, 9, 9, 1]), np.array([SINE, LEAKY, LINEAR])
offsets = offsets_of(sizes)
theta = rng.normal(size=int(offsets[-1])).astype(np.float32)
rows, targets = rng.random((2000, 3)).astype(np.float32), rng.random(2000).astype(np.float32)
batches, rates = np.array([[0, 500], [500, 500], [1000, 500], [1500, 500]] * 20), np.full(80, 0.01)
some, ones = np.full(len(theta), 0.01, np.float32), np.ones(len(theta), np.float32)
moments = np.zeros((2, len(theta)), np.float32)
net = (sizes, kinds, offsets, False, ones, some, rows, targets, np.ones(2000, np.float32), 0)
losses = train(theta, moments, 0, *net, batches, rates)
print(hashlib.sha256(theta.tobytes() + losses.tobytes()).hexdigest())
"""


def use_kernels(**environment: str) -> list[str]:
    kept = {k: v for k, v in os.environ.items() if k not in ("NUMBA_CACHE_DIR", "XDG_CACHE_HOME", "HOME")}
    done = subprocess.run([sys.executable, "-c", USE], capture_output=True, text=True, env={**kept, **environment})
    assert done.returncode == 0, done.stderr
    return done.stdout.strip().split("|")


@pytest.mark.parametrize(
    "environment",
    [{"HOME": "/dev/null"}, {"XDG_CACHE_HOME": "/proc/nowhere"}, {"NUMBA_CACHE_DIR": "/dev/null/cache"}],
    ids=lambda e: next(iter(e)),
)
def test_kernels_run_where_nothing_can_be_kept(environment: dict[str, str]) -> None:
    folder, warm, notice = use_kernels(**environment)
    assert (folder, warm) == ("None", "False")
    assert "in every run" in notice


def test_kernels_are_kept_in_the_folder_that_is_named(tmp_path: Path) -> None:
    folder, warm, notice = use_kernels(XDG_CACHE_HOME=str(tmp_path))
    assert Path(folder).parent == tmp_path / "mvgen" / "kernels"
    assert list(Path(folder).rglob("*next_state*.nbc"))
    assert (warm, notice) == ("True", "None")


def test_other_pixel_functions_get_another_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jit, "__file__", str(tmp_path / "jit.py"))
    (tmp_path / "match_pixel.py").write_text("ONE = 1\n")
    first = jit._edition()
    assert jit._edition() == first
    (tmp_path / "match_pixel.py").write_text("ONE = 2\n")
    assert jit._edition() != first


def test_cpu_and_cuda_copies_do_not_mix() -> None:
    """Loading the pixel functions for CUDA leaves those for the CPU as they are."""
    from mvgen.kernels import patchmatch_pixel

    copy = jit.load_for_cuda("mvgen.kernels.patchmatch_pixel")
    assert copy is not patchmatch_pixel and copy is jit.load_for_cuda("mvgen.kernels.patchmatch_pixel")
    assert jit.TARGET == "cpu"
    state = patchmatch_pixel.random_state(np.int32(3), np.int32(4), np.int64(5))
    assert 0 < state < 2**32 and state == patchmatch_pixel.random_state(np.int32(3), np.int32(4), np.int64(5))


@pytest.mark.slow
@pytest.mark.parametrize("code", [MATCH, DRAW, LEARN], ids=["match", "draw", "learn"])
def test_kernels_from_the_cache_compute_what_fresh_ones_do(code: str, tmp_path: Path) -> None:
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path)}
    command = [sys.executable, "-c", code]
    root = Path(__file__).parents[2]
    fresh, kept = (
        subprocess.run(command, cwd=root, env=environment, check=True, capture_output=True).stdout for _ in range(2)
    )
    assert fresh == kept

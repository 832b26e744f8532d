"""The CUDA splat kernels, run by Numba's simulator, against those of the CPU and against the plain reference."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mvgen.kernels import splatting_cpu

ROOT = Path(__file__).parents[2]
COMPARE = """
import json, sys
import numpy as np
from benchmarks.gpu_check import compare_splats, table
from mvgen.kernels import splatting_cpu, splatting_cuda
splatting_cuda.BATCH = 16  # so that tiles have several
why_not, rows = splatting_cuda.why_not("cuda:0"), []
for channels, kind, count in ((3, np.float64, 150), (7, np.float32, 30), (9, np.float64, 30)):
    rows += compare_splats(splatting_cpu, splatting_cuda, 20, 18, 0, count, channels, kind)
print(json.dumps({"why_not": why_not, "rows": [r._asdict() for r in rows], "table": table(rows)}))
"""
REFERENCE = """
import torch
from mvgen.kernels import splatting, splatting_cuda
from mvgen.kernels.splatting_reference import blend_reference

splatting._kernels = lambda tensor: splatting_cuda
torch.manual_seed(0)
scene = [torch.randn(n, k, dtype=torch.float64) for n, k in [(25, 3), (25, 4), (25, 3), (25, 1), (25, 3)]]
scene[2] -= 1.5
scene[3] = 3 * scene[3][:, 0]
scene = [value.requires_grad_() for value in scene]
pose, lens = torch.eye(4).double(), torch.tensor([[20.0, 0, 9], [0, 20, 8], [0, 0, 1]]).double()
pose[2, 3] = 4
found = []
for blend in (splatting.blend, blend_reference):
    out, light = blend(splatting.project(*scene[:4], pose, lens, 17, 18), scene[4], 17, 18)
    weights = torch.linspace(-1, 1, out.numel(), dtype=torch.float64).reshape(out.shape)
    found.append((out, light, *torch.autograd.grad((out * weights).sum() + (light * weights[..., 0]).sum(), scene)))
assert float(found[0][0].abs().max()) > 0.1
for one, other in zip(*found):
    assert torch.allclose(one, other, rtol=1e-8, atol=1e-9 * float(other.abs().max())), (one - other).abs().max()
"""


def simulated(code: str) -> str:
    """What a process with the simulator prints."""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code],
        cwd=ROOT,
        capture_output=True,
        text=True,
        env={**os.environ, "NUMBA_ENABLE_CUDASIM": "1"},
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.slow
def test_cuda_kernels_agree_with_those_of_the_cpu() -> None:
    told = json.loads(simulated(COMPARE))
    assert told["why_not"] is None
    assert [r["name"] for r in told["rows"]] == 3 * ["tile lists", "splats", "splat gradients"]
    for row in told["rows"]:
        assert row["agree"] == 1, told["table"]


@pytest.mark.slow
def test_cuda_kernels_agree_with_the_reference() -> None:
    simulated(REFERENCE)


@given(st.integers(0, 2**32 - 1), st.integers(1, 70), st.integers(1, 70), st.integers(0, 60))
@settings(max_examples=50, deadline=None)
def test_torch_makes_the_lists_that_the_cpu_makes(seed: int, height: int, width: int, count: int) -> None:
    pytest.importorskip("numba.cuda")
    from mvgen.kernels.splatting_cuda import tile_lists

    random = np.random.default_rng(seed)
    means = random.uniform(-40, 110, (count, 2)).astype(np.float32)
    reach = np.exp(random.normal(1, 1.5, (count, 2))).astype(np.float32)
    if count > 2:
        means[0], reach[1], means[2] = np.nan, np.inf, [width, 0]
    order = random.permutation(count).astype(np.int32)[: count - count // 4]
    plain = splatting_cpu.tile_lists(means, reach, order, height, width)
    found = tile_lists(*(torch.from_numpy(a) for a in (means, reach, order)), height, width)
    for one, other in zip(plain, found):
        assert np.array_equal(one, other.numpy())

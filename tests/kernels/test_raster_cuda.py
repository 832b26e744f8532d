"""The CUDA raster kernels, run by Numba's simulator, against those of the CPU."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
COMPARE = """
import json
import numpy as np
from benchmarks.gpu_check import compare_raster, table
from mvgen.kernels import raster_cpu, raster_cuda
why_not = raster_cuda.why_not("cuda:0")
rows = compare_raster(raster_cpu, raster_cuda, 20, 16, times=0, side=5)
print(json.dumps({"why_not": why_not, "rows": [r._asdict() for r in rows], "table": table(rows)}))
"""


@pytest.mark.slow
def test_cuda_kernels_agree_with_those_of_the_cpu() -> None:
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", COMPARE],
        cwd=ROOT,
        capture_output=True,
        text=True,
        env={**os.environ, "NUMBA_ENABLE_CUDASIM": "1"},
    )
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["why_not"] is None
    assert [r["name"] for r in told["rows"]] == ["raster", "blend", "outlines", "raster gradients"]
    for row in told["rows"]:
        assert row["agree"] == 1, told["table"]

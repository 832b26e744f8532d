"""The stereo kernels for CUDA: the same planes as on the CPU, shown by Numba's simulator where there is no GPU."""

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
from benchmarks.gpu_check import compare, table
from mvgen.kernels import patchmatch, patchmatch_cuda
np.seterr(all="ignore")  # the simulator computes with single numbers, which warn where arrays of a kernel do not
why_not = patchmatch_cuda.why_not("cuda:0")
rows = compare(patchmatch, patchmatch_cuda, 24, 16, times=1, sources=2, depths=8)
print(json.dumps({"why_not": why_not, "rows": [r._asdict() for r in rows], "table": table(rows)}))
"""


def python(code: str, **more: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code],
        cwd=ROOT,
        capture_output=True,
        text=True,
        env={**os.environ, **more},
    )


@pytest.mark.slow
def test_cuda_kernels_agree_with_those_of_the_cpu() -> None:
    done = python(COMPARE, NUMBA_ENABLE_CUDASIM="1")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["why_not"] is None
    assert [r["name"] for r in told["rows"]] == ["photometric sweep", "geometric sweep", "plane sweep"]
    for row in told["rows"]:
        assert row["agree"] >= 0.99, told["table"]
    assert "too little" not in told["table"]


def test_without_a_gpu_the_check_says_so_in_one_line() -> None:
    done = python("import sys, benchmarks.gpu_check as g; sys.exit(g.main())", CUDA_VISIBLE_DEVICES="-1")
    assert done.returncode == 1
    assert done.stdout.startswith("no CUDA GPU can be used: ")
    assert done.stdout.count("\n") == 1


def test_the_check_needs_little() -> None:
    """Run on a GPU machine that has numpy, numba and numba-cuda, and nothing else of what mvgen uses."""
    done = python("import sys, benchmarks.gpu_check, mvgen.kernels.patchmatch_cuda; print(*sys.modules)")
    assert not {"cv2", "torch", "typer", "mvgen.core"} & set(done.stdout.split())

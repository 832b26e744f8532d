"""The example that edits splats from the shell."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mvgen.core.splats.files import load_splats

ROOT = Path(__file__).parents[2]

pytestmark = [pytest.mark.slow, pytest.mark.skipif(shutil.which("bash") is None, reason="bash is not installed")]


def test_the_example_edits_what_it_reconstructed(tmp_path):
    small = "--set splats.splats=4000 --set splats.iterations=20 --set splats.size=160"
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    given = {**os.environ, "PYTHONPATH": str(ROOT), "PATH": path, "FIT": small, "VIEWS": "8", "SIZE": "320x240"}
    run = subprocess.run(["bash", ROOT / "examples/edit.sh", tmp_path], env=given, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr

    before, stone, after = (load_splats(tmp_path / f"{name}.ply") for name in ("scene", "stone", "after"))
    assert len(after) >= len(before) + len(stone) > len(before) + 50
    assert after.means[:, 1].min() == pytest.approx(before.means[:, 1].min())  # y down: the backdrop stays
    pictures = [np.asarray(Image.open(tmp_path / f"{name}.png").convert("RGB"), float) for name in ("before", "after")]
    changed = np.abs(pictures[0] - pictures[1]).max(2) > 30
    assert 0.005 < changed.mean() < 0.2

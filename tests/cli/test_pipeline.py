"""Photos to a compressed model through pipes."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from mvgen.core.io.meshes import load_mesh
from tests import relief

MVGEN = [sys.executable, "-m", "mvgen"]


@pytest.mark.slow
def test_reconstruct_refine_and_compress_in_one_line(tmp_path):
    relief.photograph(tmp_path / "in", 4)
    stages = (["reconstruct", "in", "-o", "-"], ["refine", "-", "-o", "-"], ["compress", "-", "-o", "scene.mks"])
    last, running = None, []
    for stage in stages:
        end = stage is stages[-1]
        out = None if end else subprocess.PIPE
        run = subprocess.Popen([*MVGEN, *stage, "-q"], cwd=tmp_path, stdin=last, stdout=out, stderr=subprocess.PIPE)
        if last is not None:
            last.close()
        last = run.stdout
        running.append(run)
    told = [
        run.communicate()[1].decode() if run.stdout is None else run.stderr.read().decode() for run in running[::-1]
    ]
    assert [run.wait() for run in running] == [0, 0, 0], told
    subprocess.run([*MVGEN, "decompress", "scene.mks", "-o", "back.glb", "-q"], cwd=tmp_path, check=True)
    subprocess.run([*MVGEN, "reconstruct", "in", "-o", "scene.glb", "-q"], cwd=tmp_path, check=True)
    back, scene = (load_mesh(tmp_path / name, print) for name in ("back.glb", "scene.glb"))
    assert back.colours is not None or back.texture is not None
    assert back.colours is None or back.colours.std() > 0.03
    assert np.abs(back.bounds - scene.bounds).max() < 0.05 * scene.diagonal

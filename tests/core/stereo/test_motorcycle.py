"""Depth of a real pair whose geometry is known and whose disparities were measured."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest

from benchmarks.sgbm import disparities
from benchmarks.stereo import LEVELS, our_disparity, scores, thinned
from mvgen.core.io.images import read_image

DATA = os.environ.get("MVGEN_DATA")


@pytest.mark.slow
@pytest.mark.skipif(DATA is None, reason="MVGEN_DATA is not set")
def test_motorcycle(tmp_path: Path) -> None:
    """Better than two fixed bars, and not worse than semi-global matching where both keep three pixels of four."""
    folder = Path(DATA or "") / "stereo" / "motorcycle"
    truth = np.load(folder / "motorcycle_disp.npz", allow_pickle=False)["arr_0"]
    known = np.isfinite(truth) & (truth > 0)
    found, cost = our_disparity(folder, json.loads((folder / "calib.json").read_text()), tmp_path)
    density, bad_2px, bad_half_px, _ = scores(found, truth, known)
    assert density >= 75 and bad_2px <= 10 and bad_half_px <= 30
    pair = [read_image(folder / f"motorcycle_{side}.png") for side in ("left", "right")]
    theirs, residual = disparities(pair[0], pair[1], LEVELS)
    ours, peer = (scores(thinned(*method, known, 0.75), truth, known) for method in ((found, cost), (theirs, residual)))
    assert ours[0] == pytest.approx(75, abs=0.1) and peer[0] == pytest.approx(75, abs=0.1)
    assert ours[1] <= peer[1] and ours[2] <= peer[2]

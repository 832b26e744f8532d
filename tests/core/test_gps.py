"""Metres from latitude and longitude, and scenes laid over them."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from mvgen.core.camera import Similarity
from mvgen.core.errors import CannotError
from mvgen.core.gps import gps_similarity, local_metres

METRE = 1 / 111_132.95  # degrees of latitude at 45 degrees


def test_a_degree_is_as_long_as_on_the_ellipsoid() -> None:
    # lengths of a degree of latitude and of longitude at 45 degrees: 111 131.7 and 78 846.8 m
    gps = np.array([[45.0, 7, 0], [45.005, 7, 0], [44.995, 7, 0], [45, 7.005, 0], [45, 6.995, 0]])
    metres = local_metres(gps)
    assert metres[1, 1] - metres[2, 1] == pytest.approx(1111.317, abs=0.05)
    assert metres[3, 0] - metres[4, 0] == pytest.approx(788.468, abs=0.05)
    assert np.abs(metres[0]).max() < 1e-6


@given(st.floats(-85, 85), st.floats(-180, 180), st.floats(-100, 5000))
def test_axes_are_east_north_up(latitude: float, longitude: float, altitude: float) -> None:
    step = 1e-4
    gps = np.array([[0, 0, 0], [step, 0, 0], [-step, 0, 0], [0, step, 0], [0, -step, 0], [0, 0, 9], [0, 0, -9.0]])
    metres = local_metres(gps + np.array([latitude, longitude, altitude]))
    north, east, up = metres[1] - metres[2], metres[3] - metres[4], metres[5] - metres[6]
    assert north[1] == pytest.approx(np.linalg.norm(north), rel=1e-6) and 22 < north[1] < 22.5
    assert east[0] == pytest.approx(np.linalg.norm(east), rel=1e-4) and east[0] > 0
    assert up == pytest.approx([0, 0, 18], abs=1e-3)


def test_the_date_line_and_missing_altitudes() -> None:
    metres = local_metres(np.array([[0, 179.9999, 5], [0, -179.9999, np.nan], [0, 180, 7]]))
    assert np.ptp(metres[:, 0]) < 25
    assert np.isfinite(metres).all() and np.ptp(metres[:, 2]) == pytest.approx(2, abs=1e-3)
    assert local_metres(np.zeros((0, 3))).shape == (0, 3)


def flight(count: int = 12, noise: float = 1.5) -> tuple[np.ndarray, np.ndarray, Similarity]:
    """Camera centres of a small world, GPS with noise, and the true similarity up to where the frame's origin is."""
    rng = np.random.default_rng(0)
    truth = Similarity(8.0, Rotation.random(rng=rng).as_matrix(), np.array([3.0, -2, 5]))
    metres = rng.uniform(-60, 60, (count, 3)) * [1, 1, 0.2]
    centres = truth.inverse().apply(metres)
    seen = metres + rng.normal(0, noise, metres.shape)
    gps = seen * [1, 1, 1]
    latitude = 45 + seen[:, 1] / 111_131.7
    longitude = 7 + seen[:, 0] / 78_846.8
    return centres, np.stack([latitude, longitude, gps[:, 2] + 200], axis=1), truth


def test_scale_and_turn_are_found_in_spite_of_faults() -> None:
    centres, gps, truth = flight()
    gps[3, 0] += 300 * METRE
    gps[7] = [12, 40, 0]
    gps[8] = np.nan
    found, residual, used = gps_similarity(centres, gps)
    assert found.scale == pytest.approx(8, rel=0.03)
    turn = Rotation.from_matrix(found.rotation @ truth.rotation.T).magnitude()
    assert np.degrees(turn) < 4
    assert residual < 4
    assert not used[[3, 7, 8]].any() and used.sum() >= 8


def test_exact_gps_gives_an_exact_fit() -> None:
    centres, gps, _ = flight(6, 0.0)
    found, residual, used = gps_similarity(centres, gps)
    assert used.all() and residual < 0.01
    assert found.scale == pytest.approx(8, rel=1e-4)


def test_what_tells_no_scale_is_refused() -> None:
    centres, gps, _ = flight(6, 0.0)
    few = gps.copy()
    few[2:] = np.nan
    with pytest.raises(CannotError, match="only 2 photos"):
        gps_similarity(centres, few)
    line = centres[0] + np.linspace(0, 1, 6)[:, None] * (centres[1] - centres[0])
    with pytest.raises(CannotError, match="one line"):
        gps_similarity(line, gps)
    close = gps.mean(0) + (gps - gps.mean(0)) * [0.02, 0.02, 0.02]
    with pytest.raises(CannotError, match="errs"):
        gps_similarity(centres, close)
    with pytest.raises(CannotError, match=r"one line|errs"):
        gps_similarity(centres, np.broadcast_to(gps[0], gps.shape))


@pytest.mark.skipif("MVGEN_DATA" not in os.environ, reason="needs MVGEN_DATA")
def test_another_tool_puts_the_photos_at_the_same_metres() -> None:
    folder = Path(os.environ["MVGEN_DATA"]) / "photos" / "opensfm_berlin"
    scene = json.loads((folder / "reconstruction_example.json").read_text())[0]
    wanted = np.array([shot["gps_position"] for _, shot in sorted(scene["shots"].items())])
    origin = scene["reference_lla"]
    known = {"01": (52.518918, 13.400295, 27), "02": (52.518925, 13.400387, 30), "03": (52.519047, 13.400445, 39)}
    gps = np.array([known[name[:2]] for name in sorted(scene["shots"])], np.float64)
    reference = np.array([[origin["latitude"], origin["longitude"], origin["altitude"]]])
    metres = local_metres(np.concatenate([gps, np.repeat(reference, 4, axis=0)]))
    assert np.abs(metres[:3] - metres[3] - wanted).max() < 0.2  # the degrees have six decimals

"""Fewer splats that look much the same."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from mvgen.core.progress import Silent
from mvgen.core.render.orbit import orbit_cameras, robust_points
from mvgen.core.render.splats import Painter
from mvgen.core.splats.files import load_splats
from mvgen.core.splats.model import Splats, merged
from mvgen.core.splats.prune import importance, pruned
from mvgen.core.splats.splat import splat_order
from tests.core.splats import made

DATA = Path(os.environ.get("MVGEN_DATA", "/nowhere")) / "splats"


def shell(number: int = 300, radius: float = 1.0, opacity: float = 6.0) -> Splats:
    """A closed ball of opaque splats."""
    out = made.splats(number, 0)
    out.means[:] = radius * out.means / np.linalg.norm(out.means, axis=1, keepdims=True)
    out.log_scales[:], out.logits[:] = np.log(0.2 * radius), opacity
    return out


@pytest.mark.slow
def test_what_is_hidden_or_hardly_shows_goes_first() -> None:
    faint = made.splats(40, 0, seed=1)
    faint.logits[:], faint.log_scales[:] = -7, -6
    faint.means[:] *= 0.3
    whole = merged([faint, shell()])
    some = pruned(whole, 300)
    assert np.array_equal(some.means, whole.means[40:])
    assert pruned(whole, 340) is whole and pruned(whole, 999) is whole
    weight = importance(whole, Silent())
    assert weight.shape == (340,) and (weight > 0).all() and weight[:40].max() < weight[40:].min()


def test_rooms_seen_from_within_keep_their_walls_and_what_is_in_them() -> None:
    """From outside nothing is seen but the walls' outer layer."""
    table = shell(60, 0.4)
    whole = merged([shell(400, 3.0), shell(400, 2.6), table])
    kept = pruned(whole, 650)
    assert (np.linalg.norm(kept.means, axis=1) < 0.5).sum() == 60


def test_the_same_splats_are_kept_every_time_and_in_any_order() -> None:
    whole = made.splats(200, 1)
    turned = whole[np.arange(200)[::-1]]
    one, again, other = pruned(whole, 80), pruned(whole, 80), pruned(turned, 80)
    assert np.array_equal(one.means, again.means)
    assert len({tuple(m) for m in one.means} & {tuple(m) for m in other.means}) >= 78


@pytest.mark.slow
@pytest.mark.skipif(not DATA.is_dir(), reason="needs MVGEN_DATA")
@pytest.mark.parametrize("name", ["guitar/guitar_20k.ply", "playbot_sog_lod4", "train_1000/train-1000.ply"])
def test_half_the_splats_look_better_than_the_half_of_most_volume(name: str) -> None:
    whole = load_splats(DATA / name)
    cameras = orbit_cameras(robust_points(whole), 3, (200, 200), np.array([0, -1.0, 0]), 15, 20)
    half = len(whole) // 2

    def off(splats: Splats) -> float:
        return float(np.mean([(seen(splats, c) - seen(whole, c)) ** 2 for c in cameras]))

    def seen(splats: Splats, camera: object) -> np.ndarray:
        view = Painter(splats).render(camera)  # type: ignore[arg-type]
        return view.color * view.alpha[..., None]

    ours, volume = off(pruned(whole, half)), off(whole[np.sort(splat_order(whole)[:half])])
    assert ours < 0.85 * volume

"""Every codec, and the choice among them: bounds hold, place and colours survive, what is not reached is told."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import trimesh

from mvgen.core.compress.auto import Result, _best, compress
from mvgen.core.compress.codec import CODECS, Goal, candidates
from mvgen.core.compress.container import unpack
from mvgen.core.compress.file import read_mks
from mvgen.core.compress.measure import Errors, Surface, measure
from mvgen.core.errors import CannotError
from mvgen.core.geometry import Mesh
from mvgen.core.progress import Silent

THERE = [codec.name for codec in candidates("auto")]


def bumpy(away: float = 0.0) -> Mesh:
    made = trimesh.creation.icosphere(3, 0.8)
    bumps = 1 + 0.1 * np.sin(5 * made.vertices[:, :1])
    return Mesh(np.asarray(made.vertices) * bumps + away, np.asarray(made.faces, np.int32))


def made(mesh: Mesh, goal: Goal, codec: str, effort: int = 1) -> Result:
    option = next(c.option for c in CODECS if c.name == codec)
    return compress(mesh, goal, option, effort, 0, Silent(), only=codec)


def independent(mesh: Mesh, data: bytes) -> Errors:
    """In diagonals, by other points than the encoder's, on what the bytes decode to."""
    found = measure(Surface(mesh), Surface(read_mks(data, "x")), 50_000, 99, prove=False)
    return replace(found, mean=found.mean / mesh.diagonal, maximum=found.maximum / mesh.diagonal)


@pytest.mark.slow
@pytest.mark.parametrize("codec", THERE)
def test_a_size_is_kept(codec: str) -> None:
    mesh = bumpy()
    result = made(mesh, Goal(900), codec)
    assert len(result.data) <= 900 and result.missed is None
    assert unpack(result.data, "x").head.kept == result.codec.keeps
    found = independent(mesh, result.data)
    assert found.mean == pytest.approx(result.errors.mean, rel=0.05)
    assert found.maximum <= result.errors.maximum * (1.0 if result.errors.proved else 1.1) < 0.03


@pytest.mark.slow
@pytest.mark.parametrize("codec", THERE)
@pytest.mark.parametrize("goal", [Goal(mean=1e-3), Goal(maximum=8e-3), Goal(None, 2e-3, 8e-3)], ids=str)
def test_errors_are_kept_by_an_independent_measure(codec: str, goal: Goal) -> None:
    mesh = bumpy()
    result = made(mesh, goal, codec)
    assert result.missed is None and result.errors.proved
    found = independent(mesh, result.data)
    assert goal.mean is None or found.mean <= goal.mean
    assert goal.maximum is None or found.maximum <= goal.maximum
    assert len(result.data) < 0.2 * 12 * (len(mesh.vertices) + len(mesh.faces))


@pytest.mark.slow
@pytest.mark.parametrize("codec", THERE)
def test_far_from_the_origin_nothing_is_lost(codec: str) -> None:
    near, far = made(bumpy(), Goal(900), codec), made(bumpy(2.0**20), Goal(900), codec)
    assert far.errors.mean == pytest.approx(near.errors.mean, rel=0.2)
    assert independent(bumpy(2.0**20), far.data).maximum < 0.03


@pytest.mark.parametrize("codec", THERE)
def test_colours_survive(codec: str) -> None:
    mesh = bumpy()
    colours = (mesh.vertices / 2 + 0.5).clip(0, 1).astype(np.float32)
    back = read_mks(made(replace(mesh, colours=colours), Goal(mean=1e-3), codec).data, "x")
    assert back.colours is not None
    assert np.abs(back.colours - (back.vertices / 2 + 0.5).clip(0, 1)).mean() < 0.03


@pytest.mark.slow
@pytest.mark.parametrize("codec", THERE)
@pytest.mark.parametrize("what", ["open", "crowded", "twisted", "pinched", "one face"])
def test_meshes_without_an_inside_are_held(codec: str, what: str) -> None:
    mesh = bumpy()
    middle = mesh.vertices[mesh.faces].mean(1)
    faces = {
        "open": mesh.faces[middle[:, 2] < 0.3],
        "crowded": np.concatenate([mesh.faces, [[*mesh.faces[0, :2], 300], [*mesh.faces[0, :2], 500]]]),
        "twisted": np.where(middle[:, :1] > 0, mesh.faces, mesh.faces[:, ::-1]),
        "pinched": mesh.faces[np.abs(middle[:, 2] - middle[:, 0]) > 0.05],
        "one face": mesh.faces[:1],
    }[what]
    part = Mesh(mesh.vertices, faces.astype(np.int32))
    result = made(part, Goal(mean=2e-3), codec)
    assert result.missed is None
    used = Mesh(part.vertices[np.unique(part.faces)], np.zeros((0, 3), np.int32))
    found = measure(Surface(part), Surface(read_mks(result.data, "x")), 20_000, 99, prove=False)
    assert found.mean / used.diagonal <= 2e-3


@pytest.mark.slow
def test_auto_keeps_the_best() -> None:
    mesh = bumpy()
    best = compress(mesh, Goal(900), "auto", 1, 0, Silent())
    assert set(best.tried) == set(THERE)
    for name in THERE:
        assert best.errors.mean <= made(mesh, Goal(900), name).errors.mean
    small = compress(mesh, Goal(mean=1e-3), "auto", 1, 0, Silent())
    for name in THERE:
        assert len(small.data) <= len(made(mesh, Goal(mean=1e-3), name).data)


def test_what_is_not_reached_is_told() -> None:
    result = compress(bumpy(), Goal(400, 1e-6), "auto", 1, 0, Silent())
    assert result.missed is not None and "mean error" in result.missed
    with pytest.raises(CannotError, match="fewer than the file needs"):
        compress(bumpy(), Goal(20), "auto", 1, 0, Silent())


def test_of_errors_that_are_as_good_as_none_the_largest_decides():
    def result(mean, maximum):
        return SimpleNamespace(missed=None, data=b"", errors=SimpleNamespace(mean=mean, maximum=maximum))

    near, sharp, coarse = result(1e-6, 9e-5), result(3e-6, 1e-5), result(1e-5, 1e-6)
    assert _best([near, coarse, sharp], Goal(100)) is sharp
    assert _best([near, coarse], Goal(100)) is near

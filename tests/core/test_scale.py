"""True size from a known distance."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mvgen.core.errors import CannotError, InputError, UsageError
from mvgen.core.scale import METRES, Distance, Mark, metres_per_unit, parse_distance, read_marks, triangulated
from tests.core.views import around


@given(st.floats(1e-3, 1e6), st.sampled_from(sorted(METRES)))
def test_distances_are_read_in_any_unit(value: float, unit: str) -> None:
    assert parse_distance(f"left eye,p 2.jpg={value!r}{unit}") == Distance("left eye", "p 2.jpg", value * METRES[unit])


def test_metres_are_meant_where_no_unit_is_given() -> None:
    assert parse_distance(" a , b = 2 ") == Distance("a", "b", 2.0)


@pytest.mark.parametrize(
    "text", ["", "a=1m", "a,b", "a,b=", "a,b=0m", "a,b=-1m", "a,b=1parsec", "a,a=1m", "a,b=1e999m"]
)
def test_other_texts_are_refused(text: str) -> None:
    with pytest.raises(UsageError, match="--scale-by"):
        parse_distance(text)


def test_marks_are_read_with_or_without_titles(tmp_path: Path) -> None:
    path = tmp_path / "marks.csv"
    rows = 'A,p0.jpg,10,20.5\nA,"p,1.jpg",11,21\n\nB,p0.jpg,1e2,3\n'
    for title in ("", "name,photo,x,y\n", "\ufeffname,photo,x,y\r\n"):
        path.write_text(title + rows, encoding="utf-8")
        marks = read_marks(path)
        assert marks == {"A": [Mark("p0.jpg", 10, 20.5), Mark("p,1.jpg", 11, 21)], "B": [Mark("p0.jpg", 100, 3)]}


@pytest.mark.parametrize(
    "text", ["", "name,photo,x,y\n", "A,p0.jpg,1\n", "A,p0.jpg,1,2\nB,p1.jpg,x,2\n", "A,p,nan,1\n"]
)
def test_other_files_are_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "marks.csv").write_text(text)
    with pytest.raises(InputError, match=r"marks\.csv"):
        read_marks(tmp_path / "marks.csv")
    with pytest.raises(InputError, match=r"none\.csv"):
        read_marks(tmp_path / "none.csv")


def test_points_are_found_where_their_marks_say(seed: int = 0) -> None:
    cameras = around([-20, 0, 25])
    rng = np.random.default_rng(seed)
    for point in rng.uniform(-0.5, 0.5, (20, 3)):
        pixels = np.array([c.project(point)[0] for c in cameras])
        np.testing.assert_allclose(triangulated(cameras, pixels), point, atol=1e-6)
        noisy = triangulated(cameras, pixels + rng.normal(0, 0.1, pixels.shape))
        assert np.linalg.norm(noisy - point) < 0.05


def test_scale_from_marks_and_from_cameras() -> None:
    cameras = {c.name: c for c in around([-20, 0, 25])}
    ends = {"A": np.array([0.3, 0.1, 0.0]), "B": np.array([-0.4, 0.0, 0.2])}
    places = {
        name: [(c.name, *(float(v) for v in c.project(point)[0])) for c in cameras.values()]
        for name, point in ends.items()
    }
    true = float(np.linalg.norm(ends["A"] - ends["B"]))
    assert metres_per_unit(Distance("A", "B", 3.0), cameras, places) == pytest.approx(3.0 / true)
    apart = float(np.linalg.norm(cameras["p0.png"].centre - cameras["p2.png"].centre))
    assert metres_per_unit(Distance("p0.png", "p2.png", 5.0), cameras, {}) == pytest.approx(5.0 / apart)
    with pytest.raises(CannotError, match="C: neither"):
        metres_per_unit(Distance("A", "C", 1.0), cameras, places)
    with pytest.raises(CannotError, match="two are needed"):
        metres_per_unit(Distance("A", "B", 1.0), cameras, places | {"B": places["B"][:1]})

"""Recipes: written, read again, replayed; damaged ones are told."""

import json

import numpy as np
import pytest

from mvgen.core.edit.operations import begun
from mvgen.core.edit.recipe import (
    Add,
    Drag,
    Duplicate,
    FileReference,
    Guidance,
    Handle,
    Imagine,
    Keep,
    Mirror,
    Recipe,
    Recolor,
    Refit,
    Remove,
    Rotate,
    Scale,
    Select,
    Shear,
    Stretch,
    Translate,
    Where,
    load_recipe,
    recipe_text,
    reference,
)  # fmt: skip
from mvgen.core.edit.replay import Place, edited
from mvgen.core.errors import CannotError, InputError, UsageError
from mvgen.core.progress import Silent
from mvgen.core.region.files import save_region
from mvgen.core.region.model import Region
from mvgen.core.splats.files import save_splats
from tests.core.edit.shapes import same_rows
from tests.core.splats import made

ALL = Recipe(
    (
        Select(region=Where(box=(-1.0, -1.0, -1.0, 0.5, 1.0, 1.0))),
        Remove(region=Where(region=FileReference("a.npz", "0" * 64, "hat"))),
        Keep(region=Where(sphere=(0.0, 0.0, 0.0, 2.5))),
        Duplicate(),
        Add(file=FileReference("b.ply")),
        Rotate(axis="x", degrees=-30.5, about=(0.0, 1.0, 0.0)),
        Translate(shift=(0.0, 0.1, 1e-7)),
        Scale(factor=2.0),
        Stretch(axis="z", factor=0.5),
        Shear(axis="x", by="z", amount=-0.25),
        Mirror(axis="y"),
        Recolor(colour=(0.5, 0.25, 1.0)),
        Refit(scene="scene", iterations=10, size=64),
        Drag(mode="rigid", handles=(Handle((0.0, 0.0, 0.0), (1.0, 0.0, 0.0), 0.5),)),
        Drag(mode="deform", handles=(Handle((0.0, 0, 0), (1.0, 0, 0)),), scene="s", iterations=9, size=32),
        Imagine(guidance=Guidance(prompt="a hat", negative="fog", weights="sd", strength=0.3), iterations=7),
        Imagine(guidance=Guidance(views=FileReference("views.json", "0" * 64), scale=20.0), iterations=7),
        Drag(
            mode="deform", handles=(Handle((0.0, 0, 0), (1.0, 0, 0)),), iterations=9, guidance=Guidance(prompt="a hat")
        ),
    )
)
PLACE = Place(lambda scene, size: [], 0, "cpu", Silent())


def written(folder, steps, version=1, kind="mvgen edit"):
    path = folder / "recipe.json"
    path.write_text(json.dumps({"recipe": kind, "version": version, "steps": steps}))
    return path


def test_a_recipe_is_read_as_it_was_written(tmp_path):
    (tmp_path / "a.json").write_text(recipe_text(ALL))
    assert load_recipe(tmp_path / "a.json") == ALL


@pytest.mark.parametrize(
    ("step", "words"),
    [
        ({"operation": "melt"}, "melt is no operation"),
        ([], "this is no operation"),
        ({"operation": "imagine", "iterations": 3}, "guidance is missing"),
        ({"operation": "imagine", "iterations": 3, "guidance": {}}, "neither a prompt nor views"),
        ({"operation": "imagine", "iterations": 3, "guidance": "hat"}, "guidance: should be an object"),
        ({"operation": "imagine", "guidance": {"prompt": "hat"}}, "iterations is missing"),
        ({"operation": "imagine", "iterations": 3, "guidance": {"prompt": ""}}, "prompt: should be text"),
        ({"operation": "imagine", "iterations": 3, "guidance": {"prompt": "a", "strength": 2}}, "strength: should be"),
        ({"operation": "imagine", "iterations": 3, "guidance": {"views": 3}}, "views: should be an object"),
        (
            {
                "operation": "drag",
                "mode": "rigid",
                "handles": [{"source": [0, 0, 0], "target": [0, 1, 0]}],
                "scene": "s",
                "guidance": {"prompt": "a"},
            },
            "has a scene and guidance",
        ),
        ({"operation": "rotate", "axis": "x"}, "degrees is missing"),
        ({"operation": "rotate", "axis": "w", "degrees": 3}, "axis: should be one of x, y, z"),
        ({"operation": "rotate", "axis": "x", "degrees": "3"}, "degrees: should be a number"),
        ({"operation": "rotate", "axis": "x", "degrees": 3, "radians": 1}, "radians is not known"),
        ({"operation": "scale", "factor": 0}, "factor: should be a number above 0"),
        ({"operation": "scale", "factor": None}, "factor: should be a number"),
        ({"operation": "scale", "factor": True}, "should be a number"),
        ({"operation": "translate", "shift": [1, 2]}, "shift: should be 3 numbers"),
        ({"operation": "shear", "axis": "x", "by": "x", "amount": 1}, "shears along x by x"),
        ({"operation": "remove", "region": {"sphere": [0, 0, 0]}}, "region: should be 4 numbers"),
        ({"operation": "remove", "region": {"sphere": [0, 0, 0, 1], "box": []}}, "should be one of region, sphere"),
        ({"operation": "remove", "region": {"region": {"sha256": "x"}}}, "file is missing"),
        ({"operation": "drag", "mode": "rigid"}, "no handles"),
        ({"operation": "drag", "mode": "rigid", "handles": [{"source": [0, 0, 0]}]}, "target is missing"),
        ({"operation": "refit", "scene": "s", "iterations": 0, "size": 9}, "iterations: should be a whole number"),
        ({"operation": "add", "file": {"file": "a"}, "matrix": [0] * 16}, "flattens everything"),
        ({"operation": "add", "file": "a"}, "should be an object"),
    ],
    ids=str,
)
def test_what_is_wrong_with_a_step_is_told(tmp_path, step, words):
    with pytest.raises(InputError) as error:
        load_recipe(written(tmp_path, [{"operation": "duplicate"}, step]))
    assert "recipe.json: step 2" in error.value.message and words in error.value.message


def test_other_files_are_no_recipes(tmp_path):
    for data in (b"", b"\xff\xfe", b"[]", b"{}", b'{"steps": []}', b"[" * 100_000, b'{"recipe": "mvgen edit"}'):
        (tmp_path / "x.json").write_bytes(data)
        with pytest.raises(InputError, match=r"x\.json"):
            load_recipe(tmp_path / "x.json")
    with pytest.raises(InputError, match="version 2"):
        load_recipe(written(tmp_path, [], version=2))
    with pytest.raises(InputError, match="no such file"):
        load_recipe(tmp_path / "none.json")
    (tmp_path / "nan.json").write_text(recipe_text(Recipe((Scale(factor=2.0),))).replace("2}", "NaN}"))
    with pytest.raises(InputError, match="NaN"):
        load_recipe(tmp_path / "nan.json")


def test_a_region_holds_until_the_next(tmp_path):
    before = made.splats(100)
    mask = np.arange(100) % 3 == 0
    save_region(Region("splats", mask), tmp_path / "r.npz")
    where = Where(region=reference(tmp_path / "r.npz"))
    steps = (Translate(shift=(1.0, 0.0, 0.0), region=where), Translate(shift=(0.0, 1.0, 0.0)))
    out = edited(begun(before), Recipe(steps), PLACE)
    assert same_rows(before, out.splats, ~mask)
    assert np.allclose(out.splats.means[mask], before.means[mask] + np.float32([1, 1, 0]), atol=1e-6)


def test_a_region_that_has_changed_is_told(tmp_path):
    save_region(Region("splats", np.arange(100) < 9), tmp_path / "r.npz")
    recipe = Recipe((Remove(region=Where(region=reference(tmp_path / "r.npz"))),))
    save_region(Region("splats", np.arange(100) < 10), tmp_path / "r.npz")
    with pytest.raises(InputError, match="has changed"):
        edited(begun(made.splats(100)), recipe, PLACE)
    (tmp_path / "r.npz").unlink()
    with pytest.raises(InputError, match=r"r\.npz: cannot be read"):
        edited(begun(made.splats(100)), recipe, PLACE)


def test_spheres_and_boxes_select_on_any_file():
    before = made.splats(200)
    ball = edited(begun(before), Recipe((Keep(region=Where(sphere=(0.0, 0.0, 0.0, 1.0))),)), PLACE).splats
    assert 0 < len(ball) < 200 and np.linalg.norm(ball.means, axis=1).max() <= 1
    box = edited(begun(before), Recipe((Keep(region=Where(box=(0.0, -9.0, -9.0, 9.0, 9.0, 9.0))),)), PLACE).splats
    assert len(box) == (before.means[:, 0] >= 0).sum()
    with pytest.raises(CannotError, match="selects none"):
        edited(begun(before), Recipe((Remove(region=Where(sphere=(50.0, 0.0, 0.0, 1.0))),)), PLACE)


def test_splats_of_a_file_are_added_where_they_are_moved(tmp_path):
    before, other = made.splats(20), made.splats(5, seed=1)
    save_splats(other, tmp_path / "o.ply")
    matrix = (2.0, 0, 0, 1, 0, 2, 0, 0, 0, 0, 2, 0, 0, 0, 0, 1)
    out = edited(begun(before), Recipe((Add(file=reference(tmp_path / "o.ply"), matrix=matrix),)), PLACE)
    assert np.allclose(out.splats.means[20:], 2 * other.means + [1, 0, 0], atol=1e-6)
    assert same_rows(before, out.splats, np.arange(20))
    ball = Where(sphere=(0.0, 0.0, 0.0, 1.0))
    with pytest.raises(UsageError, match="region file"):
        edited(begun(before), Recipe((Add(file=reference(tmp_path / "o.ply"), region=ball),)), PLACE)

"""Normal maps in files: in which axes they are is found, and what is wrong with them is named."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mvgen.core.errors import InputError, UsageError
from mvgen.core.progress import Silent
from mvgen.core.refine.maps import read_normal_views
from mvgen.core.render.raycast import Caster
from tests.core.refine.made import ball, cameras

EYES = cameras(6, 96)
SHAPE = ball(4, True)


def written(folder: Path, signs: tuple[int, int, int] | None) -> Path:
    """Maps in axes of the camera (x right, y down, z forward) times signs, or of the world."""
    caster = Caster(SHAPE)
    for camera in EYES:
        seen = caster.render(camera, 1)
        normals = seen.normal @ camera.rotation if signs is None else seen.normal * signs
        picture = np.concatenate([127.5 * normals + 127.5, 255 * seen.alpha[..., None]], axis=2)
        Image.fromarray(np.rint(picture).astype(np.uint8)).save(folder / camera.name)
    return folder


@pytest.mark.parametrize(("frame", "signs"), [("opengl", (1, -1, -1)), ("opencv", (1, 1, 1)), ("world", None)])
def test_the_axes_are_found(tmp_path: Path, frame: str, signs: tuple[int, int, int] | None) -> None:
    folder = written(tmp_path, signs)
    found, told = (read_normal_views(folder, EYES, SHAPE, name, Silent()) for name in ("auto", frame))
    assert all(np.array_equal(a.normals, b.normals) for a, b in zip(found, told))
    for view in found:
        true = Caster(SHAPE).render(view.camera, 1).normal @ view.camera.rotation
        known = view.normals.any(2)
        assert (view.normals * true).sum(2)[known].mean() > 0.99
    other = "opencv" if frame != "opencv" else "opengl"
    with pytest.raises(UsageError, match=f"not in the frame {other}") as caught:
        read_normal_views(folder, EYES, SHAPE, other, Silent())
    assert caught.value.hint == f"give --frame {frame}"


@pytest.mark.parametrize(
    ("signs", "name"),
    [
        ((-1, -1, -1), "opengl, mirrored"),
        ((-1, 1, 1), "opencv, mirrored"),
        ((1, 1, -1), "opengl, y down"),
    ],
)
def test_mirrored_ones_are_named(tmp_path: Path, signs: tuple[int, int, int], name: str) -> None:
    with pytest.raises(InputError, match=f"only as {name}"):
        read_normal_views(written(tmp_path, signs), EYES, SHAPE, "auto", Silent())

"""What a viewer can show, read from files and folders."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mvgen.core.errors import InputError
from mvgen.core.frame import cameras_up, level
from mvgen.core.geometry import Mesh, PointCloud
from mvgen.core.io.companions import Warn, ignore
from mvgen.core.io.meshes import load_any
from mvgen.core.io.model import Model
from mvgen.core.io.models import find_model, read_model
from mvgen.core.render.orbit import robust_points, up_of
from mvgen.core.splats import seen
from mvgen.core.splats.files import holds_splats, load_splats
from mvgen.core.splats.model import Frame, Splats

Content = Mesh | PointCloud | Splats | Model


@dataclass(frozen=True, eq=False)
class Thing:
    """name: as a person calls it; content: with the numbers of its file; up [3]: unit, what its file says or its
    photos tell."""

    name: str
    content: Content
    up: NDArray[np.float64]

    @property
    def kind(self) -> str:
        return {Mesh: "mesh", PointCloud: "points", Splats: "splats", Model: "scene"}[type(self.content)]

    @property
    def counts(self) -> dict[str, int]:
        """How many there are of what."""
        content = self.content
        if isinstance(content, Mesh):
            return {"vertices": len(content.vertices), "faces": len(content.faces)}
        if isinstance(content, Model):
            return {"cameras": len(content.cameras), "points": len(content.points)}
        return {self.kind: len(content)}

    @property
    def extent(self) -> NDArray[np.float64]:
        """[N, 3]: points that a view of the whole should hold; stray ones are left out."""
        if not isinstance(self.content, Model):
            return robust_points(self.content)
        centres = np.array([camera.centre for camera in self.content.cameras])
        points = [robust_points(self.content.points)] if len(self.content.points) else []
        return np.concatenate([centres, *points])


def load_thing(
    path: Path, name: str, warn: Warn = ignore, frame: Frame | None = None, as_in_scene: bool = True
) -> Thing:
    """A mesh, points, splats, or posed photos (a scene folder, COLMAP, transforms.json, ...).

    Splats that tell it lie as in their scene, unless they should keep the numbers of their file; frame: what the axes
    of others are turned to, None leaves them. ``warn`` is told what is left out. Raises InputError for what is missing,
    damaged or of another kind.
    """
    if holds_splats(path):
        splats = load_splats(path, warn, frame)
        splats = seen.in_scene(splats) if as_in_scene else splats
        return Thing(name, splats, seen.up_of(splats))
    if find_model(path) is not None:
        model = read_model(path, warn=warn)
        return Thing(name, model, level(cameras_up(model.cameras)))
    if path.is_dir():
        raise InputError(f"{path}: holds neither cameras nor splats", "name a file or a scene folder")
    shape = load_any(path, warn)
    if not len(shape.vertices if isinstance(shape, Mesh) else shape.points):
        raise InputError(f"{path}: is an empty shape", "name a file with faces or points")
    return Thing(name, shape, up_of(shape.metadata))

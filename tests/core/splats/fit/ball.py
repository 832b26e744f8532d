"""Photos of a painted ball of splats, from all around: what a fit should find again."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from PIL import Image

from mvgen.core.camera import Camera
from mvgen.core.geometry import PointCloud
from mvgen.core.render.orbit import orbit_cameras
from mvgen.core.render.splats import Painter
from mvgen.core.splats.coding import constant_from_colours
from mvgen.core.splats.fit.start import _facing
from mvgen.core.splats.fit.views import Photo
from mvgen.core.splats.harmonics import spread
from mvgen.core.splats.model import Splats


def ball(count: int = 600) -> Splats:
    """Of radius 1, +Y up, with stripes."""
    places = spread(count)
    colours = 0.5 + 0.4 * np.stack([np.sin(5 * places[:, 0]), np.cos(4 * places[:, 1]), np.sin(6 * places[:, 2])], 1)
    wide = np.sqrt(4 * np.pi / count) * 0.7
    return Splats(
        places.astype(np.float32),
        _facing(places).astype(np.float32),
        np.log(np.tile([wide, wide, 0.1 * wide], (count, 1))).astype(np.float32),
        np.full(count, 3.0, np.float32),
        constant_from_colours(colours.astype(np.float32))[:, None],
        "rub",
    )


def cameras(count: int = 8, size: tuple[int, int] = (64, 48)) -> list[Camera]:
    up = np.array([0.0, 1, 0])
    rings = [orbit_cameras(spread(100), count // 2, size, up, e, a) for e, a in ((15.0, 0.0), (-20.0, 45.0))]
    return [c for ring in rings for c in ring]


def photos(count: int = 8, masked: bool = False, size: tuple[int, int] = (64, 48)) -> list[Photo]:
    """On black; their depths are not told."""
    painter, out = Painter(ball()), []
    for camera in cameras(count, size):
        view = painter.render(camera)
        picture = np.rint(255 * view.color * view.alpha[..., None]).astype(np.uint8)
        out.append(Photo(camera, picture, (view.alpha > 0.5).astype(np.float32) if masked else None))
    return out


def points(count: int = 400) -> PointCloud:
    places = spread(count)
    return PointCloud(places, places.astype(np.float32), np.full((count, 3), 0.5, np.float32))


def scene(folder: Path, count: int = 8) -> Path:
    """images/ and cameras.json as `read_model` reads them, and points.ply."""
    from mvgen.core.io.meshes import save_points

    (folder / "images").mkdir(parents=True)
    views = []
    for i, photo in enumerate(photos(count)):
        name = f"{i:02d}.png"
        Image.fromarray(photo.picture).save(folder / "images" / name)
        lens, pose = photo.camera.intrinsics.tolist(), photo.camera.world_to_camera.tolist()
        views.append({"name": name, "width": 64, "height": 48, "intrinsics": lens, "world_to_camera": pose})
    (folder / "cameras.json").write_text(json.dumps({"views": views}))
    save_points(points(), folder / "points.ply")
    return folder

"""Cameras drawn as pyramids."""

import numpy as np
import trimesh

from mvgen.core.camera import Camera
from mvgen.core.io.pyramids import pyramid_width, pyramids
from tests import relief


def test_a_pyramid_stands_where_its_camera_looks():
    camera = relief.cameras(3)[1]
    mesh = pyramids([camera], 0.3)
    pixels, depth = camera.project(mesh.vertices)
    front = depth > 0.1
    assert depth.min() > -0.01 and front.sum() >= 24
    inside = (pixels[front] > [-0.1 * camera.width, -0.4 * camera.height]) & (
        pixels[front] < [1.1 * camera.width, 1.1 * camera.height]
    )
    assert inside.all()
    assert np.linalg.norm(mesh.vertices - camera.centre, axis=1).min() < 0.01


def test_bars_are_closed_and_face_outwards():
    mesh = pyramids(relief.cameras(2), 0.3)
    shape = trimesh.Trimesh(mesh.vertices, mesh.faces, process=False)
    parts = shape.split(only_watertight=True)
    assert len(parts) == 20 and all(part.volume > 0 for part in parts)
    assert len(np.unique(mesh.colours, axis=0)) == 2


def test_the_width_follows_the_room_between_the_cameras():
    cameras = relief.cameras(3)
    span = np.linalg.norm(np.ptp([c.centre for c in cameras], axis=0))
    assert np.isclose(pyramid_width(cameras), 0.05 * span)
    assert pyramid_width([Camera("a", 4, 4, np.eye(3), np.eye(4))]) == 0.05

"""The measures with which key spheres were published, for two meshes.

They are taken in the truth's normal frame: within a ball of radius 0.9, in the cube from -1 to 1.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mvgen.core.compress.prepare import openness, prepared
from mvgen.core.errors import CannotError
from mvgen.core.geometry import Mesh
from mvgen.core.keyspheres.samples import RADIUS, Distance, smallest_ball
from mvgen.core.nearest import sample_surface

NAMES = ("surface_error", "importance_error", "grid_error", "g_iou", "chamfer_squared")
_POINTS = 100_000
_CHAMFER_POINTS = 131_072
_SPREAD = 0.01
_GRID = 32


def keysphere_measures(result: Mesh, truth: Mesh, rng: np.random.Generator) -> dict[str, float]:
    """The measures of NAMES. f is the result's signed distance, g the truth's.

    surface_error: mean |f| at points of the true surface; importance_error: mean |f - g| at points nine of ten of
    which scatter by 0.01 around it; grid_error: the same on a grid of 32 nodes a side; g_iou: of the insides, at points
    of the cube; chamfer_squared: the sum of both mean squared distances from points of one surface to the nearest point
    of the other.

    Raises CannotError where one of the two has no inside.
    """
    centre, radius = smallest_ball(truth.vertices)
    shapes = []
    for name, mesh in (("result", result), ("ground truth", truth)):
        clean = prepared(mesh)
        opened = openness(clean)
        if not opened.has_inside:
            raise CannotError(f"the {name} has no inside ({opened.why})")
        shapes.append(Mesh((clean.vertices - centre) * (RADIUS / radius), clean.faces))
    found, expected = (Distance(shape) for shape in shapes)
    surface = sample_surface(shapes[1], _POINTS, rng)[0].points
    near = surface[: _POINTS * 9 // 10]
    around = np.concatenate([near + rng.normal(0, _SPREAD, near.shape), rng.uniform(-1, 1, (_POINTS - len(near), 3))])
    axis = np.linspace(-1, 1, _GRID)
    grid = np.stack(np.meshgrid(axis, axis, axis, indexing="ij"), axis=-1).reshape(-1, 3)
    cube = rng.uniform(-1, 1, (_POINTS, 3))
    a, b = found.winding(cube) > 0.5, expected.winding(cube) > 0.5
    clouds = [sample_surface(shape, _CHAMFER_POINTS, rng)[0].points for shape in shapes]
    values = (
        float(np.abs(found.unsigned(surface)).mean()),
        float(np.abs(found(around) - expected(around)).mean()),
        float(np.abs(found(grid) - expected(grid)).mean()),
        float((a & b).sum() / max((a | b).sum(), 1)),
        _squared(clouds[0], clouds[1]) + _squared(clouds[1], clouds[0]),
    )
    return dict(zip(NAMES, values))


def _squared(points: NDArray[np.float64], others: NDArray[np.float64]) -> float:
    from scipy.spatial import cKDTree

    return float((cKDTree(others).query(points)[0] ** 2).mean())

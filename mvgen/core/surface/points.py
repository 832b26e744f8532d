"""A surface through points of any kind: oriented or not, even or noisy, closed or open."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from mvgen.core.errors import CannotError
from mvgen.core.geometry import Mesh, PointCloud
from mvgen.core.progress import Progress
from mvgen.core.surface.denoise import PLACES, crowd, is_thin, settled, sharpened
from mvgen.core.surface.handles import Witnesses, close_handles
from mvgen.core.surface.normals import Roughness, estimate_normals, orient_normals, roughness
from mvgen.core.surface.poisson import FEWEST, SurfaceOptions, octree_depth, poisson_surface, spacing
from mvgen.core.surface.trim import trim

NOISY = 1.0  # noise in spacings from which on points are smoothed
BALL = 0.8  # radius of the first ball, in distances to the sixth neighbour
BALLS = (1.0, 2.0, 4.0)  # and of the following ones, in radii of the first
CELL = 1.0  # noise in half cells of the octree: finer cells would draw the noise
FINER = 0.35  # the same of points that have been brought back to the surface
FINEST = 0.25  # and of those that had normals of their own
AROUND = 32  # neighbours of these for one normal
LEVEL = 4.0  # scatters between two sides from which on these do not disturb each other
SIDE = 1.5  # scatters over which places on one side are evened out
BLIND = 3.0  # scatters across a handle or tunnel up to which points without normals do not tell it from noise
SEEING = 1.0  # and points that had normals of their own
SOME = 0.01  # share of points on thin parts from which on these are treated


@dataclass(frozen=True, eq=False)
class Prepared:
    """Points with unit normals; what was found of them; cell: scatters in half a cell of the
    octree, fewer where they have been brought back to the surface; blind: scatters across a handle or tunnel up to
    which it cannot be told from scatter."""

    cloud: PointCloud
    rough: Roughness
    noisy: bool
    cell: float = CELL
    blind: float = BLIND


def prepare_points(
    cloud: PointCloud, cameras: Sequence[NDArray[np.float64]], progress: Progress, clear: bool = False
) -> Prepared:
    """Points without doubles, with normals.

    Normals that are there are kept; others are estimated and turned to the nearest of the cameras' centres, or
    outwards. ``clear`` brings noisy points back to the surface where they are many enough to show it; without normals
    fewer stay. Raises CannotError for too few points.
    """
    cloud = _distinct(cloud)
    if len(cloud) < FEWEST:
        raise CannotError(f"{len(cloud)} different points are too few for a surface", f"give at least {FEWEST} points")
    rough = roughness(cloud.points)
    noisy = rough.noise > NOISY * rough.spacing
    normals = _sound_normals(cloud)
    cell, blind = (FINER, BLIND) if normals is None else (FINEST, SEEING)
    if normals is not None:
        oriented = replace(cloud, normals=normals.astype(np.float32))
    elif clear and noisy and crowd(cloud.points, rough.least) >= PLACES:
        places = sharpened(cloud.points, rough.least)
        progress.note(f"{len(cloud):,} scattered points are drawn together to {len(places):,}")
        return Prepared(settled(_oriented(places, AROUND, cameras, True), SIDE * rough.least, 2), rough, noisy, FINER)
    else:
        progress.note(f"normals from {rough.neighbours} neighbours of each point")
        oriented = replace(cloud, normals=_oriented(cloud.points, rough.neighbours, cameras).normals)
    if clear and noisy and is_thin(oriented, LEVEL * rough.least).mean() > SOME:
        return Prepared(settled(oriented, LEVEL / 2 * rough.least, 2), rough, noisy, cell, blind)
    return Prepared(oriented, rough, noisy, blind=blind)


def _oriented(
    points: NDArray[np.float64], neighbours: int, cameras: Sequence[NDArray[np.float64]], settle: bool = False
) -> PointCloud:
    normals = orient_normals(points, estimate_normals(points, neighbours), cameras, settle)
    return PointCloud(points, normals.astype(np.float32))


def points_surface(
    cloud: PointCloud, options: SurfaceOptions, cameras: Sequence[NDArray[np.float64]], progress: Progress
) -> Mesh:
    """Screened Poisson through the points, without what lies far from them. Raises CannotError."""
    ready = prepare_points(cloud, cameras, progress, clear=True)
    points = ready.cloud.points
    scatter = ready.cell * ready.rough.noise if ready.noisy else 0.0
    gap = max(spacing(points), scatter)
    if ready.noisy:
        progress.note(f"the points scatter by {ready.rough.noise / cloud.diagonal:.2%} of the diagonal")
    depth = options.depth or octree_depth(points, gap)
    mesh = poisson_surface(ready.cloud, replace(options, depth=depth))
    return trim(_without_false_handles(mesh, ready, progress), ready.cloud, [], options)


def _without_false_handles(mesh: Mesh, ready: Prepared, progress: Progress) -> Mesh:
    """As `close_handles` has it; says how many were closed."""
    scatter, gap = ready.rough.least, spacing(ready.cloud.points)
    mesh, closed = close_handles(mesh, Witnesses(ready.cloud, gap, scatter, max(ready.blind * scatter, gap)), progress)
    if closed:
        progress.say(f"closed {closed:,} handles or tunnels that the points speak against")
    return mesh


def _distinct(cloud: PointCloud) -> PointCloud:
    _, first = np.unique(cloud.points, axis=0, return_index=True)
    return cloud if len(first) == len(cloud) else cloud[np.sort(first)]


def _sound_normals(cloud: PointCloud) -> NDArray[np.float64] | None:
    """[N, 3] of length 1, or None where there are none or many are no directions."""
    if cloud.normals is None:
        return None
    normals = cloud.normals.astype(np.float64)
    length = np.linalg.norm(normals, axis=1)
    good = np.isfinite(length) & (length > 1e-6)
    if good.mean() < 0.99:
        return None
    normals[~good] = [0, 0, 1]
    return normals / np.where(good, length, 1)[:, None]


def ball_surface(cloud: PointCloud, cameras: Sequence[NDArray[np.float64]], progress: Progress) -> Mesh:
    """Triangles between the points, over which balls of growing size roll (ball pivoting, Bernardini et al. 1999).

    For even points without noise: they become the vertices, and gaps stay open. Raises CannotError.
    """
    import pymeshlab

    ready = prepare_points(cloud, cameras, progress)
    if ready.noisy:
        progress.warn(
            "the points scatter about the surface, which ball pivoting follows; --method poisson smooths them"
        )
    points, normals = ready.cloud.points, ready.cloud.normals
    assert normals is not None
    centre, scale = points.mean(0), max(cloud.diagonal, 1e-300)
    radius = BALL * _evenness(points) / scale
    meshes = pymeshlab.MeshSet()
    meshes.add_mesh(
        pymeshlab.Mesh(vertex_matrix=(points - centre) / scale, v_normals_matrix=normals.astype(np.float64))
    )
    for factor in BALLS:
        meshes.generate_surface_reconstruction_ball_pivoting(ballradius=pymeshlab.PureValue(factor * radius))
    meshes.meshing_remove_unreferenced_vertices()
    found = meshes.current_mesh()
    if not found.face_number():
        raise CannotError("no ball rests on three of the points", "use --method poisson")
    return Mesh(found.vertex_matrix() * scale + centre, found.face_matrix().astype(np.int32))


def _evenness(points: NDArray[np.float64]) -> float:
    """Median distance to the sixth neighbour, about the width of a ring of triangles around a point."""
    step = max(1, len(points) // 20_000)
    return float(np.median(cKDTree(points).query(points[::step], k=min(7, len(points)))[0][:, -1]))


def colours_of_points(mesh: Mesh, cloud: PointCloud) -> Mesh:
    """The mesh with the mean colour of the nearest points, closer ones counting more."""
    if cloud.colours is None:
        return mesh
    count = min(8, len(cloud))
    distance, index = cKDTree(cloud.points).query(mesh.vertices, count, workers=-1)
    distance, index = distance.reshape(-1, count), index.reshape(-1, count)
    weight = 1 / (distance + 0.1 * distance.mean(1, keepdims=True) + 1e-300)
    colours = (cloud.colours[index] * weight[..., None]).sum(1) / weight.sum(1, keepdims=True)
    return replace(mesh, colours=np.clip(colours, 0, 1).astype(np.float32))

"""The rasteriser against its plain reference, ray casting and measured areas."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import torch
import trimesh

from mvgen.core.geometry import Mesh
from mvgen.core.io.meshes import load_mesh
from mvgen.core.render.raycast import Caster
from mvgen.kernels import jit, raster, raster_reference

DATA = Path(os.environ.get("MVGEN_DATA", "/nonexistent"))


def soup(seed: int, dtype: torch.dtype = torch.float32, faces: int = 24) -> tuple[torch.Tensor, torch.Tensor]:
    """Random triangles that share vertices, over a picture of 20 x 24 pixels."""
    rng = np.random.default_rng(seed)
    screen = rng.uniform([-4, -4, 1], [28, 24, 3], (20, 3))
    return torch.tensor(screen, dtype=dtype), torch.tensor(rng.integers(0, 20, (faces, 3)), dtype=torch.int32)


def ball(detail: int = 2, size: float = 7.3) -> tuple[torch.Tensor, torch.Tensor]:
    """Two balls, one before the other, over a picture of 24 x 24 pixels: (screen [V, 3] float64, faces)."""
    one = trimesh.creation.icosphere(detail)
    vertices = np.concatenate([one.vertices * size + [10.3, 11.2, 30], one.vertices * 4.2 + [17.4, 13.1, 18]])
    return torch.tensor(vertices), torch.tensor(np.concatenate([one.faces, one.faces + len(one.vertices)])).int()


@pytest.mark.parametrize("perspective", [True, False])
@pytest.mark.parametrize("seed", range(4))
def test_rasterize_agrees_with_the_reference(seed: int, perspective: bool) -> None:
    results = []
    for module in (raster, raster_reference):
        screen, faces = soup(seed)
        screen.requires_grad_(True)
        seen = module.rasterize(screen, faces, 20, 24, perspective)
        pull = torch.randn(20, 24, 4, generator=torch.Generator().manual_seed(seed))
        ((seen.barycentrics * pull[..., :3]).sum() + (seen.depth * pull[..., 3]).sum()).backward()
        results.append((seen, screen.grad))
    (fast, fast_gradient), (slow, slow_gradient) = results
    assert torch.equal(fast.face, slow.face) and (fast.face >= 0).sum() > 100
    torch.testing.assert_close(fast.barycentrics, slow.barycentrics, atol=1e-6, rtol=1e-5)
    torch.testing.assert_close(fast.depth, slow.depth, atol=1e-6, rtol=1e-5)
    torch.testing.assert_close(fast_gradient, slow_gradient, atol=1e-3, rtol=1e-4)


@pytest.mark.parametrize("per_corner", [True, False])
def test_interpolate_agrees_with_the_reference(per_corner: bool) -> None:
    results = []
    for module in (raster, raster_reference):
        screen, faces = soup(1)
        screen.requires_grad_(True)
        generator = torch.Generator().manual_seed(0)
        values = torch.randn((len(faces), 3, 5) if per_corner else (20, 5), generator=generator).requires_grad_(True)
        out = module.interpolate(values, faces, module.rasterize(screen, faces, 20, 24))
        (out * torch.randn(out.shape, generator=generator)).sum().backward()
        results.append((out, values.grad, screen.grad))
    for fast, slow in zip(*results):
        torch.testing.assert_close(fast, slow, atol=1e-3, rtol=1e-4)


def test_antialias_agrees_with_the_reference() -> None:
    results = []
    for module in (raster, raster_reference):
        screen, faces = ball()
        screen, twins = screen.float().requires_grad_(True), raster.edge_twins(faces)
        seen = module.rasterize(screen, faces, 24, 24, False)
        image = torch.randn(24, 24, 2, generator=torch.Generator().manual_seed(3)).requires_grad_(True)
        out = module.antialias(image, seen, screen, faces, twins)
        (out * torch.randn(24, 24, 2, generator=torch.Generator().manual_seed(4))).sum().backward()
        results.append((out, image.grad, screen.grad))
    assert (results[0][2] != 0).any(1).sum() > 30
    for fast, slow in zip(*results):
        torch.testing.assert_close(fast, slow, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("module", [raster, raster_reference])
@pytest.mark.parametrize("perspective", [True, False])
def test_gradients_of_interpolation(module, perspective: bool) -> None:
    screen, faces = soup(0, torch.float64, 3)
    screen[faces.long().unique()] += 0.013  # no centre lies on an edge
    values = torch.randn(20, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0))

    def drawn(screen: torch.Tensor, values: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        seen = module.rasterize(screen, faces, 7, 8, perspective)
        return module.interpolate(values, faces, seen), seen.depth

    assert torch.autograd.gradcheck(drawn, (screen.requires_grad_(True), values.requires_grad_(True)), eps=1e-7)


@pytest.mark.parametrize("module", [raster, raster_reference])
def test_gradients_of_outlines(module) -> None:
    """Of a square whose edges are level and upright, as the weights of slanted ones count as constants."""
    screen = torch.tensor([[1.3, 1.2, 1], [4.8, 1.2, 1], [4.8, 3.9, 1], [1.3, 3.9, 1]], dtype=torch.float64)
    faces = torch.tensor([[0, 1, 2], [0, 2, 3]], dtype=torch.int32)
    image = torch.randn(6, 6, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0))

    def drawn(screen: torch.Tensor, image: torch.Tensor) -> torch.Tensor:
        seen = module.rasterize(screen, faces, 6, 6, False)
        return module.antialias(image, seen, screen, faces, raster.edge_twins(faces))

    assert torch.autograd.gradcheck(drawn, (screen.requires_grad_(True), image.requires_grad_(True)))


def test_shared_edges_belong_to_one_face() -> None:
    """Corners on pixel centres and edges through them; every centre inside is covered exactly once."""
    at = torch.tensor([0.5, 3.5, 5.25, 9.5, 15.5])
    x, y = torch.meshgrid(at, at, indexing="xy")
    screen = torch.stack([x, y, torch.ones(5, 5)], dim=-1).reshape(-1, 3)
    index = torch.arange(25).reshape(5, 5)
    a, b, c, d = index[:-1, :-1], index[:-1, 1:], index[1:, 1:], index[1:, :-1]
    faces = torch.cat([torch.stack(t, -1).reshape(-1, 3) for t in ((a, b, c), (a, d, c))])  # turning both ways
    count = torch.zeros(16, 16)
    for f in faces:
        count += raster.rasterize(screen, f[None], 16, 16).face >= 0
    assert count.max() == 1 and (count[1:15, 1:15] == 1).all() and count.sum() == 15 * 15
    whole = raster.rasterize(screen, faces, 16, 16)
    assert (whole.face >= 0).sum() == 15 * 15


def test_equally_near_faces() -> None:
    screen, faces = soup(2)
    once = raster.rasterize(screen, faces, 20, 24)
    twice = raster.rasterize(screen, torch.cat([faces, faces]), 20, 24)
    assert torch.equal(once.face, twice.face)


BROKEN = [float("nan"), float("inf"), -float("inf"), 1e30, -1e30]


@pytest.mark.parametrize("value", BROKEN)
@pytest.mark.parametrize("axis", [0, 1, 2])
def test_broken_vertices_hide_their_faces_alone(value: float, axis: int) -> None:
    screen, faces = soup(3)
    screen[4, axis] = value
    screen[5, 2] = -1
    faces[7] = 6  # no area
    good = ~((faces == 5) | ((faces == 4) & (axis < 2 or not 0 < value < 1e31))).any(1)
    kept = good.nonzero()[:, 0].int()
    seen = raster.rasterize(screen, faces, 20, 24, False)
    rest = raster.rasterize(screen, faces[good], 20, 24, False)
    assert torch.equal(seen.face, torch.where(rest.face >= 0, kept[rest.face.long()], -1))
    twins = raster.edge_twins(faces)
    picture = raster.antialias(torch.ones(20, 24, 1), seen, screen, faces, twins)
    assert picture.isfinite().all()


def test_nothing_to_draw() -> None:
    empty = torch.zeros((0, 3), dtype=torch.int32)
    screen = torch.zeros((0, 3), requires_grad=True)
    seen = raster.rasterize(screen, empty, 5, 6)
    assert (seen.face == -1).all() and (seen.barycentrics == 0).all() and (seen.depth == 0).all()
    colours = raster.interpolate(torch.zeros((0, 3), requires_grad=True), empty, seen)
    picture = raster.antialias(colours, seen, screen, empty, raster.edge_twins(empty))
    picture.sum().backward()
    assert (picture == 0).all() and picture.shape == (5, 6, 3)


@pytest.mark.parametrize(
    ("screen", "faces"), [((4, 2), [[0, 1, 2]]), ((4, 3), [[0, 1, 4]]), ((4, 3), [[0, 1, -1]]), ((4, 3), [[0, 1]])]
)
def test_what_does_not_fit_is_refused(screen: tuple[int, int], faces: list[list[int]]) -> None:
    with pytest.raises(ValueError):
        raster.rasterize(torch.ones(screen), torch.tensor(faces), 8, 8)


def test_a_face_far_larger_than_the_picture() -> None:
    screen = torch.tensor([[-1e6, -1e6, 1], [1e7, -1e6, 1], [-1e6, 1e7, 2]])
    seen = raster.rasterize(screen, torch.tensor([[0, 1, 2]]), 40, 50)
    assert (seen.face == 0).all() and torch.allclose(seen.barycentrics.sum(-1), torch.ones(40, 50))


def test_any_number_of_threads_gives_the_same() -> None:
    most, results = raster_threads(), []
    try:
        for threads in (1, most):
            jit.set_num_threads(threads)
            screen, faces = ball(3)
            screen = screen.float().requires_grad_(True)
            seen = raster.rasterize(screen, faces, 64, 64)
            raster.antialias(
                raster.interpolate(screen, faces, seen), seen, screen, faces, raster.edge_twins(faces)
            ).sum().backward()
            results.append((seen.face, screen.grad))
    finally:
        jit.set_num_threads(most)
    assert all(torch.equal(a, b) for a, b in zip(*results))


def raster_threads() -> int:
    import numba

    return int(numba.get_num_threads())


def test_twins() -> None:
    _, faces = ball(1)
    twins = raster.edge_twins(faces).long()
    assert (twins >= 0).all() and torch.equal(twins.reshape(-1)[twins.reshape(-1)], torch.arange(twins.numel()))
    fan = torch.tensor([[0, 1, 2], [1, 0, 3], [0, 1, 4]])  # three faces at an edge have no twins there
    assert (raster.edge_twins(fan) == -1).all()
    assert raster.edge_twins(fan[:2]).tolist() == [[3, -1, -1], [0, -1, -1]]


def camera(perspective: bool, pixels: float) -> tuple[torch.Tensor, torch.Tensor]:
    """Looking along +z at the origin from three units away, which fills most of a picture of that many pixels."""
    pose = torch.eye(4)
    pose[2, 3] = 3
    focal = pixels * (1.3 if perspective else 0.47)
    return pose, torch.tensor([[focal, 0, pixels / 2 + 0.17], [0, focal, pixels / 2 - 0.23], [0, 0, 1]])


def unit(mesh: Mesh) -> Mesh:
    """Turned a little, and within the unit ball."""
    vertices = mesh.vertices - mesh.bounds.mean(0)
    turn = trimesh.transformations.euler_matrix(0.3, 0.5, 0.2)[:3, :3]
    return Mesh(vertices @ turn / np.linalg.norm(vertices, axis=1).max(), mesh.faces)


SHAPES = {
    "box": lambda: trimesh.creation.box((1.0, 1.3, 0.7)),
    "ball": lambda: trimesh.creation.icosphere(4),
    "torus": lambda: trimesh.creation.torus(1.0, 0.35),
}


def made(name: str) -> Mesh:
    if name in SHAPES:
        shape = SHAPES[name]()
        return unit(Mesh(np.asarray(shape.vertices), np.asarray(shape.faces, np.int32)))
    if not (DATA / name).exists():
        pytest.skip("needs MVGEN_DATA")
    mesh = load_mesh(DATA / name)
    _, first, welded = np.unique(mesh.vertices, axis=0, return_index=True, return_inverse=True)
    return unit(Mesh(mesh.vertices[first], welded.reshape(-1)[mesh.faces].astype(np.int32)))


REAL = (
    "meshes/oded_spot/spot_low_resolution.obj",
    "meshes/oded_boat/boat.obj",
    "meshes/trimesh_cad/fandisk.obj",
    "textured_meshes/cannon/cannon.glb",
    "textured_meshes/duck/Duck.glb",
)


@pytest.mark.parametrize("perspective", [True, False])
@pytest.mark.parametrize("name", ["box", "torus", *REAL])
def test_the_same_is_seen_as_by_rays(name: str, perspective: bool) -> None:
    mesh = made(name)
    size = 256
    pose, intrinsics = camera(perspective, size)
    screen = raster.project(torch.tensor(mesh.vertices, dtype=torch.float32), pose, intrinsics, perspective)
    seen = raster.rasterize(screen, torch.tensor(mesh.faces), size, size, perspective)
    caster = Caster(mesh)
    y, x = np.mgrid[:size, :size] + 0.5
    k = intrinsics.double().numpy()
    across = np.stack([(x - k[0, 2]) / k[0, 0], (y - k[1, 2]) / k[1, 1]], -1).reshape(-1, 2)
    if perspective:
        found = caster.hits(np.array([0.0, 0, -3]), np.c_[across, np.ones(len(across))])
    else:
        start = (np.c_[across, np.full(len(across), -3)] - caster.offset) / caster.unit
        rays = np.tile(np.array([0, 0, 1], np.float32), (len(across), 1))
        run = caster.scene.run(np.ascontiguousarray(start, np.float32), rays, output=1)
        found = type("Hits", (), {"face": run["primID"], "distance": run["tfar"] * caster.unit})
    face = seen.face.numpy().reshape(-1)
    both = (face >= 0) & (found.face >= 0)
    assert ((face >= 0) == (found.face >= 0)).mean() >= 0.999 and both.sum() > 2000
    normals = (caster.face_normals[face] * caster.face_normals[found.face]).sum(1)
    depth = np.abs(seen.depth.numpy().reshape(-1) - found.distance)
    assert (normals[both] > 0.999).mean() >= 0.999
    assert (depth[both] < 1e-4).mean() >= 0.999


def coverage(vertices, faces, perspective: bool, size: int, times: int = 1) -> torch.Tensor:
    """[size, size]: the share of each pixel that the mesh covers, antialiased, or of times x times samples."""
    pose, intrinsics = camera(perspective, size)
    screen = raster.project(vertices, pose, intrinsics, perspective)
    if times > 1:
        many = raster.rasterize(
            screen * torch.tensor([times, times, 1]), faces, times * size, times * size, perspective
        )
        return (many.face >= 0).float().reshape(size, times, size, times).mean((1, 3))
    seen = raster.rasterize(screen, faces, size, size, perspective)
    covered = (seen.face >= 0).float()[..., None]
    return raster.antialias(covered, seen, screen, faces, raster.edge_twins(faces))[..., 0]


def posed(vertices: torch.Tensor, motion: torch.Tensor) -> torch.Tensor:
    """Moved by (x, y), grown by a share, and turned in the picture and about the upright axis."""
    angles, still = motion[3:], torch.zeros(())
    (c, d), (s, t) = torch.cos(angles), torch.sin(angles)
    flat = torch.stack([c, -s, still, s, c, still, still, still, still + 1]).reshape(3, 3)
    upright = torch.stack([d, still, t, still, still + 1, still, -t, still, d]).reshape(3, 3)
    return (1 + motion[2]) * vertices @ (flat @ upright).T + torch.cat([motion[:2], still[None]])


@pytest.mark.parametrize("perspective", [True, False])
@pytest.mark.parametrize(
    ("name", "size"),
    [
        *((name, 256) for name in ("box", "ball", "torus", REAL[0], REAL[1])),
        *(pytest.param(name, 512, marks=pytest.mark.slow) for name in REAL),
    ],
)
def test_outlines_move_with_the_mesh(name: str, size: int, perspective: bool) -> None:
    """The gradient of a weighted sum of the coverage, beside differences of a coverage of 64 samples per pixel."""
    mesh = made(name)
    vertices, faces = torch.tensor(mesh.vertices, dtype=torch.float32), torch.tensor(mesh.faces)
    y, x = torch.meshgrid(*[torch.arange(size) / size] * 2, indexing="ij")
    weight = 1 + 2 * x + y + torch.sin(9 * x) * torch.cos(7 * y)
    start = torch.tensor([0.01, -0.02, -0.1, 0.1, 0.2])
    motion = start.clone().requires_grad_(True)
    (weight * coverage(posed(vertices, motion), faces, perspective, size)).sum().backward()
    steps = torch.eye(5) * 0.004
    measured = torch.stack([
        ((weight * coverage(posed(vertices, start + s), faces, perspective, size, 8)).sum()
        - (weight * coverage(posed(vertices, start - s), faces, perspective, size, 8)).sum()) / 0.008
        for s in steps
    ])  # fmt: skip
    assert (motion.grad - measured).norm() <= 0.02 * measured.norm(), (motion.grad, measured)

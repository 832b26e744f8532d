"""FlexiCubes against recorded surfaces, and what must hold of any surface."""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial import cKDTree

from mvgen.core.io.grids import Grid, grid_surface
from mvgen.core.surface.flexicubes import extract, grid, sign_changes, surface_cubes

GOLDEN = dict(np.load(Path(__file__).parent / "golden" / "flexicubes.npz"))


def turned(faces):
    """Faces as a multiset, each from its smallest index on."""
    first = np.argmin(faces, 1)
    rows = np.stack([faces[np.arange(len(faces)), (first + k) % 3] for k in range(3)], 1)
    return Counter(map(tuple, rows.tolist()))


def normalised(scale):
    weights = torch.from_numpy(GOLDEN["r8_weights"].astype(np.float32))
    gamma = torch.sigmoid(weights[:, 20]) * scale + (1 - scale) / 2
    return torch.tanh(weights[:, :12]) * scale + 1, torch.tanh(weights[:, 12:20]) * scale + 1, gamma


def recorded(shape, run):
    vertices, cubes = (torch.from_numpy(GOLDEN[f"r8_grid_{name}"]) for name in ("vertices", "cubes"))
    distance = torch.from_numpy(GOLDEN[f"r8_{shape}_sdf"])
    if run == "plain":
        return extract(vertices, cubes.long(), distance)
    offset = torch.from_numpy(GOLDEN["r8_offset"].astype(np.float32))
    return extract(vertices + offset, cubes.long(), distance, *normalised({"w050": 0.5, "w099": 0.99}[run]))


RUNS = [(shape, run) for shape in ("sphere", "torus", "boxes") for run in ("plain", "w050", "w099")]


@pytest.mark.parametrize(("shape", "run"), [*RUNS, ("random", "plain")])
def test_recorded_surfaces(shape, run):
    found = recorded(shape, run)
    vertices, faces, deviation = (GOLDEN[f"r8_{shape}_{run}_{name}"] for name in ("vertices", "faces", "L_dev"))
    distance, name = cKDTree(vertices).query(found.vertices.numpy())
    assert len(found.vertices) == len(vertices) and distance.max() < 1e-5
    assert len(set(name)) == len(name)
    np.testing.assert_allclose(np.sort(found.deviation.numpy()), np.sort(deviation), atol=1e-5)
    assert turned(name[found.faces.numpy()]) == turned(faces)


def shape_of(name, points):
    x, y, z = points.T
    if name == "sphere":
        return points.norm(dim=1) - 0.7
    if name == "torus":
        return torch.hypot(torch.hypot(x, y) - 0.55, z) - 0.22
    boxes = [(points - torch.tensor([c, 0.03, 0.05])).abs().max(1).values - 0.3 for c in (-0.45, 0.47)]
    return torch.minimum(*boxes)


def edge_counts(faces):
    return Counter(map(tuple, np.asarray(faces)[:, [[0, 1], [1, 2], [2, 0]]].reshape(-1, 2).tolist()))


def is_closed(faces):
    """Every directed edge once, and once the other way."""
    edges = edge_counts(faces)
    return all(n == 1 and edges.get((b, a)) == 1 for (a, b), n in edges.items())


def euler(faces):
    faces = np.asarray(faces)
    return len(np.unique(faces)) - len(edge_counts(faces)) // 2 + len(faces)


def volume(vertices, faces):
    corner = np.asarray(vertices, np.float64)[np.asarray(faces)]
    return float(np.einsum("ij,ij->", corner[:, 0], np.cross(corner[:, 1], corner[:, 2])) / 6)


@pytest.mark.parametrize("centred", [False, True])
@pytest.mark.parametrize(("name", "number", "solid"), [("sphere", 2, 1.437), ("torus", 0, 0.525), ("boxes", 4, 0.432)])
def test_closed_with_the_right_euler_number(name, number, solid, centred):
    vertices, cubes = grid(40)
    found = extract(vertices, cubes, shape_of(name, vertices), centred=centred)
    assert is_closed(found.faces) and euler(found.faces) == number
    assert volume(found.vertices, found.faces) == pytest.approx(solid, rel=0.06)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(2, 6))
def test_any_signs_give_a_closed_manifold(seed, resolution):
    """No edge has more than two faces, whatever the topology; where nothing leaves the grid there is no border."""
    vertices, cubes = grid(resolution)
    values = torch.from_numpy(np.random.default_rng(seed).standard_normal(len(vertices)))
    values[vertices.abs().max(1).values > 0.999] = 1.0
    faces = extract(vertices.double(), cubes, values).faces
    assert not len(faces) or is_closed(faces)


def test_any_order_of_cubes_gives_the_same_surface():
    vertices, cubes = grid(6)
    values = torch.from_numpy(np.random.default_rng(4).standard_normal(len(vertices)))
    one = extract(vertices.double(), cubes, values)
    other = extract(
        vertices.double(), cubes[torch.randperm(len(cubes), generator=torch.Generator().manual_seed(1))], values
    )
    assert volume(one.vertices, one.faces) == pytest.approx(volume(other.vertices, other.faces), rel=1e-9)
    assert len(one.faces) == len(other.faces)


def test_gradients_reach_everything():
    torch.manual_seed(0)
    vertices, cubes = grid(2)
    distance = (vertices.norm(dim=1) - 0.8).double()
    inputs = [
        (vertices.double() + 0.02 * torch.randn(len(vertices), 3)).requires_grad_(),
        distance.clone().requires_grad_(),
        (1 + 0.3 * torch.rand(len(cubes), 12, dtype=torch.float64)).requires_grad_(),
        (1 + 0.3 * torch.rand(len(cubes), 8, dtype=torch.float64)).requires_grad_(),
        (1 + 0.3 * torch.rand(len(cubes), dtype=torch.float64)).requires_grad_(),
    ]

    def outputs(places, values, beta, alpha, gamma):
        found = extract(places, cubes, values, beta, alpha, gamma, centred=True)
        return found.vertices, found.deviation

    assert torch.autograd.gradcheck(outputs, inputs, atol=1e-5)


def test_fitting_a_sphere_with_wrong_signs_heals():
    """The regulariser of signs removes a speck that nothing supervises."""
    vertices, cubes = grid(8)
    distance = (vertices.norm(dim=1) - 0.6).clone()
    distance[0 * 81 + 4 * 9 + 4] = -0.05
    assert float(sign_changes(cubes, distance)) > float(sign_changes(cubes, vertices.norm(dim=1) - 0.6))
    values = distance.clone().requires_grad_()
    for _ in range(60):
        (gradient,) = torch.autograd.grad(sign_changes(cubes, values), values)
        values = (values - 2.0 * gradient).detach().requires_grad_()
    assert float(values[4 * 9 + 4].detach()) > 0


def test_nothing_inside_gives_nothing():
    vertices, cubes = grid(3)
    found = extract(vertices, cubes, torch.ones(len(vertices)))
    assert found.vertices.shape == (0, 3) and found.faces.shape == (0, 3)
    assert len(surface_cubes(cubes, torch.ones(len(vertices)))) == 0


def test_a_distance_of_zero_makes_no_nan():
    vertices, cubes = grid(4)
    distance = (vertices * vertices).sum(1) - 0.25  # 0 at several corners
    assert (distance == 0).any()
    found = extract(vertices, cubes, distance)
    assert torch.isfinite(found.vertices).all() and is_closed(found.faces)


@pytest.mark.parametrize("kind", ["sdf", "occupancy"])
def test_a_grid_file(kind):
    axis = np.linspace(-1, 1, 24)
    values = np.linalg.norm(np.stack(np.meshgrid(axis, axis, axis, indexing="ij"), -1), axis=-1) - 0.8
    if kind == "occupancy":
        values = (values < 0).astype(np.float32)
    mesh = grid_surface(
        Grid(values, np.full(3, -1.0), np.full(3, 2 / 23), kind, 0.0 if kind == "sdf" else 0.5), "flexicubes"
    )
    assert is_closed(mesh.faces) and euler(mesh.faces) == 2
    assert volume(mesh.vertices, mesh.faces) == pytest.approx(4 / 3 * np.pi * 0.512, rel=0.05)


def test_unknown_values_leave_a_hole():
    axis = np.linspace(-1, 1, 12)
    values = np.linalg.norm(np.stack(np.meshgrid(axis, axis, axis, indexing="ij"), -1), axis=-1) - 0.7
    values[0:3] = np.nan
    mesh = grid_surface(Grid(values, np.zeros(3), np.ones(3), "sdf", 0.0), "flexicubes")
    assert len(mesh.faces) and not is_closed(mesh.faces) and np.isfinite(mesh.vertices).all()

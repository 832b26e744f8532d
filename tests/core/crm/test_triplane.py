"""From pictures to a triplane and to a mesh, against recorded numbers and geometry."""

import numpy as np
import pytest
import torch
from scipy.spatial import cKDTree

from mvgen.core.crm.config import TriplaneConfig, config_from
from mvgen.core.crm.pipeline import colours_at, triplane_to_mesh
from mvgen.core.crm.sampler import FRAMES, camera_vectors, plain_alphas
from mvgen.core.crm.shapes import head_shapes, plane_shape
from mvgen.core.crm.triplane import (
    TIMESTEP,
    Triplane,
    assemble,
    extract_mesh,
    grid_field,
    input_noise,
    noisy,
    perceptron,
    plane_features,
    point_colours,
    point_features,
    surface_weights,
    triplane_features,
    triplane_network,
)
from mvgen.core.errors import CannotError
from mvgen.core.surface.flexicubes import grid
from tests.core.crm.tiny import close, filled, golden, triplane_shapes


@pytest.fixture(scope="module")
def decoders():
    data = golden("decoders")
    config = TriplaneConfig(grid=8)
    return Triplane(config, torch.from_numpy(data["triplane"]), filled(head_shapes(config), int(data["seed"]))), data


def views_of(strip):
    """The six views in their order, of pictures side by side in the order of frames."""
    side = strip.shape[0]
    pictures = strip.reshape(side, 6, side, 3).transpose(1, 0, 2, 3)
    return pictures[[FRAMES.index(view) for view in range(6)]]


def test_the_network_is_the_recorded_one():
    data = golden("triplane_unet")
    sizes = {"widths": [32, 64, 64, 96, 96, 128, 128], "features": 8, "learned": 4}
    config, seed = config_from({"picture": 64, "triplane": sizes}), int(data["seed"])
    maps = assemble(views_of(data["rgb_strip"]), views_of(data["ccm_strip"]))
    assert (maps == data["triplane_clean_u8"][0]).all()
    alpha = plain_alphas()[TIMESTEP]
    assert list(data["timestep"]) == [TIMESTEP]
    assert alpha**0.5 == pytest.approx(float(data["sqrt_alpha_bar_t"]), rel=1e-4)
    assert (1 - alpha) ** 0.5 == pytest.approx(float(data["sqrt_one_minus_alpha_bar_t"]), rel=1e-4)
    mixed = noisy(torch.from_numpy(maps)[None] / 255, torch.from_numpy(data["noise"]).float())
    assert close([mixed.mean(), mixed.std()], data["noisy_stats"]) < 1e-4
    shapes = {f"unet.{name}": shape for name, shape in triplane_shapes(config).items()}
    weights = {name.removeprefix("unet."): tensor for name, tensor in filled(shapes, seed).items()}
    network, seen = triplane_network(weights, config), {}
    for name, part in (("time_emb", network.time_embedding), ("mid", network.mid_block)):
        part.register_forward_hook(lambda _, __, out, name=name: seen.setdefault(name, out))
    plane = filled({"learned_plane": plane_shape(config)}, seed)["learned_plane"]
    with torch.inference_mode():
        assert close(triplane_features(network, plane, mixed), data["features"]) < 1e-4
    for name, out in seen.items():
        assert close(out, data[name]) < 1e-4


def test_heads_are_the_recorded_ones(decoders):
    triplane, data = decoders
    points = torch.from_numpy(data["points"][0])
    planes = plane_features(triplane, points[data["point_index_of_plane_features"]])
    for found, name in zip(planes, ("xy", "yz", "zx")):
        assert close(found[None], data[f"feature_{name}"]) < 1e-4
    assert close(planes.sum(0)[None], data["feature_sum"]) < 1e-4
    features = point_features(triplane, points)
    assert close(perceptron(triplane.heads, "sdfMlp", features)[None], data["sdf_and_deform_raw"]) < 1e-4
    assert close(perceptron(triplane.heads, "rgbMlp", features)[None], data["rgb_raw"]) < 1e-4
    assert close(point_colours(triplane, points)[None], np.clip(0.5 * data["rgb_raw"] + 0.5, 0, 1)) < 1e-4


def test_the_grid_is_the_recorded_one(decoders):
    triplane, data = decoders
    vertices, cubes = grid(8)
    assert close(vertices, data["grid_vertices"]) < 1e-6 and (cubes.numpy() == data["grid_cubes"]).all()
    field, moved = grid_field(triplane, vertices)
    assert close(field, data["grid_sdf"]) < 1e-4 and close(moved, data["grid_vertices_deformed"]) < 1e-4
    raw = perceptron(triplane.heads, "sdfMlp", point_features(triplane, vertices))
    assert close(raw[:, 0], data["grid_sdf_raw"]) < 1e-4 and close(raw[:, 1:], data["grid_deform_raw"]) < 1e-4
    assert close(surface_weights(triplane, vertices, cubes), data["grid_weights"]) < 1e-4


def test_the_mesh_is_the_recorded_one_but_for_its_sides(decoders):
    triplane, data = decoders
    vertices, faces = extract_mesh(triplane)
    distance, match = cKDTree(data["mesh_vertices"]).query(vertices.numpy())
    assert distance.max() < 1e-5 and sorted(match) == list(range(len(data["mesh_vertices"])))
    assert rolled(match[faces.flip(1).numpy()]) == rolled(data["mesh_faces"])


def rolled(faces):
    return {tuple(np.roll(face, -int(np.argmin(face)))) for face in faces}


def test_batches_say_the_same_as_all_at_once(decoders, monkeypatch):
    triplane, _ = decoders
    whole = extract_mesh(triplane)[0]
    monkeypatch.setattr("mvgen.core.crm.triplane.BATCH", 64)
    assert torch.allclose(extract_mesh(triplane)[0], whole, atol=1e-6)


# ---------------------------------------------------------------- geometry


def test_a_point_is_in_all_planes_where_its_views_show_it():
    """Ties cameras, the assembly of pictures, the reading of planes and the mesh's frame to one another."""
    side, point = 64, np.array([0.3, 0.55, -0.4])  # in the mesh's frame: right, above and behind
    in_cameras = np.array([point[0], -point[2], point[1]])
    cameras = camera_vectors(False).reshape(6, 4, 4)[[FRAMES.index(v) for v in range(6)]]
    y, x = (np.mgrid[:side, :side] + 0.5) * 2 / side - 1
    views = np.zeros((6, side, side, 3), np.uint8)
    for view, camera in enumerate(cameras):
        right, up = camera[:3, 0] @ in_cameras, camera[:3, 1] @ in_cameras
        views[view] = (255 * np.exp(-((x - right) ** 2 + (y + up) ** 2) / 0.01))[..., None]
    planes = torch.from_numpy(assemble(views, views)[:6]).float().unflatten(0, (2, 3))[:, :1] / 255
    for maps in planes:  # of either side
        triplane = Triplane(TriplaneConfig(features=1), maps[None].reshape(1, 1, side, 3 * side), {})
        place = torch.tensor([[-point[0], point[2], point[1]]], dtype=torch.float32)
        assert (plane_features(triplane, place) > 0.95).all()
        turned = plane_features(triplane, torch.cat([-place, place.flip(1), place * torch.tensor([-1, -1, 1])]))
        assert (turned[:, 2] < 0.5).all(dim=0).all() and turned.mean() < 0.2


def sphere(height=0.0):
    """A triplane whose heads say nothing, so that the sphere is left, with colours that are coordinates."""
    config = TriplaneConfig(features=3, hidden=6, grid=24)
    heads = {name: torch.zeros(shape) for name, shape in head_shapes(config).items()}
    heads["rgbMlp.fc1.weight"] = torch.cat([torch.eye(3), -torch.eye(3)])
    heads["rgbMlp.fc2.weight"] = torch.eye(6)
    heads["rgbMlp.fc3.weight"] = torch.cat([torch.eye(3), -torch.eye(3)], dim=1)
    heads["sdfMlp.fc3.bias"] = torch.tensor([height, 0, 0, 0])
    features = torch.zeros(1, 3, 33, 99)
    ramp = torch.linspace(-1, 1, 33)
    features[0, 0, :, :33] = ramp  # x along the columns of xy
    features[0, 1, :, :33] = ramp[:, None]  # y along its rows
    features[0, 2, :, 33:66] = ramp[:, None]  # z along the rows of yz
    return Triplane(config, features, heads)


def test_a_sphere_is_closed_and_seen_from_outside():
    vertices, faces = triplane_to_mesh(sphere())
    assert np.abs(np.linalg.norm(vertices, axis=1) - 0.5).max() < 0.01
    a, b, c = vertices[faces].transpose(1, 0, 2)
    assert (a * np.cross(b, c)).sum() / 6 == pytest.approx(4 / 3 * np.pi * 0.5**3, rel=0.04)
    assert len(vertices) - len(faces) // 2 == 2


def test_colours_are_read_in_the_frame_of_the_mesh():
    points = np.random.default_rng(0).uniform(-0.9, 0.9, (200, 3))
    expected = 0.5 + 0.5 * np.stack([-points[:, 0], points[:, 2], points[:, 1]], axis=1)
    assert np.allclose(colours_at(sphere(), points), expected, atol=1e-5)
    assert colours_at(sphere(), np.zeros((0, 3))).shape == (0, 3)


def test_nothing_to_see_is_an_error():
    with pytest.raises(CannotError, match="no surface"):
        triplane_to_mesh(sphere(-3.0))


def test_noise_has_its_mean_and_deviation():
    noise = input_noise(torch.Generator().manual_seed(0), 12, 32, 96)
    assert noise.shape == (1, 12, 32, 96)
    assert noise.mean() == pytest.approx(0.5, abs=0.02) and noise.std() == pytest.approx(0.5, abs=0.02)

"""Regions of a mesh: moved and dragged, with what is not selected, and uv, as they were."""

import numpy as np
import pytest
import trimesh

from mvgen.core.edit import meshes
from mvgen.core.edit.recipe import Drag, Handle, Mirror, Recipe, Remove, Rotate, Translate, Where, reference
from mvgen.core.edit.replay import edited_mesh
from mvgen.core.errors import UsageError
from mvgen.core.geometry import Mesh
from mvgen.core.region.files import save_region
from mvgen.core.region.model import Region
from tests.core.edit.test_recipe import PLACE


def rod(seam: bool = False) -> Mesh:
    """Upright, from -1 to 1; with a seam, its texture's vertices are doubled along it."""
    made = trimesh.creation.capsule(height=2.0, radius=0.25, count=(16, 16))
    places = np.asarray(made.vertices)[:, [0, 2, 1]]
    made = trimesh.Trimesh(places - places.mean(0), np.asarray(made.faces)[:, ::-1]).subdivide_to_size(0.08)
    vertices, faces = np.asarray(made.vertices), np.asarray(made.faces, np.int32)
    if not seam:
        return Mesh(vertices, faces)
    right = vertices[faces].mean(1)[:, 0] > 0
    faces = faces.copy()
    faces[right] += len(vertices)
    used, faces = np.unique(faces, return_inverse=True)
    vertices = np.concatenate([vertices, vertices])[used]
    uv = np.stack([vertices[:, 0], vertices[:, 1]], 1)
    return Mesh(vertices, faces.reshape(-1, 3).astype(np.int32), uv=uv, texture=np.full((8, 8, 3), 99, np.uint8))


def edges(mesh: Mesh, vertices: np.ndarray) -> np.ndarray:
    pairs = np.concatenate([mesh.faces[:, [0, 1]], mesh.faces[:, [1, 2]]])
    return np.linalg.norm(vertices[pairs[:, 0]] - vertices[pairs[:, 1]], axis=1)


def test_a_whole_mesh_is_moved_and_mirrored():
    mesh = rod()
    out = edited_mesh(meshes.begun(mesh), Recipe((Mirror(axis="x"), Translate(shift=(0.0, 0.0, 2.0)))), PLACE).mesh
    before = trimesh.Trimesh(mesh.vertices, mesh.faces, process=False)
    after = trimesh.Trimesh(out.vertices, out.faces, process=False)
    assert np.isclose(after.volume, before.volume)  # turned to stay outward
    assert np.allclose(out.vertices[:, 2], mesh.vertices[:, 2] + 2)


def test_a_region_is_moved_and_seams_stay_closed(tmp_path):
    mesh = rod(seam=True)
    mask = mesh.vertices[:, 1] > 0.6
    half = mask & (np.arange(len(mask)) % 2 == 0)  # misses twins at the seam
    save_region(Region("vertices", half), tmp_path / "r.npz")
    where = Where(region=reference(tmp_path / "r.npz"))
    done = edited_mesh(meshes.begun(mesh), Recipe((Rotate(axis="y", degrees=20.0, region=where),)), PLACE)
    still = ~done.touched
    assert still.any() and np.array_equal(done.mesh.vertices[still], mesh.vertices[still])
    assert (done.touched >= half).all()
    _, old = np.unique(mesh.vertices, axis=0, return_inverse=True)
    _, new = np.unique(done.mesh.vertices, axis=0, return_inverse=True)
    assert old.max() == new.max()
    assert done.mesh.uv is mesh.uv and done.mesh.texture is mesh.texture


def test_a_region_of_faces_works_too(tmp_path):
    mesh = rod()
    mask = mesh.vertices[mesh.faces][..., 1].min(1) > 0.5
    save_region(Region("faces", mask), tmp_path / "r.npz")
    where = Where(region=reference(tmp_path / "r.npz"))
    done = edited_mesh(meshes.begun(mesh), Recipe((Translate(shift=(0.0, 1.0, 0.0), region=where),)), PLACE)
    assert np.array_equal(np.flatnonzero(done.touched), np.unique(mesh.faces[mask]))


@pytest.mark.parametrize("seam", [False, True])
def test_a_rigid_drag(seam):
    mesh = rod(seam)
    tip = np.array([0, float(mesh.vertices[:, 1].max()), 0])
    part = np.linalg.norm(mesh.vertices - tip, axis=1) <= 0.6
    handle = Handle(tuple(tip), tuple(tip + np.array([0.5, -0.1, 0])), 0.6)
    done = meshes.dragged(meshes.begun(mesh), [handle], True)
    assert np.allclose(done.mesh.vertices[part], mesh.vertices[part] + [0.5, -0.1, 0])
    far = np.linalg.norm(mesh.vertices - tip, axis=1) > 1.2
    assert np.array_equal(done.mesh.vertices[far], mesh.vertices[far])
    stretch = edges(mesh, done.mesh.vertices) / edges(mesh, mesh.vertices)
    assert stretch.min() > 0.4 and stretch.max() < 2  # what is between bends without being torn
    assert done.mesh.uv is mesh.uv and np.isfinite(done.mesh.vertices).all()


def test_a_deforming_drag_pulls_a_point_to_its_target():
    mesh = rod()
    tip = mesh.vertices[mesh.vertices[:, 1].argmax()]
    handle = Handle(tuple(map(float, tip)), tuple(map(float, tip + np.array([0.1, 0.6, 0]))), 0.8)
    done = meshes.dragged(meshes.begun(mesh), [handle], False)
    at = mesh.vertices[:, 1].argmax()
    assert np.allclose(done.mesh.vertices[at], handle.target)
    far = np.linalg.norm(mesh.vertices - tip, axis=1) > 0.8
    assert np.array_equal(done.mesh.vertices[far], mesh.vertices[far])
    assert edges(mesh, done.mesh.vertices).max() < 4 * edges(mesh, mesh.vertices).max()


def test_pieces_that_nothing_holds_stay_and_broken_faces_do_not_matter():
    mesh = rod()
    away = Mesh(
        np.concatenate([mesh.vertices, mesh.vertices + np.array([0.8, 0, 0]), [[0, 0, 0]]]),
        np.concatenate([mesh.faces, mesh.faces + len(mesh.vertices), [[0, 0, 1]]]).astype(np.int32),
    )
    tip = mesh.vertices[mesh.vertices[:, 1].argmax()]
    handle = Handle(tuple(map(float, tip)), tuple(map(float, tip + np.array([0, 0.3, 0]))), 0.3)
    done = meshes.dragged(meshes.begun(away), [handle], True)
    assert np.isfinite(done.mesh.vertices).all()
    other = slice(len(mesh.vertices), 2 * len(mesh.vertices))
    assert np.allclose(done.mesh.vertices[other], away.vertices[other], atol=1e-6)


def test_operations_on_splats_are_refused():
    with pytest.raises(UsageError, match="remove is for splats"):
        edited_mesh(meshes.begun(rod()), Recipe((Remove(),)), PLACE)
    with pytest.raises(UsageError, match="a fit is for splats"):
        drag = Drag(mode="rigid", handles=(Handle((0.0, 0, 0), (0.0, 1, 0)),), scene="s", iterations=1, size=9)
        edited_mesh(meshes.begun(rod()), Recipe((drag,)), PLACE)

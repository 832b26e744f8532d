"""Cut-outs become closed surfaces that look like their picture from in front."""

import os
from pathlib import Path

import cv2
import numpy as np
import pytest
import trimesh

from mvgen.core.camera import Camera
from mvgen.core.inflate.height import heights
from mvgen.core.inflate.inflate import inflate
from mvgen.core.inflate.outline import outline
from mvgen.core.prepare.cutout import Cutout, cropped, cut_out
from mvgen.core.render.raycast import Caster

FAR = 300.0  # units: from there a view is as good as parallel


def drawing(name, size=300):
    """[H, W] in 0..1, and its numbers of parts and holes."""
    canvas = np.zeros((size, size), np.uint8)
    s = size / 300
    if name == "disc":
        cv2.circle(canvas, (int(150 * s), int(150 * s)), int(100 * s), 255, -1, cv2.LINE_AA)
        return canvas / np.float32(255), 1, 0
    if name == "ring":
        cv2.circle(canvas, (150, 150), 80, 255, 30, cv2.LINE_AA)
        return canvas / np.float32(255), 1, 1
    if name == "bar":
        cv2.line(canvas, (60, 90), (240, 210), 255, 24, cv2.LINE_AA)
        return canvas / np.float32(255), 1, 0
    if name == "word":
        cv2.putText(canvas, "8B!", (10, 200), cv2.FONT_HERSHEY_DUPLEX, 4.5, 255, 20, cv2.LINE_AA)
        return canvas / np.float32(255), 4, 4
    canvas[100:200, 80:220] = 255  # at the border of what a grid resolves: a comb with thin teeth, cut hard
    canvas[110:200:4, 90:200] = 0
    return canvas / np.float32(255), 1, 23


def as_cutout(alpha):
    rng = np.random.default_rng(0)
    image = cv2.resize(rng.integers(0, 256, (12, 12, 3), np.uint8), alpha.shape[::-1], interpolation=cv2.INTER_CUBIC)
    return Cutout(image, alpha.astype(np.float32), "mask")


def solid(mesh):
    return trimesh.Trimesh(mesh.vertices, mesh.faces, process=False)


def seen_from_in_front(mesh, cutout):
    """What a distant viewer sees, in the pixels of the cut-out's cropped picture."""
    part = cropped(cutout)
    height, width = part.alpha.shape
    region = outline(part.alpha)
    low, high = region.points.min(0), region.points.max(0)
    scale = (high - low).max()
    centre = (low + high) / 2
    k = np.array([[FAR * scale, 0, centre[0]], [0, FAR * scale, centre[1]], [0, 0, 1]])
    pose = np.diag([1.0, -1, -1, 1])
    pose[2, 3] = FAR
    return part, Caster(mesh).render(Camera("front", width, height, k, pose), 3)


@pytest.mark.parametrize("name", ["disc", "ring", "bar", "word", "comb"])
def test_the_surface_is_closed_and_has_the_mask_s_holes(name):
    alpha, parts, holes = drawing(name)
    mesh = inflate(as_cutout(alpha))
    shape = solid(mesh)
    assert shape.is_watertight and shape.is_winding_consistent and shape.volume > 0
    assert shape.euler_number == 2 * parts - 2 * holes
    assert np.ptp(mesh.vertices, axis=0)[:2].max() == pytest.approx(1)
    assert np.allclose(mesh.bounds.mean(0), 0, atol=1e-6)
    assert np.linalg.norm(mesh.normals, axis=1) == pytest.approx(1)


@pytest.mark.parametrize(("name", "iou"), [("disc", 0.995), ("ring", 0.99), ("bar", 0.99), ("word", 0.985)])
def test_from_in_front_it_is_the_picture(name, iou):
    alpha, _, _ = drawing(name)
    cutout = as_cutout(alpha)
    part, view = seen_from_in_front(inflate(cutout), cutout)
    seen, mask = view.alpha > 0.5, part.alpha > 0.5
    assert (seen & mask).sum() / (seen | mask).sum() > iou
    error = (view.color * 255 - part.image)[mask & (view.alpha > 0.99)]
    assert 10 * np.log10(255**2 / np.mean(error**2)) > 28


def test_a_disc_becomes_a_ball_and_a_bar_a_round_rod():
    region = outline(drawing("disc")[0].astype(np.float32))
    assert heights(region).max() == pytest.approx(100, rel=0.1)
    grid = region.points[: region.nodes]
    away = np.linalg.norm(grid - 150.5, axis=1)
    middle = away < 80
    error = np.abs(heights(region) - np.sqrt(np.maximum(100.0**2 - away**2, 0)))[middle]
    assert error.max() < 8
    assert heights(outline(drawing("bar")[0].astype(np.float32))).max() == pytest.approx(12, rel=0.15)


def test_the_rim_is_round():
    """Near the outline the height grows with the root of the distance to it."""
    region = outline(drawing("disc")[0].astype(np.float32))
    away = 100 - np.linalg.norm(region.points[: region.nodes] - 150.5, axis=1)
    near = (away > 0.5) & (away < 6)
    assert np.median(heights(region)[near] / np.sqrt(2 * 100 * away[near])) == pytest.approx(1, abs=0.15)


def test_thickness_scales_the_depth_alone():
    cutout = as_cutout(drawing("bar")[0])
    one, half = inflate(cutout), inflate(cutout, 0.5)
    assert np.allclose(one.vertices * [1, 1, 0.5], half.vertices)


@pytest.mark.parametrize("size", [12, 60, 1500])
def test_small_and_large_pictures(size):
    alpha, _, _ = drawing("disc", size)
    mesh = inflate(as_cutout(alpha))
    assert solid(mesh).is_watertight and 2000 < len(mesh.faces) < 130_000


def test_the_whole_picture_may_be_filled():
    shape = solid(inflate(as_cutout(np.ones((40, 70), np.float32))))
    assert shape.is_watertight and shape.euler_number == 2


@pytest.mark.slow
def test_real_cut_outs():
    folder = Path(os.environ.get("MVGEN_DATA", "none")) / "single_image"
    if not folder.is_dir():
        pytest.skip("needs MVGEN_DATA")
    for path in sorted(p for p in folder.rglob("*") if p.suffix in (".png", ".webp")):
        cutout = cut_out(path)
        mask = cropped(cutout).alpha > 0.5
        mesh = inflate(cutout)
        shape = solid(mesh)
        parts = cv2.connectedComponents(mask.astype(np.uint8), connectivity=4)[0] - 1
        around = cv2.connectedComponents(np.pad(~mask, 1, constant_values=True).astype(np.uint8), connectivity=8)[0] - 1
        assert shape.is_watertight and shape.euler_number == 2 * parts - 2 * (around - 1), path
        part, view = seen_from_in_front(mesh, cutout)
        seen = view.alpha > 0.5
        assert (seen & mask).sum() / (seen | mask).sum() >= 0.98, path
        error = (view.color * 255 - part.image)[mask & seen]
        assert 10 * np.log10(255**2 / np.mean(error**2)) >= 28, path

"""mvgen reconstruct on rendered sets with exact ground truth and on real photos, found in MVGEN_DATA."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mvgen.core.io.cameras import read_cameras
from mvgen.core.io.images import read_image
from mvgen.core.io.meshes import load_mesh
from mvgen.core.render.raycast import Caster
from tests.cli.test_reconstruct import Box, new_box

DATA = os.environ.get("MVGEN_DATA")
SCORER = Path(DATA or ".").parent / "tools" / "score_reconstruction.py"

pytestmark = [pytest.mark.slow, pytest.mark.skipif(DATA is None, reason="MVGEN_DATA is not set")]


@pytest.fixture
def box(tmp_path: Path) -> Box:
    return new_box(tmp_path)


def reconstruct(box: Box, images: Path, *more: str) -> dict[str, Any]:
    ran = box.ok(images, "-o", "scene.glb", "--save-cameras", "transforms.json", "--json", *more)
    return dict(json.loads(ran.stdout))


def independent_score(box: Box, truth: Path) -> dict[str, Any]:
    command = [sys.executable, str(SCORER), str(truth), "scene.glb", "--cameras", "transforms.json", "--json"]
    return dict(json.loads(subprocess.run(command, cwd=box.folder, check=True, capture_output=True).stdout))


def own_score(box: Box, truth: Path, require: str) -> dict[str, Any]:
    command = [sys.executable, "-m", "mvgen", "eval", "scene.glb", str(truth), "--cameras", "transforms.json"]
    ran = subprocess.run([*command, "--require", require, "--json"], cwd=box.folder, capture_output=True)
    assert ran.returncode == 0, ran.stderr.decode()
    return dict(json.loads(ran.stdout))


@pytest.mark.parametrize(
    ("name", "f_score"),
    [("spot/three", 0.8), ("egyptian_cat/three", 0.8), ("exploding_barrel/three", 0.85), ("spot", 0.93)],
)
def test_rendered_sets(box: Box, name: str, f_score: float) -> None:
    truth = Path(DATA or "") / "rendered" / name
    report = reconstruct(box, truth / "images")
    assert report["registered"] == len(report["photos"])
    assert report["peak_memory_mb"] < (1500 if name.endswith("three") else 2000)
    if SCORER.exists():
        score = independent_score(box, truth)
        assert score["registered"] == score["views"]
        assert score["rotation_error_deg"]["max"] <= 0.5
        assert score["at_1"]["f"] >= 100 * f_score
    bars = "registered>=1,rotation_error_max<=0.5" + ("" if name.endswith("three") else ",psnr>=24,coverage>=0.9")
    own_score(box, truth, bars)


@pytest.mark.parametrize(
    ("name", "least", "coverage", "psnr"),
    [("opensfm_berlin", 3, 0.35, 15), ("brighton_beach", 6, 0.6, 17), ("kermit_gpl", 10, 0.3, 15)],
)
def test_real_photos(box: Box, name: str, least: int, coverage: float, psnr: float) -> None:
    """There is no ground truth: the mesh has to look like the photos from where these were taken."""
    images = Path(DATA or "") / "photos" / name / "images"
    report = reconstruct(box, images, "--size", "480", "--previews", "previews")
    assert report["registered"] >= least
    seen, likeness = likeness_to_photos(box, images)
    assert np.mean(seen) > coverage
    assert np.median(likeness) > psnr


def likeness_to_photos(box: Box, images: Path) -> tuple[list[float], list[float]]:
    """Per camera, the share of its picture that the mesh covers, and the PSNR there against the photo."""
    import cv2

    caster = Caster(load_mesh(box.folder / "scene.glb"))
    seen, likeness = [], []
    for camera in read_cameras(box.folder / "transforms.json"):
        small = camera.fitted(320)
        photo = next(p for p in images.iterdir() if p.stem == Path(camera.name).stem)
        image = cv2.resize(read_image(photo), (small.width, small.height), interpolation=cv2.INTER_AREA) / 255
        view = caster.render(small)
        inside = view.alpha > 0.99
        seen.append(float(inside.mean()))
        likeness.append(float(-10 * np.log10(np.mean((view.color - image)[inside] ** 2))))
    return seen, likeness

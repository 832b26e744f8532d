"""Pictures for a person who wants to see how a reconstruction went."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from mvgen.core.geometry import PointCloud
from mvgen.core.io.images import write_image
from mvgen.core.render.orbit import orbit_cameras
from mvgen.core.render.pictures import over, sheet, viridis
from mvgen.core.render.points import Splatter
from mvgen.core.scene import DepthMap, Scene

TILE = 480  # long side of a picture in the contact sheet
CAMERA_COLOUR = (0.9, 0.2, 0.1)
WHITE = (1.0, 1.0, 1.0)


class DepthPreviews:
    """Writes a depth and a confidence picture for each depth map, and keeps small ones for the contact sheet."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.tiles: list[NDArray[np.uint8]] = []

    def __call__(self, depth_map: DepthMap, image: NDArray[np.uint8]) -> None:
        """One finished depth map and its picture [H, W, 3]."""
        stem = Path(depth_map.camera.name).stem
        depth, confidence = depth_picture(depth_map), confidence_picture(depth_map)
        write_image(depth, self.folder / f"{stem}_depth.png")
        write_image(confidence, self.folder / f"{stem}_confidence.png")
        self.tiles += [_small(p) for p in (image, depth, confidence)]

    def finish(self, scene: Scene, points: PointCloud) -> None:
        """Write the contact sheet (photo, depth, confidence per view) and the plot of the cameras."""
        rows = [np.concatenate(_same_height(self.tiles[i : i + 3]), axis=1) for i in range(0, len(self.tiles), 3)]
        width = max(r.shape[1] for r in rows)
        rows = [np.pad(r, ((0, 0), (0, width - r.shape[1]), (0, 0)), constant_values=255) for r in rows]
        write_image(sheet(rows), self.folder / "contact_sheet.png")
        write_image(camera_plot(scene, points), self.folder / "cameras.png")


def depth_picture(depth_map: DepthMap) -> NDArray[np.uint8]:
    """[H, W, 3]: near bright, far dark (viridis over inverse depth), unknown grey."""
    known = depth_map.depth > 0
    out = np.full((*known.shape, 3), 0.5, np.float32)
    if known.any():
        rho = 1 / depth_map.depth[known]
        low, high = np.percentile(rho, [2, 98])
        out[known] = viridis(np.clip((rho - low) / max(high - low, 1e-12), 0, 1))
    return _bytes(out)


def confidence_picture(depth_map: DepthMap) -> NDArray[np.uint8]:
    """[H, W, 3]: sure bright, unsure dark, unknown grey."""
    out = viridis(depth_map.confidence)
    out[depth_map.depth <= 0] = 0.5
    return _bytes(out)


def camera_plot(scene: Scene, points: PointCloud, size: tuple[int, int] = (960, 720)) -> NDArray[np.uint8]:
    """[H, W, 3]: the points from above, with a frustum for each camera."""
    reach = 0.06 * points.diagonal
    lines = [_frustum(v.camera.rays()[[0, 0, -1, -1], [0, -1, -1, 0]], v.camera.centre, reach) for v in scene.views]
    marks = np.concatenate(lines)
    every = points[np.arange(0, len(points), max(1, len(points) // 200_000))]
    colours = np.full((len(every), 3), 0.5, np.float32) if every.colours is None else every.colours
    cloud = PointCloud(
        np.concatenate([every.points, marks]),
        colours=np.concatenate([colours, np.tile(np.array(CAMERA_COLOUR, np.float32), (len(marks), 1))]),
    )
    framed = np.concatenate([every.points[:: max(1, len(every) // 5000)], marks])
    camera = orbit_cameras(framed, 1, size, np.array([0.0, 1.0, 0.0]), 55.0, 0.0)[0]
    view = Splatter(cloud).render(camera)
    rgba = np.concatenate([_bytes(view.color), _bytes(view.alpha)[..., None]], axis=-1)
    return over(rgba, WHITE)


def _frustum(corners: NDArray[np.float64], centre: NDArray[np.float64], reach: float) -> NDArray[np.float64]:
    """Points [N, 3] along the edges of a camera's pyramid."""
    tips = centre + corners / np.linalg.norm(corners, axis=1, keepdims=True) * reach
    along = np.linspace(0, 1, 60)[:, None]
    edges = [(centre, t) for t in tips] + list(zip(tips, np.roll(tips, 1, axis=0)))
    return np.concatenate([a + (b - a) * along for a, b in edges])


def _small(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    ratio = TILE / max(image.shape[:2])
    size = (max(1, round(image.shape[1] * ratio)), max(1, round(image.shape[0] * ratio)))
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)


def _same_height(tiles: list[NDArray[np.uint8]]) -> list[NDArray[np.uint8]]:
    height = max(t.shape[0] for t in tiles)
    return [np.pad(t, ((0, height - t.shape[0]), (0, 0), (0, 0)), constant_values=255) for t in tiles]


def _bytes(values: NDArray[np.floating]) -> NDArray[np.uint8]:
    return (np.clip(values, 0, 1) * 255 + 0.5).astype(np.uint8)

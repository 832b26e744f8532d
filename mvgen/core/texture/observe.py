"""What each photo sees of a surface: depth, which pixels to believe, how well it sees each face, and which colours."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mvgen.core.camera import Camera
from mvgen.core.errors import InputError
from mvgen.core.io.images import read_image, read_view_mask
from mvgen.core.progress import Progress
from mvgen.core.scene import View
from mvgen.core.texture.surface import Surface

DEPTH_SIDE = 1600  # pixels of the longer side of a depth map, at most
SLACK = 0.005  # of the bounding box's diagonal: how far behind the depth map a point still counts as seen
JUMP = 0.01  # of the diagonal: a bend in depth from pixel to pixel that is an edge
EDGE_PIXELS = (0.5, 4.5)  # pixels this near to an edge are hardly believed; this far, fully
BELIEVED = 0.12  # trust from which a colour is taken for what a point looks like: two pixels from an edge
COSINES = (0.15, 0.3)  # of the angle between normal and way to the camera: not believed at all; fully
BACK_SIDE = 0.01  # of the quality: a photo of a face's back, for open and doubled surfaces
BLUR = 1.0  # pixels, standard deviation of the photo from which surface colours are compared
CORNERS = np.array([[4, 1, 1], [1, 4, 1], [1, 1, 4]]) / 6  # where a face is tested


@dataclass(frozen=True, eq=False)
class Look:
    """The surface in one photo.

    points [P, 3] float32: (x * z, y * z, z) in the photo's pixels; limit, trust [h, w] float32 at up to DEPTH_SIDE: the
    depth up to which a point counts as seen, and how far a pixel may be believed (0..1), not at all outside the view's
    mask; image [H, W, 3] uint8, whose pixels outside the mask have the colour of the nearest one inside.
    """

    points: NDArray[np.float32]
    limit: NDArray[np.float32]
    trust: NDArray[np.float32]
    image: NDArray[np.uint8]


@dataclass(frozen=True, eq=False)
class Sight:
    """What all photos see: quality [F, V] float32, the believable pixels that a face covers, 0 where hidden;
    colours [P, V, 3] float32 (0..255) at the points, and believed [P, V] bool, where they can be compared."""

    quality: NDArray[np.float32]
    colours: NDArray[np.float32]
    believed: NDArray[np.bool_]


def look(surface: Surface, view: View) -> Look:
    """Raises InputError if the picture or its mask cannot be read or has another size than its camera."""
    from mvgen.kernels.texture import EMPTY, depth_map

    camera, image, mask = view.camera, _read(view), read_view_mask(view)
    small = camera.fitted(DEPTH_SIDE)
    slack, jump = SLACK * _diagonal(surface), JUMP * _diagonal(surface)
    depth = depth_map(_projected(surface, small), surface.faces, small.width, small.height)
    limit = np.where(depth < EMPTY, depth + np.float32(slack), np.float32(0))
    trust = _trust(depth, jump, None if mask is None else _reduced(mask, small))
    return Look(_projected(surface, camera), limit, trust, image if mask is None else _filled(image, mask))


def observe(surface: Surface, views: Sequence[View], progress: Progress) -> Sight:
    """Look through every photo once, one at a time."""
    import cv2

    from mvgen.kernels.texture import bilinear

    quality = np.zeros((len(surface.faces), len(views)), np.float32)
    colours = np.zeros((len(surface.points), len(views), 3), np.float32)
    believed = np.zeros((len(surface.points), len(views)), bool)
    point_normals = _point_normals(surface)
    for k, view in enumerate(views):
        seen = look(surface, view)
        quality[:, k] = _face_quality(surface, view.camera, seen)
        pixels = seen.points[:, :2] / np.maximum(seen.points[:, 2:], 1e-6)
        trust = _trust_at(seen, pixels, seen.points[:, 2])
        cosine = _cosine(surface.points, point_normals, view.camera)
        believed[:, k] = (trust > BELIEVED) & (cosine > COSINES[1])
        blurred = np.asarray(cv2.GaussianBlur(seen.image, (0, 0), BLUR), np.uint8)
        colours[:, k] = bilinear(blurred, pixels.astype(np.float32))
        progress.advance()
    return Sight(quality, colours, believed)


def _read(view: View) -> NDArray[np.uint8]:
    image = read_image(view.image_path)
    if image.shape[:2] != (view.camera.height, view.camera.width):
        raise InputError(
            f"{view.image_path}: has {image.shape[1]}x{image.shape[0]} pixels, its camera "
            f"{view.camera.width}x{view.camera.height}",
            hint="use the pictures that belong to the cameras",
        )
    return image


def _diagonal(surface: Surface) -> float:
    return float(np.linalg.norm(np.ptp(surface.points, axis=0)))


def _projected(surface: Surface, camera: Camera) -> NDArray[np.float32]:
    """[P, 3]: (x * z, y * z, z)."""
    matrix = camera.intrinsics @ camera.world_to_camera[:3]
    points = np.einsum("pj,ij->pi", surface.points, matrix[:, :3]) + matrix[:, 3]
    return points.astype(np.float32)


def _reduced(mask: NDArray[np.bool_], camera: Camera) -> NDArray[np.bool_]:
    """[h, w]: the pixels of a smaller picture whose whole area is inside a mask [H, W]."""
    import cv2

    share = cv2.resize(mask.astype(np.float32), (camera.width, camera.height), interpolation=cv2.INTER_AREA)
    return np.asarray(share) > 0.999


def _filled(image: NDArray[np.uint8], mask: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """An image [H, W, 3] whose pixels outside a mask [H, W] have the colour of the nearest one inside, so that nothing
    that blurs or interpolates the image picks up what the mask hides."""
    import cv2

    if mask.all() or not mask.any():
        return image
    hidden = (~mask).astype(np.uint8)
    _, label = cv2.distanceTransformWithLabels(hidden, cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL)
    source = np.zeros((int(label.max()) + 1, 3), np.uint8)
    source[label[mask]] = image[mask]
    return source[label]


def _trust(depth: NDArray[np.float32], jump: float, mask: NDArray[np.bool_] | None = None) -> NDArray[np.float32]:
    """[h, w] from 0 near depth edges and the border of picture and mask to 1 inside.

    Geometry and cameras are a little off, so pixels near an edge may show what is beside the surface.
    """
    import cv2

    from mvgen.kernels.texture import EMPTY

    ring = cv2.copyMakeBorder(depth, 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=float(EMPTY))
    bend = np.array([[1, -2, 1]], np.float32)  # blind to the slope of a surface seen at a low angle
    across = np.abs(cv2.filter2D(ring, cv2.CV_32F, bend))
    smooth = (np.maximum(across, np.abs(cv2.filter2D(ring, cv2.CV_32F, bend.T))) < jump).astype(np.uint8)
    if mask is not None:
        smooth[1:-1, 1:-1] &= mask
    distance = cv2.distanceTransform(smooth, cv2.DIST_L2, 3)[1:-1, 1:-1]
    ramp = np.clip((distance - EDGE_PIXELS[0]) / (EDGE_PIXELS[1] - EDGE_PIXELS[0]), 0, 1)
    return (ramp * ramp).astype(np.float32)


def _trust_at(seen: Look, pixels: NDArray[Any], z: NDArray[Any]) -> NDArray[np.float32]:
    """[...]: trust at photo pixels [..., 2] with depth z [...], 0 where outside or hidden."""
    rows, columns = seen.limit.shape
    ratio = np.array([columns / seen.image.shape[1], rows / seen.image.shape[0]])
    cell = np.floor(np.clip(pixels * ratio, -1, [columns, rows])).astype(np.int32)
    inside = (z > 0) & (cell >= 0).all(-1) & (cell < [columns, rows]).all(-1)
    column, row = np.where(inside, cell[..., 0], 0), np.where(inside, cell[..., 1], 0)
    return np.where(inside & (z <= seen.limit[row, column]), seen.trust[row, column], 0)


def _face_quality(surface: Surface, camera: Camera, seen: Look) -> NDArray[np.float32]:
    """[F]: pixels covered by each face, times the believed part of it."""
    corners = seen.points[surface.faces]
    front = corners[..., 2].min(1) > 0
    pixels = corners[..., :2] / np.maximum(corners[..., 2:], 1e-6)
    first, second = pixels[:, 1] - pixels[:, 0], pixels[:, 2] - pixels[:, 0]
    covered = np.abs(first[:, 0] * second[:, 1] - first[:, 1] * second[:, 0]) / 2
    tests = np.einsum("ck,fkj->fcj", CORNERS, corners)
    trust = _trust_at(seen, tests[..., :2] / np.maximum(tests[..., 2:], 1e-6), tests[..., 2]).mean(1)
    cosine = _cosine(surface.points[surface.faces].mean(1), surface.normals, camera)
    side = np.clip((np.abs(cosine) - COSINES[0]) / (COSINES[1] - COSINES[0]), 0, 1)
    side *= np.where(cosine > 0, 1, BACK_SIDE)
    return np.where(front, covered * trust * side, 0).astype(np.float32)


def _cosine(points: NDArray[Any], normals: NDArray[Any], camera: Camera) -> NDArray[np.float64]:
    way = camera.centre - points
    return np.einsum("pi,pi->p", way, normals) / np.maximum(np.linalg.norm(way, axis=1), 1e-12)


def _point_normals(surface: Surface) -> NDArray[np.float64]:
    """[P, 3]: mean of the normals around each point, by area."""
    count = len(surface.points)
    weighted = np.repeat(surface.normals * surface.areas[:, None], 3, axis=0)
    total = [np.bincount(surface.faces.reshape(-1), weighted[:, k], minlength=count) for k in range(3)]
    normals = np.stack(total, axis=1)
    return normals / np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-300)

"""Joining the parts of a file, each with its own picture, into one mesh with one picture."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mvgen.core.geometry import Mesh

GUTTER = 8  # pixels of repeated border around each picture of an atlas, so that filtering does not mix neighbours
MOST_REPEATS = 4  # a picture is repeated at most this often along one side of an atlas
LARGEST_ATLAS = 8192  # pixels a side


@dataclass(frozen=True, eq=False)
class Part:
    """Triangles with one material.

    As in `Mesh`; uv may leave [0, 1], where the picture repeats. tint [3] float sRGB in [0, 1] colours the whole part.
    """

    vertices: NDArray[np.float64]
    faces: NDArray[np.int64]
    normals: NDArray[np.float64] | None = None
    colours: NDArray[np.float32] | None = None
    uv: NDArray[np.float64] | None = None
    texture: NDArray[np.uint8] | None = None
    tint: NDArray[np.float64] | None = None


def merge_parts(parts: list[Part], metadata: dict[str, Any] | None = None) -> Mesh:
    """One mesh: vertices and faces in the order of the parts, several pictures packed into one.

    Colours at vertices of a part are lost (as their mean) where another part has a picture. Vertices are only
    added, and only where a repeating picture has to be cut.
    """
    pictures = [picture_of(p) for p in parts]
    textured = any(p.texture is not None and p.uv is not None for p in parts)
    texture = None
    if textured:
        parts, texture = _share_picture(parts, pictures)
    first = np.cumsum([0] + [len(p.vertices) for p in parts])
    faces = [p.faces + start for p, start in zip(parts, first)]
    return Mesh(
        vertices=np.concatenate([p.vertices for p in parts]).astype(np.float64),
        faces=np.concatenate(faces).astype(np.int32),
        normals=_joined_normals(parts),
        colours=None if textured else _joined_colours(parts),
        uv=np.concatenate([_uv(p) for p in parts]) if textured else None,
        texture=texture,
        metadata=metadata or {},
    )


def repeats(uv: NDArray[np.floating]) -> bool:
    """Whether uv [V, 2] leaves the picture, so that the picture repeats; else its border pixels go on outside."""
    return bool((uv < -1e-6).any() or (uv > 1 + 1e-6).any())


def picture_of(part: Part) -> NDArray[np.uint8]:
    """The picture that colours a part, [H, W, 3]: its tinted texture, or one flat patch."""
    if part.texture is not None and part.uv is not None:
        if part.tint is None or np.allclose(part.tint, 1):
            return part.texture
        table = np.rint(np.arange(256)[:, None] * part.tint).astype(np.uint8)  # gamma keeps products, nearly
        return np.stack([table[part.texture[..., c], c] for c in range(3)], axis=-1)
    colour = np.ones(3) if part.tint is None else part.tint
    if part.colours is not None and len(part.colours):
        colour = colour * part.colours.mean(0)
    return np.full((8, 8, 3), np.rint(255 * np.clip(colour, 0, 1)), np.uint8)


def _uv(part: Part) -> NDArray[np.float64]:
    if part.uv is None or part.texture is None:
        return np.full((len(part.vertices), 2), 0.5)
    return np.asarray(part.uv, np.float64)


def _joined_normals(parts: list[Part]) -> NDArray[np.float64] | None:
    found = [p.normals for p in parts if p.normals is not None]
    return np.concatenate(found).astype(np.float64) if len(found) == len(parts) else None


def _joined_colours(parts: list[Part]) -> NDArray[np.float32] | None:
    if all(p.colours is None and (p.tint is None or np.allclose(p.tint, 1)) for p in parts):
        return None
    colours = []
    for p in parts:
        own = np.ones((len(p.vertices), 3)) if p.colours is None else p.colours
        colours.append(own if p.tint is None else own * p.tint)
    return np.concatenate(colours).astype(np.float32)


def _share_picture(parts: list[Part], pictures: list[NDArray[np.uint8]]) -> tuple[list[Part], NDArray[np.uint8]]:
    """The parts with uv for one common picture, and that picture."""
    keys = [hashlib.sha1(np.array(a.shape).tobytes() + a.tobytes()).digest() for a in pictures]
    if len(set(keys)) == 1:
        return parts, pictures[0]
    folded = [_fold(replace(p, uv=_uv(p))) for p in parts]
    repeats: dict[bytes, NDArray[np.int64]] = {}
    for key, part in zip(keys, folded):
        uv = _uv_of(part)
        need = np.clip(np.ceil(uv.max(0, initial=0) - 1e-4), 1, MOST_REPEATS).astype(np.int64)
        repeats[key] = np.maximum(repeats.get(key, 1), need)
    tiles = {key: np.tile(a, (repeats[key][1], repeats[key][0], 1)) for key, a in zip(keys, pictures)}
    order = list(tiles)
    atlas, boxes = pack([tiles[key] for key in order])
    height, width = atlas.shape[:2]
    out = []
    for key, part in zip(keys, folded):
        x, y, w, h = boxes[order.index(key)]
        uv = np.clip(_uv_of(part) / repeats[key], 0, 1)
        placed = np.stack([(x + uv[:, 0] * w) / width, 1 - (y + (1 - uv[:, 1]) * h) / height], axis=1)
        out.append(replace(part, uv=placed, texture=atlas))
    return out, atlas


def _uv_of(part: Part) -> NDArray[np.float64]:
    assert part.uv is not None
    return part.uv


def _fold(part: Part) -> Part:
    """The part with uv moved by whole repeats to start in [0, 1); faces far apart in uv are cut free of each other."""
    uv = _uv_of(part)
    if not len(uv) or not len(part.faces):
        return replace(part, uv=np.clip(uv, 0, 1))
    low = np.floor(uv.min(0) + 1e-4)
    if (uv.max(0) <= low + 1 + 1e-4).all():
        return replace(part, uv=np.clip(uv - low, 0, 1))
    shift = np.floor(uv[part.faces].min(1) + 1e-4)  # [F, 2]
    corner = np.column_stack([part.faces.reshape(-1), np.repeat(shift, 3, axis=0).astype(np.int64)])
    rows, index = np.unique(corner, axis=0, return_inverse=True)
    pick = rows[:, 0]
    return replace(
        part,
        vertices=part.vertices[pick],
        faces=index.reshape(-1, 3),
        normals=None if part.normals is None else part.normals[pick],
        colours=None if part.colours is None else part.colours[pick],
        uv=np.maximum(uv[pick] - rows[:, 1:], 0),
    )


def pack(pictures: list[NDArray[np.uint8]]) -> tuple[NDArray[np.uint8], list[tuple[int, int, int, int]]]:
    """Pictures on shelves of one atlas, each with a gutter of repeated border.

    Returns the atlas [H, W, 3] and each picture's (x, y, width, height) in it, in pixels from the top left. Pictures
    are reduced together until the atlas is at most LARGEST_ATLAS a side.
    """
    sizes = np.array([a.shape[:2] for a in pictures])
    shrink = 1.0
    while True:
        small = np.maximum(np.floor(sizes * shrink), 1).astype(int)
        corners, width, height = _shelves(small + 2 * GUTTER)
        if max(width, height) <= LARGEST_ATLAS:
            break
        shrink *= 0.9
    atlas = np.zeros((height, width, 3), np.uint8)
    boxes = []
    for picture, (h, w), (x, y) in zip(pictures, small, corners):
        if picture.shape[:2] != (h, w):
            from PIL import Image

            picture = np.asarray(Image.fromarray(picture).resize((int(w), int(h)), Image.Resampling.BOX))
        padded = np.pad(picture, ((GUTTER, GUTTER), (GUTTER, GUTTER), (0, 0)), mode="edge")
        atlas[y : y + h + 2 * GUTTER, x : x + w + 2 * GUTTER] = padded
        boxes.append((x + GUTTER, y + GUTTER, int(w), int(h)))
    return atlas, boxes


def _shelves(sizes: NDArray[np.int64]) -> tuple[list[tuple[int, int]], int, int]:
    """Top-left corners (x, y) of boxes [N, (h, w)] set in rows by falling height, and the size they fill."""
    limit = max(int(np.ceil(np.sqrt(sizes.prod(1).sum()))), int(sizes[:, 1].max()))
    corners: list[tuple[int, int]] = [(0, 0)] * len(sizes)
    x = y = row = width = 0
    for i in np.argsort(-sizes[:, 0], kind="stable"):
        h, w = (int(n) for n in sizes[i])
        if x + w > limit and x > 0:
            x, y, row = 0, y + row, 0
        corners[i] = (x, y)
        x, row = x + w, max(row, h)
        width = max(width, x)
    return corners, width, y + row

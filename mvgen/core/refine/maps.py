"""Normal maps in files, in whatever frame they are."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mvgen.core.camera import Camera
from mvgen.core.errors import CannotError, InputError, UsageError
from mvgen.core.geometry import Mesh
from mvgen.core.io.images import EXTENSIONS, load_alpha, read_photo_header, read_stored
from mvgen.core.progress import Progress
from mvgen.core.refine.views import SOLID, NormalView, agreement
from mvgen.core.views.silhouette import Silhouette

# What red, green and blue are, as signs of x right, y down, z forward; of the world they are its axes.
FRAMES = {"opengl": (1, -1, -1), "opencv": (1, 1, 1)}
MIRRORED = {"opengl, mirrored": (-1, -1, -1), "opencv, mirrored": (-1, 1, 1), "opengl, y down": (1, 1, -1)}
LENGTHS = 0.75, 1.25  # of what is a normal; other pixels are background
AGREE = 0.5  # the least mean cosine to a mesh that they are for
_FEWEST = 100  # pixels


def read_normal_views(
    folder: Path, cameras: Sequence[Camera], mesh: Mesh, frame: str, progress: Progress
) -> list[NormalView]:
    """The normal maps of cameras, by the names of these with any extension.

    frame: ``opengl`` (x right, y up, z to the eye), ``opencv`` (x right, y down, z forward), ``world``, or ``auto``:
    the one in which the normals agree best with the mesh. Raises InputError for files that are missing, damaged or no
    normal maps, CannotError where normals disagree with the mesh, UsageError where they are in another frame.
    """
    maps = _read(folder, cameras, progress)
    found = {name: agreement(mesh, _views(maps, name)) for name in (*FRAMES, "world", *MIRRORED)}
    best = max(found, key=lambda name: found[name])
    told = ", ".join(f"{name} {value:.2f}" for name, value in found.items() if name not in MIRRORED)
    if found[best] < AGREE:
        raise CannotError(
            f"{folder}: its normals disagree with the mesh in every frame (mean cosine: {told})",
            "check that the cameras and the mesh belong to them",
        )
    if best in MIRRORED:
        raise InputError(f"{folder}: its normals agree with the mesh only as {best}", "flip that axis of the pictures")
    chosen = best if frame == "auto" else frame
    if found[chosen] < AGREE or found[best] - found[chosen] > 0.2:
        raise UsageError(f"{folder}: its normals are not in the frame {chosen} ({told})", f"give --frame {best}")
    progress.say(f"{folder}: {len(maps)} normal maps, {chosen} (mean cosine to the mesh {found[chosen]:.2f})")
    return _views(maps, chosen)


Map = tuple[Camera, NDArray[np.float32], Silhouette | None]


def _read(folder: Path, cameras: Sequence[Camera], progress: Progress) -> list[Map]:
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder", "name the folder that holds the normal maps")
    files = {f.stem.lower(): f for f in sorted(folder.iterdir()) if f.suffix.lower() in EXTENSIONS and f.is_file()}
    pairs = [(c, files[stem]) for c in cameras if (stem := Path(c.name).stem.lower()) in files]
    if not pairs:
        example = f"{Path(cameras[0].name).stem}.png" if cameras else "view.png"
        raise InputError(f"{folder}: no normal maps of these cameras", f"name them like {example}")
    missing = [c.name for c in cameras if Path(c.name).stem.lower() not in files]
    if missing:
        progress.warn(f"{folder}: no normal map of {', '.join(missing[:5])}{' and others' * (len(missing) > 5)}")
    return [_map(camera, path) for camera, path in pairs]


def _map(camera: Camera, path: Path) -> Map:
    """normals [H, W, 3] as the file has them, unit, 0 where there are none. Raises InputError."""
    values = read_stored(path).astype(np.float32) / np.float32(127.5) - 1
    height, width = values.shape[:2]
    if abs(width / height - camera.width / camera.height) > 0.02:
        raise InputError(
            f"{path}: {width} x {height} pixels, its camera has {camera.width} x {camera.height}",
            "give pictures of the cameras' proportions",
        )
    alpha = load_alpha(read_photo_header(path))
    length = np.linalg.norm(values, axis=2)
    known = (length > LENGTHS[0]) & (length < LENGTHS[1])
    if alpha is not None:
        known &= alpha > SOLID
    if known.sum() < _FEWEST or (alpha is not None and known.sum() < 0.5 * (alpha > SOLID).sum()):
        raise InputError(
            f"{path}: is not a normal map", "red, green and blue are x, y and z, -1 as black and 1 as white"
        )
    normals = np.where(known[..., None], values / np.maximum(length, 1e-6)[..., None], 0).astype(np.float32)
    cover = known.astype(np.float32) if alpha is None else alpha
    whole = bool((cover[[0, -1]] > 0.5).all() and (cover[:, [0, -1]] > 0.5).all())
    return camera.resized(width, height), normals, None if whole else Silhouette.of(cover)


def _views(maps: Sequence[Map], frame: str) -> list[NormalView]:
    out = []
    for camera, normals, outline in maps:
        if frame != "world":
            signs = np.array((FRAMES | MIRRORED)[frame], np.float32)
            normals = ((normals * signs) @ camera.rotation).astype(np.float32)
        out.append(NormalView(camera, normals, outline))
    return out

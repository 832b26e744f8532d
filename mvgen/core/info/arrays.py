"""Facts about arrays in .npy and .npz files: depth maps, grids, lists."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from mvgen.core.errors import InputError
from mvgen.core.info.describe import Facts
from mvgen.core.io.companions import shown

_LARGEST = 1 << 30  # bytes of an array whose values are looked at
_DAMAGED = "the file looks cut short or damaged; write it again"


def describe_arrays(path: Path) -> Facts:
    """A depth map where there is an array ``depth`` of rows and columns. Raises InputError."""
    try:
        found = dict(_arrays(path))
    except InputError:
        raise
    except Exception as error:  # the parser of NumPy's headers raises many kinds
        raise InputError(f"{path}: is no sound NumPy file ({shown(error)})", _DAMAGED) from error
    if not found:
        raise InputError(f"{path}: holds no arrays", _DAMAGED)
    kind = path.suffix.lstrip(".").upper() or "NPZ"
    depth = found.get("depth")
    if isinstance(depth, np.ndarray) and depth.ndim == 2 and depth.size and depth.dtype.kind in "fiu":
        return _depth_facts(kind, depth, found)
    values = {name: _array_values(a) for name, a in found.items()}
    summary = ", ".join(f"{name} {_shape(a)}" for name, a in list(found.items())[:4])
    return Facts("arrays", kind, summary + (", ..." if len(found) > 4 else ""), values)


class _Unread:
    """An array that is too large to look at, or that holds Python objects."""

    def __init__(self, shape: tuple[int, ...], dtype: np.dtype[Any]):
        self.shape, self.dtype = shape, dtype


def _arrays(path: Path) -> Iterator[tuple[str, NDArray[Any] | _Unread]]:
    with path.open("rb") as file:
        if file.read(6) == b"\x93NUMPY":
            file.seek(0)
            yield "array", _array(file, path.stat().st_size)
            return
    with zipfile.ZipFile(path) as archive:
        for item in archive.infolist():
            if item.filename.endswith(".npy"):
                with archive.open(item) as inner:
                    yield item.filename.removesuffix(".npy"), _array(inner, item.file_size)


def _array(file: IO[bytes], size: int) -> NDArray[Any] | _Unread:
    """One array. What its header says of its size is held against the bytes that are there."""
    version = np.lib.format.read_magic(file)
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, fortran, dtype = read(file)
    if dtype.hasobject:
        return _Unread(shape, dtype)
    count = 1
    for n in shape:
        count *= n
    if count < 0 or count * dtype.itemsize > size:
        raise ValueError(f"an array of shape {shape} does not fit into its {size} bytes")
    if count * dtype.itemsize > _LARGEST:
        return _Unread(shape, dtype)
    data = file.read(count * dtype.itemsize)
    return np.frombuffer(data, dtype, count).reshape(shape, order="F" if fortran else "C")


def _shape(array: NDArray[Any] | _Unread) -> str:
    return "x".join(map(str, array.shape)) if array.shape else "number"


def _array_values(array: NDArray[Any] | _Unread) -> dict[str, Any]:
    values: dict[str, Any] = {"shape": _shape(array), "type": str(array.dtype)}
    if isinstance(array, np.ndarray) and array.size and array.dtype.kind in "fiu":
        finite = array[np.isfinite(array)] if array.dtype.kind == "f" else array.reshape(-1)
        if finite.size:
            values |= {"lowest": finite.min().item(), "highest": finite.max().item()}
        if finite.size < array.size:
            values["not_finite"] = array.size - finite.size
    return values


def _depth_facts(kind: str, depth: NDArray[Any], found: dict[str, NDArray[Any] | _Unread]) -> Facts:
    known = np.isfinite(depth) & (depth > 0)
    height, width = depth.shape
    values: dict[str, Any] = {"width": width, "height": height, "known": float(known.mean())}
    if known.any():
        values["depths"] = [float(v) for v in np.percentile(depth[known], [0, 50, 100])]
    values |= {name: name in found for name in ("normal", "confidence")}
    values["camera"] = "intrinsics" in found and "world_to_camera" in found
    intrinsics = found.get("intrinsics")
    if isinstance(intrinsics, np.ndarray) and intrinsics.shape == (3, 3):
        values["focal_pixels"] = [float(intrinsics[0, 0]), float(intrinsics[1, 1])]
    values["other_arrays"] = sorted(set(found) - {"depth", "normal", "confidence", "intrinsics", "world_to_camera"})
    return Facts("depth map", kind, f"{width}x{height}, {100 * values['known']:.0f} % known", values)

"""Regions in files.

A .npz holds one or more regions of the same things: ``kind`` (vertices, faces, points, splats, cells), ``count`` of all
things, ``names`` [K], ``sizes`` [K], ``indices`` [sum of sizes] of the regions one after another, and ``bounds``
[K, 2, 3], NaN where not known. Read is, instead of indices, ``labels`` with as many values as things: the number of
the region in names, below 0 for none.

A .npy holds the indices of one region, or true and false for each thing. Of Interactive3D's files these are
``occ_index_0_gs.npy`` and, over all cells, ``binaries.npy``.
"""

from __future__ import annotations

import re
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mvgen.core.errors import InputError, UsageError
from mvgen.core.io.arrays import read_arrays
from mvgen.core.region.model import KINDS, NAME, Kind, Region

FORMATS = (".npz", ".npy")
LARGEST = 1 << 28  # things, or indices of a file
_DAMAGED = "write it again with mvgen select-region"
_PART = re.compile(r"occ_index_(\d+)_gs_?\.npy")  # Interactive3D's


def save_region(region: Region | Sequence[Region], path: Path) -> None:
    """Write regions of the same things as .npz, or the indices of one as .npy, by the extension.

    Raises UsageError for another extension, for several regions in a .npy, and for names that are not unlike.
    """
    regions = [region] if isinstance(region, Region) else list(region)
    path = Path(path)
    if path.suffix.lower() not in FORMATS:
        raise UsageError(f"{path}: cannot write a region as {path.suffix or 'this'}", "use .npz or .npy")
    if path.suffix.lower() == ".npy":
        if len(regions) != 1:
            raise UsageError(f"{path}: a .npy holds one region, not {len(regions)}", "use .npz")
        np.save(path, regions[0].indices, allow_pickle=False)
        return
    first, names = regions[0], [r.name for r in regions]
    if len(set(names)) < len(names) or any((r.kind, r.count) != (first.kind, first.count) for r in regions):
        raise UsageError(f"{path}: its regions should have names of their own and be of the same things")
    unknown = np.full((2, 3), np.nan)
    arrays = {
        "kind": np.array(first.kind),
        "count": np.array(first.count, np.int64),
        "names": np.array(names),
        "sizes": np.array([len(r.indices) for r in regions], np.int64),
        "indices": np.concatenate([r.indices for r in regions]),
        "bounds": np.array([unknown if r.bounds is None else r.bounds for r in regions], np.float64),
    }
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:  # np.savez takes thrice as long
        for name, values in arrays.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as file:
                np.lib.format.write_array(file, values, allow_pickle=False)


def load_region(path: Path, kind: Kind, count: int, name: str | None = None) -> Region:
    """One region of ``count`` things of a kind, by name where the file has several.

    Raises InputError for a file that is missing, damaged, or of other things, UsageError for a name it does not have.
    """
    regions = load_regions(path, kind, count)
    names = ", ".join(r.name for r in regions)
    if name is None:
        if len(regions) > 1:
            raise UsageError(f"{path}: holds several regions: {names}", f"name one, as {path}:{regions[0].name}")
        return regions[0]
    found = [r for r in regions if r.name == name]
    if not found:
        raise UsageError(f"{path}: has no region {name}", f"it has {names}")
    return found[0]


def load_regions(path: Path, kind: Kind, count: int) -> list[Region]:
    """All regions of a file, of ``count`` things of a kind; of a folder, Interactive3D's parts 0, 1, ... in it.

    A .npy does not say of what it is: then only indices beyond ``count`` tell a region of other things. Raises
    InputError as `load_region`.
    """
    path = Path(path)
    if path.is_dir():
        return _parts(path, kind, count)
    arrays = _read(path)
    if set(arrays) == {"array"}:
        return [Region(kind, _mask(arrays["array"], count, path))]
    told = str(arrays["kind"]) if "kind" in arrays else kind
    if told not in KINDS:
        raise InputError(f"{path}: is a region of {told[:40]!r}, which is not known", "kinds: " + ", ".join(KINDS))
    if told != kind:
        raise InputError(f"{path}: is a region of {told}, not of {kind}", "select it again on this input")
    if "count" in arrays and _whole(arrays["count"], path).tolist() != [count]:
        raise _of_others(path, int(_whole(arrays["count"], path)[0]), kind, count)
    names = [str(n) for n in np.atleast_1d(arrays["names"])] if "names" in arrays else None
    masks = _masks(arrays, names, count, path)
    names = names or ([NAME] if len(masks) == 1 else [str(i) for i in range(len(masks))])
    if len(names) != len(masks) or len(set(names)) < len(names):
        raise InputError(f"{path}: its regions and their names do not match", _DAMAGED)
    bounds = _bounds(arrays, len(masks))
    return [Region(kind, mask, box, name) for mask, box, name in zip(masks, bounds, names)]


def _parts(folder: Path, kind: Kind, count: int) -> list[Region]:
    found = sorted((int(m[1]), p) for p in folder.iterdir() if (m := _PART.fullmatch(p.name)))
    if not found:
        raise InputError(f"{folder}: holds no parts of a grid", "it should have files as occ_index_0_gs.npy")
    return [Region(kind, _mask(_read(p)["array"], count, p), None, str(i)) for i, p in found]


def _read(path: Path) -> dict[str, NDArray[Any]]:
    names = ("kind", "count", "names", "sizes", "indices", "labels", "bounds")
    return read_arrays(path, "region", 8 * LARGEST, names, _DAMAGED)


def _masks(arrays: dict[str, NDArray[Any]], names: list[str] | None, count: int, path: Path) -> list[NDArray[np.bool_]]:
    """Of each region in a .npz."""
    if "indices" in arrays:
        indices = _whole(arrays["indices"], path)
        sizes = _whole(arrays["sizes"], path) if "sizes" in arrays else np.array([len(indices)])
        if not len(sizes) or (sizes < 0).any() or sizes.sum() != len(indices):
            raise InputError(f"{path}: its regions do not have the sizes it says", _DAMAGED)
        return [_mask(part, count, path) for part in np.split(indices, np.cumsum(sizes)[:-1])]
    if "labels" not in arrays:
        raise InputError(f"{path}: holds no region", 'it should have an array "indices" or "labels"')
    labels = _whole(arrays["labels"], path)
    if len(labels) != count:
        raise InputError(f"{path}: labels {len(labels)} things, but the input has {count}", "select it again on it")
    number = len(names) if names is not None else max(1, int(labels.max(initial=0)) + 1)
    if number > 1 << 15:
        raise InputError(f"{path}: has {number} regions", "labels are small numbers")
    return [labels == i for i in range(number)]


def _mask(values: NDArray[Any], count: int, path: Path) -> NDArray[np.bool_]:
    """[count] from indices, or from true and false."""
    if values.dtype.kind == "b":
        if values.size != count:
            raise InputError(f"{path}: marks {values.size} things, but the input has {count}", "select it again on it")
        return values.reshape(-1)
    indices = _whole(values, path)
    if len(indices) and not 0 <= indices.min() <= indices.max() < count:
        worst = int(indices.max() if indices.max() >= count else indices.min())
        raise InputError(f"{path}: has the index {worst}, but the input has {count} things", "select it again on it")
    mask = np.zeros(count, np.bool_)
    mask[indices] = True
    return mask


def _whole(values: NDArray[Any], path: Path) -> NDArray[np.int64]:
    """[n] whole numbers."""
    if values.dtype.kind not in "iu" and values.size:
        raise InputError(f"{path}: has {values.dtype} values where whole numbers should be", _DAMAGED)
    return values.reshape(-1).astype(np.int64)


def _bounds(arrays: dict[str, NDArray[Any]], number: int) -> list[NDArray[np.float64] | None]:
    boxes = arrays.get("bounds")
    if boxes is None or boxes.dtype.kind not in "fiu" or boxes.size != 6 * number:
        return [None] * number
    boxes = boxes.reshape(number, 2, 3).astype(np.float64)
    return [box if np.isfinite(box).all() else None for box in boxes]


def _of_others(path: Path, told: int, kind: Kind, count: int) -> InputError:
    return InputError(f"{path}: is a region of {told} {kind}, but the input has {count}", "select it again on it")

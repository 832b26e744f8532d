"""Regions in files.

A .npz holds one or more regions of the same things: ``kind`` (vertices, faces, points, splats, cells), ``count`` of all
things, ``names`` [K], ``sizes`` [K], ``indices`` [sum of sizes] of the regions one after another, and ``bounds``
[K, 2, 3], NaN where not known. Read is, instead of indices, ``labels`` with as many values as things: the number of
the region in names, below 0 for none.

So that it can be carried to other things (see `carry`), it may hold ``places`` [P, 3] float32, from ``origin`` [3] on;
``marks`` [P, K / 8] uint8, in whose bits, the lowest first, stands which regions hold a place; and ``axes`` [2], the
names of `Axes`.

A .npy holds the indices of one region, or true and false for each thing. Of Interactive3D's files these are
``occ_index_0_gs.npy`` and, over all cells, ``binaries.npy``.
"""

from __future__ import annotations

import re
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mvgen.core.errors import InputError, UsageError
from mvgen.core.io.arrays import read_arrays
from mvgen.core.region.model import KINDS, NAME, Axes, Kind, Places, Region
from mvgen.core.splats.model import FRAMES

FORMATS = (".npz", ".npy")
LARGEST = 1 << 28  # things, or indices of a file
MOST_PLACES = 1 << 21
_FAR = 1e30  # of a place from 0: the squares of such numbers are finite
_DAMAGED = "write it again with mvgen select-region"
_PART = re.compile(r"occ_index_(\d+)_gs_?\.npy")  # Interactive3D's


def save_region(region: Region | Sequence[Region], path: Path, places: Places | None = None) -> None:
    """Write regions of the same things as .npz, or the indices of one as .npy, by the extension. places: those of which
    all of the regions have marks.

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
        **({} if places is None else _placed(places, regions)),
    }
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:  # np.savez takes thrice as long
        for name, values in arrays.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as file:
                np.lib.format.write_array(file, values, allow_pickle=False)


def load_region(path: Path, kind: Kind, count: int, name: str | None = None) -> Region:
    """One region of ``count`` things of a kind, by name where the file has several.

    Raises InputError for a file that is missing, damaged, or of other things, UsageError for a name it does not have.
    """
    return named(load_regions(path, kind, count), name, path)


def load_regions(path: Path, kind: Kind, count: int) -> list[Region]:
    """All regions of a file, of ``count`` things of a kind; of a folder, Interactive3D's parts 0, 1, ... in it.

    A .npy does not say of what it is: then only indices beyond ``count`` tell a region of other things. Raises
    InputError as `load_region`.
    """
    return open_region(path).regions(kind, count)


def named(regions: Sequence[Region], name: str | None, path: Path) -> Region:
    """The one with a name, or the only one. Raises UsageError."""
    names = ", ".join(r.name for r in regions)
    if name is None:
        if len(regions) > 1:
            raise UsageError(f"{path}: holds several regions: {names}", f"name one, as {path}:{regions[0].name}")
        return regions[0]
    found = [r for r in regions if r.name == name]
    if not found:
        raise UsageError(f"{path}: has no region {name}", f"it has {names}")
    return found[0]


@dataclass(frozen=True, eq=False)
class RegionFile:
    """The arrays of a file, or nothing but the name of a folder. kind, count: of what it is, where it tells that;
    places: None where it has none."""

    path: Path
    arrays: dict[str, NDArray[Any]]
    kind: Kind | None = None
    count: int | None = None
    places: Places | None = None

    def fits(self, kind: Kind, count: int) -> bool:
        """Whether nothing that it tells speaks against its being of ``count`` things of a kind."""
        return self.kind in (None, kind) and self.count in (None, count)

    def regions(self, kind: Kind, count: int) -> list[Region]:
        """As `load_regions`."""
        path, arrays = self.path, self.arrays
        if path.is_dir():
            return _parts(path, kind, count)
        if set(arrays) == {"array"}:
            return [Region(kind, _mask(arrays["array"], count, path))]
        if self.kind not in (None, kind):
            raise InputError(f"{path}: is a region of {self.kind}, not of {kind}", "select it again on this input")
        if self.count not in (None, count):
            raise InputError(
                f"{path}: is a region of {self.count} {kind}, but the input has {count}", "select it again on it"
            )
        masks = _masks(arrays, self._names(), count, path)
        names = self._names() or ([NAME] if len(masks) == 1 else [str(i) for i in range(len(masks))])
        marks = self._marks(names)
        if len(names) != len(masks) or len(set(names)) < len(names):
            raise InputError(f"{path}: its regions and their names do not match", _DAMAGED)
        bounds = _bounds(arrays, len(masks))
        return [Region(kind, *each) for each in zip(masks, bounds, names, marks)]

    def on_places(self) -> list[Region]:
        """All regions as points, at the places of the file alone. Raises InputError."""
        names = self._names() or [NAME]
        if len(set(names)) < len(names):
            raise InputError(f"{self.path}: its regions and their names do not match", _DAMAGED)
        return [Region("points", marks, None, name) for name, marks in zip(names, self._marks(names))]

    def _names(self) -> list[str] | None:
        return [str(n) for n in np.atleast_1d(self.arrays["names"])] if "names" in self.arrays else None

    def _marks(self, names: Sequence[str]) -> list[Any]:
        """[P] of each region; None where there are no places."""
        if self.places is None:
            return [None] * len(names)
        packed, count = self.arrays.get("marks", np.zeros(0)), len(self.places.points)
        if packed.dtype != np.uint8 or packed.shape != (count, -(-len(names) // 8)):
            raise InputError(f"{self.path}: its places do not have the marks of {len(names)} regions", _DAMAGED)
        return [(packed[:, i // 8] >> (i % 8) & 1).astype(np.bool_) for i in range(len(names))]


def open_region(path: Path) -> RegionFile:
    """Raises InputError for a file that is missing or damaged."""
    path = Path(path)
    if path.is_dir():
        return RegionFile(path, {})
    arrays = _read(path)
    told = str(arrays["kind"]) if "kind" in arrays else None
    kind = next((k for k in KINDS if k == told), None)
    if told is not None and kind is None:
        raise InputError(f"{path}: is a region of {told[:40]!r}, which is not known", "kinds: " + ", ".join(KINDS))
    count = _whole(arrays["count"], path) if "count" in arrays else np.zeros(0, np.int64)
    if "count" in arrays and len(count) != 1:
        raise InputError(f"{path}: does not tell one number of things", _DAMAGED)
    return RegionFile(path, arrays, kind, int(count[0]) if len(count) else None, _places(arrays, path))


def _parts(folder: Path, kind: Kind, count: int) -> list[Region]:
    found = sorted((int(m[1]), p) for p in folder.iterdir() if (m := _PART.fullmatch(p.name)))
    if not found:
        raise InputError(f"{folder}: holds no parts of a grid", "it should have files as occ_index_0_gs.npy")
    return [Region(kind, _mask(_read(p)["array"], count, p), None, str(i)) for i, p in found]


def _read(path: Path) -> dict[str, NDArray[Any]]:
    names = ("kind", "count", "names", "sizes", "indices", "labels", "bounds", "places", "origin", "marks", "axes")
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


def _placed(places: Places, regions: Sequence[Region]) -> dict[str, NDArray[Any]]:
    """The arrays that tell places and which of the regions hold each."""
    origin = places.points.mean(0) if len(places.points) else np.zeros(3)  # far from 0, float32 is coarse
    marks = np.array([r.marks for r in regions], np.bool_)
    return {
        "places": (places.points - origin).astype(np.float32),
        "origin": origin,
        "marks": np.packbits(marks.T, axis=1, bitorder="little"),
        "axes": np.array([places.axes.name, places.axes.scene]),
    }


def _places(arrays: dict[str, NDArray[Any]], path: Path) -> Places | None:
    """Raises InputError for what is not a list of places."""
    if "places" not in arrays:
        return None
    points, origin = arrays["places"], arrays.get("origin", np.zeros(3))
    if points.dtype.kind != "f" or points.ndim != 2 or points.shape[1] != 3 or not 0 < len(points) <= MOST_PLACES:
        raise InputError(f"{path}: its places are {points.dtype} {list(points.shape)}", _DAMAGED)
    if origin.dtype.kind != "f" or origin.shape != (3,):
        raise InputError(f"{path}: has no sound origin of its places", _DAMAGED)
    points = points.astype(np.float64) + origin
    if not (np.abs(points) < _FAR).all():
        raise InputError(f"{path}: has places that are not finite", _DAMAGED)
    told = [str(n) for n in np.ravel(arrays["axes"])[:2]] if "axes" in arrays else []
    return Places(points, Axes(*(n if n in FRAMES else "" for n in told)))

"""COLMAP models, binary and text, both ways.

COLMAP's cameras have the axes of `Camera` (x right, y down, z forward; world to camera; a pixel's centre at +0.5).
Numbers of pictures, cameras and points are given anew in their order. Source: COLMAP's description of its output
format and its list of camera models, https://colmap.github.io/format.html and https://colmap.github.io/cameras.html.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mvgen.core.camera import Camera
from mvgen.core.errors import InputError
from mvgen.core.geometry import PointCloud
from mvgen.core.io.model import VALUES, Lens, Model, Sightings, check_model, intrinsics

_OBSERVATION = np.dtype([("x", "<f8"), ("y", "<f8"), ("point", "<u8")])
_TRACK_ELEMENT = np.dtype([("image", "<i4"), ("observation", "<i4")])


@dataclass(frozen=True)
class _Kind:
    """A camera model of COLMAP: its number, whether one focal length serves both axes, and its further parameters."""

    number: int
    one_focal: bool
    lens: str
    names: tuple[str, ...] = ()

    @property
    def count(self) -> int:
        return (3 if self.one_focal else 4) + len(self.names)


_KINDS = {
    "SIMPLE_PINHOLE": _Kind(0, True, "perspective"),
    "PINHOLE": _Kind(1, False, "perspective"),
    "SIMPLE_RADIAL": _Kind(2, True, "perspective", ("k1",)),
    "RADIAL": _Kind(3, True, "perspective", ("k1", "k2")),
    "OPENCV": _Kind(4, False, "perspective", ("k1", "k2", "p1", "p2")),
    "FULL_OPENCV": _Kind(6, False, "perspective", VALUES["perspective"]),
    "SIMPLE_RADIAL_FISHEYE": _Kind(8, True, "fisheye", ("k1",)),
    "RADIAL_FISHEYE": _Kind(9, True, "fisheye", ("k1", "k2")),
    "OPENCV_FISHEYE": _Kind(5, False, "fisheye", ("k1", "k2", "k3", "k4")),
    "THIN_PRISM_FISHEYE": _Kind(10, False, "fisheye", VALUES["fisheye"]),
    "SIMPLE_FISHEYE": _Kind(14, True, "fisheye"),
    "FISHEYE": _Kind(15, False, "fisheye"),
    "FOV": _Kind(7, False, "fov", VALUES["fov"]),
    "SIMPLE_DIVISION": _Kind(12, True, "division", ("k",)),
    "DIVISION": _Kind(13, False, "division", ("k",)),
    "EUCM": _Kind(16, False, "eucm", VALUES["eucm"]),
    "RAD_TAN_THIN_PRISM_FISHEYE": _Kind(11, False, "rad_tan_thin_prism", VALUES["rad_tan_thin_prism"]),
}
_BY_NUMBER = {kind.number: name for name, kind in _KINDS.items()}
_WRITTEN = (  # the first that holds a lens is written
    *("PINHOLE", "SIMPLE_RADIAL", "RADIAL", "OPENCV", "FULL_OPENCV"),
    *("SIMPLE_RADIAL_FISHEYE", "RADIAL_FISHEYE", "OPENCV_FISHEYE", "THIN_PRISM_FISHEYE"),
    *("FOV", "DIVISION", "EUCM", "RAD_TAN_THIN_PRISM_FISHEYE"),
)


@dataclass(frozen=True)
class _Lens:
    """A COLMAP camera."""

    model: str
    width: int
    height: int
    params: tuple[float, ...]

    def parts(self) -> tuple[NDArray[np.float64], Lens]:
        """The pinhole part [3, 3] and the distortion."""
        kind, p = _KINDS[self.model], self.params
        matrix = intrinsics(p[0], p[0], p[1], p[2]) if kind.one_focal else intrinsics(*p[:4])
        values = dict(zip(kind.names, p[3 if kind.one_focal else 4 :]))
        return matrix, Lens(kind.lens, tuple(values.get(name, 0.0) for name in VALUES[kind.lens]))


def lens_of(camera: Camera, bend: Lens) -> tuple[str, tuple[float, ...]]:
    """The simplest COLMAP camera model that holds a camera exactly, and its parameters."""
    fx, fy, cx, cy = (float(camera.intrinsics[i]) for i in ((0, 0), (1, 1), (0, 2), (1, 2)))
    for name in _WRITTEN:
        kind = _KINDS[name]
        if kind.lens == bend.kind and bend.only(*kind.names) and (fx == fy or not kind.one_focal):
            front = (fx, cx, cy) if kind.one_focal else (fx, fy, cx, cy)
            return name, (*front, *(bend.value(n) for n in kind.names))
    raise ValueError(bend.kind)


@dataclass(frozen=True, eq=False)
class _Shot:
    """A COLMAP image: its pose, and place and point (or none) of each of its observations."""

    id: int
    camera_id: int
    name: str
    quaternion: tuple[float, ...]  # w, x, y, z
    translation: tuple[float, ...]
    pixels: NDArray[np.float64]
    point_ids: NDArray[np.uint64]


def is_colmap(folder: Path) -> bool:
    """Whether a folder holds a model itself."""
    return (folder / "images.bin").exists() or (folder / "images.txt").exists()


def read_colmap(folder: Path) -> Model:
    """The model in a folder, binary if it is there in both forms. Raises InputError."""
    kind = ".bin" if (folder / "images.bin").exists() else ".txt"
    files = [folder / f"{name}{kind}" for name in ("cameras", "images", "points3D")]
    if not files[0].exists():
        raise InputError(f"{files[0]}: no such file", "a COLMAP model has cameras, images and points3D files")
    readers = (
        (_binary_lenses, _binary_shots, _binary_points) if kind == ".bin" else (_text_lenses, _text_shots, _text_points)
    )
    try:
        lenses = readers[0](files[0])
        shots = sorted(readers[1](files[1]), key=lambda s: s.id)
        points = readers[2](files[2]) if files[2].exists() else {}
        found = []
        for shot in shots:
            lens = lenses[shot.camera_id]
            matrix, bend = lens.parts()
            found.append((Camera(shot.name, lens.width, lens.height, matrix, _pose(shot)), bend))
        values = np.array(list(points.values()), np.float64).reshape(-1, 7)
    except (struct.error, ValueError, KeyError, IndexError, OverflowError, OSError) as error:
        raise InputError(f"{folder}: the COLMAP model is damaged ({error!r})", "export it again") from error
    cloud = PointCloud(values[:, :3], colours=(values[:, 3:6] / 255).astype(np.float32))
    return check_model(folder, found, cloud, _sightings(shots, points), values[:, 6])


def _sightings(shots: list[_Shot], points: dict[int, tuple[float, ...]]) -> Sightings:
    order = {key: i for i, key in enumerate(points)}
    counts = [len(s.point_ids) for s in shots]
    ids = [order.get(p, -1) for s in shots for p in s.point_ids.tolist()]
    pixels = np.concatenate([np.zeros((0, 2)), *(s.pixels for s in shots)])
    return Sightings(np.array(ids, np.int32), np.repeat(np.arange(len(shots)), counts).astype(np.int32), pixels)


def _pose(shot: _Shot) -> NDArray[np.float64]:
    from scipy.spatial.transform import Rotation

    pose = np.eye(4)
    pose[:3, :3] = Rotation.from_quat(shot.quaternion, scalar_first=True).as_matrix()
    pose[:3, 3] = shot.translation
    return pose


class _Bytes:
    """Reads little-endian values in turn; a count is believed only where the file is long enough for it."""

    def __init__(self, path: Path):
        self.path, self.raw, self.at = path, path.read_bytes(), 0

    def take(self, layout: str) -> tuple[Any, ...]:
        values = struct.unpack_from("<" + layout, self.raw, self.at)
        self.at += struct.calcsize("<" + layout)
        return values

    def count(self, least: int) -> int:
        """A count of records of at least ``least`` bytes."""
        (number,) = self.take("Q")
        if number * least > len(self.raw) - self.at:
            raise ValueError(f"{self.path.name} ends too early")
        return int(number)

    def text(self) -> str:
        end = self.raw.index(b"\0", self.at)
        text, self.at = self.raw[self.at : end].decode("utf-8"), end + 1
        return text

    def array(self, dtype: np.dtype[Any], number: int) -> NDArray[Any]:
        values = np.frombuffer(self.raw, dtype, number, self.at)
        self.at += values.nbytes
        return values

    def finish(self) -> None:
        if self.at != len(self.raw):
            raise ValueError(f"{self.path.name} has {len(self.raw) - self.at} bytes too many")


def _binary_lenses(path: Path) -> dict[int, _Lens]:
    data, lenses = _Bytes(path), {}
    for _ in range(data.count(24)):
        key, model, width, height = data.take("iiQQ")
        if model not in _BY_NUMBER:
            raise _unknown_model(path, f"number {model}")
        name = _BY_NUMBER[model]
        lenses[key] = _Lens(name, width, height, data.take(f"{_KINDS[name].count}d"))
    data.finish()
    return lenses


def _binary_shots(path: Path) -> list[_Shot]:
    data, shots = _Bytes(path), []
    for _ in range(data.count(73)):
        key, *numbers, camera = data.take("i7di")
        name = data.text()
        seen = data.array(_OBSERVATION, data.count(_OBSERVATION.itemsize))
        pixels = np.stack([seen["x"], seen["y"]], axis=1)
        shots.append(_Shot(key, camera, name, tuple(numbers[:4]), tuple(numbers[4:]), pixels, seen["point"]))
    data.finish()
    return shots


def _binary_points(path: Path) -> dict[int, tuple[float, ...]]:
    data, points = _Bytes(path), {}
    for _ in range(data.count(51)):
        key, *numbers = data.take("Q3d3Bd")
        data.array(_TRACK_ELEMENT, data.count(_TRACK_ELEMENT.itemsize))
        points[key] = tuple(numbers)
    data.finish()
    return points


def _unknown_model(path: Path, what: str) -> InputError:
    return InputError(f"{path}: camera model {what} is not supported", f"use one of {', '.join(_KINDS)}")


def _lines(path: Path) -> Iterator[list[str]]:
    for line in path.read_text(encoding="utf-8").splitlines():
        if not line.startswith("#"):
            yield line.split()


def _text_lenses(path: Path) -> dict[int, _Lens]:
    lenses = {}
    for words in _lines(path):
        if not words:
            continue
        if words[1] not in _KINDS:
            raise _unknown_model(path, words[1])
        params = tuple(float(w) for w in words[4:])
        if len(params) != _KINDS[words[1]].count:
            raise ValueError(f"{words[1]} with {len(params)} parameters")
        lenses[int(words[0])] = _Lens(words[1], int(words[2]), int(words[3]), params)
    return lenses


def _text_shots(path: Path) -> list[_Shot]:
    lines = list(_lines(path))
    shots = []
    for words, seen in zip(lines[::2], [*lines[1::2], []]):  # every second line lists observations and may be empty
        if not words:
            continue
        numbers = [float(w) for w in words[1:8]]
        ids = [int(w) % (1 << 64) for w in seen[2::3]]  # -1 is no point
        pixels = np.array([seen[0::3][: len(ids)], seen[1::3][: len(ids)]], np.float64).reshape(2, -1).T
        shots.append(
            _Shot(
                *(int(words[0]), int(words[8]), " ".join(words[9:])),
                *(tuple(numbers[:4]), tuple(numbers[4:])),
                *(pixels, np.array(ids, np.uint64)),
            )
        )
    return shots


def _text_points(path: Path) -> dict[int, tuple[float, ...]]:
    return {int(w[0]): tuple(float(v) for v in [*w[1:8], "-1"][:7]) for w in _lines(path) if w}


# ---------------------------------------------------------------- writing


def write_colmap(model: Model, folder: Path, text: bool = False) -> None:
    """Write cameras, images and points3D into a folder that is there. Equal cameras are written once; errors that are
    not known are -1, colours that are not known a middle grey."""
    from scipy.spatial.transform import Rotation

    lenses = [(c.width, c.height, *lens_of(c, b)) for c, b in zip(model.cameras, model.lenses)]
    numbers = {lens: i + 1 for i, lens in enumerate(dict.fromkeys(lenses))}
    seen, pixels = model.sightings, model.pixels
    order = np.argsort(seen.view, kind="stable")
    starts = np.searchsorted(seen.view[order], np.arange(len(model.cameras) + 1))
    rows = [order[a:b] for a, b in pairwise(starts)]
    place = np.zeros(len(seen), np.int64)  # of each observation in its image
    for mine in rows:
        place[mine] = np.arange(len(mine))
    shots = [
        _Shot(
            *(i + 1, numbers[lens], camera.name),
            tuple(Rotation.from_matrix(camera.rotation).as_quat(canonical=True, scalar_first=True).tolist()),
            tuple(camera.translation.tolist()),
            pixels[mine],
            np.where(seen.point[mine] < 0, -1, seen.point[mine].astype(np.int64) + 1).view(np.uint64),  # -1: no point
        )
        for i, (camera, lens, mine) in enumerate(zip(model.cameras, lenses, rows))
    ]
    write = _write_text if text else _write_binary
    write(folder, {i: _Lens(*lens[2:3], *lens[:2], lens[3]) for lens, i in numbers.items()}, shots, model, place)


def _tracks(model: Model, place: NDArray[np.int64]) -> list[NDArray[Any]]:
    """Of each point, where it was seen, by picture."""
    seen = model.sightings
    mine = np.flatnonzero(seen.point >= 0)
    mine = mine[np.lexsort((place[mine], seen.view[mine], seen.point[mine]))]
    elements = np.zeros(len(mine), _TRACK_ELEMENT)
    elements["image"], elements["observation"] = seen.view[mine] + 1, place[mine]
    ends = np.searchsorted(seen.point[mine], np.arange(len(model.points) + 1))
    return [elements[a:b] for a, b in pairwise(ends)]


def _points(model: Model) -> tuple[NDArray[np.uint8], NDArray[np.float64]]:
    """Colours and errors."""
    cloud = model.points
    grey = np.full((len(cloud), 3), 0.5, np.float32)
    colours = np.clip((grey if cloud.colours is None else cloud.colours) * 255 + 0.5, 0, 255).astype(np.uint8)
    return colours, np.full(len(cloud), -1.0) if model.errors is None else model.errors


def _write_binary(
    folder: Path, lenses: dict[int, _Lens], shots: list[_Shot], model: Model, place: NDArray[np.int64]
) -> None:
    records = [
        struct.pack(f"<iiQQ{len(v.params)}d", i, _KINDS[v.model].number, v.width, v.height, *v.params)
        for i, v in lenses.items()
    ]
    (folder / "cameras.bin").write_bytes(struct.pack("<Q", len(records)) + b"".join(records))
    records = []
    for shot in shots:
        seen = np.zeros(len(shot.point_ids), _OBSERVATION)
        seen["x"], seen["y"], seen["point"] = shot.pixels[:, 0], shot.pixels[:, 1], shot.point_ids
        records.append(struct.pack("<i7di", shot.id, *shot.quaternion, *shot.translation, shot.camera_id))
        records += [shot.name.encode() + b"\0", struct.pack("<Q", len(seen)), seen.tobytes()]
    (folder / "images.bin").write_bytes(struct.pack("<Q", len(shots)) + b"".join(records))
    colours, errors = _points(model)
    records = [struct.pack("<Q", len(model.points))]
    for i, (xyz, rgb, error, track) in enumerate(zip(model.points.points, colours, errors, _tracks(model, place))):
        records.append(struct.pack("<Q3d3BdQ", i + 1, *xyz, *rgb, error, len(track)))
        records.append(track.tobytes())
    (folder / "points3D.bin").write_bytes(b"".join(records))


def _write_text(
    folder: Path, lenses: dict[int, _Lens], shots: list[_Shot], model: Model, place: NDArray[np.int64]
) -> None:
    lines = ["# CAMERA_ID, MODEL, WIDTH, HEIGHT, PARAMS[]"]
    lines += [f"{i} {v.model} {v.width} {v.height} {_numbers(v.params)}" for i, v in lenses.items()]
    _save_lines(folder / "cameras.txt", lines)
    lines = ["# IMAGE_ID, QW, QX, QY, QZ, TX, TY, TZ, CAMERA_ID, NAME", "# POINTS2D[] as (X, Y, POINT3D_ID)"]
    for shot in shots:
        pose = _numbers((*shot.quaternion, *shot.translation))
        lines.append(f"{shot.id} {pose} {shot.camera_id} {shot.name}")
        ids = shot.point_ids.astype(np.int64).tolist()  # no point becomes -1
        lines.append(" ".join(f"{x!r} {y!r} {p}" for (x, y), p in zip(shot.pixels.tolist(), ids)))
    _save_lines(folder / "images.txt", lines)
    lines = ["# POINT3D_ID, X, Y, Z, R, G, B, ERROR, TRACK[] as (IMAGE_ID, POINT2D_IDX)"]
    colours, errors = _points(model)
    rows = zip(model.points.points.tolist(), colours.tolist(), errors.tolist(), _tracks(model, place))
    for i, (xyz, rgb, error, track) in enumerate(rows):
        seen = " ".join(f"{image} {observation}" for image, observation in track.tolist())
        lines.append(f"{i + 1} {_numbers(xyz)} {rgb[0]} {rgb[1]} {rgb[2]} {error!r} {seen}".rstrip())
    _save_lines(folder / "points3D.txt", lines)


def _numbers(values: Any) -> str:
    """Every digit that a float64 has."""
    return " ".join(repr(float(v)) for v in values)


def _save_lines(path: Path, lines: list[str]) -> None:
    path.write_text("\n".join(lines) + "\n", encoding="utf-8", newline="\n")

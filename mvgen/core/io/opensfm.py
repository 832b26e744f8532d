"""OpenSfM's reconstruction.json with its tracks.csv, both ways.

Cameras look as ours do (x right, y down, z forward; world to camera), rotations are axis times angle. Intrinsics and
places in pictures are normalised: measured from the middle of the picture, in units of its longer side s, so that
ours are fx = s focal, cx = w / 2 + s c_x. (OpenSfM counts pixel centres from 0, which moves its middle by half a
pixel as well.) Source: https://opensfm.org/docs/geometry.html and https://opensfm.org/docs/dataset.html.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mvgen.core.camera import Camera
from mvgen.core.errors import CannotError, InputError
from mvgen.core.geometry import PointCloud
from mvgen.core.io.companions import Warn, ignore, shown
from mvgen.core.io.model import Lens, Model, Sightings, check_model, intrinsics, lens

TRACKS = "tracks.csv"
_VERSION = "OPENSFM_TRACKS_VERSION_v"
_LENSES = {  # projection type: kind of lens, its values, whether it says focal lengths and principal point apart
    "perspective": ("perspective", ("k1", "k2"), False),
    "simple_radial": ("perspective", ("k1",), True),
    "radial": ("perspective", ("k1", "k2"), True),
    "brown": ("perspective", ("k1", "k2", "k3", "p1", "p2"), True),
    "fisheye": ("fisheye", ("k1", "k2"), False),
    "fisheye_opencv": ("fisheye", ("k1", "k2", "k3", "k4"), True),
}
_WRITTEN = ("perspective", "brown", "fisheye", "fisheye_opencv")  # the first that holds a camera is written


def is_opensfm(data: Any) -> bool:
    """Whether parsed JSON is a list of reconstructions."""
    return isinstance(data, list) and bool(data) and all(isinstance(r, dict) and "shots" in r for r in data)


def read_opensfm(data: list[dict[str, Any]], path: Path, warn: Warn = ignore) -> Model:
    """The reconstruction with the most pictures. Raises InputError, and what malformed data leads to."""
    from scipy.spatial.transform import Rotation

    best = max(data, key=lambda r: len(r["shots"]))
    if len(data) > 1:
        warn(f"{path}: holds {len(data)} reconstructions; the largest is taken, {len(data) - 1} are left out")
    cameras = {str(key): _camera(camera, path, str(key)) for key, camera in best["cameras"].items()}
    found = []
    for name, shot in best["shots"].items():
        width, height, matrix, bend = cameras[str(shot["camera"])]
        pose = np.eye(4)
        pose[:3, :3] = Rotation.from_rotvec(np.array(shot["rotation"], np.float64)).as_matrix()
        pose[:3, 3] = np.array(shot["translation"], np.float64)
        found.append((Camera(str(name), width, height, matrix, pose), bend))
    entries = best.get("points", {})
    table = np.array([[*p["coordinates"], *p["color"]] for p in entries.values()], np.float64).reshape(-1, 6)
    cloud = PointCloud(table[:, :3], colours=np.clip(table[:, 3:] / 255, 0, 1).astype(np.float32))
    sightings = _tracks(path, list(map(str, entries)), [c for c, _ in found], warn)
    return check_model(path, found, cloud, sightings)


def _camera(data: dict[str, Any], path: Path, key: str) -> tuple[int, int, NDArray[np.float64], Lens]:
    kind = str(data["projection_type"])
    if kind not in _LENSES:
        raise InputError(
            f"{path}: camera {shown(key)} is {shown(kind)}, which is not supported", f"use one of {', '.join(_LENSES)}"
        )
    width, height = int(data["width"]), int(data["height"])
    size = max(width, height)
    fx = float(data.get("focal_x", data.get("focal", 0))) * size
    fy = float(data.get("focal_y", data.get("focal", 0))) * size
    cx, cy = float(data.get("c_x", 0)) * size + width / 2, float(data.get("c_y", 0)) * size + height / 2
    name, values, _ = _LENSES[kind]
    bend = lens(name, **{v: float(data.get(v, 0)) for v in values})
    return width, height, intrinsics(fx, fy, cx, cy), bend


def _tracks(path: Path, keys: list[str], cameras: list[Camera], warn: Warn) -> Sightings:
    file = path.with_name(TRACKS)
    if not file.is_file():
        warn(f"{path}: has no {TRACKS} beside it, so that which pictures saw which points is not known")
        return Sightings()
    views, order = {c.name: i for i, c in enumerate(cameras)}, {key: i for i, key in enumerate(keys)}
    lines = file.read_text(encoding="utf-8").splitlines()
    headed = bool(lines) and lines[0].startswith(_VERSION)
    rows = []
    try:
        for line in lines[headed:]:
            words = line.split("\t")
            if words[0] in views and words[1] in order:
                rows.append((order[words[1]], views[words[0]], float(words[3]), float(words[4])))
    except (ValueError, IndexError) as error:
        raise InputError(f"{file}: a line makes no sense ({error})", "export the tracks again") from error
    table = np.array(sorted(rows, key=lambda r: r[1]), np.float64).reshape(-1, 4)
    view = table[:, 1].astype(np.int32)
    sizes = np.array([[c.width, c.height] for c in cameras], np.float64)
    pixel = table[:, 2:] * sizes.max(1)[view, None] + sizes[view] / 2
    return Sightings(table[:, 0].astype(np.int32), view, pixel)


def write_opensfm(model: Model, path: Path) -> None:
    """Write the reconstruction, and its tracks beside it. Raises CannotError for lenses that it cannot hold."""
    from scipy.spatial.transform import Rotation

    written = [_record(c, b) for c, b in zip(model.cameras, model.lenses)]
    keys = {text: f"camera {i}" for i, text in enumerate(dict.fromkeys(json.dumps(w) for w in written))}
    shots = {}
    for camera, record in zip(model.cameras, written):
        shots[camera.name] = {
            "rotation": Rotation.from_matrix(camera.rotation).as_rotvec().tolist(),
            "translation": camera.translation.tolist(),
            "camera": keys[json.dumps(record)],
            "orientation": 1,
        }
    cloud = model.points
    colours = np.full((len(cloud), 3), 0.5) if cloud.colours is None else cloud.colours.astype(np.float64)
    eight = np.round(colours * 255, 3).tolist()
    points = {
        str(i): {"color": rgb, "coordinates": xyz} for i, (rgb, xyz) in enumerate(zip(eight, cloud.points.tolist()))
    }
    cameras = {key: json.loads(text) for text, key in keys.items()}
    data = [{"cameras": cameras, "shots": shots, "points": points}]
    path.write_text(json.dumps(data, indent=1, ensure_ascii=False) + "\n", encoding="utf-8", newline="\n")
    if len(model.sightings):
        path.with_name(TRACKS).write_text(_track_text(model, np.array(eight)), encoding="utf-8", newline="\n")


def _record(camera: Camera, bend: Lens) -> dict[str, Any]:
    """A camera as JSON."""
    size = max(camera.width, camera.height)
    k = camera.intrinsics
    plain = k[0, 0] == k[1, 1] and k[0, 2] == camera.width / 2 and k[1, 2] == camera.height / 2
    for name in _WRITTEN:
        kind, values, apart = _LENSES[name]
        if kind == bend.kind and bend.only(*values) and (apart or plain):
            out: dict[str, Any] = {"projection_type": name, "width": camera.width, "height": camera.height}
            if apart:
                out |= {"focal_x": k[0, 0] / size, "focal_y": k[1, 1] / size}
                out |= {"c_x": (k[0, 2] - camera.width / 2) / size, "c_y": (k[1, 2] - camera.height / 2) / size}
            else:
                out["focal"] = k[0, 0] / size
            return out | {v: bend.value(v) for v in values}
    raise CannotError(f"OpenSfM cannot hold the {bend.kind} lens of {camera.name}", "write a COLMAP model")


def _track_text(model: Model, eight: NDArray[np.float64]) -> str:
    seen = model.sightings
    sizes = np.array([[c.width, c.height] for c in model.cameras], np.float64)
    places = (model.pixels - sizes[seen.view] / 2) / sizes.max(1)[seen.view, None]
    lines = [f"{_VERSION}2"]
    feature: dict[int, int] = {}
    for point, view, (x, y) in zip(seen.point.tolist(), seen.view.tolist(), places.tolist()):
        number = feature.setdefault(view, 0)
        feature[view] += 1
        if point >= 0:
            r, g, b = (round(v) for v in eight[point])
            name = model.cameras[view].name
            lines.append(f"{name}\t{point}\t{number}\t{x!r}\t{y!r}\t0\t{r}\t{g}\t{b}\t-1\t-1")
    return "\n".join(lines) + "\n"

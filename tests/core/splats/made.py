"""Splats made up for tests, and files of the formats that mvgen reads but does not write."""

from __future__ import annotations

import io
import json
import struct
import zipfile

import numpy as np
from PIL import Image

from mvgen.core.splats.harmonics import count
from mvgen.core.splats.model import Splats


def splats(number: int = 40, degree: int = 3, seed: int = 0, size: float = 1.0) -> Splats:
    """In the frame "rdf", with numbers that every format can hold."""
    rng = np.random.default_rng(seed)
    turns = rng.normal(size=(number, 4))
    harmonics = rng.uniform(-0.6, 0.6, (number, count(degree), 3))
    return Splats(
        rng.normal(size=(number, 3)).astype(np.float32) * np.float32(size),
        (turns / np.linalg.norm(turns, axis=1, keepdims=True)).astype(np.float32),
        rng.uniform(-7, -2, (number, 3)).astype(np.float32),
        rng.uniform(-4, 4, number).astype(np.float32),
        harmonics.astype(np.float32),
    )


def covariances(of: Splats) -> np.ndarray:
    """[N, 3, 3], computed apart from the package, by scipy."""
    from scipy.spatial.transform import Rotation

    turn = Rotation.from_quat(of.quaternions.astype(np.float64), scalar_first=True).as_matrix()
    return np.einsum("nij,nj,nkj->nik", turn, np.exp(2 * of.log_scales.astype(np.float64)), turn)


def sog(of: Splats, bands: int = 2) -> dict[str, bytes]:
    """The files of a SOG folder: a palette entry for each splat, and codebooks wide enough to tell errors."""
    number, width = len(of), count(bands) - 1
    side = int(np.ceil(number**0.5))
    means = np.sign(of.means) * np.log1p(np.abs(of.means.astype(np.float64)))
    low, high = means.min(0), means.max(0)
    fixed = np.rint((means - low) / (high - low) * 65535).astype(np.int64)
    turn = of.quaternions / np.linalg.norm(of.quaternions, axis=1, keepdims=True)
    largest = np.abs(turn).argmax(1)
    turn = turn * np.where(np.take_along_axis(turn, largest[:, None], 1) < 0, -1, 1)
    three = np.stack([np.delete(q, k) for q, k in zip(turn, largest)])
    quats = np.column_stack([np.rint((three * 2**0.5 + 1) * 127.5), 252 + largest])
    scale_book, colour_book = np.linspace(-10, 0, 256), np.linspace(-4, 4, 256)
    scales = np.rint((of.log_scales + 10) / 10 * 255)
    colour = np.column_stack(
        [np.rint((of.harmonics[:, 0] + 4) / 8 * 255), np.rint(255 / (1 + np.exp(-of.logits.astype(np.float64))))]
    )
    palette = np.zeros((-(-number // 64) * 64, width, 3))
    palette[:number] = np.rint((of.harmonics[:, 1 : 1 + width] + 4) / 8 * 255)
    labels = np.column_stack([np.arange(number) % 256, np.arange(number) // 256, np.zeros(number)])

    def picture(values: np.ndarray, shape: tuple[int, int] | None = None) -> bytes:
        grid = np.full((side * side, 4), 255, np.uint8)
        if shape is None:
            grid[: len(values), : values.shape[1]] = values
            grid = grid.reshape(side, side, 4)
        else:
            grid = values.astype(np.uint8).reshape(*shape, 3)
        out = io.BytesIO()
        Image.fromarray(grid).save(out, "WEBP", lossless=True, exact=True)
        return out.getvalue()

    meta = {
        "version": 2,
        "count": number,
        "means": {"mins": low.tolist(), "maxs": high.tolist(), "files": ["means_l.webp", "means_u.webp"]},
        "scales": {"codebook": scale_book.tolist(), "files": ["scales.webp"]},
        "quats": {"files": ["quats.webp"]},
        "sh0": {"codebook": colour_book.tolist(), "files": ["sh0.webp"]},
    }
    files = {
        "means_l.webp": picture(fixed & 255),
        "means_u.webp": picture(fixed >> 8),
        "scales.webp": picture(scales),
        "quats.webp": picture(quats),
        "sh0.webp": picture(colour),
    }
    if bands:
        names = ["shN_centroids.webp", "shN_labels.webp"]
        meta["shN"] = {"count": number, "bands": bands, "codebook": colour_book.tolist(), "files": names}
        files[names[0]] = picture(palette, (len(palette) // 64, 64 * width))
        files[names[1]] = picture(labels)
    return {"meta.json": json.dumps(meta).encode(), **files}


def zipped(files: dict[str, bytes]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return out.getvalue()


def ksplat(of: Splats, level: int = 1, full: int = 3, size: int = 8) -> bytes:
    """One section: ``full`` buckets of ``size`` splats, the rest in a partial one."""
    number, degree = len(of), of.degree
    real, centre, rest = [("<f4", "<f4", "<f4"), ("<f2", "<u2", "<f2"), ("<f2", "<u2", "u1")][level]
    record = np.dtype(
        [
            *(("mean", centre, 3), ("scale", real, 3), ("turn", real, 4), ("colour", "u1", 4)),
            ("rest", rest, (3 * (count(degree) - 1),)),
        ]
    )
    table = np.zeros(number, record)
    table["scale"], table["turn"] = np.exp(of.log_scales), of.quaternions
    table["colour"][:, :3] = np.rint(255 * np.clip(0.5 + 0.28209479177387814 * of.harmonics[:, 0], 0, 1))
    table["colour"][:, 3] = np.rint(255 / (1 + np.exp(-of.logits)))
    bands = [of.harmonics[:, b * b : (b + 1) ** 2].transpose(0, 2, 1).reshape(number, -1) for b in range(1, degree + 1)]
    if bands:
        values = np.concatenate(bands, axis=1)
        table["rest"] = np.rint((values + 1.5) / 3 * 255) if level == 2 else values
    buckets = np.minimum(np.arange(number) // size, full) if level else np.zeros(number, int)
    centres = np.stack([of.means[buckets == b].mean(0) for b in range(buckets.max() + 1)]).astype("<f4")
    block = 16.0
    offset = of.means - centres[buckets]
    table["mean"] = np.rint(offset / (block / 2 / 32767)) + 32767 if level else of.means
    partial = number - full * size if level else 0
    lead = (struct.pack("<I", partial) if level else b"") + (centres.tobytes() if level else b"")
    head = bytearray(4096)
    struct.pack_into("<BB2x4IH", head, 0, 0, 1, 1, 1, number, number, level)
    section = bytearray(1024)
    struct.pack_into("<4IfH", section, 0, number, number, size, len(centres) if level else 0, block, 12)
    struct.pack_into("<IIIIH", section, 24, 32767 if level else 1, 0, full if level else 0, 1 if level else 0, degree)
    return bytes(head) + bytes(section) + lead + table.tobytes()


def gltf(of: Splats, matrix: np.ndarray | None = None, draft: bool = False) -> bytes:
    """A GLB file with KHR_gaussian_splatting, of splats in the frame "rub"."""
    prefix = "KHR_gaussian_splatting:"
    columns = {
        "POSITION": of.means,
        prefix + "ROTATION": np.roll(of.quaternions, -1, axis=1),
        prefix + "SCALE": of.log_scales if draft else np.exp(of.log_scales),
        prefix + "OPACITY": 1 / (1 + np.exp(-of.logits.astype(np.float64)))[:, None],
    }
    for band in range(of.degree + 1):
        for i in range(2 * band + 1):
            columns[f"{prefix}SH_DEGREE_{band}_COEF_{i}"] = of.harmonics[:, band * band + i]
    kinds = {1: "SCALAR", 3: "VEC3", 4: "VEC4"}
    accessors, views, blob = [], [], b""
    for values in columns.values():
        views.append({"buffer": 0, "byteOffset": len(blob), "byteLength": 4 * values.size})
        accessors.append(
            {"bufferView": len(views) - 1, "componentType": 5126, "count": len(of), "type": kinds[values.shape[1]]}
        )
        blob += values.astype("<f4").tobytes()
    extension = {"kernel": "ellipse", "colorSpace": "srgb_rec709_display"}
    primitive = {
        "attributes": {key: i for i, key in enumerate(columns)},
        "mode": 0,
        "extensions": {"KHR_gaussian_splatting": extension},
    }
    node = {"mesh": 0} | ({} if matrix is None else {"matrix": matrix.T.reshape(-1).tolist()})
    tree = {
        "asset": {"version": "2.0"},
        "extensionsUsed": ["KHR_gaussian_splatting"],
        **{"scenes": [{"nodes": [0]}], "nodes": [node], "meshes": [{"primitives": [primitive]}]},
        **{"accessors": accessors, "bufferViews": views, "buffers": [{"byteLength": len(blob)}]},
    }
    text = json.dumps(tree).encode()
    text += b" " * (-len(text) % 4)
    head = struct.pack("<4sIIII", b"glTF", 2, 28 + len(text) + len(blob), len(text), 0x4E4F534A)
    return head + text + struct.pack("<II", len(blob), 0x004E4942) + blob


def gsgen(of: Splats, whole: bool = True) -> bytes:
    """A checkpoint as gsgen writes it, of splats in the frame "rfu"; colours are taken as their logits."""
    import torch

    inner = {
        "cfg": {"type": "gaussian"},
        "mean": torch.from_numpy(of.means.copy()),
        "qvec": torch.from_numpy(3 * of.quaternions),
        "svec": torch.from_numpy(of.log_scales.copy()),
        "color": torch.from_numpy(of.harmonics[:, 0].copy()),
        "alpha": torch.from_numpy(of.logits.copy()),
    }
    out = io.BytesIO()
    torch.save({"params": inner, "cfg": {"prompt": {"prompt": "a bear"}}, "step": 3} if whole else inner, out)
    return out.getvalue()


def spz(of: Splats, version: int, degree: int = 0) -> bytes:
    """Unpacked SPZ of version 1 or 2, of splats in the frame "rub", written number by number."""
    assert version in (1, 2)
    out = struct.pack("<4sIIBBBB", b"NGSP", version, len(of), degree, 12, 0, 0)
    if version == 1:
        out += of.means.astype("<f2").tobytes()
    else:
        out += b"".join(round(float(v) * 4096).to_bytes(3, "little", signed=True) for v in of.means.reshape(-1))
    out += bytes(round(255 / (1 + np.exp(-float(v)))) for v in of.logits)
    out += bytes(round(min(max(255 * (0.15 * float(v) + 0.5), 0), 255)) for v in of.harmonics[:, 0].reshape(-1))
    out += bytes(round((float(v) + 10) * 16) for v in of.log_scales.reshape(-1))
    for q in of.quaternions:
        q = q if q[0] >= 0 else -q
        out += bytes(round((float(v) + 1) * 127.5) for v in q[1:])
    rest = of.harmonics[:, 1 : count(degree)].reshape(-1)
    return out + bytes(round(min(max(float(v) * 128 + 128, 0), 255)) for v in rest)

"""Formats told by content."""

from __future__ import annotations

import gzip
import io
import struct
import zipfile

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from mvgen.core.io.sniff import HEAD, sniff


def _picture(kind: str) -> bytes:
    stream = io.BytesIO()
    Image.new("RGB", (4, 4)).save(stream, kind)
    return stream.getvalue()


def _npz() -> bytes:
    stream = io.BytesIO()
    np.savez_compressed(stream, depth=np.zeros(3))
    return stream.getvalue()


def _npy() -> bytes:
    stream = io.BytesIO()
    np.save(stream, np.zeros(3))
    return stream.getvalue()


def _zip() -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr("readme.txt", "hello")
    return stream.getvalue()


def _torch() -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr("archive/data.pkl", b"...")
    return stream.getvalue()


def _sog() -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr("meta.json", "{}")
    return stream.getvalue()


SAMPLES = [
    (b"glTF" + struct.pack("<II", 2, 12), ".glb"),
    (b'{"scenes": [], "asset": {"version": "2.0"}}', ".gltf"),
    (b'{"frames": []}', ".json"),
    (b"ply\nformat ascii 1.0\n", ".ply"),
    (b"ply\r\nformat ascii 1.0\r\n", ".ply"),
    (b"# made by hand\n\nmtllib a.mtl\nv 0 0 0\n", ".obj"),
    (b"v -1.0 .5 2\n", ".obj"),
    (b"\xef\xbb\xbfo cube\n", ".obj"),
    (b"solid cube\n facet normal 0 0 1\n", ".stl"),
    (b"solid by a careless exporter".ljust(80, b" ") + struct.pack("<I", 2) + bytes(100), ".stl"),
    (b"OFF\n8 6 0\n", ".off"),
    (_picture("PNG"), ".png"),
    (_picture("JPEG"), ".jpg"),
    (_picture("TIFF"), ".tif"),
    (_picture("WEBP"), ".webp"),
    (_picture("GIF"), ".gif"),
    (_npz(), ".npz"),
    (_npy(), ".npy"),
    (_zip(), ".zip"),
    (_torch(), ".pt"),
    (_sog(), ".sog"),
    (b'{"version": 2, "asset": {}, "means": {}, "quats": {}}', ".sog"),
    (b"NGSP\4\0\0\0", ".spz"),
    (gzip.compress(b"NGSP\3\0\0\0"), ".spz"),
    (gzip.compress(b"something else"), None),
    (b"", None),
    (b"\n\n", None),
    (b"Dear reader,\n", None),
    (b"<html><body>Not found", None),
    (b"volume 3\n", None),
    (b"\x7fELF", None),
]


@pytest.mark.parametrize(("content", "extension"), SAMPLES, ids=lambda v: repr(v[:4]) if isinstance(v, bytes) else v)
def test_formats_are_told_apart(content: bytes, extension: str | None) -> None:
    assert sniff(content[:HEAD], len(content)) == extension


@given(st.binary(max_size=200))
def test_any_bytes_are_survived(content: bytes) -> None:
    extension = sniff(content, len(content))
    assert extension is None or extension.startswith(".")

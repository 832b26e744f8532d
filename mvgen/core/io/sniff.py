"""Tell a file's format by its first bytes."""

from __future__ import annotations

import re
import zlib

HEAD = 1 << 16  # bytes that are enough for ``sniff``

_MAGIC = (
    (b"glTF", ".glb"),
    (b"MKS", ".mks"),
    (b"ply\n", ".ply"),
    (b"ply\r", ".ply"),
    (b"\x89PNG\r\n\x1a\n", ".png"),
    (b"\xff\xd8\xff", ".jpg"),
    (b"II*\x00", ".tif"),
    (b"MM\x00*", ".tif"),
    (b"GIF8", ".gif"),
    (b"\x93NUMPY", ".npy"),
    (b"OFF", ".off"),
    (b"COFF", ".off"),
    (b"NOFF", ".off"),
    (b"CNOFF", ".off"),
    (b"STOFF", ".off"),
    (b"# Bundle file", ".out"),
    (b"NGSP", ".spz"),
)
_NUMBER = re.compile(rb"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?")
_OBJ_LINE = re.compile(rb"(v|vn|vt|f|l|p)\s+[-+\d.]|(o|g|s|mtllib|usemtl)\s+\S")


def sniff(head: bytes, size: int) -> str | None:
    """The usual extension (``.glb``) of a file of ``size`` bytes that begins with ``head``, or None if unknown."""
    for magic, extension in _MAGIC:
        if head.startswith(magic):
            return extension
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return ".webp"
    if head[:4] == b"PK\x03\x04":
        return _sniff_zip(head)
    if head[:2] == b"\x1f\x8b" and _unpacks_to(head, b"NGSP"):
        return ".spz"
    if _is_binary_stl(head, size):
        return ".stl"
    return _sniff_text(head)


def _sniff_zip(head: bytes) -> str:
    length = int.from_bytes(head[26:28], "little")
    first = head[30 : 30 + length]
    if first.endswith(b".npy"):
        return ".npz"
    if first.endswith(b"/data.pkl"):
        return ".pt"
    if first.endswith((b"meta.json", b".webp")):
        return ".sog"
    return ".3mf" if b"3D/" in head else ".zip"


def _unpacks_to(head: bytes, start: bytes) -> bool:
    """Whether the beginning of a gzip stream unpacks to these bytes."""
    try:
        return zlib.decompressobj(31).decompress(head, len(start)) == start
    except zlib.error:
        return False


def _is_binary_stl(head: bytes, size: int) -> bool:
    return len(head) >= 84 and size == 84 + 50 * int.from_bytes(head[80:84], "little")


def _sniff_text(head: bytes) -> str | None:
    text = head.lstrip(b"\xef\xbb\xbf \t\r\n")
    if text.startswith(b"{"):
        if b'"means"' in text and b'"quats"' in text:
            return ".sog"
        return ".gltf" if b'"asset"' in text else ".json"
    if text.startswith(b"solid") and b"facet" in text:
        return ".stl"
    if text.startswith(b"["):
        return ".json"
    for line in text.splitlines():
        if line.strip() and not line.startswith(b"#"):
            return ".obj" if _OBJ_LINE.match(line.strip()) else ".xyz" if _is_row(line) else None
    return None


def _is_row(line: bytes) -> bool:
    """Whether a line is that of a point in text: 3, 6 or 9 numbers."""
    words = line.split()
    return len(words) in (3, 6, 9) and all(_NUMBER.fullmatch(word) for word in words)

"""From the bytes of an `.mks` file to the mesh."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mvgen.core.compress.codec import codec_of
from mvgen.core.compress.container import Head, Packed, unpack
from mvgen.core.errors import InputError
from mvgen.core.geometry import Mesh

if TYPE_CHECKING:
    from mvgen.core.keyspheres.place import Place

_AGAIN = "copy or download the file again"


def read_mks(data: bytes, name: str) -> Mesh:
    """The mesh in a file, in its own units. Raises InputError, naming the file ``name``."""
    return decoded(unpack(data, name), name)


def decoded(packed: Packed, name: str, resolution: int | None = None) -> Mesh:
    """The mesh of an unpacked file. Raises InputError, naming the file ``name``.

    resolution: nodes of a field's grid, in place of the file's; other codecs have none and pass it over.
    """
    head = packed.head
    codec = codec_of(head.codec)
    if codec is None:
        raise InputError(f"{name}: needs a codec that this version does not have (number {head.codec})", "update mvgen")
    if (packed.colours is not None) != (head.colours and codec.field) or (packed.trim is not None and not codec.field):
        raise InputError(f"{name}: does not hold what its head says", _AGAIN)
    own = not codec.field or resolution in (None, head.resolution)
    try:
        mesh = codec.load().decode(packed.payload) if own else codec.load_field().decode(packed.payload, resolution)
        if packed.colours is not None or packed.trim is not None:
            mesh = _completed(mesh, codec.load_field().place_of(packed.payload), packed)
    except InputError as error:
        raise InputError(f"{name}: {error.message}", error.hint) from error
    if own:
        _check(mesh, head, name)
    return mesh.moved(head.frame.world_from_frame)


def _completed(mesh: Mesh, place: Place, packed: Packed) -> Mesh:
    """A field's surface with its holes cut out, and with its colours. Raises InputError."""
    from mvgen.core.keyspheres.colours import coloured
    from mvgen.core.keyspheres.trim import trimmed

    mesh = mesh if packed.trim is None else trimmed(mesh, place, packed.trim)
    return mesh if packed.colours is None else coloured(mesh, place, packed.colours)


def codec_name(head: Head) -> str:
    codec = codec_of(head.codec)
    return f"unknown ({head.codec})" if codec is None else codec.name


def _check(mesh: Mesh, head: Head, name: str) -> None:
    found = len(mesh.vertices), len(mesh.faces), mesh.colours is not None
    if found != (head.vertices, head.faces, head.colours):
        raise InputError(f"{name}: does not hold what its head says", _AGAIN)

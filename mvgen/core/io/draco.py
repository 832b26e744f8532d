"""Draco-compressed geometry of glTF files, decoded by the optional package DracoPy (the extra ``draco``)."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mvgen.core.errors import InputError
from mvgen.core.io.companions import shown


def is_there() -> bool:
    """Whether the decoder is installed."""
    return find_spec("DracoPy") is not None


def need(name: str) -> None:
    """Raises InputError, naming the file ``name``, where the decoder is not installed."""
    if not is_there():
        raise InputError(
            f"{name}: needs the glTF extension KHR_draco_mesh_compression, whose decoder is not installed",
            "pip install 'mvgen[draco]', or export it again without compression",
        )


def decode(data: bytes, attributes: dict[str, int], name: str) -> dict[str, NDArray[Any]]:
    """The arrays of a primitive: ``indices`` [3 F, 1], and [V, width] of each attribute by the name glTF gives it.

    attributes: each one's number in the Draco data. Raises InputError, naming the file ``name``, without a decoder, and
    for data that is damaged.
    """
    need(name)
    import DracoPy

    try:
        found = DracoPy.decode(data)
        faces = np.asarray(getattr(found, "faces", np.zeros((0, 3))), np.int64).reshape(-1, 1)
        arrays = {int(a["unique_id"]): np.asarray(a["data"]) for a in found.attributes}
    except Exception as error:  # the decoder raises kinds of its own
        raise InputError(
            f"{name}: its Draco data is damaged ({shown(error)})", "export or download it again"
        ) from error
    if any(number not in arrays for number in attributes.values()):
        raise InputError(f"{name}: its Draco data lacks an attribute", "export or download it again")
    columns = {key: arrays[number] for key, number in attributes.items()}
    return {"indices": faces, **{key: a.reshape(len(a), -1) for key, a in columns.items()}}

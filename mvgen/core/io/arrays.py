"""NumPy's files: the arrays of a .npz, or the one of a .npy."""

from __future__ import annotations

import warnings
import zipfile
from collections.abc import Container
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mvgen.core.errors import InputError
from mvgen.core.io.companions import shown


def read_arrays(path: Path, what: str, largest: int, names: Container[str], hint: str) -> dict[str, NDArray[Any]]:
    """Those arrays of a .npz that have one of the names; of a .npy, which the first bytes tell, its one as "array".

    what the file should be, and the hint, are for messages. Raises InputError where it is missing or damaged, or where
    one of its arrays takes more than ``largest`` bytes, which is looked at before memory is taken.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Python's, of what damage makes of NumPy's headers
            return _read(path, what, largest, names)
    except FileNotFoundError as error:
        raise InputError(f"{path}: no such file", "check the name") from error
    except InputError:
        raise
    except Exception as error:  # of archives and of NumPy's headers there are many kinds
        raise InputError(f"{path}: not a readable {what} ({shown(error)})", hint) from error


def _read(path: Path, what: str, largest: int, names: Container[str]) -> dict[str, NDArray[Any]]:
    with path.open("rb") as file:
        single = file.read(6) == b"\x93NUMPY"
    if single:
        values = np.load(path, mmap_mode="r", allow_pickle=False)
        _check(values.nbytes, largest, path, what)
        return {"array": np.array(values)}
    with zipfile.ZipFile(path) as archive:
        _check(max((item.file_size for item in archive.infolist()), default=0), largest, path, what)
    with np.load(path, allow_pickle=False) as data:
        return {name: data[name] for name in data.files if name in names}


def _check(size: int, largest: int, path: Path, what: str) -> None:
    if size > largest + 1024:
        raise InputError(f"{path}: an array of {size:,} bytes is too large for a {what}", f"make the {what} smaller")

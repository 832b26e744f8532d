"""Point maps of all pairs, each photo encoded once, in files that any program can read or write.

``pair_0003_0007.npz`` holds what the network says of the ordered pair (3, 7), photos numbered from 0 in the order of
the input: ``pts3d_i``, ``pts3d_j`` [H, W, 3] and ``conf_i``, ``conf_j`` [H, W], float16 or float32, all in camera i.
"""

from __future__ import annotations

import re
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from mvgen.core.dust3r.align import Prediction
from mvgen.core.dust3r.pairs import Pair
from mvgen.core.errors import CannotError, InputError
from mvgen.core.progress import Progress

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from mvgen.core.dust3r.network import Network

Precision = Literal["auto", "float32", "bfloat16", "float16"]
LARGEST = 65504.0  # float16
MOST_PIXELS = 1 << 24  # of a map that is read
_NAME = re.compile(r"pair_(\d{1,9})_(\d{1,9})\.npz")
_ARRAYS = ("pts3d_i", "pts3d_j", "conf_i", "conf_j")
_FORMAT = "pts3d_i, pts3d_j [H, W, 3] and conf_i, conf_j [H, W] are needed"


def predict_pairs(
    network: Network,
    pictures: Sequence[NDArray[np.float32]],
    pairs: Sequence[Pair],
    folder: Path,
    progress: Progress,
    batch: int = 4,
    precision: Precision = "float32",
) -> None:
    """A file for each ordered pair of pictures [3, H, W] in [-1, 1]; files that are there already stay.

    Pairs whose pictures have the same shapes are decoded together, so many at a time. In half precision the heads
    still compute in float32. Raises CannotError for a precision that the device does not have.
    """
    import torch

    from mvgen.core.dust3r.network import encode

    folder.mkdir(parents=True, exist_ok=True)
    todo = [pair for pair in pairs if not (folder / pair_name(pair)).exists()]
    needed = sorted({k for pair in todo for k in pair})
    progress.stage("predict", len(needed) + len(pairs))
    progress.advance(len(pairs) - len(todo))
    device = network.weights["enc_norm.weight"].device
    half = half_precision(precision, device)
    progress.note(f"network in {str(half or torch.float32).removeprefix('torch.')}")
    with torch.inference_mode(), torch.autocast(device.type, half, enabled=half is not None):
        tokens = {}
        for k in needed:
            tokens[k] = encode(network, torch.from_numpy(pictures[k])[None].to(device))
            progress.advance()
        for together in _batches(todo, pictures, batch):
            _decode_batch(network, tokens, pictures, together, folder)
            progress.advance(len(together))


def half_precision(precision: Precision, device: torch.device) -> torch.dtype | None:
    """The type that attention and layers compute in where that is not float32.

    auto is bfloat16, or float16, on GPUs, and bfloat16 on CPUs that compute with it. Raises CannotError.
    """
    import torch

    on_cpu = device.type == "cpu"
    has_bfloat16 = _cpu_has_bfloat16() if on_cpu else torch.cuda.is_bf16_supported()
    if precision == "auto":
        return torch.bfloat16 if has_bfloat16 else None if on_cpu else torch.float16
    if precision == "float16" and on_cpu:
        raise CannotError("float16: is slower than float32 on a CPU", "use --set dust3r.precision=auto")
    return {"float32": None, "bfloat16": torch.bfloat16, "float16": torch.float16}[precision]


def _cpu_has_bfloat16() -> bool:
    """Whether the CPU has instructions for it; without them it is slower than float32."""
    import torch

    asked = (getattr(torch.cpu, name, None) for name in ("_is_avx512_bf16_supported", "_is_amx_tile_supported"))
    return any(ask is not None and bool(ask()) for ask in asked)


def pair_name(pair: Pair) -> str:
    return f"pair_{pair[0]:04d}_{pair[1]:04d}.npz"


def _batches(pairs: Sequence[Pair], pictures: Sequence[NDArray[np.float32]], batch: int) -> Iterator[list[Pair]]:
    """The pairs in groups of equal shapes."""
    groups: dict[tuple[tuple[int, ...], tuple[int, ...]], list[Pair]] = {}
    for i, j in pairs:
        groups.setdefault((pictures[i].shape, pictures[j].shape), []).append((i, j))
    for group in groups.values():
        for first in range(0, len(group), batch):
            yield group[first : first + batch]


def _decode_batch(
    network: Network,
    tokens: dict[int, Tensor],
    pictures: Sequence[NDArray[np.float32]],
    pairs: list[Pair],
    folder: Path,
) -> None:
    import torch

    from mvgen.core.dust3r.config import PATCH
    from mvgen.core.dust3r.network import decode

    first, second = (torch.cat([tokens[pair[side]] for pair in pairs]) for side in (0, 1))
    shapes = (pictures[pairs[0][side]].shape for side in (0, 1))
    one, two = decode(network, first, second, tuple((s[1] // PATCH, s[2] // PATCH) for s in shapes))  # type: ignore[arg-type]
    for k, pair in enumerate(pairs):
        arrays = (one.points[k], two.points[k], one.confidence[k], two.confidence[k])
        save_pair(folder / pair_name(pair), *(a.float().cpu().numpy() for a in arrays))


def save_pair(path: Path, *arrays: NDArray[np.floating]) -> None:
    """Write points_i, points_j, confidence_i, confidence_j in half precision."""
    half = {n: np.clip(a, -LARGEST, LARGEST).astype(np.float16) for n, a in zip(_ARRAYS, arrays)}
    draft = path.with_suffix(".draft.npz")
    np.savez(draft, **half)
    draft.replace(path)


def find_pairs(folder: Path) -> list[tuple[Pair, Path]]:
    """The files of pairs in a folder, by their numbers. Raises InputError where there are none."""
    found = []
    for path in folder.iterdir() if folder.is_dir() else ():
        match = _NAME.fullmatch(path.name)
        if match and int(match[1]) != int(match[2]):
            found.append(((int(match[1]), int(match[2])), path))
    if not found:
        raise InputError(f"{folder}: holds no predictions", "they are named pair_0003_0007.npz")
    return sorted(found)


def load_pair(pair: Pair, path: Path, sizes: tuple[tuple[int, int], tuple[int, int]] | None = None) -> Prediction:
    """Read a file of a pair; sizes: height and width that the two photos' maps should have.

    Raises InputError for what is damaged, has other shapes, or is no numbers.
    """
    arrays = {}
    try:
        with zipfile.ZipFile(path) as archive:
            for name in _ARRAYS:
                with archive.open(f"{name}.npy") as file:
                    _check_header(file, path, name)
        with np.load(path, allow_pickle=False) as data:
            arrays = {name: data[name] for name in _ARRAYS}
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise InputError(f"{path}: is no readable prediction", _FORMAT) from error
    for side, of in (("i", 0), ("j", 1)):
        points, sure = arrays[f"pts3d_{side}"], arrays[f"conf_{side}"]
        wanted = points.shape[:2] if sizes is None else sizes[of]
        if points.shape != (*wanted, 3) or sure.shape != tuple(wanted):
            raise InputError(
                f"{path}: pts3d_{side} is {points.shape} and conf_{side} {sure.shape}, expected {tuple(wanted)}",
                _FORMAT,
            )
    return Prediction(*pair, arrays["pts3d_i"], arrays["conf_i"], arrays["pts3d_j"], arrays["conf_j"])


def _check_header(file: IO[bytes], path: Path, name: str) -> None:
    """Sizes and types are looked at before anything is allocated."""
    from numpy.lib import format as npy_format

    version = npy_format.read_magic(file)
    read = npy_format.read_array_header_1_0 if version == (1, 0) else npy_format.read_array_header_2_0
    shape, _, kind = read(file)
    if kind.kind != "f" or np.prod([float(n) for n in shape]) > 3 * MOST_PIXELS:
        raise InputError(f"{path}: {name} is {kind} of shape {shape}", _FORMAT)

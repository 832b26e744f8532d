"""A network as bytes: as it was published (float32), or with rounded weights and spheres in an adaptive code.

docs/formats/mks.md describes it byte by byte. Every machine reads the same numbers.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from mvgen.core.errors import InputError
from mvgen.core.keyspheres.network import Network
from mvgen.core.keyspheres.samples import Normal
from mvgen.core.keyspheres.spheres import GRID, MOST
from mvgen.kernels.mlp import SINE, offsets_of
from mvgen.kernels.rangecoder import decode_ints, encode_ints

EXACT, ROUNDED = 0, 1  # forms
WIDEST, DEEPEST = 256, 16
MOST_RESOLUTION = 512  # that a file may ask for
PER_OCTAVE = 8  # steps of weights are 2^(e / 8)
_HEAD = struct.Struct("<BHB6bHBBB")  # form, resolution, pieces, box, spheres, layers, widest layer, flags
_LATENT, _TANH = 1, 2
_EIGHTHS = np.array([2.0 ** (k / PER_OCTAVE) for k in range(PER_OCTAVE)]).astype(np.float32)
_BOX = 127  # units of the box
_DAMAGED = "copy or download the file again"


@dataclass(frozen=True, eq=False)
class Packed:
    """network: folded where it is rounded; normal: its frame; box [2, 3]: where its surface is, in its frame, 127ths;
    resolution: nodes along the longest side of the box; pieces: how many the source had, at most 255; exact: whether it
    was kept in float32."""

    network: Network
    normal: Normal
    box: NDArray[np.int64]
    resolution: int
    pieces: int
    exact: bool = False

    @property
    def bounds(self) -> NDArray[np.float64]:
        return self.box / _BOX


def box_of(points: NDArray[np.float64]) -> NDArray[np.int64]:
    """The box [2, 3] of points in the frame of a network, with a margin, in 127ths."""
    margin = 0.02 * float(np.ptp(points, axis=0).max())
    low, high = np.floor((points.min(0) - margin) * _BOX), np.ceil((points.max(0) + margin) * _BOX)
    return np.stack([low, high]).clip(-_BOX, _BOX).astype(np.int64)


def pack_exact(packed: Packed) -> bytes:
    """Everything in float32."""
    network = packed.network
    return _head(packed, EXACT) + network.spheres.astype("<f4").tobytes() + network.theta.astype("<f4").tobytes()


def pack_rounded(packed: Packed, integers: NDArray[np.int64], exponents: NDArray[np.int64]) -> bytes:
    """integers [P]: the weights in steps of their rows; exponents [R]: of the steps, see `steps_of`. The network's
    spheres must be rounded (`rounded_spheres`)."""
    network = packed.network
    first = int(exponents[0])
    exponents_code = encode_ints(np.diff(exponents, prepend=first))
    weights_code = encode_ints(integers, _contexts(network.sizes))
    spheres_code = _pack_spheres(network.spheres)
    sizes = struct.pack("<hHH", first, len(exponents_code), len(spheres_code))
    return _head(packed, ROUNDED) + sizes + exponents_code + spheres_code + weights_code


def with_pieces(payload: bytes, pieces: int) -> bytes:
    """The same with another number of pieces."""
    form, resolution, _, *rest = _HEAD.unpack_from(payload)
    return _HEAD.pack(form, resolution, min(pieces, 255), *rest) + payload[_HEAD.size :]


def unpack(payload: bytes) -> Packed:
    """Raises InputError for bytes that are no network."""
    try:
        return _unpack(payload)
    except (ValueError, struct.error, IndexError, OverflowError):
        raise InputError("the network is damaged", _DAMAGED) from None


def _unpack(payload: bytes) -> Packed:
    form, resolution, pieces, *rest = _HEAD.unpack_from(payload)
    box, (spheres, layers, width, flags) = np.array(rest[:6], np.int64).reshape(2, 3), rest[6:]
    normal = Normal.read(payload[_HEAD.size : _HEAD.size + 8])
    at = _HEAD.size + 8
    kinds = np.frombuffer(payload[at : at + layers], np.uint8).astype(np.int64)
    at += layers
    latent = bool(flags & _LATENT)
    if not (2 <= resolution <= MOST_RESOLUTION and 2 <= layers <= DEEPEST and 0 < width <= WIDEST and spheres <= MOST):
        raise ValueError("a number is out of range")
    if form not in (EXACT, ROUNDED) or flags > 3 or len(kinds) != layers or kinds.max() > SINE:
        raise ValueError("made by another version")
    if not (box[0] < box[1]).all() or (form == ROUNDED and latent):
        raise ValueError("the box is empty")
    sizes = np.frombuffer(payload[at : at + 2 * (layers + 1)], "<u2").astype(np.int64)
    at += 2 * (layers + 1)
    inputs = 3 + (spheres if latent else 4 * (spheres > 0))
    if len(sizes) != layers + 1 or sizes[0] != inputs or sizes[-1] != 1 or sizes[1:].max() != width or sizes.min() < 1:
        raise ValueError("the layers do not fit each other")
    count = int(offsets_of(sizes)[-1])
    if count > 16 * len(payload):  # drawing a surface shall take no longer than the file's size explains
        raise ValueError("more weights than the bytes can tell")
    if form == EXACT:
        numbers = np.frombuffer(payload[at:], "<f4").astype(np.float32)
        if len(numbers) != 4 * spheres + count or not np.isfinite(numbers).all():
            raise ValueError("numbers are missing")
        places, theta = numbers[: 4 * spheres].reshape(-1, 4), numbers[4 * spheres :]
    else:
        first, first_size, second_size = struct.unpack_from("<hHH", payload, at)
        at += 6
        parts = payload[at : at + first_size], payload[at + first_size : at + first_size + second_size]
        rows = int(sizes[1:].sum())
        exponents = first + np.cumsum(decode_ints(parts[0], rows))
        if np.abs(exponents).max() > 40 * PER_OCTAVE:
            raise ValueError("a step is out of range")
        places = _unpack_spheres(parts[1], spheres)
        integers = decode_ints(payload[at + first_size + second_size :], count, _contexts(sizes))
        theta = rounded_weights(integers, steps_of(exponents, sizes))
    network = Network(theta, sizes, kinds, places, latent, bool(flags & _TANH))
    return Packed(network, normal, box, resolution, pieces, form == EXACT)


def _head(packed: Packed, form: int) -> bytes:
    network = packed.network
    flags = _LATENT * network.latent | _TANH * network.tanh
    layers, width = len(network.kinds), int(network.sizes[1:].max())
    numbers = (form, packed.resolution, min(packed.pieces, 255), *packed.box.ravel().tolist())
    head = _HEAD.pack(*numbers, len(network.spheres), layers, width, flags) + packed.normal.stored()
    return head + bytes(network.kinds.tolist()) + network.sizes.astype("<u2").tobytes()


# ---- weights


def rows_of(sizes: NDArray[np.int64]) -> NDArray[np.int64]:
    """[P]: the row that each weight and bias belongs to, counted through all layers."""
    parts, before = [], 0
    for n_in, n_out in zip(sizes.tolist(), sizes[1:].tolist()):
        rows = before + np.arange(n_out)
        parts += [np.repeat(rows, n_in), rows]
        before += n_out
    return np.concatenate(parts)


def steps_of(exponents: NDArray[np.int64], sizes: NDArray[np.int64]) -> NDArray[np.float32]:
    """[P]: the step of each weight, 2^(e / 8) with the exponent of its row."""
    steps = np.ldexp(_EIGHTHS[exponents % PER_OCTAVE], (exponents // PER_OCTAVE).astype(np.int32))
    return steps.astype(np.float32)[rows_of(sizes)]


def rounded_weights(integers: NDArray[np.int64], steps: NDArray[np.float32]) -> NDArray[np.float32]:
    """[P]. ValueError where one is no number."""
    theta = integers.astype(np.float32) * steps
    if not np.isfinite(theta).all():
        raise ValueError("a weight is no number")
    return theta


def _contexts(sizes: NDArray[np.int64]) -> NDArray[np.int64]:
    """[P]: a class for each layer's weights, and one for all biases."""
    parts = []
    for layer, (n_in, n_out) in enumerate(zip(sizes.tolist(), sizes[1:].tolist())):
        parts += [np.full(n_in * n_out, layer + 1), np.zeros(n_out, np.int64)]
    return np.concatenate(parts)


# ---- spheres


def rounded_spheres(spheres: NDArray[np.float32]) -> NDArray[np.float32]:
    """Spheres [M, 4] as a rounded file keeps them: middles in voxels, distances in 127ths of the largest; in order."""
    voxels, values, top = _sphere_integers(spheres)
    return _spheres_from(voxels, values, top)


def _sphere_integers(spheres: NDArray[np.float32]) -> tuple[NDArray[np.int64], NDArray[np.int64], int]:
    voxels = np.rint(spheres[:, :3].astype(np.float64) * (GRID // 2)).astype(np.int64) + GRID // 2
    voxels = voxels.clip(0, GRID - 1)
    key = (voxels[:, 0] * GRID + voxels[:, 1]) * GRID + voxels[:, 2]
    order = np.argsort(key, kind="stable")
    top = max(int(np.ceil(np.abs(spheres[:, 3]).max(initial=0) * 1024)), 1)
    distances = spheres[order, 3].astype(np.float64)
    values = np.rint(distances * (127 * 1024 / top)).astype(np.int64)
    if len(values):  # the largest is kept as the scale, so that rounding what is rounded changes nothing
        largest = int(np.abs(distances).argmax())
        values[largest] = 127 * np.sign(distances[largest]).astype(np.int64)
    return voxels[order], values, top


def _spheres_from(voxels: NDArray[np.int64], values: NDArray[np.int64], top: int) -> NDArray[np.float32]:
    centres = (voxels - GRID // 2) / (GRID // 2)
    return np.concatenate([centres, (values * top / (127 * 1024))[:, None]], axis=1).astype(np.float32)


def _pack_spheres(spheres: NDArray[np.float32]) -> bytes:
    if not len(spheres):
        return b""
    voxels, values, top = _sphere_integers(spheres)
    key = (voxels[:, 0] * GRID + voxels[:, 1]) * GRID + voxels[:, 2]
    numbers = np.concatenate([[top], np.diff(key, prepend=0), values])
    return encode_ints(numbers, _sphere_contexts(len(spheres)))


def _unpack_spheres(data: bytes, count: int) -> NDArray[np.float32]:
    if not count:
        return np.zeros((0, 4), np.float32)
    numbers = decode_ints(data, 1 + 2 * count, _sphere_contexts(count))
    top, key, values = int(numbers[0]), np.cumsum(numbers[1 : count + 1]), numbers[count + 1 :]
    if not 0 < top <= 4096 or np.abs(values).max() > 127 or key.min() < 0 or key.max() >= GRID**3:
        raise ValueError("a sphere is outside the grid")
    return _spheres_from(np.stack([key // GRID**2, key // GRID % GRID, key % GRID], axis=1), values, top)


def _sphere_contexts(count: int) -> NDArray[np.int64]:
    return np.repeat([0, 1, 2], [1, count, count])


def with_weights(packed: Packed, theta: NDArray[np.float32]) -> Packed:
    """The same with other weights [P]."""
    return replace(packed, network=replace(packed.network, theta=theta))

"""The codec "sdf": a small network of sines that gives the signed distance, and corrections on grids near its surface.

The network finds the surface roughly and the sign everywhere. Where it comes near 0, grids have integers that mend it
(`latents`). They are chosen after the network is rounded, for the bytes that it leaves.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mvgen.core.compress.codec import FieldSettings, Goal
from mvgen.core.errors import CannotError, InputError
from mvgen.core.geometry import Mesh
from mvgen.core.keyspheres import codec
from mvgen.core.keyspheres.corrections import Task, choose_with_step, exponent_of
from mvgen.core.keyspheres.latents import (
    MOST_CELLS,
    MOST_FIRST,
    MOST_GRIDS,
    Corrected,
    Grid,
    Regions,
    decode_values,
    grids_of,
    regions_of,
    step_of,
)
from mvgen.core.keyspheres.learn import Lesson, fresh_sines, learn, learn_rounded, learning_device, sine_form
from mvgen.core.keyspheres.network import Network
from mvgen.core.keyspheres.payload import Packed, box_of, unpack, with_pieces
from mvgen.core.keyspheres.place import Place
from mvgen.core.keyspheres.samples import Distance, Normal
from mvgen.core.keyspheres.surface import Field as Values
from mvgen.core.keyspheres.surface import largest_pieces, projected, surface_of, within
from mvgen.core.nearest import face_normals, sample_surface
from mvgen.core.progress import Progress
from mvgen.core.surface.poisson import keep_faces
from mvgen.core.surface.simplify import face_parts

LAYERS = 4
RESOLUTION = 192
DEFAULT_BYTES = 5900  # of a payload, where no size is asked for
LARGEST_BYTES = 60_000
_USUAL = 2e-4, 1e-2  # mean and largest error at these bytes, about; bytes fall as their power:
_POWER = 1.4
_SHARE = 0.24  # of the bytes, for the network
_NARROWEST, _WIDEST = 8, 40
_BITS = 8.5  # of a weight
_REACH = 6.0  # of the first layer's random weights
_SAMPLES = 60_000  # for each step of effort
_STEPS = 1000, 800  # of training, and more for each step of effort
_BATCH = 2048
_RATE = 2e-3
_FINE = 0.25  # share of steps and rate with rounded weights
_AROUND = ((0.5, 0.0045), (0.25, 0.018), (0.05, 0.09))  # shares of points, and how far from the surface they scatter
_STEEP, _LEAST = 20.0, 0.3  # an error at distance d counts exp(-20 d) for the network, but not less than this
_BAND, _FALL = 0.03, 0.006  # corrections are chosen for points nearer than this, which count exp(-d / fall)
_FIRST = (8, 12, 16, 20, 24, 28, 32, 40, 48, 64)  # cells a side of the coarser of two grids
_NODES = 3.6  # of the finer grid, for each byte
_FIRST_STEP = 1.8e-3  # of integers, at the bytes above
_ON_SURFACE = 20_000  # points that tell which regions the surface goes through
_LEAST_ROOM = 16  # bytes for corrections
_FLOATING = 0.01  # mean distance from the shape of a piece that does not belong to it
_FINEST = RESOLUTION  # resolution that a file may ask for
_MOST_WEIGHTS = 8  # of the network, for each of its bytes
_MOST_POINTS = 40  # at which a surface is looked for, for each square of the resolution; shapes need 10 to 20
_AGAIN = "copy or download the file again"
_TAIL = struct.Struct("<BBb")  # cells of the first grid, grids, exponent of their step


def encode(mesh: Mesh, goal: Goal, effort: int, seed: int, progress: Progress) -> bytes:
    """Raises CannotError for a mesh without an inside, or for a size that is too small."""
    settings = goal.field
    if settings.paper or settings.latent or settings.spheres is not None:
        raise CannotError("the sdf codec has no spheres", "--codec keyspheres has")
    normal, shape = codec.normalised(mesh, "sdf", seed)
    size = size_for(goal)
    rng = np.random.default_rng(seed)
    trunk = _trunk(normal, box_of(shape.vertices), size, settings)
    room = max(round(len(trunk.network.theta) * _BITS / 8) + 80, round(0.1 * size))
    if room > min(size - _LEAST_ROOM, 0xFFFF):
        raise CannotError(f"{size} bytes are too few for this network", "allow more bytes, or give --width")
    progress.stage("samples")
    distance = Distance(shape)
    points = near_points(shape, trunk.bounds, settings.samples or _SAMPLES * effort, rng)
    values = distance(points).astype(np.float32)
    lesson = Lesson(points, values, np.maximum(np.exp(-_STEEP * np.abs(values)), _LEAST).astype(np.float32), _BATCH)
    steps = _STEPS[0] + _STEPS[1] * effort
    more = round(_FINE * steps)
    progress.stage("train", steps + more)
    device = learning_device(settings.device, progress)
    learnt = learn(trunk, lesson, steps, _RATE, rng, progress, device)
    network = learn_rounded(trunk, learnt, lesson, room, more, _FINE * _RATE, rng, progress, device)
    progress.stage("corrections")
    surface = sample_surface(shape, _ON_SURFACE, rng)[0].points
    tail = _tail(network, surface, points, values, size)
    found = true_pieces(_unpacked(_packed(network, tail)), distance)
    return _packed(with_pieces(network, found), tail)


def size_for(goal: Goal) -> int:
    """The bytes asked for, or those that the errors asked for will probably take."""
    if goal.bytes is not None:
        return goal.bytes
    factors = [usual / bound for usual, bound in zip(_USUAL, (goal.mean, goal.maximum)) if bound is not None]
    return round(min(max(DEFAULT_BYTES * max(factors, default=1.0) ** _POWER, 600), LARGEST_BYTES))


def decode(payload: bytes, resolution: int | None = None) -> Mesh:
    """Raises InputError where the payload is damaged."""
    field = _unpacked(payload)
    packed = field.packed
    mesh = field.surface(resolution or packed.resolution, packed.pieces if packed.pieces < 255 else None)
    if not len(mesh.faces):
        raise InputError("the field has no surface", "a higher --resolution may find a small one")
    return Mesh(packed.normal.back(mesh.vertices), mesh.faces)


def resolution_of(payload: bytes) -> int:
    return unpack(_split(payload)[0]).resolution


def place_of(payload: bytes) -> Place:
    field = _unpacked(payload)
    return Place(field.values, field.packed.box, field.packed.normal)


@dataclass(frozen=True, eq=False)
class Field:
    """packed: the network; regions: where its surface may be, kept [regions]: where it is; values: with corrections."""

    packed: Packed
    regions: Regions
    kept: NDArray[np.bool_]
    values: Corrected

    def surface(self, resolution: int, pieces: int | None, projections: int = 2) -> Mesh:
        """Where the values are 0, in the regions kept; the largest pieces, or all."""
        values, bounds = within(self.values, self.packed.bounds), self.packed.bounds
        limited = _Limited(values, _MOST_POINTS * resolution**2 + resolution**3 // 16)
        mesh = self._without_false(surface_of(limited, bounds, resolution, 0))
        mesh = mesh if pieces is None else largest_pieces(mesh, pieces)
        if not len(mesh.faces):
            return mesh
        cell = float(np.ptp(bounds, axis=0).max()) / (resolution - 1)
        return Mesh(projected(values, mesh.vertices, cell, projections), mesh.faces)

    def _without_false(self, mesh: Mesh) -> Mesh:
        """Pieces that lie in regions which are not kept, rather than in those that are, are gone."""
        if self.kept.all() or not len(mesh.faces):
            return mesh
        region = self.regions.at(mesh.vertices[mesh.faces[:, 0]])
        vote = np.where(region < 0, 0, np.where(self.kept[region], 1, -1))
        piece = face_parts(mesh)
        return keep_faces(mesh, (np.bincount(piece, vote) >= 0)[piece])


class _Limited:
    """A field that may be asked at so many points only: noise would have a surface in every cell. InputError then."""

    def __init__(self, field: Values, points: int):
        self.field, self.left = field, points

    def __call__(self, points: NDArray[np.float64]) -> NDArray[np.floating]:
        self.left -= len(points)
        if self.left < 0:
            raise InputError("the field is damaged (its surface is everywhere)", _AGAIN)
        return self.field(points)


# ---- bytes


def _packed(network: bytes, tail: bytes) -> bytes:
    return struct.pack("<H", len(network)) + network + tail


def _split(payload: bytes) -> tuple[bytes, int, int, int, bytes]:
    """The network's bytes, cells of the first grid, grids, exponent of the step, the rest. Raises InputError."""
    try:
        (length,) = struct.unpack_from("<H", payload)
        first, count, exponent = _TAIL.unpack_from(payload, 2 + length)
    except struct.error:
        raise InputError("the field is cut short", _AGAIN) from None
    if not (0 < count <= MOST_GRIDS and 0 < first <= MOST_FIRST and first << (count - 1) <= MOST_CELLS):
        raise InputError("the field has grids that make no sense", _AGAIN)
    return payload[2 : 2 + length], first, count, exponent, payload[2 + length + _TAIL.size :]


def _unpacked(payload: bytes) -> Field:
    data, first, count, exponent, rest = _split(payload)
    packed = unpack(data)
    network = packed.network
    if packed.exact or len(network.spheres):
        raise InputError("the field has a network of another codec", _AGAIN)
    if packed.resolution > _FINEST or len(network.theta) > _MOST_WEIGHTS * len(data):
        raise InputError("the field is finer or larger than its bytes can tell", _AGAIN)
    regions = regions_of(network, packed.box, first)
    marks = -(-regions.count // 8)
    if len(rest) < marks:
        raise InputError("the field is cut short", _AGAIN)
    kept = np.unpackbits(np.frombuffer(rest[:marks], np.uint8), count=regions.count).astype(bool)
    try:
        grids = grids_of(network, packed.box, regions, kept, count)
        integers = decode_values(rest[marks:], grids)
    except ValueError as error:
        raise InputError(f"the field is damaged ({error})", _AGAIN) from None
    step = np.float32(step_of(exponent))
    return Field(packed, regions, kept, Corrected(network, grids, [v.astype(np.float32) * step for v in integers]))


# ---- choosing


def _trunk(normal: Normal, box: NDArray[np.int64], size: int, settings: FieldSettings) -> Packed:
    """A network that has learnt nothing."""
    hidden = settings.layers or LAYERS
    sizes, kinds = sine_form(3, settings.width or width_for(_SHARE * size, hidden), hidden)
    rng = np.random.default_rng(0)
    network = Network(fresh_sines(sizes, _REACH, rng), sizes, kinds, np.zeros((0, 4), np.float32), tanh=False)
    return Packed(network, normal, box, RESOLUTION, 1)


def width_for(size: float, hidden: int) -> int:
    """The width w at which (hidden - 1) w^2 + (hidden + 4) w + 1 weights fill ``size`` bytes."""
    count = 8 * size / _BITS
    widths = np.arange(_NARROWEST, _WIDEST + 1)
    fitting = widths[(hidden - 1) * widths**2 + (hidden + 4) * widths + 1 <= count]
    return int(fitting.max(initial=_NARROWEST))


def _tail(
    data: bytes, surface: NDArray[np.floating], points: NDArray[np.float32], values: NDArray[np.float32], size: int
) -> bytes:
    """What follows a rounded network in a payload of at most ``size`` bytes: corrections for those that it leaves.

    surface [N, 3]: points of the true surface, which tell the regions it goes through.
    """
    packed = unpack(data)
    room = size - len(data) - 2 - _TAIL.size
    if room < _LEAST_ROOM:
        raise CannotError(f"{size} bytes are too few for a network", "allow more bytes")
    kept, grids = _grids(packed, surface, room)
    marks = np.packbits(kept).tobytes()
    near = np.abs(values) < _BAND
    some, target = points[near], values[near]
    task = Task.of(grids, some, target - packed.network(some), np.exp(-np.abs(target) / _FALL))
    exponent = exponent_of(_FIRST_STEP * (DEFAULT_BYTES / size) ** (1 / _POWER))
    best, exponent = choose_with_step(task, exponent, room - len(marks))
    return _TAIL.pack(grids[0].cells, len(grids), exponent) + marks + best.data


def _grids(packed: Packed, surface: NDArray[np.floating], room: int) -> tuple[NDArray[np.bool_], list[Grid]]:
    """Which regions are kept, and two grids, as fine as so many bytes can use."""
    for first in _FIRST:
        regions = regions_of(packed.network, packed.box, first)
        at = regions.at(surface)
        kept = np.bincount(at[at >= 0], minlength=regions.count) > 0
        try:
            grids = grids_of(packed.network, packed.box, regions, kept, 2)
        except ValueError as error:
            raise CannotError(f"the network has not learnt the shape ({error})", "a higher --effort may do") from None
        if len(grids[1].nodes) >= _NODES * room:
            break
    return kept, grids


def true_pieces(field: Field, distance: Distance) -> int:
    """How many of the largest pieces of a field's surface, one after another, follow the shape."""
    try:
        mesh = field.surface(RESOLUTION, None, 0)
    except InputError:
        raise CannotError("its surface is too folded for the sdf codec", "--codec surface holds it") from None
    if not len(mesh.faces):
        raise CannotError("the network has not learnt the shape", "a higher --effort may do")
    piece = face_parts(mesh)
    area = np.bincount(piece, face_normals(mesh.vertices[mesh.faces])[1])
    far = np.bincount(piece, distance.unsigned(mesh.vertices[mesh.faces[:, 0]])) / np.bincount(piece)
    lost = np.flatnonzero(far[np.argsort(-area, kind="stable")] > _FLOATING)
    return max(int(lost[0]) if len(lost) else len(area), 1)


def near_points(shape: Mesh, bounds: NDArray[np.float64], count: int, rng: np.random.Generator) -> NDArray[np.float32]:
    """Points [N, 3] around a surface, in random order; the rest lies evenly in the bounds."""
    parts = []
    for share, spread in _AROUND:
        some = round(share * count)
        parts.append(sample_surface(shape, some, rng)[0].points + rng.normal(0, spread, (some, 3)))
    parts.append(rng.uniform(bounds[0], bounds[1], (count - sum(map(len, parts)), 3)))
    return rng.permutation(np.concatenate(parts)).astype(np.float32)

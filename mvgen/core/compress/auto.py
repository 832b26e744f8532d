"""Compress a mesh: try codecs, measure each by decoding what it made, keep the best."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from mvgen.core.compress.codec import Codec, Goal, candidates
from mvgen.core.compress.container import Head, Packed, frame_of, pack
from mvgen.core.compress.holes import Closed, closed
from mvgen.core.compress.measure import NONE, Errors, Surface, measure, with_proof
from mvgen.core.compress.prepare import Openness, openness, prepared
from mvgen.core.errors import CannotError, InputError
from mvgen.core.geometry import Mesh
from mvgen.core.progress import Progress

_DOUBTS = 6  # standard errors that a mean is kept below its bound by
_MANY, _UNEVEN, _FINE = 1 << 20, 1 << 12, 256  # what takes as many bytes as the counts of a field or more
_COLOURS = 1 / 3  # of the bytes of a field; what the eye sees of shape and colours is about equally coarse then
_LEVEL, _WHOLE, _SECTION = 1 / 255, 3, 8  # colours that differ by less are one, of so many bytes; bytes around them
_HOLES, _LEAST = 1 / 25, 40  # of the bytes of a field, and more, for the borders of holes
_ROUNDS = 4  # in which an error that is still too large is asked for anew
_MEASURE_SEED = 0x6D6B73  # so that what is reported does not depend on the points that a search used


@dataclass(frozen=True, eq=False)
class Result:
    """codec: the one that was taken; data: the file; payload: what of it the codec made; colours, trim: what was added
    to a field; mesh: what it decodes to, in the source's units; missed: what of the goal it does not reach, in words,
    or None; tried: for each codec, its bytes and mean error or why it failed or was left out."""

    codec: Codec
    data: bytes
    payload: bytes
    mesh: Mesh
    errors: Errors
    openness: Openness
    missed: str | None
    colours: bytes | None = None
    trim: bytes | None = None
    tried: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class _Source:
    """The mesh in the frame, ready to be measured against."""

    mesh: Mesh
    surface: Surface
    openness: Openness
    seed: int

    def closed(self) -> Closed | None:
        """With its holes filled, where it has any."""
        return closed(self.mesh, self.openness, self.seed)


def compress(
    mesh: Mesh,
    goal: Goal,
    option: str,
    effort: int,
    seed: int,
    progress: Progress,
    source_bytes: int = 0,
    only: str | None = None,
) -> Result:
    """The best file for a mesh: the least error within the size, or the smallest within the errors.

    goal: of the whole file. option: as in ``--codec``; only: the name of the one codec to try of these. A goal that
    nothing reaches gives the result that comes nearest, with ``missed``. Raises CannotError where no codec can hold the
    mesh.
    """
    whole = prepared(mesh)
    frame = frame_of(whole)
    shape = whole.moved(frame.frame_from_world)
    codecs = [codec for codec in candidates(option) if only in (None, codec.name)]
    if not codecs:
        raise InputError("no codec is installed for this", "pip install 'mvgen[draco]'")
    source = _Source(shape, Surface(shape), openness(shape, seed), seed)
    head = Head(0, frame, 0.0, 0.0, False, len(shape.vertices), len(shape.faces), (0.0, 0.0, 0.0), source_bytes)
    results: list[Result] = []
    tried: dict[str, str] = {}
    hints: list[str | None] = []
    for codec in codecs:
        progress.stage(codec.name)
        needless = _needless(codec, results, source, goal)
        if needless is not None:
            tried[codec.name] = needless
            progress.note(f"{codec.name}: {needless}")
            continue
        try:
            found = _one(codec, source, head, goal, effort, seed, progress)
        except CannotError as error:
            tried[codec.name] = error.message
            hints.append(error.hint)
            progress.note(f"{codec.name}: {error.message}")
            continue
        tried[codec.name] = f"{len(found.data)} bytes, mean error {found.errors.mean:.3%}"
        progress.note(f"{codec.name}: {tried[codec.name]}")
        results.append(found)
    if not results:
        hint = hints[0] if len(hints) == 1 else "allow more bytes or error"
        raise CannotError("; ".join(f"{name}: {why}" for name, why in tried.items()), hint)
    best = _proved(_best(results, goal), source, head, goal)
    return replace(best, mesh=best.mesh.moved(frame.world_from_frame), tried=tried)


def met(errors: Errors, goal: Goal) -> bool:
    """Whether the errors are surely within the goal's."""
    mean = errors.mean + _DOUBTS * errors.doubt
    return (goal.mean is None or mean <= goal.mean) and (goal.maximum is None or errors.maximum <= goal.maximum)


def _needless(codec: Codec, results: list[Result], source: _Source, goal: Goal) -> str | None:
    """Why a codec cannot give more than is there already, or None."""
    reached = [r for r in results if r.missed is None]
    if not reached:
        return None
    best = _best(reached, goal)
    if codec.keeps and len(best.mesh.faces) < len(source.mesh.faces):
        return "left out, as fewer faces serve better"
    if codec.package is None or codec.load_rival().may_beat(best.mesh, len(best.data), best.errors.mean):
        return None
    return "left out, as it takes more bytes for the same"


def _one(codec: Codec, source: _Source, head: Head, goal: Goal, effort: int, seed: int, progress: Progress) -> Result:
    """What one codec makes of the goal, asked anew with tighter bounds while its errors are too large."""
    beside = replace(head, vertices=_MANY, faces=2 * _MANY + _UNEVEN, resolution=_FINE) if codec.field else head
    colours = source.mesh.colours if codec.field else None
    holes = source.closed() if codec.field and not goal.field.paper else None
    inner = goal
    room = 0 if goal.bytes is None else goal.bytes - _overhead(beside, goal.bytes)
    later = _for_colours(colours, room)
    if goal.bytes is not None:
        inner = replace(goal, bytes=room - later - _for_holes(holes, room - later))
    if inner.bytes is not None and inner.bytes < 1:
        raise CannotError(f"{goal.bytes} bytes are fewer than the file needs beside the mesh", "allow more")
    for _ in range(_ROUNDS):
        payload = codec.load().encode(source.mesh if holes is None else holes.mesh, inner, effort, seed, progress)
        found = _finished(codec, payload, source, head, goal)
        if holes is not None:
            found = _trimmed(found, holes, source, head, goal, later)
        if goal.bytes is not None or met(found.errors, goal):
            break
        inner = _tighter(inner, found.errors, goal)
    return found if colours is None else _coloured(found, source, head, goal, seed)


def _for_colours(colours: NDArray[np.float32] | None, room: int) -> int:
    """Bytes of a field's colours [V, 3], with what a section needs, of so many that they share with the field."""
    if colours is None:
        return 0
    even = np.ptp(colours, axis=0).max() < _LEVEL
    return _SECTION + (_WHOLE if even else round(_COLOURS * room))


def _for_holes(holes: Closed | None, room: int) -> int:
    """Bytes of a field's trim mask, with what a section needs, of so many that it shares with the field."""
    return 0 if holes is None else _SECTION + _LEAST + round(_HOLES * room)


def _trimmed(found: Result, holes: Closed, source: _Source, head: Head, goal: Goal, later: int) -> Result:
    """The same with the holes of a field, in the bytes that are left but for ``later`` ones, or their share."""
    from mvgen.core.keyspheres.trim import encode_trim, trimmed

    if goal.bytes is None:
        room = _for_holes(holes, len(found.payload)) - _SECTION
    else:
        room = goal.bytes - len(found.data) - later - _SECTION
    place = found.codec.load_field().place_of(found.payload)
    trim = encode_trim(place, holes, room, source.seed)
    mesh = trimmed(found.mesh, place, trim)
    errors = _measured(mesh, source, goal)
    return _packed(found.codec, found.payload, mesh, errors, source, head, goal, trim=trim)


def _coloured(found: Result, source: _Source, head: Head, goal: Goal, seed: int) -> Result:
    """The same with the colours of a field, in the bytes that are left or their share."""
    from mvgen.core.keyspheres.colours import coloured, encode_colours

    if goal.bytes is None:
        room = round(_COLOURS / (1 - _COLOURS) * len(found.payload))
    else:
        room = goal.bytes - len(found.data) - _SECTION
    place = found.codec.load_field().place_of(found.payload)
    colours = encode_colours(place, source.mesh, max(room, _WHOLE), seed)
    mesh = coloured(found.mesh, place, colours)
    return _packed(found.codec, found.payload, mesh, found.errors, source, head, goal, colours, found.trim)


def _finished(codec: Codec, payload: bytes, source: _Source, head: Head, goal: Goal) -> Result:
    """The file of a payload, its errors measured on what it decodes to."""
    mesh = codec.load().decode(payload)
    return _packed(codec, payload, mesh, _measured(mesh, source, goal), source, head, goal)


def _measured(mesh: Mesh, source: _Source, goal: Goal) -> Errors:
    return measure(source.surface, Surface(mesh), seed=_MEASURE_SEED, prove=goal.maximum is not None)


def _proved(result: Result, source: _Source, head: Head, goal: Goal) -> Result:
    """The same with a proof of the largest error."""
    if result.errors.proved or goal.maximum is not None:
        return result
    errors = with_proof(source.surface, Surface(result.mesh), result.errors)
    return _packed(result.codec, result.payload, result.mesh, errors, source, head, goal, result.colours, result.trim)


def _packed(
    codec: Codec,
    payload: bytes,
    mesh: Mesh,
    errors: Errors,
    source: _Source,
    head: Head,
    goal: Goal,
    colours: bytes | None = None,
    trim: bytes | None = None,
) -> Result:
    a, b, c = (float(side) for side in np.diff(mesh.bounds, axis=0)[0])
    head = replace(
        head,
        codec=codec.number,
        mean=errors.mean,
        maximum=errors.maximum,
        proved=errors.proved,
        vertices=len(mesh.vertices),
        faces=len(mesh.faces),
        sides=(a, b, c),
        colours=mesh.colours is not None,
        kept=codec.keeps,
        resolution=codec.load_field().resolution_of(payload) if codec.field else None,
    )
    data = pack(Packed(head, payload, colours, trim))
    return Result(codec, data, payload, mesh, errors, source.openness, _missed(data, errors, goal), colours, trim)


def _overhead(head: Head, size: int) -> int:
    """Bytes beside a payload of at most ``size``; a decoded mesh of more vertices than the source may take one more."""
    return len(pack(Packed(head, b""))) - 1 + len(_length(size))


def _length(size: int) -> bytes:
    return bytes(max(1, -(-size.bit_length() // 7)))


def _tighter(goal: Goal, errors: Errors, outer: Goal) -> Goal:
    """Bounds lowered by as much as the errors are above them, and a little more."""
    mean, maximum = goal.mean, goal.maximum
    if outer.mean is not None and mean is not None:
        mean *= min(1.0, 0.995 * outer.mean / (errors.mean + _DOUBTS * errors.doubt))
    if outer.maximum is not None and maximum is not None:
        maximum *= min(1.0, 0.98 * outer.maximum / errors.maximum)
    return replace(goal, bytes=None, mean=mean, maximum=maximum)


def _missed(data: bytes, errors: Errors, goal: Goal) -> str | None:
    if goal.bytes is not None and len(data) > goal.bytes:
        return f"{len(data)} bytes are more than {goal.bytes}"
    if goal.mean is not None and not met(errors, replace(goal, maximum=None)):
        return f"the mean error, {errors.mean:.3g} of the diagonal, is not surely within {goal.mean:.3g}"
    if goal.maximum is not None and errors.maximum > goal.maximum:
        return f"the largest error, {errors.maximum:.3g} of the diagonal, is more than {goal.maximum:.3g}"
    return None


def _best(results: list[Result], goal: Goal) -> Result:
    """Of those that reach the goal, the one with the least error within the size, or the smallest; else the nearest."""
    reached = [r for r in results if r.missed is None]
    fitting = [r for r in results if goal.bytes is None or len(r.data) <= goal.bytes]
    if goal.bytes is None and reached:
        return min(reached, key=lambda r: len(r.data))
    return min(reached or fitting or results, key=lambda r: (max(r.errors.mean, NONE), r.errors.maximum))

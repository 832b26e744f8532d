"""Which number of faces and which steps give the least error within a size, or the least size within an error."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mvgen.core.compress.measure import NONE, Surface, is_within, largest_distance
from mvgen.core.compress.surface.connectivity import Fans, cut_into_fans
from mvgen.core.compress.surface.fit import Form, Target, fit, form_at
from mvgen.core.compress.surface.payload import FRACTION, Coded, Steps, encode_surface, step_at, step_index
from mvgen.core.errors import CannotError
from mvgen.core.geometry import Mesh
from mvgen.core.nearest import sample_surface
from mvgen.core.progress import Progress

_STAGE = 0.9  # of the faces stay: quadrics taken afresh at each stage serve better than one pass
_QUALITIES = (0.3, 0.1)  # how much the decimation shuns thin faces
_FAR_STAGE, _FAR_FROM = 0.6, 8  # while there are more than 8 times the faces wanted, so many stay
_SPREAD = 1.2  # between numbers of faces that are tried
_SAME = 0.04  # numbers of faces that differ by less, as a share, are one
_NEARLY = 0.93  # of the source's faces: all are kept instead
_BITS = 16.0  # of a vertex, at the first number of faces that is tried
_RATIOS = (2.0, 2.75, 4.0, 5.5, 7.5)  # of the step along the surface to that across it: the first, then on from there
_RATIOS_BELOW = (1.375, 1.0)
_LARGER = 1.25  # times the usual largest error: more is weighed against the mean
_WORTH = 4.0  # of a bit: the form changes twice as fast as the mean error that it stands for, and a margin
_OTHER_WORTHS = (2.5, 6.0)  # rounding is a matter of luck: others may fall better
_FIRST_FACES = 2000  # to see what errors to expect
_SHARE = 0.75  # of an allowed error that having few faces takes; the rest is for rounding
_FIRST_STEP = 1 / 1500
_FILLS = 10  # tries of a step
_CLOSE = 0.004  # of the size: near enough
_LEAN = 6.0  # bits of a vertex: whole meshes that would have to take less are not tried
_SHARED = 2  # with at least so many times the faces wanted, a decimation is begun by the first quality
_MORE_FACES, _FINER = (1.0, 1.3, 1.7, 2.5), (0, 6, 12, 24)  # where the largest error is not kept everywhere
_ROUGH, _FINE = 6, 2  # steps of the format (32 to each halving) that a search for the coarsest one leaves open


@dataclass(frozen=True)
class Effort:
    """samples: points of either surface while fitting; rounds of the fit; looks: numbers of faces that are tried;
    probes: points of either surface by which tries are compared; qualities: of decimation that are tried."""

    samples: int
    rounds: int
    looks: int
    probes: int
    qualities: int


def effort_of(level: int, faces: int) -> Effort:
    """What a level from 1 to 9 affords for a mesh of so many faces."""
    samples = int(min(max(30_000, 2 * faces), 100_000) * (0.5 + level / 10))
    return Effort(samples, 2 + level, 2 + level, 15_000 + 3_000 * level, 1 if level < 3 else 2)


@dataclass(frozen=True, eq=False)
class Fitted:
    """A mesh to code: positions [V, 3] of faces cut into fans, the form of their errors, its colours."""

    positions: NDArray[np.float64]
    fans: Fans
    form: Form
    colours: NDArray[np.float32] | None

    def code(self, steps: Steps, rate: float) -> Coded:
        return encode_surface(self.positions, self.fans, steps, self.form, rate, self.colours)


@dataclass(frozen=True, eq=False)
class Try:
    """A coded mesh, its error against the source, and what it was made with."""

    coded: Coded
    mean: float
    maximum: float
    faces: int
    ratio: float
    steps: Steps


class Search:
    """Tries for one source mesh and one goal."""

    def __init__(self, mesh: Mesh, effort: Effort, seed: int, progress: Progress):
        self.mesh, self.effort, self.seed, self.progress = mesh, effort, seed, progress
        self.target = Target(mesh, effort.samples, np.random.default_rng([seed, 1]))
        self.probes = sample_surface(mesh, effort.probes, np.random.default_rng([seed, 2]))[0].points
        self.tried: dict[tuple[int, float, Steps], Try] = {}  # for one goal of errors
        self.surface: Surface | None = None  # for a largest error
        self.stages = {_QUALITIES[0]: [mesh]}
        self.kept: dict[tuple[int, float], Fitted] = {}
        self.error = 0.0  # the last measured mean
        self.maxima: list[float] = []  # all measured so far

    def within(self, size: int) -> Try:
        """The least error that is found in so many bytes. Raises CannotError where nothing fits."""
        first = min(max(8, round(2 * 8 * size / _BITS)), len(self.mesh.faces))
        found = self._climb(
            first,
            lambda faces: self._fill(faces, _RATIOS[0], size),
            self._loss,
            lambda n: max(n // 2, 4),
            lambda _: size,
        )
        if found is None:
            raise CannotError(f"the surface does not fit into {size} bytes", "allow more bytes")
        faces, near = found.faces, found.steps
        found = self._other_ratios(found, lambda ratio: self._fill(faces, ratio, size, near), self._loss)
        ratio, near, best = found.ratio, found.steps, _QUALITIES[0]
        other = self._best_of(
            found, lambda q: self._fill(faces, ratio, size, near, q), self._qualities(faces), self._loss
        )
        if other is not found:
            best = _QUALITIES[1]
        return self._best_of(
            other, lambda worth: self._fill(faces, ratio, size, near, best, worth), _OTHER_WORTHS, self._loss
        )

    def _loss(self, found: Try) -> float:
        """The mean error, and more where the largest is out of line with those of other tries; of mean errors that are
        as good as none, the largest one alone."""
        if found.mean < NONE:
            return NONE * found.maximum / (1 + found.maximum)
        return found.mean * max(1.0, found.maximum / (_LARGER * float(np.median(self.maxima))))

    def below(self, mean: float | None, maximum: float | None) -> Try:
        """The fewest bytes that are found with errors within these. Raises CannotError where they are out of reach."""
        whole = len(self.mesh.faces)
        first = min(whole, _FIRST_FACES)
        seen = self._measured(self.fitted(first).code(step_at(step_index(0.0), 1.0), 0.0), first, 1.0, step_at(1, 1.0))
        excess = max(seen.mean / (mean or math.inf), seen.maximum / (maximum or math.inf))
        first = min(max(round(first * excess / _SHARE), 8), whole)

        def size(found: Try) -> float:
            return len(found.coded.payload)

        found = self._climb(
            first,
            lambda faces: self._coarsest(faces, _RATIOS[0], mean, maximum),
            size,
            lambda n: min(2 * n, whole),
            size,
        )
        if found is None:
            found = self._coarsest(whole, 1.0, mean, maximum)
        if found is None:
            raise CannotError("the surface cannot be coded so precisely", "allow more error")
        faces, near = found.faces, found.steps
        found = self._other_ratios(found, lambda ratio: self._coarsest(faces, ratio, mean, maximum, near), size)
        ratio, near = found.ratio, found.steps
        other = self._best_of(
            found, lambda q: self._coarsest(faces, ratio, mean, maximum, near, q), self._qualities(faces), size
        )
        best = _QUALITIES[0] if other is found else _QUALITIES[1]
        last = self._coarsest(faces, ratio, mean, maximum, other.steps, best, _FINE)
        found = other if last is None or size(last) > size(other) else last
        return found if maximum is None else self._kept(found, best, maximum)

    def _kept(self, found: Try, quality: float, maximum: float) -> Try:
        """What was found, or as little finer or of more faces as keeps the largest error everywhere. Raises
        CannotError where nothing does."""
        whole = len(self.mesh.faces)
        index = step_index(found.steps.normal)
        for times in _MORE_FACES:
            faces = min(round(times * found.faces), whole)
            for finer in _FINER:
                steps = step_at(index + finer, found.ratio)
                other = found
                if faces != found.faces or finer:
                    other = self._measured(self.fitted(faces, quality).code(steps, 0.0), faces, found.ratio, steps)
                if other.maximum <= maximum and self._is_within(other, maximum):
                    return other
            if faces == whole:
                break
        steps = step_at(step_index(maximum), 1.0)  # no vertex is farther than 0.87 steps
        return self._measured(self.fitted(whole).code(steps, 0.0), whole, 1.0, steps)

    def _climb(
        self,
        first: int,
        attempt: Callable[[int], Try | None],
        loss: Callable[[Try], float],
        rescue: Callable[[int], int],
        room: Callable[[Try], float],
    ) -> Try | None:
        """The best of several numbers of faces, from one on towards where it gets better, and of all faces where they
        may fit. rescue: the number to try after one that cannot reach the goal; room: bytes beyond which all faces are
        of no use, once something is found."""
        whole = len(self.mesh.faces)
        tries: dict[int, Try | None] = {}

        def look(faces: int) -> float:
            faces = whole if faces > _NEARLY * whole else max(faces, 4)
            if faces not in tries:
                with contextlib.suppress(CannotError):  # as where a decimation leaves nothing
                    tries[faces] = attempt(faces)
                tries.setdefault(faces, None)
                self.progress.advance()
            found = tries[faces]
            return math.inf if found is None else loss(found)

        best = first
        while math.isinf(look(best)) and rescue(best) != best and len(tries) < self.effort.looks:
            best = rescue(best)
        up = look(round(best * _SPREAD)) < look(best)
        while len(tries) < self.effort.looks:
            ahead = round(best * _SPREAD) if up else round(best / _SPREAD)
            if ahead >= whole * _SPREAD or ahead < 4 or not look(ahead) < look(best):
                break
            best = min(ahead, whole)
        between = _valley([(n, loss(t)) for n, t in tries.items() if t is not None])
        if between is not None:
            look(between)
        fitting = [t for t in tries.values() if t is not None]
        if not fitting:
            return None
        if 8 * room(min(fitting, key=loss)) >= _LEAN * len(self.mesh.vertices):
            look(whole)
        return min((t for t in tries.values() if t is not None), key=loss)

    def _other_ratios(self, found: Try, attempt: Callable[[float], Try | None], loss: Callable[[Try], float]) -> Try:
        """The best ratio of the steps: from the one tried on towards where it gets better."""
        for order in (_RATIOS[1:], _RATIOS_BELOW):
            for ratio in order:
                other = attempt(ratio)
                if other is None or loss(other) >= loss(found):
                    break
                found = other
            if found.ratio != _RATIOS[0]:
                break
        return found

    def _best_of(
        self,
        found: Try,
        attempt: Callable[[float], Try | None],
        values: tuple[float, ...],
        loss: Callable[[Try], float],
    ) -> Try:
        """What was found, or the best that other values of a setting give."""
        for value in values:
            other = attempt(value)
            if other is not None and loss(other) < loss(found):
                found = other
        return found

    def _qualities(self, faces: int) -> tuple[float, ...]:
        """Other qualities of decimation that are worth a try."""
        return _QUALITIES[1:] if faces < len(self.mesh.faces) and self.effort.qualities > 1 else ()

    def _coarsest(
        self,
        faces: int,
        ratio: float,
        mean: float | None,
        maximum: float | None,
        near: Steps | None = None,
        quality: float = _QUALITIES[0],
        open_steps: int = _ROUGH,
    ) -> Try | None:
        """The coarsest steps with errors within these, for a number of faces; sure to be so within ``open_steps``."""
        fitted = self.fitted(faces, quality)
        finest = step_index(0.0)
        guess = near.normal if near is not None else min(6 * (mean or math.inf), (maximum or math.inf))
        low, high, index = -1, finest + 1, step_index(guess)  # known to be too coarse, known to be fine enough
        best: Try | None = None
        while high - low > open_steps:
            index = min(max(index, low + 1), high - 1)
            key = (faces, quality, step_at(index, ratio))
            if key not in self.tried:
                self.tried[key] = self._measured(fitted.code(key[2], 0.0), faces, ratio, key[2], mean, maximum)
            found = self.tried[key]
            if found.mean <= (mean or math.inf) and found.maximum <= (maximum or math.inf):
                high, best = index, found
                index = (low + high) // 2 if low >= 0 else high - 16
            else:
                low = index
                index = (low + high) // 2 if best is not None else low + 32
            if best is None and low > step_index(guess) + 200:
                return None
        return best

    def _fill(
        self,
        faces: int,
        ratio: float,
        size: int,
        near: Steps | None = None,
        quality: float = _QUALITIES[0],
        worth: float = _WORTH,
    ) -> Try | None:
        """The finest steps that stay within a size, for a number of faces."""
        fitted = self.fitted(faces, quality)
        octave = 3 * len(fitted.positions) / 8  # bytes for each halving of the steps
        index = step_index(near.normal if near is not None else _FIRST_STEP)
        if self.error == 0.0:  # a rate needs one
            self._measured(fitted.code(step_at(index, ratio), 0.0), faces, ratio, step_at(index, ratio))
        low, high = -1, step_index(0.0) + 1  # known to fit, known not to
        best: Coded | None = None
        for _ in range(_FILLS):
            coded = fitted.code(step_at(index, ratio), self._rate(size, worth))
            spare = size - len(coded.payload)
            if spare >= 0:
                low, best = index, coded
            else:
                high = index
            if high - low <= 1 or 0 <= spare < _CLOSE * size:
                break
            move = round(FRACTION * spare / octave)
            move = max(1, move) if spare >= 0 else min(-1, move)
            index = min(max(index + move, low + 1), high - 1)
        return None if best is None else self._measured(best, faces, ratio, step_at(low, ratio))

    def _rate(self, size: int, worth: float) -> float:
        """What a bit is worth in the form's units: at the best size, error times size is about level."""
        return worth * self.error / (8 * size)

    def _measured(
        self,
        coded: Coded,
        faces: int,
        ratio: float,
        steps: Steps,
        most_mean: float | None = None,
        most: float | None = None,
    ) -> Try:
        """A coded mesh with its errors. Where the largest must be kept and seems to be, vertices are looked at too."""
        result = Mesh(coded.positions, coded.faces)
        self.error, maximum = self.target.errors(result, self.probes, np.random.default_rng([self.seed, 3]))
        self.maxima.append(maximum)
        if most is not None and maximum <= most and self.error <= (most_mean or math.inf):
            maximum = max(maximum, self._largest(Surface(result), most))
        self.progress.note(
            f"surface: {len(coded.faces)} faces, step 1/{1 / steps.normal:.0f} x {steps.ratio / 8}, "
            f"{len(coded.payload)} bytes: mean {self.error:.3e}, largest {maximum:.2e}"
        )
        return Try(coded, self.error, maximum, faces, ratio, steps)

    def _is_within(self, found: Try, maximum: float) -> bool:
        self.surface = self.surface or Surface(self.mesh)
        return is_within(self.surface, Surface(Mesh(found.coded.positions, found.coded.faces)), 0.999 * maximum)

    def _largest(self, result: Surface, most: float) -> float:
        """The largest distance of a vertex of either surface from the other."""
        self.surface = self.surface or Surface(self.mesh)
        there = largest_distance(self.surface, result, prove=False)[0]
        return max(there, largest_distance(result, self.surface, prove=False)[0]) if there <= most else there

    def fitted(self, faces: int, quality: float = _QUALITIES[0]) -> Fitted:
        """The source with about so many faces, its vertices fitted to it."""
        key = (faces, quality)
        if key not in self.kept:
            rng = np.random.default_rng([self.seed, 4, faces])
            if faces >= len(self.mesh.faces):
                form = form_at(self.target, self.mesh, rng)
                small, positions = self.mesh, self.mesh.vertices
            else:
                small = self._decimated(faces, quality)
                positions, form = fit(self.target, small, self.effort.rounds, rng)
            self.kept[key] = Fitted(positions, cut_into_fans(small.faces), form, self._colours(small, positions))
        return self.kept[key]

    def _colours(self, small: Mesh, positions: NDArray[np.float64]) -> NDArray[np.float32] | None:
        from scipy.spatial import cKDTree

        if self.mesh.colours is None or small is self.mesh:
            return self.mesh.colours
        return self.mesh.colours[cKDTree(self.mesh.vertices).query(positions)[1]]

    def _decimated(self, faces: int, quality: float) -> Mesh:
        """About so many faces by quadric edge collapse (Garland & Heckbert 1997), a tenth less at a time."""
        if quality not in self.stages:
            first = self.stages[_QUALITIES[0]]
            self.stages[quality] = [s for s in first if s is self.mesh or len(s.faces) >= _SHARED * faces]
        stages = self.stages[quality]
        while True:
            last = stages[-1]
            share = _STAGE if len(last.faces) <= _FAR_FROM * faces else _FAR_STAGE
            if share * len(last.faces) <= faces:
                break
            smaller = _collapsed(last, int(len(last.faces) * share), quality)
            if len(smaller.faces) > 0.98 * len(last.faces):
                break
            stages.append(smaller)
        above = [s for s in stages if len(s.faces) >= faces]
        return _collapsed(above[-1], faces, quality)


def _valley(tried: list[tuple[int, float]]) -> int | None:
    """Where a parabola through the best number of faces and those beside it is lowest, in logarithms; None where that
    is near one of them."""
    tried = sorted(tried)
    best = min(range(len(tried)), key=lambda k: tried[k][1], default=0)
    if not 0 < best < len(tried) - 1:
        return None
    x = np.log([n for n, _ in tried[best - 1 : best + 2]])
    y = np.log([max(v, 1e-12) for _, v in tried[best - 1 : best + 2]])
    curve = np.polyfit(x - x[1], y, 2)
    if not curve[0] > 0:
        return None
    shift = -curve[1] / (2 * curve[0])
    if min(abs(shift), abs(shift - (x[0] - x[1])), abs(shift - (x[2] - x[1]))) < _SAME:
        return None
    return round(float(np.exp(x[1] + shift)))


def mean_error(source: Mesh, result: Mesh, seed: int, samples: int = 50_000) -> float:
    """The mean distance between two surfaces."""
    target = Target(source, samples, np.random.default_rng([seed, 1]))
    return target.errors(result, target.points, np.random.default_rng([seed, 3]))[0]


def _collapsed(mesh: Mesh, faces: int, quality: float) -> Mesh:
    import pymeshlab

    meshes = pymeshlab.MeshSet(verbose=False)
    meshes.add_mesh(pymeshlab.Mesh(mesh.vertices, mesh.faces))
    meshes.meshing_decimation_quadric_edge_collapse(
        targetfacenum=faces,
        qualitythr=quality,
        optimalplacement=True,
        preservenormal=True,
        preserveboundary=True,
        preservetopology=True,
    )
    small = meshes.current_mesh()
    return cleaned(Mesh(small.vertex_matrix(), small.face_matrix().astype(np.int32).reshape(-1, 3)))


def cleaned(mesh: Mesh) -> Mesh:
    """Without faces that name a vertex twice and vertices that no face names. Raises CannotError if none is left."""
    f = mesh.faces
    f = f[(f[:, 0] != f[:, 1]) & (f[:, 1] != f[:, 2]) & (f[:, 2] != f[:, 0])]
    if len(f) == 0:
        raise CannotError("the mesh has no faces but empty ones")
    used, index = np.unique(f, return_inverse=True)
    colours = None if mesh.colours is None else mesh.colours[used]
    vertices = np.ascontiguousarray(mesh.vertices[used], np.float64)
    return Mesh(vertices, index.reshape(-1, 3).astype(np.int32), colours=colours)

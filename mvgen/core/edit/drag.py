"""Dragging parts of splats as rigidly as possible, without any picture.

Handles are as in Dong et al., "Interactive3D" (2024): what is within a radius of a source goes to its target, as one
body, or like plasticine, where the ball advances in small steps and takes along what it meets.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from mvgen.core.edit.affine import rotations_of, turned
from mvgen.core.edit.field import REACH, Field, solved, thinned
from mvgen.core.edit.operations import Editing, changed, joined
from mvgen.core.edit.recipe import Handle
from mvgen.core.errors import CannotError
from mvgen.core.splats.model import Splats, matrices
from mvgen.kernels.ellipsoids import mapped as mapped_ellipsoids

SHARE = 0.1  # of the diagonal: the radius of a handle in everything, where none is given
BEND = 2.0  # radii within which matter bends that a rigid part draws along
CORE = 0.3  # radii within which matter follows the front of a deforming drag
STRIDE = 0.25  # radii by which that front advances at a time
CELL = 1 / 6  # width of a node's cell, in radii
SHELL = 1.4  # radii within which what stays holds what is drawn
MOST_STAGES = 200
ROUNDS, RIGID_ROUNDS = 6, 30  # of the solver
LONG = float(np.log(2.0))  # growth of the longest axis at which a splat becomes two
APART, SMALLER = 0.75, 0.6614  # their distance from its middle and their size, which keep its variance


@dataclass(frozen=True, eq=False)
class Grip:
    """A handle with numbers: source [3], target [3], radius."""

    source: NDArray[np.float64]
    target: NDArray[np.float64]
    radius: float

    def along(self, points: NDArray[np.floating]) -> NDArray[np.float64]:
        """[N]: from points [N, 3] to the way from source to target, in radii."""
        way, offset = self.target - self.source, points - self.source
        share = np.clip(offset @ way / max(float(way @ way), 1e-300), 0, 1)
        return np.asarray(np.linalg.norm(offset - share[:, None] * way, axis=1) / self.radius)

    def distance(self, points: NDArray[np.floating], way: float = 0.0) -> NDArray[np.float64]:
        """[N]: from points [N, 3] to where the source is after a share of the way, in radii."""
        at = self.source + way * (self.target - self.source)
        return np.asarray(np.linalg.norm(points - at, axis=1) / self.radius)


def grips(
    handles: Sequence[Handle], points: NDArray[np.floating], whole: bool, diagonal: float
) -> tuple[list[Grip], list[bool]]:
    """Handles for the selected points [N, 3], and whether each holds all of them: a region does, without a radius.

    Raises CannotError where a handle holds nothing.
    """
    out, full = [], []
    for handle in handles:
        source, target = np.array(handle.source), np.array(handle.target)
        radius = handle.radius
        far = float(np.linalg.norm(points - source, axis=1).max())
        if radius is None:
            radius = SHARE * diagonal if whole else far * (1 + 1e-9)
        full.append(handle.radius is None and not whole)
        out.append(Grip(source, target, max(radius, 1e-12)))
        if not (out[-1].distance(points) <= 1).any():
            nearest = float(np.linalg.norm(points - source, axis=1).min())
            raise CannotError(
                f"nothing selected lies within {radius:g} of {','.join(f'{v:g}' for v in source)}",
                f"the nearest is {nearest:.3g} away: move the source or give a larger radius",
            )
    return out, full


def dragged(editing: Editing, handles: Sequence[Handle], rigid: bool) -> Editing:
    """The selected after all drags at once; what was not selected stays bit for bit. Raises CannotError."""
    editing.needed()
    whole = bool(editing.selected.all())
    held, full = grips(handles, editing.splats.means[editing.selected], whole, editing.splats.diagonal)
    points = editing.splats.means.astype(np.float64)
    near = np.logical_or.reduce([g.along(points) <= BEND * SHELL for g in held])
    clay = _Clay.of(editing.splats[near], editing.selected[near])
    if rigid:
        _rigid(clay, held, full)
    else:
        _deformed(clay, held)
    return _back(editing, near, clay)


@dataclass(eq=False)
class _Clay:
    """Splats while they are dragged: means [N, 3], quaternions, log_scales; maps [N, 3, 3]: all that was done to each;
    soft [N]: those that may move; rest [N]: log of the longest axis at first; parent [N]: the splat that each was part
    of."""

    means: NDArray[np.float64]
    quaternions: NDArray[np.float32]
    log_scales: NDArray[np.float32]
    maps: NDArray[np.float64]
    soft: NDArray[np.bool_]
    rest: NDArray[np.float32]
    parent: NDArray[np.int64]
    moved: NDArray[np.bool_]

    @staticmethod
    def of(splats: Splats, soft: NDArray[np.bool_]) -> _Clay:
        number = len(splats)
        maps = np.tile(np.eye(3), (number, 1, 1))
        still, rest = np.zeros(number, bool), splats.log_scales.max(1)
        means = splats.means.astype(np.float64)
        return _Clay(
            means, splats.quaternions.copy(), splats.log_scales.copy(), maps, soft, rest, np.arange(number), still
        )

    def follow(self, rows: NDArray[np.bool_], means: NDArray[np.float64], maps: NDArray[np.float64]) -> None:
        """The splats of a mask go to new means under linear maps; those that become long are parted in two."""
        self.means[rows] = means
        self.quaternions[rows], self.log_scales[rows] = mapped_ellipsoids(
            self.quaternions[rows], self.log_scales[rows], maps
        )
        self.maps[rows] = maps @ self.maps[rows]
        self.moved |= rows
        while len(long := np.flatnonzero(self.moved & (self.log_scales.max(1) - self.rest > LONG))):
            self._part(long)

    def _part(self, long: NDArray[np.int64]) -> None:
        axis, each = self.log_scales[long].argmax(1), np.arange(len(long))
        step = matrices(self.quaternions[long])[each, :, axis]
        step *= APART * np.exp(self.log_scales[long, axis].astype(np.float64))[:, None]
        self.log_scales[long, axis] += np.float32(np.log(SMALLER))
        self.means[long] -= step
        for name in ("means", "quaternions", "log_scales", "maps", "soft", "rest", "parent", "moved"):
            values = getattr(self, name)
            setattr(self, name, np.concatenate([values, values[long]]))
        self.means[-len(long) :] += 2 * step


def _back(editing: Editing, near: NDArray[np.bool_], clay: _Clay) -> Editing:
    """What was dragged goes back among the others; parts of splats come last."""
    splats, number = editing.splats[near], int(near.sum())
    moved = np.flatnonzero(clay.moved)
    old = clay.parent[moved]
    some = splats[old]
    new = replace(
        some,
        means=clay.means[moved].astype(np.float32),
        quaternions=clay.quaternions[moved],
        log_scales=clay.log_scales[moved],
        harmonics=turned(some.harmonics, rotations_of(clay.maps[moved])) if some.degree else some.harmonics,
    )
    rows = np.zeros(len(near), bool)
    rows[np.flatnonzero(near)[moved[moved < number]]] = True
    out = changed(editing, new[moved < number], rows)
    selected = editing.selected
    if (moved >= number).any():
        out = joined(out, new[moved >= number])
    more = np.ones(len(out.splats) - len(selected), bool)
    return replace(out, selected=np.concatenate([selected, more]))


# ---------------------------------------------------------------- as one body


def bodies(points: NDArray[np.floating], held: Sequence[Grip]) -> list[tuple[NDArray[np.bool_], NDArray[np.float64]]]:
    """Parts of points [N, 3] and the rigid motion [4, 4] of each: handles that hold the same points share it."""
    inside = [grip.distance(points) <= 1 for grip in held]
    groups: list[list[int]] = []
    for i, mask in enumerate(inside):
        joint = [g for g in groups if any((mask & inside[j]).any() for j in g)]
        groups = [g for g in groups if g not in joint] + [[i, *(j for g in joint for j in g)]]
    return [
        (np.logical_or.reduce([inside[j] for j in sorted(g)]), _motion([held[j] for j in sorted(g)])) for g in groups
    ]


def _motion(held: Sequence[Grip]) -> NDArray[np.float64]:
    """[4, 4]: the rigid motion that brings the sources nearest to the targets (Kabsch 1976)."""
    source, target = np.array([g.source for g in held]), np.array([g.target for g in held])
    before, after = source - source.mean(0), target - target.mean(0)
    out = np.eye(4)
    if len(held) > 1:
        out[:3, :3] = _least_turn(before, after)
    out[:3, 3] = target.mean(0) - out[:3, :3] @ source.mean(0)
    return out


def _least_turn(before: NDArray[np.float64], after: NDArray[np.float64]) -> NDArray[np.float64]:
    from scipy.spatial.transform import Rotation

    if np.linalg.matrix_rank(after.T @ before, tol=1e-12) == 0:
        return np.eye(3)
    import warnings

    with warnings.catch_warnings():  # two handles leave the turn about their line open: the least one is taken
        warnings.simplefilter("ignore")
        return np.asarray(Rotation.align_vectors(after, before)[0].as_matrix())


def _rigid(clay: _Clay, held: Sequence[Grip], full: Sequence[bool]) -> None:
    points = clay.means
    parts = [(mask & clay.soft, motion) for mask, motion in bodies(points, held)]
    body = np.logical_or.reduce([mask for mask, _ in parts])
    bending = [g for g, whole in zip(held, full) if not whole]
    near = np.logical_or.reduce([body & False, *(g.distance(points) <= BEND for g in bending)])
    joint = clay.soft & near & ~body
    means, maps = points.copy(), clay.maps.copy()
    for mask, motion in parts:
        means[mask] = points[mask] @ motion[:3, :3].T + motion[:3, 3]
        maps[mask] = motion[:3, :3]
    if joint.any():
        means[joint], maps[joint] = _joint_field(points, parts, joint, bending).apply(points[joint])
    rows = body | joint
    clay.follow(rows, means[rows], maps[rows])


def _joint_field(
    points: NDArray[np.float64],
    parts: Sequence[tuple[NDArray[np.bool_], NDArray[np.float64]]],
    joint: NDArray[np.bool_],
    held: Sequence[Grip],
) -> Field:
    """What bends between parts that move and what stays."""
    width = CELL * min(g.radius for g in held)
    body = np.logical_or.reduce([mask for mask, _ in parts])
    near = np.logical_or.reduce([g.distance(points) <= BEND * SHELL for g in held])
    nodes, guess, given = [], [], []
    for mask, motion in parts:
        some = thinned(points[mask], width)
        nodes.append(some)
        guess.append(some @ motion[:3, :3].T + motion[:3, 3])
        given.append(np.ones(len(some), bool))
    for mask, stays in ((joint, False), (near & ~joint & ~body, True)):
        if mask.any():
            some = thinned(points[mask], width)
            nodes.append(some)
            guess.append(some + (0 if stays else _falloff(some, held, 1.0, BEND)))
            given.append(np.full(len(some), stays))
    return solved(np.concatenate(nodes), np.concatenate(guess), np.concatenate(given), REACH * width, RIGID_ROUNDS)


def _falloff(points: NDArray[np.float64], held: Sequence[Grip], share: float, reach: float) -> NDArray[np.float64]:
    """[N, 3]: a share of the handles' ways, less towards ``reach`` radii."""
    total = np.zeros_like(points)
    for grip in held:
        weight = np.clip(1 - (np.maximum(grip.distance(points) - 1, 0) / (reach - 1)) ** 2, 0, 1) ** 2
        total += share * weight[:, None] * (grip.target - grip.source)
    return total


# ---------------------------------------------------------------- like plasticine


def _deformed(clay: _Clay, held: Sequence[Grip]) -> None:
    longest = max(float(np.linalg.norm(g.target - g.source)) / g.radius for g in held)
    stages = int(np.clip(np.ceil(longest / STRIDE), 1, MOST_STAGES))
    for stage in range(stages):
        points = clay.means
        at = [g.distance(points, stage / stages) for g in held]
        front = clay.soft & np.logical_or.reduce([d <= 1 for d in at])
        near = np.logical_or.reduce([d <= SHELL for d in at])
        if front.any():
            field = _front_field(points, held, stage, stages, front, near & ~front)
            clay.follow(front, *field.apply(points[front]))


def _front_field(
    points: NDArray[np.float64],
    held: Sequence[Grip],
    stage: int,
    stages: int,
    front: NDArray[np.bool_],
    stays: NDArray[np.bool_],
) -> Field:
    """The next small step of the front, whose cores move as the handles do."""
    width = CELL * min(g.radius for g in held)
    nodes = thinned(points[front], width)
    guess, given = nodes.copy(), np.zeros(len(nodes), bool)
    for grip in held:
        d = grip.distance(nodes, stage / stages)
        core = d <= max(CORE, float(d.min()) + 1e-9)
        weight = np.where(core, 1.0, np.clip(1 - d**2, 0, 1) ** 2)
        guess += weight[:, None] * (grip.target - grip.source) / stages
        given |= core
    fixed = thinned(points[stays], width) if stays.any() else points[:0]
    given = np.concatenate([given, np.ones(len(fixed), bool)])
    return solved(np.concatenate([nodes, fixed]), np.concatenate([guess, fixed]), given, REACH * width, ROUNDS)

"""A still life from nothing: a carved jar, a mossy stone, a block of wood and an ammonite on a mosaic floor.

Every surface is a grid of points [H, W, 3] with a colour [H, W, 3] (linear light) at each of them; the grid is the
texture, every few points are the vertices of the mesh. Patterns are solid noise, so they have detail at every scale and
nothing repeats exactly. Light is baked in: a low sun with soft shadows and a sky, both by casting rays.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np
from numba import njit, prange
from numpy.typing import NDArray
from scipy.interpolate import PchipInterpolator

from mvgen.core.colour import linear_from_srgb, srgb_from_linear
from mvgen.core.geometry import Mesh
from mvgen.core.render.raycast import Caster

Grid = NDArray[np.float64]

GUTTER = 8  # texels around a surface's part of the texture, so that neighbours do not bleed in
SUN = np.array([0.55, 0.62, 0.56]) / np.linalg.norm([0.55, 0.62, 0.56])
SUN_LIGHT = np.array([1.6, 1.45, 1.2])
SKY_LIGHT = np.array([0.45, 0.5, 0.6])
SKY_DIRECTIONS, SUN_DIRECTIONS = 64, 16
JAR = np.array([  # heights and radii of its outline
    (0.0, 0.0, 0.04, 0.1, 0.24, 0.42, 0.6, 0.72, 0.8, 0.87, 0.89, 0.93, 1.02, 1.07, 1.12, 1.18, 1.215, 1.22),
    (0.01, 0.33, 0.33, 0.32, 0.36, 0.4, 0.34, 0.25, 0.205, 0.205, 0.23, 0.235, 0.13, 0.07, 0.09, 0.08, 0.03, 0.002),
])  # fmt: skip


@dataclass(frozen=True, eq=False)
class Surface:
    """points and colour [H, W, 3]; step: points per mesh vertex along a side (H - 1 and W - 1 are multiples of it)."""

    points: Grid
    colour: Grid
    step: int
    is_ground: bool = False


# ---- noise


@njit(inline="always")
def _hash(x: int, y: int, z: int, seed: int) -> float:
    """A number in [0, 1) for a cell of the lattice."""
    h = np.uint32(x * 73856093) ^ np.uint32(y * 19349663) ^ np.uint32(z * 83492791) ^ np.uint32(seed * 668265263)
    h = np.uint32((h ^ (h >> np.uint32(15))) * np.uint32(0x2C1B3C6D))
    h = np.uint32((h ^ (h >> np.uint32(12))) * np.uint32(0x297A2D39))
    return np.float64(h ^ (h >> np.uint32(15))) / 4294967296.0


@njit
def _value(x: float, y: float, z: float, seed: int) -> float:
    """Value noise in [-1, 1]: random numbers at whole coordinates, smoothly blended."""
    i, j, k = int(np.floor(x)), int(np.floor(y)), int(np.floor(z))
    u, v, w = x - i, y - j, z - k
    u, v, w = u * u * (3 - 2 * u), v * v * (3 - 2 * v), w * w * (3 - 2 * w)
    total = 0.0
    for a in range(2):
        for b in range(2):
            for c in range(2):
                weight = (u if a else 1 - u) * (v if b else 1 - v) * (w if c else 1 - w)
                total += weight * _hash(i + a, j + b, k + c, seed)
    return 2 * total - 1


@njit(parallel=True)
def _fractal(points: Grid, octaves: int, seed: int) -> Grid:
    out = np.empty(len(points))
    for n in prange(len(points)):
        x, y, z = points[n]
        total, share = 0.0, 0.5
        for octave in range(octaves):
            total += share * _value(x, y, z, seed + octave)
            # turned by 37 degrees from octave to octave, which hides the lattice
            x, y, z = 2.03 * (0.8 * x - 0.6 * z) + 17.1, 2.03 * y + 9.2, 2.03 * (0.6 * x + 0.8 * z) + 5.3
            share *= 0.55
        out[n] = total
    return out


@njit(parallel=True)
def _cells(points: Grid, seed: int) -> Grid:
    out = np.empty((len(points), 2))
    for n in prange(len(points)):
        x, y, z = points[n]
        i, j, k = int(np.floor(x)), int(np.floor(y)), int(np.floor(z))
        nearest, second, name = 1e9, 1e9, 0.0
        for a in range(i - 1, i + 2):
            for b in range(j - 1, j + 2):
                for c in range(k - 1, k + 2):
                    dx = a + 0.5 + 0.8 * (_hash(a, b, c, seed) - 0.5) - x
                    dy = b + 0.5 + 0.8 * (_hash(a, b, c, seed + 1) - 0.5) - y
                    dz = c + 0.5 + 0.8 * (_hash(a, b, c, seed + 2) - 0.5) - z
                    distance = np.sqrt(dx * dx + dy * dy + dz * dz)
                    if distance < nearest:
                        nearest, second, name = distance, nearest, _hash(a, b, c, seed + 3)
                    elif distance < second:
                        second = distance
        out[n, 0], out[n, 1] = second - nearest, name
    return out


def fractal(points: Grid, scale: float, octaves: int = 6, seed: int = 0) -> Grid:
    """[H, W] about -1 to 1: noise of features of size 1 / scale and, ever weaker, of half of that, a quarter, ..."""
    return _fractal(np.ascontiguousarray(points.reshape(-1, 3) * scale), octaves, seed).reshape(points.shape[:2])


def cells(points: Grid, scale: float, seed: int = 0) -> tuple[Grid, Grid]:
    """Pebbles of size 1 / scale (Worley, "A cellular texture basis function", 1996): how far a point [H, W, 3] lies
    from the border of its pebble [H, W], and the pebble's random number in [0, 1) [H, W]."""
    both = _cells(np.ascontiguousarray(points.reshape(-1, 3) * scale), seed).reshape(*points.shape[:2], 2)
    return both[..., 0], both[..., 1]


# ---- small tools


def rgb(code: str) -> Grid:
    """Linear colour [3] of an sRGB code such as c8a070."""
    return linear_from_srgb(np.array([int(code[i : i + 2], 16) for i in (0, 2, 4)]) / 255)


def mix(one: Grid, other: Grid, share: Grid) -> Grid:
    """Colours [..., 3] blended by a share [H, W], cut to [0, 1]."""
    share = np.clip(share, 0, 1)[..., None]
    return one * (1 - share) + other * share


def ramp(values: Grid, low: Grid | float, high: Grid | float) -> Grid:
    """0 under low, 1 over high, smooth between."""
    x = np.clip((values - low) / (high - low), 0, 1)
    return x * x * (3 - 2 * x)


def grid(rows: int, columns: int) -> tuple[Grid, Grid]:
    """Two [rows, columns] coordinates from 0 to 1, both ends included."""
    u, v = np.meshgrid(np.linspace(0, 1, columns), np.linspace(0, 1, rows))
    return u, v


def normals_of(points: Grid) -> Grid:
    """Unit normals [H, W, 3] of a grid of points, to the side from which its columns run to the right."""
    across = np.cross(np.gradient(points, axis=0), np.gradient(points, axis=1))
    return across / np.maximum(np.linalg.norm(across, axis=-1, keepdims=True), 1e-12)


def turned(points: Grid, degrees: float, axis: tuple[float, float, float] = (0, 1, 0)) -> Grid:
    """Points turned about an axis through the origin."""
    turn = cv2.Rodrigues(np.radians(degrees) * np.array(axis) / np.linalg.norm(axis))[0]
    return points @ turn.T


# ---- the things


def jar() -> Surface:
    """A lidded jar: a belly with spiral flutes, painted bands, beads in relief and a knob."""
    u, v = grid(1025, 1537)
    heights, radii = JAR
    length = np.r_[0, np.cumsum(np.hypot(np.diff(heights), np.diff(radii)))]
    s = (1 - v) * length[-1]  # the first row is the top
    y, radius = PchipInterpolator(length, heights)(s), PchipInterpolator(length, radii)(s)
    angle = 2 * np.pi * u
    flutes = np.abs(np.cos(7 * angle + 9 * y)) * ramp(y, 0.1, 0.2) * (1 - ramp(y, 0.5, 0.56))
    beads = np.clip(np.cos(22 * angle) - 0.2, 0, 1) * np.exp(-(((y - 0.64) / 0.022) ** 2))
    ridges = np.cos(40 * np.pi * y) * ramp(y, 0.79, 0.82) * (1 - ramp(y, 0.86, 0.89))
    radius = radius + 0.028 * flutes + 0.022 * beads + 0.008 * ridges
    points = np.stack([radius * np.cos(angle), y, -radius * np.sin(angle)], axis=-1)
    points += normals_of(points) * (0.006 * fractal(points, 7, 5, 11))[..., None] * ramp(radius, 0.0, 0.05)[..., None]
    return Surface(points, _jar_colour(points, angle, y, flutes, beads), 4)


def _jar_colour(points: Grid, angle: Grid, y: Grid, flutes: Grid, beads: Grid) -> Grid:
    fine, wide = fractal(points, 45, 5, 21), fractal(points, 6, 6, 22)
    clay = mix(rgb("b4673a") + 0 * points, rgb("d79a62"), 0.5 + 0.8 * wide + 0.5 * fine)
    glaze = mix(rgb("1d4a55") + 0 * points, rgb("4f9a8f"), 0.45 + 0.9 * wide + 0.6 * fine)
    cream = mix(rgb("e6d8b4") + 0 * points, rgb("c2a878"), 0.35 + 0.7 * wide + 0.6 * fine)
    waves = 0.05 * np.abs((angle * 14 / np.pi + 0.1 * wide) % 2 - 1)
    colour = mix(clay, glaze, ramp(y, 0.12, 0.125) * (1 - ramp(y, 0.55, 0.555)) * ramp(flutes + 0.5 * wide, 0.25, 0.45))
    colour = mix(colour, cream, ramp(y, 0.57, 0.574) * (1 - ramp(y, 0.6 + waves, 0.604 + waves)))
    colour = mix(colour, cream, 1.2 * beads)
    colour = mix(colour, glaze, ramp(y, 0.68, 0.684) * (1 - ramp(y, 0.73 + waves, 0.734 + waves)))
    colour = mix(colour, glaze, ramp(y, 0.905, 0.91) * ramp(np.cos(9 * angle + 30 * y) + wide, -0.1, 0.1))
    chips, _ = cells(points, 26, 23)
    colour = mix(colour, rgb("8a4a2c"), 0.8 * ramp(fractal(points, 11, 6, 24), 0.38, 0.44))
    colour = mix(colour, rgb("3a2418"), 0.5 * (1 - ramp(chips, 0.0, 0.07)) * ramp(wide, 0.0, 0.3))
    return colour * (1 + 0.35 * fine)[..., None]


def _body(rows: int, columns: int, size: tuple[float, float, float], power: float) -> Grid:
    """A box with round edges: the surface |x / a|^p + |y / b|^p + |z / c|^p = 1, as seen from its middle."""
    u, v = grid(rows, columns)
    around, down = 2 * np.pi * u, np.pi * v
    ray = np.stack([np.sin(down) * np.cos(around), np.cos(down), -np.sin(down) * np.sin(around)], axis=-1)
    return ray / ((np.abs(ray / size) ** power).sum(-1, keepdims=True) ** (1 / power))


def stone() -> Surface:
    """A cracked boulder with moss on top."""
    points = _body(769, 1025, (0.34, 0.25, 0.28), 2.6)
    facets, _ = cells(points, 4.2, 31)
    bumps = 0.1 * fractal(points, 3, 3, 32) + 0.05 * ramp(facets, 0, 0.25) + 0.022 * fractal(points, 14, 6, 33)
    points = points * (1 + bumps / 0.3)[..., None]
    up = normals_of(points)[..., 1]
    fine, wide = fractal(points, 40, 6, 34), fractal(points, 7, 6, 35)
    colour = mix(rgb("6f6a66") + 0 * points, rgb("b9ada0"), 0.5 + 0.9 * wide + 0.7 * fine)
    colour = mix(colour, rgb("c49a6a"), 0.7 * ramp(fractal(points, 9, 6, 36), 0.2, 0.45))
    colour = mix(colour, rgb("2e2a28"), 0.7 * (1 - ramp(facets, 0, 0.06)))
    moss = mix(rgb("3e5a22") + 0 * points, rgb("8fa048"), 0.5 + 1.2 * fine)
    colour = mix(colour, moss, ramp(up + 0.9 * wide, 0.5, 0.75)) * (1 + 0.4 * fine)[..., None]
    return Surface(turned(points, 25) + np.array([-0.66, 0.07, 0.42]), colour, 4)


def block() -> Surface:
    """A block of old wood with the remains of red paint."""
    points = _body(769, 1025, (0.17, 0.26, 0.17), 9)
    warped = points * [1, 0.12, 1] + 0.02 * fractal(points, 5, 3, 41)[..., None]
    rings = np.hypot(warped[..., 0] - 0.3, warped[..., 2] + 0.12)
    grain = np.sin(260 * rings + 3 * fractal(points * [1, 0.15, 1], 9, 4, 42))
    fibre = fractal(points * [1, 0.06, 1], 60, 5, 43)
    crack = ramp(fractal(points * [1, 0.1, 1], 14, 4, 44), 0.34, 0.46)
    points = points * (1 + 0.01 * fibre - 0.045 * crack + 0.05 * fractal(points, 4, 3, 45))[..., None]
    colour = mix(rgb("8a5f38") + 0 * points, rgb("cba06a"), 0.5 + 0.35 * grain + 0.6 * fibre)
    paint = mix(rgb("8e2a20") + 0 * points, rgb("c2503a"), 0.5 + 0.8 * fractal(points, 25, 5, 46))
    colour = mix(colour, paint, ramp(fractal(points, 5, 7, 47), -0.1, 0.0) * (1 - crack))
    colour = mix(colour, rgb("24160e"), 0.85 * crack) * (1 + 0.35 * fractal(points, 50, 4, 48))[..., None]
    return Surface(turned(points, 33) + np.array([0.66, 0.25, -0.4]), colour, 4)


def ammonite() -> Surface:
    """A ribbed shell, rolled up in a logarithmic spiral, lying on the floor."""
    u, v = grid(385, 2049)
    turns = 2 * np.pi * 3.2 * u
    growth = np.exp(0.17 * (turns - turns[-1, -1]))
    closed = np.sqrt(np.clip(1 - np.clip((u - 0.97) / 0.03, 0, 1) ** 2, 1e-4, 1))  # the mouth is filled
    tube = 0.115 * growth * closed * (1 + 0.1 * np.abs(np.sin(10 * turns)) ** 0.7)
    around = -2 * np.pi * v
    out, height = 0.235 * growth + tube * np.cos(around), 0.85 * tube * np.sin(around)
    points = np.stack([out * np.cos(turns), height, -out * np.sin(turns)], axis=-1)
    points += 0.004 * fractal(points, 30, 4, 51)[..., None] * normals_of(points)
    fine, wide = fractal(points, 50, 5, 52), fractal(points, 9, 6, 53)
    colour = mix(rgb("7a4e2a") + 0 * points, rgb("e0b878"), np.abs(np.sin(10 * turns)) ** 0.5 + 0.7 * wide + 0.4 * fine)
    colour = mix(colour, rgb("4a6a70"), 0.8 * ramp(fractal(points, 6, 6, 54), 0.15, 0.4))
    colour = mix(colour, rgb("2c1c12"), 0.7 * ramp(np.sin(90 * turns / (1 + 0.2 * wide)), 0.75, 1.0))
    colour = colour * (1 + 0.4 * fine)[..., None]
    return Surface(turned(turned(points, 16, (1, 0, 0.4)), 200) + np.array([0.45, 0.09, 0.66]), colour, 4)


def terrace() -> Surface:
    """A round floor of mosaic, in rings of colours."""
    u, v = grid(1537, 1537)
    x, z = 2 * u - 1, 2 * v - 1  # a square, drawn into a disc
    points = 2 * np.stack([x * np.sqrt(1 - z * z / 2), 0 * x, z * np.sqrt(1 - x * x / 2)], axis=-1)
    border, name = cells(points, 14, 61)
    _, middle = cells(points, 3.1, 62)
    radius = np.hypot(points[..., 0], points[..., 2]) + 0.05 * (name - 0.5)
    palette = np.stack(
        [rgb(c) for c in ("d9c9a3", "b5523a", "e0d3b8", "27566b", "c99a4e", "6d8f86", "d8c8a8", "3a4650")]
    )
    rings = palette[(radius * 4.4).astype(int) % len(palette)]
    stray = palette[(name * 997).astype(int) % len(palette)]
    colour = mix(rings, stray, (name * 89 % 1 < 0.16).astype(float) + 0.25 * (middle - 0.5))
    fine = fractal(points, 60, 5, 63)
    colour = colour * (0.75 + 0.5 * (name * 31 % 1) + 0.5 * fine)[..., None]
    grout = mix(rgb("8d8576") + 0 * points, rgb("5d564a"), 0.5 + fractal(points, 40, 4, 64))
    colour = mix(grout, colour, ramp(border, 0.03, 0.11))
    colour = mix(colour, rgb("4e4332"), 0.6 * ramp(fractal(points, 2.5, 7, 65), 0.15, 0.6))
    return Surface(points, colour, 48, is_ground=True)


def field() -> Surface:
    """Gravel around the terrace, to the horizon; a hair lower, so that the terrace covers it."""
    u, v = grid(1025, 1025)
    spread = lambda t: 26 * np.sign(t - 0.5) * np.abs(2 * t - 1) ** 2.2  # noqa: E731  (finer in the middle)
    points = np.stack([spread(u), 0 * u - 0.004, spread(v)], axis=-1)
    border, name = cells(points, 9, 71)
    colour = mix(rgb("7d7465") + 0 * points, rgb("b8ab94"), name + 0.8 * fractal(points, 20, 5, 72))
    colour = mix(rgb("4a4337") + 0 * points, colour, ramp(border, 0.0, 0.2))
    colour = mix(colour, rgb("5f7038"), 0.8 * ramp(fractal(points, 0.6, 8, 73), 0.05, 0.3))
    return Surface(points, colour, 32, is_ground=True)


THINGS: tuple[Callable[[], Surface], ...] = (jar, stone, block, ammonite, terrace, field)


# ---- light


def lit(surfaces: list[Surface]) -> list[Surface]:
    """The surfaces with the light that falls on them in their colour."""
    caster = Caster(assemble(surfaces))
    return [Surface(s.points, _lit(s, caster), s.step, s.is_ground) for s in surfaces]


def _lit(surface: Surface, caster: Caster) -> Grid:
    """Sun at every point; shadow and sky, which are smooth, at every fourth."""
    normals = normals_of(surface.points)
    step = 4 if not surface.is_ground else 8
    some = np.ascontiguousarray(surface.points[::step, ::step])
    facing = normals[::step, ::step]
    sun, sky = np.zeros(some.shape[:2]), np.zeros(some.shape[:2])
    for ray in _sun():
        sun += _open(caster, some, facing, ray) / SUN_DIRECTIONS
    for ray in _sky():
        sky += _open(caster, some, facing, ray) * np.clip(facing @ ray, 0, 1) * 2 / SKY_DIRECTIONS
    height, width = surface.points.shape[:2]
    sun, sky = (np.asarray(cv2.resize(cv2.GaussianBlur(x, (0, 0), 0.8), (width, height))) for x in (sun, sky))
    direct = sun * np.clip(normals @ SUN, 0, 1)
    bounced = 0.12 * (1 - normals[..., 1]) * (0.3 + 0.7 * sky)
    light = direct[..., None] * SUN_LIGHT + sky[..., None] * SKY_LIGHT + bounced[..., None] * [1.0, 0.9, 0.75]
    return surface.colour * light


def _open(caster: Caster, points: Grid, normals: Grid, ray: Grid) -> Grid:
    """[H, W]: 1 where nothing lies between a point and the sky in the direction of a ray [3]."""
    start = (points + 2e-3 * normals).reshape(-1, 3)
    start = np.ascontiguousarray((start - caster.offset) / caster.unit, np.float32)
    rays = np.ascontiguousarray(np.broadcast_to(ray, start.shape), np.float32)
    return (caster.scene.run(start, rays) < 0).reshape(points.shape[:2]).astype(float)


def _sky() -> Grid:
    """Directions [N, 3] spread evenly over the upper half of the sphere (Fibonacci lattice)."""
    k = np.arange(SKY_DIRECTIONS)
    y, angle = (k + 0.5) / SKY_DIRECTIONS, np.pi * (3 - np.sqrt(5)) * k
    across = np.sqrt(1 - y * y)
    return np.stack([across * np.cos(angle), y, across * np.sin(angle)], axis=-1)


def _sun() -> Grid:
    """Directions [N, 3] within four degrees of the sun's middle."""
    k = np.arange(SUN_DIRECTIONS)
    out, angle = np.radians(4) * np.sqrt((k + 0.5) / SUN_DIRECTIONS), np.pi * (3 - np.sqrt(5)) * k
    side = np.cross(SUN, [0, 1, 0]) / np.linalg.norm(np.cross(SUN, [0, 1, 0]))
    disc = out[:, None] * (np.cos(angle)[:, None] * side + np.sin(angle)[:, None] * np.cross(side, SUN))
    rays = SUN + disc
    return rays / np.linalg.norm(rays, axis=1, keepdims=True)


# ---- the mesh


def assemble(surfaces: list[Surface]) -> Mesh:
    """One mesh with one texture; the surfaces' grids lie below each other in it."""
    width = max(s.points.shape[1] for s in surfaces) + 2 * GUTTER
    height = sum(s.points.shape[0] + 2 * GUTTER for s in surfaces)
    texture = np.zeros((height, width, 3), np.uint8)
    vertices, uvs, faces = [], [], []
    top, count = 0, 0
    for surface in surfaces:
        tile = np.rint(255 * srgb_from_linear(np.clip(surface.colour, 0, 1))).astype(np.uint8)
        tile = np.pad(tile, ((GUTTER, GUTTER), (GUTTER, GUTTER), (0, 0)), mode="edge")
        texture[top : top + tile.shape[0], : tile.shape[1]] = tile
        points, step = surface.points[:: surface.step, :: surface.step], surface.step
        rows, columns = points.shape[:2]
        x, y = np.meshgrid(np.arange(columns) * step + GUTTER + 0.5, np.arange(rows) * step + GUTTER + 0.5 + top)
        uvs.append(np.stack([x / width, 1 - y / height], axis=-1).reshape(-1, 2))
        vertices.append(points.reshape(-1, 3))
        faces.append(count + grid_faces(rows, columns))
        count, top = count + rows * columns, top + tile.shape[0]
    return Mesh(
        np.concatenate(vertices),
        np.concatenate(faces).astype(np.int32),
        uv=np.concatenate(uvs),
        texture=texture,
        metadata={"up": "+Y"},
    )


def grid_faces(rows: int, columns: int) -> NDArray[np.int64]:
    """[F, 3]: two triangles for each square of a grid of vertices, counter-clockwise as `normals_of` has it."""
    index = np.arange(rows * columns).reshape(rows, columns)
    a, b, c, d = index[:-1, :-1], index[:-1, 1:], index[1:, 1:], index[1:, :-1]
    return np.concatenate([np.stack([a, d, c], -1).reshape(-1, 3), np.stack([a, c, b], -1).reshape(-1, 3)])

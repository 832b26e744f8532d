"""A place to photograph an object in: ground or table, backdrop, sun and sky, and a camera with its faults.

The world has +Y up, in the object's own units; the object stands on the plane of its lowest point. Light is linear and
at most 1 where nothing lies in its way. Textures are made here, of noise at all scales, so that photos have features.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from io import BytesIO

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from mvgen.core.camera import Camera
from mvgen.core.colour import linear_from_srgb, srgb_from_linear
from mvgen.core.geometry import Mesh
from mvgen.core.render.raycast import Caster

Array = NDArray[np.float64]
FILM_DIAGONAL = 43.2666  # millimetres: 35 mm equivalents compare diagonals
SUN, SKY = np.array([0.64, 0.59, 0.50]), np.array([0.32, 0.37, 0.42])
HORIZON, ZENITH = np.array([0.72, 0.78, 0.84]), np.array([0.28, 0.48, 0.80])
PAPER = np.array([0.42, 0.42, 0.43])  # a plain backdrop
SHADOW_CELLS = 256  # of the map of light on the ground, a side
SHADOW_REACH = 2.5  # how far that map reaches, in diagonals


@dataclass(frozen=True, eq=False)
class Light:
    """Directions [S, 3] towards parts of the sun and [K, 3] towards parts of the sky, all unit."""

    sun: Array
    sky: Array


@dataclass(frozen=True, eq=False)
class Layer:
    """A textured surface whose light is in the map of the ground (lit) or full everywhere."""

    caster: Caster
    lit: bool


class Subject:
    """An object made ready for photos."""

    def __init__(self, mesh: Mesh):
        self.mesh = mesh
        self.caster = Caster(mesh)
        self.fine = _finer(mesh)
        self.normals = _smooth_normals(self.fine)

    def under(self, light: Light) -> Caster:
        """The object in the colours of the light that reaches it."""
        seen = self.brightness(self.fine.vertices, self.normals, light)
        bounced = 0.10 * (1 - self.normals[:, 1:2]) * np.array([1.0, 0.95, 0.85])
        colours = srgb_from_linear(np.clip(seen + bounced, 0, 1)).astype(np.float32)
        return Caster(replace(self.fine, colours=colours))

    def brightness(self, points: Array, normals: Array, light: Light) -> Array:
        """Linear light [N, 3] at points [N, 3] with normals [N, 3], in the shadow of the object."""
        total = np.zeros((len(points), 3))
        for rays, colour in ((light.sun, SUN), (light.sky, 2 * SKY)):
            for ray in rays:
                facing = np.clip(normals @ ray, 0, None)
                total += (self._open(points + 2e-3 * self.mesh.diagonal * normals, ray) * facing)[:, None] * (
                    colour / len(rays)
                )
        return total

    def ground_light(self, light: Light, degrees: float = 0.0) -> NDArray[np.float32]:
        """Linear light [SHADOW_CELLS, SHADOW_CELLS, 3] on the ground, rows along z and columns along x, after the
        object has been turned about the vertical through its middle."""
        middle, reach = self.mesh.bounds.mean(0), SHADOW_REACH * self.mesh.diagonal
        step = (np.arange(SHADOW_CELLS) + 0.5) / SHADOW_CELLS * 2 * reach - reach
        x, z = np.meshgrid(step, step)
        points = np.stack([x, np.full_like(x, self.mesh.bounds[0, 1] - middle[1]), z], axis=-1).reshape(-1, 3)
        points = points @ about_vertical(degrees) + middle  # as the object sees them
        seen = self.brightness(points, np.tile([0.0, 1.0, 0.0], (len(points), 1)), turned(light, -degrees))
        return cv2.GaussianBlur(seen.reshape(SHADOW_CELLS, SHADOW_CELLS, 3).astype(np.float32), (0, 0), 0.7)

    def _open(self, points: Array, ray: Array) -> Array:
        """[N]: 1 where the object does not lie between a point and the direction of a ray [3]."""
        start = np.ascontiguousarray((points - self.caster.offset) / self.caster.unit, np.float32)
        rays = np.ascontiguousarray(np.broadcast_to(ray, start.shape), np.float32)
        return (self.caster.scene.run(start, rays) < 0).astype(np.float64)


class Studio:
    """A subject with what is around it; pictures are linear light [H, W, 3]."""

    def __init__(self, subject: Subject, layers: Sequence[Layer], plain: bool = False):
        self.subject, self.layers, self.plain = subject, layers, plain
        self._still: tuple[bytes, list[tuple[Array, Array]]] | None = None

    def view(self, camera: Camera, subject_camera: Camera, lit: Caster, ground: NDArray[np.float32]) -> Array:
        """What a camera sees: the surroundings from ``camera``, the subject, in the colours of ``lit``, from
        ``subject_camera``; ``ground`` is the map of light on the ground."""
        rays = camera.rays()
        shade = self._ground_shade(camera, rays, ground)
        picture = self._backdrop(rays, shade)
        for (colour, alpha), layer in zip(self._surroundings(camera), self.layers):
            seen = colour * shade if layer.lit else colour
            picture += alpha * (seen - picture)
        albedo, light = self.subject.caster.render(subject_camera), lit.render(subject_camera)
        seen = linear_from_srgb(albedo.color) * linear_from_srgb(light.color)
        return picture + albedo.alpha[..., None] * (seen - picture)

    def _surroundings(self, camera: Camera) -> list[tuple[Array, Array]]:
        """Linear colour and alpha of each layer; kept while the camera stands still."""
        key = camera.world_to_camera.tobytes()
        if self._still is None or self._still[0] != key:
            views = [layer.caster.render(camera) for layer in self.layers]
            self._still = (key, [(linear_from_srgb(v.color), v.alpha[..., None]) for v in views])
        return self._still[1]

    def _backdrop(self, rays: Array, shade: Array) -> Array:
        if self.plain:
            return PAPER * shade / (SUN + SKY).mean()
        up = np.clip(rays[..., 1:2] / np.linalg.norm(rays, axis=-1, keepdims=True), 0, 1) ** 0.6
        return (1 - up) * HORIZON + up * ZENITH

    def _ground_shade(self, camera: Camera, rays: Array, ground: NDArray[np.float32]) -> Array:
        """[H, W, 3]: the light on the ground behind each pixel, that of the open where there is no ground."""
        mesh = self.subject.mesh
        down = np.minimum(rays[..., 1], -1e-9)
        place = camera.centre + rays * ((mesh.bounds[0, 1] - camera.centre[1]) / down)[..., None]
        cell = 2 * SHADOW_REACH * mesh.diagonal / SHADOW_CELLS
        pixel = ((place[..., ::2] - mesh.bounds.mean(0)[::2]) / cell + SHADOW_CELLS / 2 - 0.5).astype(np.float32)
        pixel = np.clip(pixel, -1e4, 1e4)
        open_light = tuple(float(v) for v in ground[0, 0])
        return cv2.remap(
            ground,
            np.ascontiguousarray(pixel[..., 0]),
            np.ascontiguousarray(pixel[..., 1]),
            cv2.INTER_LINEAR,
            borderMode=cv2.BORDER_CONSTANT,
            borderValue=open_light,
        ).astype(np.float64)


def daylight(azimuth: float, height: float) -> Light:
    """A sun at an azimuth (0: +Z, growing towards +X) and a height, in degrees, under an even sky."""
    a, h = np.radians([azimuth, height])
    middle = np.array([np.cos(h) * np.sin(a), np.sin(h), np.cos(h) * np.cos(a)])
    side = np.cross(middle, [0, 1, 0]) / np.linalg.norm(np.cross(middle, [0, 1, 0]))
    k = np.arange(8)
    out, angle = np.radians(3) * np.sqrt((k + 0.5) / len(k)), np.pi * (3 - np.sqrt(5)) * k
    sun = middle + out[:, None] * (np.cos(angle)[:, None] * side + np.sin(angle)[:, None] * np.cross(side, middle))
    k = np.arange(24)
    y, angle = (k + 0.5) / len(k), np.pi * (3 - np.sqrt(5)) * k
    across = np.sqrt(1 - y * y)
    sky = np.stack([across * np.cos(angle), y, across * np.sin(angle)], axis=-1)
    return Light(sun / np.linalg.norm(sun, axis=1, keepdims=True), sky)


def turned(light: Light, degrees: float) -> Light:
    """The light turned about the vertical axis."""
    return Light(*(rays @ about_vertical(degrees).T for rays in (light.sun, light.sky)))


def about_vertical(degrees: float) -> Array:
    """[3, 3]: a turn about +Y, counter-clockwise seen from above."""
    c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    return np.array([[c, 0, s], [0, 1, 0], [-s, 0, c]])


# ---- surroundings


def courtyard(mesh: Mesh, rng: np.random.Generator) -> list[Layer]:
    """Flagstones around a mesh and, from their edge, gravel to the horizon, a hair lower."""
    size = mesh.diagonal
    stones = _sheet(mesh, 4 * size, flagstones(rng))
    gravel = _around(_sheet(mesh, 40 * size, pebbles(rng, 2048), drop=2e-3 * size), 0.099)
    return [Layer(Caster(gravel), False), Layer(Caster(stones), True)]


def study(mesh: Mesh, rng: np.random.Generator) -> list[Layer]:
    """A wooden table under a mesh and shelves of books behind it, to be seen from +Z."""
    size, low = mesh.diagonal, float(mesh.bounds[0, 1])
    table = _sheet(mesh, 4 * size, planks(rng))
    x, z = mesh.bounds.mean(0)[::2]
    corners = np.array([[-3.2, -0.4], [3.2, -0.4], [3.2, 3.2], [-3.2, 3.2]]) * size
    places = np.column_stack([x + corners[:, 0], low + corners[:, 1], np.full(4, z - 1.3 * size)])
    wall = Mesh(places, np.array([[0, 1, 2], [0, 2, 3]], np.int32), uv=UNIT_SQUARE, texture=books(rng))
    return [Layer(Caster(table), True), Layer(Caster(wall), False)]


UNIT_SQUARE = np.array([[0.0, 0], [1, 0], [1, 1], [0, 1]])


def _sheet(mesh: Mesh, reach: float, texture: NDArray[np.uint8], drop: float = 0.0) -> Mesh:
    """A square of ground around a mesh, ``reach`` to each side, at its lowest point or ``drop`` under it."""
    x, z = mesh.bounds.mean(0)[::2]
    places = [[x - reach, z + reach], [x + reach, z + reach], [x + reach, z - reach], [x - reach, z - reach]]
    corners = np.array([[a, mesh.bounds[0, 1] - drop, b] for a, b in places])
    return Mesh(corners, np.array([[0, 1, 2], [0, 2, 3]], np.int32), uv=UNIT_SQUARE, texture=texture)


def _around(square: Mesh, share: float) -> Mesh:
    """A square sheet without its inner square, whose side is a share of the whole's."""
    assert square.uv is not None
    middle = square.vertices.mean(0)
    vertices = np.concatenate([square.vertices, middle + share * (square.vertices - middle)])
    uv = np.concatenate([square.uv, 0.5 + share * (square.uv - 0.5)])
    sides = [[(k, (k + 1) % 4, 4 + (k + 1) % 4), (k, 4 + (k + 1) % 4, 4 + k)] for k in range(4)]
    return replace(square, vertices=vertices, faces=np.array(sides, np.int32).reshape(-1, 3), uv=uv)


# ---- textures, [H, W, 3] uint8


def noise(rng: np.random.Generator, shape: tuple[int, int], cells: Sequence[tuple[int, int]], gain: float) -> Array:
    """[H, W] of about -1 to 1: grids of random values, drawn out smoothly, each weaker than the one before."""
    out, total = np.zeros(shape, np.float32), 0.0
    for k, (rows, columns) in enumerate(cells):
        grid = rng.normal(size=(rows, columns)).astype(np.float32)
        out += gain**k * cv2.resize(grid, shape[::-1], interpolation=cv2.INTER_CUBIC)
        total += gain ** (2 * k)
    return (out / (2 * np.sqrt(total))).astype(np.float64)


def flagstones(rng: np.random.Generator, side: int = 4096) -> NDArray[np.uint8]:
    """Slabs in courses, with joints, lichen and fallen leaves."""
    tones = np.array([[126, 118, 106], [148, 138, 122], [108, 106, 104], [140, 124, 104], [118, 122, 118]], np.float64)
    picture = np.zeros((side, side, 3), np.uint8)
    top = 0
    while top < side:
        bottom, left = min(top + int(rng.integers(120, 260)), side), -int(rng.integers(0, 200))
        while left < side:
            right = left + int(rng.integers(160, 420))
            tone = tones[rng.integers(len(tones))] * rng.uniform(0.8, 1.15)
            cv2.rectangle(picture, (left, top), (right, bottom), (58, 54, 46), -1)
            cv2.rectangle(picture, (left + 4, top + 4), (right - 4, bottom - 4), tone.tolist(), -1)
            left = right
        top = bottom
    shape = (side, side)
    grain = noise(rng, shape, [(n, n) for n in (12, 30, 80, 200, 500, 1200, 2400)], 0.9)
    lichen = np.clip(6 * (noise(rng, shape, [(n, n) for n in (20, 60, 160, 420, 1000)], 0.75) - 0.42), 0, 1)
    colour = picture * (1 + 0.42 * grain[..., None])
    colour += lichen[..., None] * (np.array([196, 190, 150]) * (1 + 0.3 * grain[..., None]) - colour)
    out = np.clip(colour, 6, 250).astype(np.uint8)
    for _ in range(1500):
        _leaf(out, rng)
    return out


def _leaf(picture: NDArray[np.uint8], rng: np.random.Generator) -> None:
    palette = [(168, 82, 30), (196, 138, 44), (122, 60, 34), (92, 96, 40), (206, 176, 84)]
    place = tuple(int(v) for v in rng.integers(0, picture.shape[0], 2))
    length = int(6 + 26 * rng.random() ** 2)
    tone = (np.array(palette[rng.integers(len(palette))]) * rng.uniform(0.7, 1.15)).tolist()
    angle = float(rng.uniform(0, 180))
    cv2.ellipse(
        picture, place, (length, max(2, int(length * rng.uniform(0.3, 0.6)))), angle, 0, 360, tone, -1, cv2.LINE_AA
    )
    tip = length * np.array([np.cos(np.radians(angle)), np.sin(np.radians(angle))])
    ends = [tuple(int(v) for v in place + sign * tip) for sign in (-1, 1)]
    cv2.line(picture, ends[0], ends[1], [0.55 * v for v in tone], 1, cv2.LINE_AA)


def pebbles(rng: np.random.Generator, side: int) -> NDArray[np.uint8]:
    """Gravel with patches of grass, seen from afar."""
    shape = (side, side)
    grain = noise(rng, shape, [(n, n) for n in (8, 30, 120, 500, 1500)], 0.9)
    grass = np.clip(3 * noise(rng, shape, [(n, n) for n in (10, 30, 90, 300)], 0.7), 0, 1)[..., None]
    colour = (1 - grass) * np.array([138, 128, 112]) + grass * np.array([92, 108, 58])
    return np.clip(0.8 * colour * (1 + 0.4 * grain[..., None]), 6, 250).astype(np.uint8)


def planks(rng: np.random.Generator, side: int = 2048) -> NDArray[np.uint8]:
    """Boards with grain along them, scratches and stains."""
    shape = (side, side)
    grain = noise(rng, shape, [(60, 8), (200, 14), (700, 30), (1500, 60)], 0.9)
    spots = noise(rng, shape, [(n, n) for n in (16, 50, 160, 500, 1100)], 0.85)
    colour = np.array([150, 104, 62]) * (1 + 0.4 * grain + 0.22 * spots)[..., None]
    top = 0
    while top < side:
        bottom = min(top + int(rng.integers(90, 150)), side)
        colour[top:bottom] *= rng.uniform(0.78, 1.15)
        colour[top : top + 3] *= 0.35
        top = bottom
    out = np.clip(colour, 6, 250).astype(np.uint8)
    for _ in range(500):
        start = rng.integers(0, side, 2)
        end = start + rng.normal(0, 40, 2).astype(int)
        tone = [float(v) for v in np.array([210, 176, 130]) * rng.uniform(0.35, 1.1)]
        cv2.line(out, start.tolist(), end.tolist(), tone, int(rng.integers(1, 3)), cv2.LINE_AA)
    return out


def books(rng: np.random.Generator, width: int = 4096) -> NDArray[np.uint8]:
    """Five shelves of books with lettering on their backs."""
    height = width * 9 // 16
    picture = np.full((height, width, 3), 40, np.uint8)
    shelf = height // 5
    for row in range(5):
        bottom, left = (row + 1) * shelf - 26, 0
        cv2.rectangle(picture, (0, bottom), (width, bottom + 26), (112, 78, 48), -1)
        while left < width:
            right = left + int(rng.integers(26, 88))
            top = bottom - int(shelf * rng.uniform(0.62, 0.92))
            _book(picture, (left, top, right, bottom), rng)
            left = right + (int(rng.integers(20, 90)) if rng.random() < 0.06 else 1)
    grain = noise(rng, (height, width), [(40, 70), (160, 280), (600, 1000)], 0.9)
    return np.clip(picture * (0.9 + 0.16 * grain[..., None]), 4, 250).astype(np.uint8)


def _book(picture: NDArray[np.uint8], box: tuple[int, int, int, int], rng: np.random.Generator) -> None:
    left, top, right, bottom = box
    tone = 0.55 * rng.integers(20, 200, 3) + rng.uniform(0.15, 0.5) * np.array([190, 160, 120])
    cv2.rectangle(picture, (left, top), (right - 1, bottom), tone.tolist(), -1)
    cv2.line(picture, (left, top), (left, bottom), (0.5 * tone).tolist(), 2)
    ink = (230, 214, 160) if tone.mean() < 120 else (30, 26, 24)
    for _ in range(int(rng.integers(0, 4))):
        y = int(rng.integers(top + 8, bottom - 8))
        cv2.line(picture, (left + 2, y), (right - 3, y), ink, int(rng.integers(1, 6)))
    letters = "".join(rng.choice(list("ABCDEFGHIKLMNOPRSTUVW "), int(rng.integers(5, 14))))
    size = 0.75 * (right - left) / 40
    (wide, tall), _ = cv2.getTextSize(letters, cv2.FONT_HERSHEY_DUPLEX, size, 1)
    stamp = np.zeros((tall + 12, min(wide + 8, bottom - top - 10), 3), np.uint8)
    cv2.putText(stamp, letters, (4, tall + 4), cv2.FONT_HERSHEY_DUPLEX, size, (255, 255, 255), 1, cv2.LINE_AA)
    stamp = np.ascontiguousarray(np.rot90(stamp))[:, : right - left - 2]
    y, x = top + 6, left + max(0, (right - left - stamp.shape[1]) // 2)
    place = picture[y : y + stamp.shape[0], x : x + stamp.shape[1]]
    share = stamp[: place.shape[0], : place.shape[1]] / 255
    place[:] = (place * (1 - share) + share * np.array(ink)).astype(np.uint8)


# ---- the camera


def intrinsics_of(focal_35mm: int, size: tuple[int, int]) -> Array:
    """[3, 3] of a camera of a focal length in millimetres on 35 mm film, for pictures of size (width, height)."""
    width, height = size
    focal = focal_35mm / FILM_DIAGONAL * np.hypot(width, height)
    return np.array([[focal, 0, width / 2], [0, focal, height / 2], [0, 0, 1]])


def developed(light: Array, rng: np.random.Generator) -> NDArray[np.uint8]:
    """A picture [H, W, 3] from linear light: a soft lens, exposure a little uneven, and noise."""
    soft = cv2.GaussianBlur(light, (0, 0), 0.45) * (1.12 * (1 + rng.normal(0, 0.015)))
    rolled = np.where(soft > 0.8, 0.8 + 0.2 * (1 - np.exp(-(soft - 0.8) / 0.2)), soft)  # whites end softly
    grain = rng.normal(0, 1.3, light.shape[:2])[..., None] + rng.normal(0, 0.6, light.shape)
    return np.rint(np.clip(255 * srgb_from_linear(rolled) + grain, 0, 255)).astype(np.uint8)


def jpeg(pixels: NDArray[np.uint8], focal_35mm: int) -> bytes:
    """A JPEG file of [H, W, 3] that names its focal length."""
    exif = Image.Exif()
    exif[0x010F], exif[0x0110] = "mvgen", "studio"  # maker and model
    exif.get_ifd(0x8769)[0xA405] = focal_35mm
    out = BytesIO()
    Image.fromarray(pixels).save(out, "JPEG", quality=93, exif=exif)
    return out.getvalue()


# ---- geometry


def _finer(mesh: Mesh) -> Mesh:
    """The mesh in smaller faces, without its picture, so that light at vertices has enough of them."""
    from trimesh.remesh import subdivide_to_size

    vertices, faces = subdivide_to_size(mesh.vertices, mesh.faces, mesh.diagonal / 60, max_iter=12)
    return Mesh(np.asarray(vertices, np.float64), np.asarray(faces, np.int32))


def _smooth_normals(mesh: Mesh) -> Array:
    """Unit normals [V, 3], the same for all vertices at one place."""
    corners = mesh.vertices[mesh.faces]
    across = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    place = np.unique(np.round(mesh.vertices / (1e-6 * mesh.diagonal)), axis=0, return_inverse=True)[1].reshape(-1)
    total = np.zeros((place.max() + 1, 3))
    for k in range(3):
        np.add.at(total, place[mesh.faces[:, k]], across)
    normals = total[place]
    return normals / np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-12)

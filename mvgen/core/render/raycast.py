"""Views of a mesh by ray casting (Embree).

A textured mesh shows its texture unlit, as photos carry their light already; without texture its colours at the
vertices, else matt clay. Embree works in float32, so geometry is centred and scaled for it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mvgen.core.camera import Camera
from mvgen.core.colour import linear_from_srgb, srgb_from_linear
from mvgen.core.geometry import Mesh
from mvgen.core.io.parts import repeats
from mvgen.core.render.buffers import Buffers, block_mean, clay
from mvgen.core.render.texture import Texture

_RAYS = 1 << 18  # rays at a time: bounds the memory of a view of any size


@dataclass(frozen=True, eq=False)
class Hits:
    """First hits of N rays: face [N] int32 (-1: none), distance [N] float64 in lengths of the ray, w [N, 3] float32,
    the barycentric weights of the corners."""

    face: NDArray[np.int32]
    distance: NDArray[np.float64]
    w: NDArray[np.float32]


class Caster:
    """A mesh made ready for any number of views."""

    def __init__(self, mesh: Mesh):
        from embreex import rtcore_scene
        from embreex.mesh_construction import TriangleMesh

        self.mesh = mesh
        self.offset = mesh.bounds.mean(0)
        self.unit = max(mesh.diagonal, 1e-300)
        corners = ((mesh.vertices - self.offset) / self.unit)[mesh.faces]
        self.scene = rtcore_scene.EmbreeScene()
        TriangleMesh(self.scene, np.ascontiguousarray(corners, np.float32))
        across = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
        area = np.linalg.norm(across, axis=1, keepdims=True)
        self.face_normals = (across / np.maximum(area, 1e-300)).astype(np.float32)
        self.texture: Texture | None = None
        self.colours = None if mesh.colours is None else linear_from_srgb(mesh.colours).astype(np.float32)
        if mesh.uv is not None and mesh.texture is not None:
            self.texture = Texture(mesh.texture, repeats(mesh.uv))
            self.density = _texel_density(mesh.uv[mesh.faces], area[:, 0], mesh.texture.shape)

    def hits(self, origin: NDArray[np.floating], rays: NDArray[np.floating]) -> Hits:
        """What rays [N, 3] from one point meet first."""
        start = np.broadcast_to(((origin - self.offset) / self.unit).astype(np.float32), rays.shape)
        found = self.scene.run(np.ascontiguousarray(start), np.ascontiguousarray(rays, np.float32), output=1)
        u, v = found["u"], found["v"]
        distance = found["tfar"].astype(np.float64) * self.unit
        return Hits(found["primID"], distance, np.stack([1 - u - v, u, v], axis=1))

    def render(self, camera: Camera, supersample: int = 2) -> Buffers:
        """The view of a camera; colour and alpha are means over supersample x supersample rays per pixel."""
        height, width = camera.height, camera.width
        out = Buffers(
            color=np.zeros((height, width, 3), np.float32),
            depth=np.zeros((height, width), np.float32),
            normal=np.zeros((height, width, 3), np.float32),
            alpha=np.zeros((height, width), np.float32),
            id=np.full((height, width), -1, np.int32),
        )
        left, top, right, bottom = _covered(camera, self.mesh.bounds)
        if right <= left or bottom <= top:
            return out
        step = max(1, _RAYS // ((right - left) * supersample**2))
        for first in range(top, bottom, step):
            window = (left, first, right, min(first + step, bottom))
            self._render_window(camera, window, supersample, out)
        return out

    def _render_window(self, camera: Camera, window: tuple[int, int, int, int], supersample: int, out: Buffers) -> None:
        left, top, right, bottom = window
        place = np.s_[top:bottom, left:right]
        shape = (bottom - top, right - left)
        rays = _window_rays(camera, window, 1)
        found = self.hits(camera.centre, rays)
        hit = found.face >= 0
        normal = self._normals(camera, rays, found)
        out.id[place] = found.face.reshape(shape)
        out.depth[place] = np.where(hit, found.distance, 0).reshape(shape)
        out.normal[place] = normal.reshape(*shape, 3)
        if supersample > 1:
            rays = _window_rays(camera, window, supersample)
            found = self.hits(camera.centre, rays)
            hit = found.face >= 0
            normal = self._normals(camera, rays, found) if self._is_clay else normal
        colour = self._colour(camera, rays, found, normal, supersample)
        fine = (shape[0] * supersample, shape[1] * supersample)
        covered = block_mean(hit.reshape(fine).astype(np.float32), supersample)
        light = block_mean(colour.reshape(*fine, 3), supersample)
        out.alpha[place] = covered
        out.color[place] = srgb_from_linear(light / np.maximum(covered, 1e-9)[..., None])

    @property
    def _is_clay(self) -> bool:
        return self.texture is None and self.colours is None

    def _normals(self, camera: Camera, rays: NDArray[np.floating], found: Hits) -> NDArray[np.float32]:
        """[N, 3] in camera axes, facing the camera; 0 where nothing is hit."""
        out = np.zeros((len(rays), 3), np.float32)
        hit = np.flatnonzero(found.face >= 0)
        face = found.face[hit]
        if self.mesh.normals is None:
            world = self.face_normals[face]
        else:
            world = (self.mesh.normals[self.mesh.faces[face]] * found.w[hit][..., None]).sum(1)
        flat = self.face_normals[face]
        away = (flat * rays[hit]).sum(1) > 0
        world = np.where(((world * flat).sum(1) < 0)[:, None] != away[:, None], -world, world)
        local = world @ camera.rotation.T
        out[hit] = local / np.maximum(np.linalg.norm(local, axis=1, keepdims=True), 1e-12)
        return out

    def _colour(
        self,
        camera: Camera,
        rays: NDArray[np.floating],
        found: Hits,
        normal: NDArray[np.float32],
        supersample: int,
    ) -> NDArray[np.float32]:
        """Linear colour [N, 3], 0 where nothing is hit."""
        out = np.zeros((len(rays), 3), np.float32)
        hit = np.flatnonzero(found.face >= 0)
        face, w = found.face[hit], found.w[hit][..., None]
        if self.texture is not None and self.mesh.uv is not None:
            uv = (self.mesh.uv[self.mesh.faces[face]] * w).sum(1)
            slant = np.abs((self.face_normals[face] * rays[hit]).sum(1))  # rays have length 1 along the axis
            focal = float(camera.intrinsics[0, 0]) * supersample
            size = found.distance[hit] / (focal * self.unit * np.sqrt(np.maximum(slant, 0.05)))
            out[hit] = self.texture.sample(uv, self.density[face] * size)
        elif self.colours is not None:
            out[hit] = (self.colours[self.mesh.faces[face]] * w).sum(1)
        else:
            out[hit] = clay(normal[hit])
        return out


def render_mesh(mesh: Mesh, camera: Camera, supersample: int = 2) -> Buffers:
    """One view of a mesh; for several views of the same mesh, keep a `Caster`."""
    return Caster(mesh).render(camera, supersample)


def _texel_density(
    uv: NDArray[np.floating], doubled_area: NDArray[np.floating], shape: tuple[int, ...]
) -> NDArray[np.float32]:
    """[F]: pixels of the picture per diagonal of the mesh, the root of the areas' ratio."""
    size = np.array([shape[1], shape[0]])
    a, b = (uv[:, 1] - uv[:, 0]) * size, (uv[:, 2] - uv[:, 0]) * size
    texels = np.abs(a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0])
    return np.sqrt(texels / np.maximum(doubled_area, 1e-20)).astype(np.float32)


def _covered(camera: Camera, bounds: NDArray[np.floating]) -> tuple[int, int, int, int]:
    """left, top, right, bottom of the pixels that a box can cover."""
    corners = np.array([[bounds[i, 0], bounds[j, 1], bounds[k, 2]] for i in (0, 1) for j in (0, 1) for k in (0, 1)])
    pixels, depth = camera.project(corners)
    if (depth <= 1e-9).any():
        return 0, 0, camera.width, camera.height
    size = [camera.width, camera.height]
    low = np.clip(np.floor(pixels.min(0)) - 1, 0, size).astype(int)
    high = np.clip(np.ceil(pixels.max(0)) + 1, 0, size).astype(int)
    return int(low[0]), int(low[1]), int(high[0]), int(high[1])


def _window_rays(camera: Camera, window: tuple[int, int, int, int], supersample: int) -> NDArray[np.float32]:
    """[n, 3]: rays as `Camera.rays`, row by row, through supersample x supersample parts of each pixel of a window."""
    left, top, right, bottom = window
    x = left + (np.arange((right - left) * supersample) + 0.5) / supersample
    y = top + (np.arange((bottom - top) * supersample) + 0.5) / supersample
    by_x, by_y, fixed = np.linalg.inv(camera.intrinsics).T @ camera.rotation
    rays = x[None, :, None] * by_x + (y[:, None, None] * by_y + fixed)
    return rays.astype(np.float32).reshape(-1, 3)

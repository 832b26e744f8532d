"""A ball with bumps, the smooth ball that it should be refined from, and cameras around."""

from __future__ import annotations

import numpy as np
import trimesh

from mvgen.core.camera import Camera
from mvgen.core.geometry import Mesh
from mvgen.core.render.orbit import look_at


def bumps(directions):
    """Radius of the ball in unit directions [N, 3]."""
    x, y, z = directions.T
    return 1 + 0.04 * np.sin(6 * x) * np.cos(5 * y) + 0.02 * np.sin(9 * z)


def ball(level, detailed):
    plain = trimesh.creation.icosphere(level)
    vertices = np.array(plain.vertices, float)
    if detailed:
        vertices *= bumps(vertices)[:, None]
    return Mesh(vertices, np.array(plain.faces, np.int32))


def cameras(count, size, distance=4.0):
    focal = 1.4 * size
    intrinsics = np.array([[focal, 0, size / 2], [0, focal, size / 2], [0, 0, 1]])
    out = []
    for k in range(count):
        azimuth, height = 2 * np.pi * k / count, 0.7 * (-1) ** k
        eye = distance * np.array([np.cos(azimuth) * np.cos(height), np.sin(height), np.sin(azimuth) * np.cos(height)])
        pose = look_at(eye, np.zeros(3), np.array([0.0, 1, 0]))
        out.append(Camera(f"view_{k:03d}.png", size, size, intrinsics, pose))
    return out


def off(mesh):
    """Mean distance of a mesh's vertices from the bumpy ball, and degrees between its faces' normals and the ball's."""
    radius = np.linalg.norm(mesh.vertices, axis=1)
    distance = np.abs(radius - bumps(mesh.vertices / radius[:, None])).mean()
    corners = mesh.vertices[mesh.faces]
    normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    normals /= np.linalg.norm(normals, axis=1, keepdims=True)
    cosine = (normals * true_normals(corners.mean(1))).sum(1)
    return distance, np.degrees(np.arccos(np.clip(cosine, -1, 1))).mean()


def true_normals(points, step=1e-5):
    """Of the level set of |p| - bumps(p / |p|) at points [N, 3]."""

    def level(p):
        radius = np.linalg.norm(p, axis=1)
        return radius - bumps(p / radius[:, None])

    ways = np.eye(3) * step
    gradient = np.stack([level(points + way) - level(points - way) for way in ways], axis=1)
    return gradient / np.linalg.norm(gradient, axis=1, keepdims=True)

"""What pixels say of faces, beside plain versions."""

from __future__ import annotations

import numpy as np

from mvgen.kernels import creases
from mvgen.kernels.creases import median_directions, median_directions_reference

PIXELS, FACES, VERTICES = 3000, 50, 40


def directions(rng, count):
    out = rng.normal(size=(count, 3))
    return out / np.linalg.norm(out, axis=1, keepdims=True)


def both(name, inputs, *shapes):
    """What a kernel and its reference return, and leave in arrays of some shapes."""
    out = []
    for function in (getattr(creases, name), getattr(creases, f"{name}_reference")):
        left = [np.zeros(shape, kind) for shape, kind in shapes]
        out.append((function(*inputs, *left), *left))
    return out


def test_facing_pixels():
    rng = np.random.default_rng(1)
    face = rng.integers(-1, FACES, PIXELS).astype(np.int32)
    wanted = directions(rng, PIXELS).astype(np.float32)
    wanted[::7] = 0
    corners = rng.integers(0, VERTICES, (FACES, 3)).astype(np.int32)
    scene = (rng.random(FACES) > 0.2, wanted, directions(rng, FACES), rng.normal(size=(VERTICES, 3)), corners)
    inputs = (face, *scene, np.array([0.5, -3.0, 1.0]), 0.3, 0.1)
    fast, slow = both("facing_pixels", inputs, (PIXELS, np.int32), (PIXELS, np.float64))
    assert fast[0] == slow[0] > 100 and (fast[1] == slow[1]).all() and np.allclose(fast[2], slow[2])


def test_pixels_at_middles():
    rng = np.random.default_rng(4)
    width, count = 60, 4000
    face, depth = rng.integers(-1, FACES, PIXELS).astype(np.int32), rng.uniform(1, 2, PIXELS).astype(np.float32)
    screen = rng.uniform((-10, -10, 1), (width + 10, PIXELS / width + 10, 2), (VERTICES, 3)).astype(np.float32)
    wanted = directions(rng, PIXELS).astype(np.float32)
    wanted[::7] = 0
    corners = rng.integers(0, VERTICES, (count, 3)).astype(np.int32)
    scene = (wanted, directions(rng, count), rng.normal(size=(VERTICES, 3)), corners, np.array([0.5, -3.0, 1.0]))
    inputs = (rng.random(count) > 0.2, face, depth, width, screen, 0.3, *scene, 0.3, 0.1)
    fast, slow = both("pixels_at_middles", inputs, *((count, kind) for kind in (np.int32, np.int32, np.float64)))
    assert fast[0] == slow[0] > 100 and (fast[1] == slow[1]).all() and (fast[2] == slow[2]).all()
    assert np.allclose(fast[3], slow[3])


def test_halves():
    rng = np.random.default_rng(2)
    face, corners = rng.integers(0, FACES, PIXELS), rng.integers(0, VERTICES, (FACES, 3))
    shown = (face.astype(np.int32), directions(rng, PIXELS), rng.random(PIXELS), rng.random((PIXELS, 2)))
    far = rng.integers(0, VERTICES, 3 * FACES).astype(np.int32)
    inputs = (*shown, rng.random((VERTICES, 2)), corners.astype(np.int32), far)
    shapes = ((FACES, 3), float), (FACES, float), ((3 * FACES, 3), float)
    fast, slow = both("add_halves", inputs, *shapes)
    assert all(np.allclose(one, two) and np.abs(two).sum() > 10 for one, two in zip(fast[1:], slow[1:]))


def test_misplaced():
    rng = np.random.default_rng(3)
    face = rng.integers(0, FACES, PIXELS).astype(np.int32)
    twins = rng.integers(-1, 3 * FACES, 3 * FACES).astype(np.int32)
    shown = (face, directions(rng, PIXELS), rng.random(PIXELS))
    inputs = (*shown, directions(rng, FACES), rng.random(FACES) > 0.2, twins, 1e-4)
    fast, slow = both("add_misplaced", inputs, (FACES, float), (3 * FACES, float))
    assert all(np.allclose(one, two) and two.sum() > 10 for one, two in zip(fast[1:], slow[1:]))


def test_median_directions():
    rng = np.random.default_rng(0)
    group = rng.integers(0, 40, 2000).astype(np.int32)
    group[group == 7] = 8
    directions = rng.normal((0, 0, 2), size=(2000, 3))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    weight = rng.uniform(0.1, 1, 2000)
    start = np.tile([1.0, 0, 0], (40, 1))
    got, want = start.copy(), start.copy()
    median_directions(group, directions, weight, 6, 0.03, got)
    median_directions_reference(group, directions, weight, 6, 0.03, want)
    assert np.allclose(got, want, rtol=0, atol=1e-12)
    assert (got[7] == start[7]).all()


def test_a_median_is_of_the_larger_part():
    directions = np.repeat(np.eye(3), [60, 40, 0], axis=0)
    out = np.zeros((1, 3))
    median_directions(np.zeros(100, np.int32), directions, np.ones(100), 6, 0.03, out)
    assert np.degrees(np.arccos(out[0, 0])) < 5  # the mean is 34 degrees off

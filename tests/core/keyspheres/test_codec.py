"""Networks as bytes: what comes back, sizes, damage."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import trimesh
from hypothesis import example, given, settings
from hypothesis import strategies as st

from mvgen.core.compress.codec import FieldSettings, Goal
from mvgen.core.compress.measure import Surface, measure
from mvgen.core.errors import CannotError, InputError
from mvgen.core.geometry import Mesh
from mvgen.core.keyspheres import codec
from mvgen.core.keyspheres.learn import fresh_sines, sine_form
from mvgen.core.keyspheres.network import Network, fresh_weights, published_sizes
from mvgen.core.keyspheres.payload import (
    Packed,
    _pack_spheres,
    _unpack_spheres,
    box_of,
    pack_exact,
    rounded_spheres,
    steps_of,
    unpack,
    with_weights,
)
from mvgen.core.keyspheres.rounding import choose_rounding, coarser
from mvgen.core.keyspheres.samples import Normal
from mvgen.core.progress import Silent

RNG = np.random.default_rng(5)
TINY = FieldSettings(spheres=16, width=8, layers=2, samples=6000)


def frame_mesh(made: trimesh.Trimesh) -> Mesh:
    """A mesh in the container's frame."""
    size = np.linalg.norm(made.extents)
    vertices = (np.asarray(made.vertices) - made.bounds.mean(0)) / size
    return Mesh(vertices, np.asarray(made.faces, np.int32))


@pytest.fixture(scope="module")
def ball() -> Mesh:
    return frame_mesh(trimesh.creation.icosphere(3))


def packed_of(network: Network) -> Packed:
    box = np.array([[-100, -90, -80], [70, 127, 60]])
    return Packed(network, Normal.read(np.array([0.1, 0, -0.2, 1.75], "<f2").tobytes()), box, 200, 3)


def direct(count=20, width=8) -> Packed:
    spheres = rounded_spheres(RNG.uniform(-0.6, 0.6, (count, 4)).astype(np.float32))
    sizes, kinds = published_sizes(count, width, 2, False)
    return packed_of(Network(fresh_weights(sizes, False, RNG), sizes, kinds, spheres).folded())


def sines(width=9) -> Packed:
    sizes, kinds = sine_form(3, width, 3)
    return packed_of(Network(fresh_sines(sizes, 12.0, RNG), sizes, kinds, np.zeros((0, 4), np.float32), tanh=False))


def assert_same(one: Packed, other: Packed) -> None:
    points = RNG.uniform(-1, 1, (200, 3))
    assert np.array_equal(one.network(points), other.network(points))
    assert np.array_equal(one.box, other.box) and (one.resolution, one.pieces) == (other.resolution, other.pieces)
    assert np.array_equal(one.normal.centre, other.normal.centre) and one.normal.scale == other.normal.scale


@pytest.mark.parametrize("latent", [False, True])
def test_float32_comes_back_exactly(latent):
    spheres = RNG.uniform(-0.6, 0.6, (7, 4)).astype(np.float32)
    sizes, kinds = published_sizes(7, 8, 2, latent)
    packed = packed_of(Network(fresh_weights(sizes, latent, RNG), sizes, kinds, spheres, latent))
    data = pack_exact(packed)
    assert_same(unpack(data), packed)
    assert len(data) < 4 * len(packed.network.theta) + 16 * 7 + 60


@pytest.mark.parametrize("make", [direct, sines])
def test_rounded_weights_come_back_and_keep_the_size(make):
    packed = make()
    theta = packed.network.theta
    sensitivity = RNG.uniform(0.5, 2, len(theta))
    for size in (300, 380, 460):
        rounding = choose_rounding(packed, theta, sensitivity, size)
        data = rounding.payload(packed, theta)
        assert 0.9 * size < len(data) <= size
        assert len(coarser(packed, rounding, 4).payload(packed, theta)) < len(data)
        assert_same(unpack(data), with_weights(packed, (rounding.integers(theta) * rounding.steps).astype(np.float32)))
    with pytest.raises(CannotError, match="too few"):
        choose_rounding(packed, theta, sensitivity, 30)


def test_rows_that_matter_more_get_finer_steps():
    packed = sines()
    sensitivity = np.ones(len(packed.network.theta))
    sensitivity[:3] = 8
    rounding = choose_rounding(packed, packed.network.theta, sensitivity, 400)
    assert rounding.exponents[0] < rounding.exponents[1:].min()
    steps = steps_of(np.arange(-20, 20), np.array([1, 20, 20]))
    assert np.allclose(steps[:20], 2.0 ** (np.arange(-20, 0) / 8), rtol=1e-6)


@settings(max_examples=20)
@example(1, 72)
@given(st.integers(1, 60), st.integers(0, 1000))
def test_spheres_cost_about_three_bytes(count, seed):
    rng = np.random.default_rng(seed)
    spheres = np.concatenate([(rng.integers(0, 128, (count, 3)) - 64) / 64, -rng.random((count, 1))], axis=1)
    rounded = rounded_spheres(spheres.astype(np.float32))
    data = _pack_spheres(rounded)
    assert np.array_equal(_unpack_spheres(data, count), rounded) and len(data) < 4.2 * count + 8
    order = np.lexsort(spheres[:, 2::-1].T)
    assert np.array_equal(np.unique(rounded[:, :3], axis=0), np.unique(spheres[order, :3].astype(np.float32), axis=0))
    assert np.abs(np.sort(rounded[:, 3]) - np.sort(spheres[:, 3])).max() < 0.005


def test_damage_is_told_and_takes_no_memory():
    whole = [direct(), sines()]
    payloads = [
        c.payload(p, p.network.theta)
        for p in whole
        for c in [choose_rounding(p, p.network.theta, np.ones(len(p.network.theta)), 600)]
    ]
    payloads.append(pack_exact(whole[0]))
    for data in payloads:
        for cut in (0, 3, 10, 20, 30, 40, 60, len(data) // 2):
            try:
                unpack(data[:cut])
            except InputError:
                continue
            assert cut > 40  # a code that ends early reads as zeros, which a checksum has to find
        for k in range(0, 60):
            for value in (0, 127, 255):
                try:
                    unpack(data[:k] + bytes([value]) + data[k + 1 :])
                except InputError as error:
                    assert error.message


@pytest.mark.slow
def test_the_keyspheres_codec_keeps_a_ball(ball):
    goal = Goal(bytes=700, field=TINY)
    data = codec.encode(ball, goal, 1, 0, Silent())
    assert len(data) <= 700 and data == codec.encode(ball, goal, 1, 0, Silent())
    mesh = codec.decode(data, 48)
    assert measure(Surface(ball), Surface(mesh), seed=0).mean < 0.01
    assert len(codec.decode(data, 24).faces) < len(mesh.faces) and codec.resolution_of(data) == 128


def test_what_has_no_inside_is_refused_and_as_published_what_has_colours(ball):
    open_ball = Mesh(ball.vertices, ball.faces[200:])
    with pytest.raises(CannotError, match="no inside"):
        codec.encode(open_ball, Goal(bytes=900, field=TINY), 1, 0, Silent())
    painted = Mesh(ball.vertices, ball.faces, colours=np.ones((len(ball.vertices), 3), np.float32))
    with pytest.raises(CannotError, match="as published hold no colours"):
        codec.encode(painted, Goal(field=replace(TINY, paper=True)), 1, 0, Silent())


def test_the_box_holds_the_shape():
    points = RNG.uniform(-0.8, 0.5, (100, 3))
    box = box_of(points) / 127
    assert (box[0] < points.min(0)).all() and (box[1] > points.max(0)).all() and (np.abs(box) <= 1).all()

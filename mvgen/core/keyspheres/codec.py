"""The codec "keyspheres": a shape as a network that sees a few spheres inside it.

With ``paper`` the network is trained by the published recipe and kept in float32, for a grid of 128 nodes over [-1, 1].
Else the network has no leading linear layer, which would only be a part of the next one, and that is one of sines. It
is trained for a fixed number of steps, and learns on with rounded weights, which an adaptive code keeps.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from mvgen.core.compress.codec import FieldSettings, Goal
from mvgen.core.compress.prepare import openness
from mvgen.core.errors import CannotError, InputError
from mvgen.core.geometry import Mesh
from mvgen.core.keyspheres.learn import Lesson, first_sine_form, fresh_first_sine, learn, learn_rounded, learning_device
from mvgen.core.keyspheres.network import Network
from mvgen.core.keyspheres.payload import Packed, box_of, pack_exact, rounded_spheres, unpack
from mvgen.core.keyspheres.place import Place
from mvgen.core.keyspheres.samples import Distance, Normal, published_samples
from mvgen.core.keyspheres.spheres import Spheres, key_spheres
from mvgen.core.keyspheres.surface import surface_of
from mvgen.core.keyspheres.train import DIRECT, LATENT, train_published
from mvgen.core.progress import Progress
from mvgen.core.surface.simplify import face_parts

SPHERES, WIDTH, LAYERS = 128, 32, 6
INPUTS = 7  # x, y, z and the mean sphere
PAPER_SAMPLES = 1_000_000
RESOLUTION = 128  # as published; finer grids cost more to measure than they mend
DEFAULT_BYTES = 7900  # of a payload, where no size is asked for
_SAMPLES = 60_000  # for each step of effort
_STEPS = 6_000
_BATCH = 1024
_RATE = 1e-2
_REACH = 6.0  # of the first layer's random weights
_FINE = 0.25  # share of steps and rate with rounded weights


def encode(mesh: Mesh, goal: Goal, effort: int, seed: int, progress: Progress) -> bytes:
    """Raises CannotError for a mesh without an inside, without a voxel inside, or for a size that is too small; with
    ``paper`` for one with colours."""
    settings = goal.field
    if settings.paper and mesh.colours is not None:
        raise CannotError(
            "networks as published hold no colours",
            "leave --paper out, or the colours: --texture drop leaves those of a texture",
        )
    normal, shape = normalised(mesh, "keyspheres", seed)
    device = learning_device(settings.device, progress)
    distance = Distance(shape)
    spheres = measured_spheres(shape, distance, settings, seed)
    box, pieces = box_of(shape.vertices), len(np.unique(face_parts(mesh)))
    if settings.paper:
        box = np.array([[-127] * 3, [127] * 3])
        network = _paper(distance, spheres, replace(settings, device=device), seed, progress)
        return _checked(pack_exact(Packed(network, normal, box, RESOLUTION, 255)), goal)
    if settings.latent:
        raise CannotError("latent features are kept as published only", "add --paper, or leave --latent out")
    rng = np.random.default_rng(seed)
    points, values = published_samples(distance, settings.samples or _SAMPLES * effort, rng, progress)
    sizes, kinds = first_sine_form(INPUTS, settings.width or WIDTH, settings.layers or LAYERS)
    network = Network(fresh_first_sine(sizes, _REACH, rng), sizes, kinds, rounded_spheres(spheres))
    packed = Packed(network, normal, box, RESOLUTION, pieces)
    size = goal.bytes or DEFAULT_BYTES
    return fitted(packed, points, values, size, _STEPS * effort, rng, progress, device)


def fitted(
    packed: Packed,
    points: NDArray[np.float32],
    values: NDArray[np.float32],
    size: int,
    steps: int,
    rng: np.random.Generator,
    progress: Progress,
    device: str = "cpu",
) -> bytes:
    """A payload of at most ``size`` bytes, learnt from signed distances ``values`` [N] at points [N, 3]."""
    network = packed.network
    own = network.spheres
    rows = np.concatenate([network.inputs(points), np.concatenate([own[:, :3], own], axis=1)])
    targets = np.concatenate([values, own[:, 3]]).astype(np.float32)
    order = rng.permutation(len(rows))
    lesson = Lesson(rows[order], targets[order], np.ones(len(rows), np.float32), _BATCH)
    more = round(_FINE * steps)
    progress.stage("train", steps + more)
    learnt = learn(packed, lesson, steps, _RATE, rng, progress, device)
    return learn_rounded(packed, learnt, lesson, size, more, _FINE * _RATE, rng, progress, device)


def decode(payload: bytes, resolution: int | None = None) -> Mesh:
    """Raises InputError where the payload is damaged."""
    packed = unpack(payload)
    field = packed.network.folded()
    nodes = resolution or packed.resolution
    mesh = surface_of(
        field, packed.bounds, nodes, 0 if packed.exact else 2, packed.pieces if packed.pieces < 255 else None
    )
    if not len(mesh.faces):
        raise InputError("the network has no surface", "a higher --resolution may find a small one")
    return Mesh(packed.normal.back(mesh.vertices), mesh.faces)


def resolution_of(payload: bytes) -> int:
    return unpack(payload).resolution


def place_of(payload: bytes) -> Place:
    packed = unpack(payload)
    plain = replace(packed.network, tanh=False)  # which is not the same on every machine, and near 0 changes nothing
    return Place(plain, packed.box, packed.normal)


# ---- what the codecs of fields share


def normalised(mesh: Mesh, name: str, seed: int) -> tuple[Normal, Mesh]:
    """The frame of networks and the mesh in it. Raises CannotError for a mesh without an inside."""
    opened = openness(mesh, seed)
    if not opened.has_inside:
        raise CannotError(
            f"it has no inside ({opened.why}), which the {name} codec needs", "--codec surface needs none"
        )
    normal = Normal.of(mesh.vertices)
    return normal, Mesh(normal.to(mesh.vertices), mesh.faces)


def measured_spheres(shape: Mesh, distance: Distance, settings: FieldSettings, seed: int) -> NDArray[np.float32]:
    """[M, 4]: middles of the spheres that are asked for, and the signed distance there."""
    chosen = settings.spheres
    found = chosen if isinstance(chosen, Spheres) else key_spheres(shape, SPHERES if chosen is None else chosen, seed)
    return np.concatenate([found.centres, distance(found.centres)[:, None]], axis=1).astype(np.float32)


def _paper(
    distance: Distance, spheres: NDArray[np.float32], settings: FieldSettings, seed: int, progress: Progress
) -> Network:
    rng = np.random.default_rng(seed)
    points, values = published_samples(distance, settings.samples or PAPER_SAMPLES, rng, progress)
    form = (settings.width or WIDTH, settings.layers or LAYERS, settings.latent)
    recipe = LATENT if settings.latent else DIRECT
    data = (spheres, points, values)
    return train_published(*data, *form, recipe, seed, progress, settings.device, settings.checkpoint)


def _checked(payload: bytes, goal: Goal) -> bytes:
    if goal.bytes is not None and len(payload) > goal.bytes:
        raise CannotError(f"the network has {len(payload)} bytes in float32", "leave --paper out, or allow more bytes")
    return payload

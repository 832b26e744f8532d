"""Alignment of predictions whose truth is known."""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from mvgen.core.alignment import align_cameras, camera_errors
from mvgen.core.camera import Camera
from mvgen.core.dust3r.align import AlignOptions, Prediction, align, similarity
from mvgen.core.dust3r.pairs import both_ways, pair_graph
from mvgen.core.errors import CannotError
from mvgen.core.geometry import Mesh
from mvgen.core.progress import Silent
from mvgen.core.render.orbit import look_at
from mvgen.core.render.raycast import Caster

SIZE = (64, 48)  # width, height


def relief(count=120):
    x, y = np.meshgrid(np.linspace(-4, 4, count), np.linspace(-4, 4, count))
    z = 0.35 * np.sin(2 * x + 0.5) * np.cos(1.7 * y) + 0.2 * np.sin(5 * y) + 0.3 * (np.hypot(x - 0.3, y) < 0.6)
    index = np.arange(count * count).reshape(count, count)
    a, b, c, d = index[:-1, :-1], index[:-1, 1:], index[1:, 1:], index[1:, :-1]
    faces = np.concatenate([np.stack([a, b, c], -1).reshape(-1, 3), np.stack([a, c, d], -1).reshape(-1, 3)])
    return Mesh(np.stack([x, y, z], -1).reshape(-1, 3), faces.astype(np.int32))


class World:
    """Cameras over a relief, and what a perfect or a poor network would say of their pairs."""

    def __init__(self, count=10, focal=70.0, noise=0.0, outliers=0.0, seed=0, graph="complete", focals=None):
        self.rng = np.random.default_rng(seed)
        caster = Caster(relief())
        self.cameras, self.depths = [], []
        for i in range(count):
            side, up = 1.3 * np.sin(2.4 * i), 0.9 * np.cos(1.7 * i)
            eye = np.array([side, up, 3.0 + 0.3 * np.sin(i)])
            f = focal if focals is None else focals[i]
            k = np.array([[f, 0, SIZE[0] / 2], [0, f, SIZE[1] / 2], [0, 0, 1]])
            pose = look_at(eye, np.array([0.1 * i / count, 0, 0]), np.array([0.0, 1, 0]))
            camera = Camera(f"{i}.png", *SIZE, k, pose)
            self.cameras.append(camera)
            self.depths.append(caster.render(camera).depth.astype(np.float64))
            assert (self.depths[-1] > 0).all()
        self.pairs = both_ways(pair_graph(count, graph))
        self.noise, self.outliers = noise, outliers
        self.predictions = [self.predict(i, j) for i, j in self.pairs]

    def predict(self, i, j):
        scale = np.exp(self.rng.normal(0, 0.7))
        maps = []
        for k in (i, j):
            world = self.cameras[k].centre + self.cameras[k].rays() * self.depths[k][..., None]
            w2c = self.cameras[i].world_to_camera
            points = world @ w2c[:3, :3].T + w2c[:3, 3]
            typical = points[..., 2:]
            points = points + self.noise * typical * self.rng.normal(size=points.shape) / np.sqrt(3)
            wild = self.rng.random(points.shape[:2]) < self.outliers
            points[wild] *= np.exp(self.rng.normal(0, 0.6, (int(wild.sum()), 1)))
            maps.append((scale * points).astype(np.float32))
        sure = [np.full(m.shape[:2], 3.0, np.float32) for m in maps]
        return Prediction(i, j, maps[0], sure[0], maps[1], sure[1])

    def align(self, options=None):
        sizes = [SIZE[::-1]] * len(self.cameras)
        return align(self.pairs, self.predictions.__getitem__, sizes, options)

    def errors(self, found):
        """Largest rotation error in degrees, relative errors of focal length and (median) of depth."""
        estimated = [
            Camera(c.name, c.width, c.height, c.intrinsics, np.linalg.inv(pose))
            for c, pose in zip(self.cameras, found.camera_to_world)
        ]
        moved = align_cameras(list(zip(estimated, self.cameras)))
        rotation, _ = camera_errors(list(zip(estimated, self.cameras)), moved)
        focal = [abs(f / c.intrinsics[0, 0] - 1) for f, c in zip(found.focals, self.cameras)]
        depth = [np.median(np.abs(d * moved.scale / t - 1)) for d, t in zip(found.depths, self.depths)]
        return float(np.max(rotation)), max(focal), max(depth)


def test_exact_predictions_give_exact_cameras():
    world = World()
    rotation, focal, depth = world.errors(world.align())
    assert rotation < 0.1 and focal < 0.005 and depth < 0.005


def test_noise_and_outliers_are_averaged_away():
    world = World(noise=0.05, outliers=0.2)
    rotation, focal, depth = world.errors(world.align())
    assert rotation < 0.5 and focal < 0.02 and depth < 0.02


def test_many_pairs_share_the_memory_of_few(monkeypatch):
    """Of noisy predictions too, a sixteenth of the pixels gives the cameras."""
    monkeypatch.setattr("mvgen.core.dust3r.align.HELD", 64 * 9 * 256)
    world = World(noise=0.05, outliers=0.2)
    rotation, focal, depth = world.errors(world.align())
    assert rotation < 0.8 and focal < 0.02 and depth < 0.02


@pytest.mark.parametrize("graph", ["swin-2", "oneref-1", "logwin-2-noncyclic"])
def test_sparse_graphs_are_enough(graph):
    world = World(6, graph=graph)
    rotation, focal, depth = world.errors(world.align())
    assert rotation < 0.1 and focal < 0.005 and depth < 0.005


def test_two_photos():
    world = World(2)
    rotation, focal, depth = world.errors(world.align())
    assert rotation < 0.1 and focal < 0.005 and depth < 0.005


def test_photos_of_one_camera_share_its_focal_length():
    world = World(5, noise=0.05)
    found = world.align(AlignOptions(groups=(0, 0, 0, 1, 1)))
    assert len(set(found.focals[:3])) == 1 and len(set(found.focals[3:])) == 1
    assert found.focals[0] != found.focals[3]


def test_known_focals_and_poses_are_kept():
    world = World(5, focals=[60, 70, 80, 70, 60])
    poses = {k: np.linalg.inv(c.world_to_camera) for k, c in enumerate(world.cameras)}
    found = world.align(AlignOptions(focals={2: 80.0}, poses=poses))
    assert found.focals[2] == 80.0
    assert np.allclose(found.camera_to_world, np.stack(list(poses.values())))
    for depth, true in zip(found.depths, world.depths):
        assert np.median(np.abs(depth / true - 1)) < 0.005  # in the units of the known poses


def test_masked_pixels_say_nothing():
    world = World(4)
    for e, p in enumerate(world.predictions):
        points, sure = p.points_i.copy(), p.confidence_i.copy()
        points[:, :20], sure[:, :20] = 1e6, 0
        world.predictions[e] = Prediction(p.i, p.j, points, sure, p.points_j, p.confidence_j)
    rotation, focal, _ = world.errors(world.align())
    assert rotation < 0.1 and focal < 0.005


def test_photos_in_two_groups_are_refused():
    world = World(4, graph="complete")
    world.pairs = [(0, 1), (1, 0), (2, 3), (3, 2)]
    with pytest.raises(CannotError, match="shares no pair"):
        world.align()


def test_similarity_is_found():
    rng = np.random.default_rng(0)
    points, weight = rng.normal(size=(50, 3)), rng.random(50)
    rotation, shift = Rotation.random(random_state=1).as_matrix(), np.array([1.0, -2, 3])
    scale, found, moved = similarity(points, 2.5 * points @ rotation.T + shift, weight)
    assert np.isclose(scale, 2.5) and np.allclose(found, rotation) and np.allclose(moved, shift)


def test_each_round_tells_how_far_pairs_are_apart():
    class Listener(Silent):
        def note(self, text):
            notes.append(text)

    notes = []
    world = World(4, noise=0.05)
    align(world.pairs, world.predictions.__getitem__, [SIZE[::-1]] * 4, progress=Listener())
    off = [float(note.split()[3].removesuffix("%")) for note in notes]
    assert len(off) == 3 and 0 < off[-1] <= off[0] < 20

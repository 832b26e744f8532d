"""Structure from motion by pycolmap, in a process of its own.

    python -m mvgen.core.sfm.worker request.json result.npz

pycolmap is imported nowhere else: it exports its own copies of zlib, libpng and others, which corrupt the heap of a
process that uses those. This process writes no pictures. Every random number comes from the seed, images get their
ids in the order given, and mapping runs on one thread, so that the result does not depend on the number of threads.
"""

from __future__ import annotations

import copy
import json
import os
import shutil
import signal
import sys
import threading
import time
import zlib  # noqa: F401  before pycolmap, so that it keeps its own symbols
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mvgen.core.sfm.pairs import choose_pairs
from mvgen.core.sfm.selfcalibration import Matches, guess_focal

EXHAUSTIVE = 40  # up to so many photos every pair is matched
MANY = 24  # above so many photos a quick attempt comes first
ENOUGH_POINTS = 300
MIN_MATCHES = 15  # verified matches that make a pair
FLAT = 0.97  # share of matches on one plane from which on the rest counts as noise
FLAT_AND_STILL = 0.8  # share of the pairs, and of each one's matches, that a background at rest takes
STILL = 0.01  # of the longer side: how far such a background seems to move
EXIF_TOLERANCE = 1.03  # refined focal lengths must lower the error of a small model by more than this
DEFAULT_FOCAL = 1.1  # times the longer side, where nothing is known


@dataclass(frozen=True)
class Attempt:
    """One way to go about it. size: longer side, in pixels, at which features are looked for; loose: accept weaker
    evidence; separate: a camera for each photo."""

    name: str
    size: int
    first_octave: int
    features: int
    guided: bool = False
    loose: bool = False
    separate: bool = False


@dataclass
class Outcome:
    """What an attempt found: models, largest first, and the database behind them."""

    attempt: Attempt
    database: Path
    models: list[Any]
    planar: bool

    def score(self) -> tuple[int, int]:
        return (self.models[0].num_reg_images(), self.models[0].num_points3D()) if self.models else (0, 0)


class Job:
    """The request, the clock, and the channel to the parent."""

    def __init__(self, request: dict[str, Any], channel: int):
        self.pictures: list[dict[str, Any]] = request["pictures"]
        self.images = Path(request["image_folder"])
        self.folder = Path(request["work_folder"])
        self.seed = int(request["seed"]) % (1 << 31)
        self.threads = int(request["threads"])
        self.feature_size = int(request["feature_size"])
        self.features = int(request["max_features"])
        self.masks: str | None = request["mask_folder"]
        self.pairs: str = request["pairs"]
        self.neighbours, self.window = int(request["neighbours"]), int(request["window"])
        self.mapper: str = request["mapper"]
        self.seconds: dict[str, float] = {}
        self.channel = channel

    @property
    def names(self) -> list[str]:
        return [p["name"] for p in self.pictures]

    @property
    def poses(self) -> dict[str, Any]:
        """Known poses [3, 4] by picture."""
        return {p["name"]: p["pose"] for p in self.pictures if p["pose"] is not None}

    @property
    def has_lenses(self) -> bool:
        return any(p["lens"] for p in self.pictures)

    def note(self, text: str) -> None:
        self.send(f"note {text}")

    def send(self, line: str) -> None:
        os.write(self.channel, (line.replace("\n", " ") + "\n").encode())

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        self.send(f"stage {name}")
        start = time.perf_counter()
        yield
        self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - start


def recover(job: Job) -> dict[str, NDArray[Any]]:
    """Attempts of rising cost until all photos are placed; the best outcome."""
    best: Outcome | None = None
    for attempt in attempts(job):
        if attempt.separate and not (best and has_stranded_photos(job, best)):
            continue
        if best is not None:
            job.note(f"{best.score()[0]} of {len(job.names)} photos placed; trying again: {attempt.name}")
        outcome = try_once(job, attempt)
        if best is None or outcome.score() > best.score():
            best = outcome
        if is_complete(job, best) or (not best.models and stands_still(job, best.database)):
            break
    assert best is not None
    return collect(job, best)


def attempts(job: Job) -> list[Attempt]:
    size, features = job.feature_size, job.features
    large = max(max(p["width"], p["height"]) for p in job.pictures)
    count = len(job.pictures)
    quick = Attempt("quick", size, 0, min(features, 4096))
    standard = Attempt("standard", size, -1, features)
    fewer = min(features, 6144)  # guided matching holds squares of this in memory
    thorough = Attempt("full size, guided matching", large, -1, fewer, guided=True, loose=True)
    own = Attempt("a camera for each photo", large, -1, fewer, guided=True, loose=True, separate=True)
    shared_unknown = count > 2 and any(p["focal"] is None for p in job.pictures)
    plan = [quick] if count > MANY else []
    plan += [standard]
    plan += [thorough] if count <= 2 * EXHAUSTIVE else []
    plan += [own] if shared_unknown and count <= EXHAUSTIVE else []
    return plan


def is_complete(job: Job, outcome: Outcome) -> bool:
    registered, points = outcome.score()
    return registered == len(job.pictures) and points >= min(ENOUGH_POINTS, 100 * (registered - 1))


def has_stranded_photos(job: Job, outcome: Outcome) -> bool:
    """Whether some photo matches others well and still found no place, as happens when one shared camera is wrong."""
    table = match_table(job, outcome.database)
    placed = registered_mask(job, outcome)
    return bool((table.max(1, initial=0)[~placed] >= 3 * MIN_MATCHES).any())


# ---------------------------------------------------------------- one attempt


def try_once(job: Job, attempt: Attempt) -> Outcome:
    folder = job.folder / attempt.name.replace(" ", "_").replace(",", "")
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    database = folder / "database.db"
    with job.stage("features"):
        extract_features(job, attempt, database)
    with job.stage("matches"):
        match(job, attempt, database)
    with job.stage("cameras"):
        clear = guess_unknown_focals(job, database)
        planar = is_planar(job, database)
        models = map_photos(job, attempt, database, folder, planar, clear)
    return Outcome(attempt, database, models, planar)


def extract_features(job: Job, attempt: Attempt, database: Path) -> None:
    import pycolmap

    pycolmap.Database.open(database).close()
    groups: dict[Any, list[dict[str, Any]]] = {}
    for index, picture in enumerate(job.pictures):
        key = index if attempt.separate else (picture["camera"], picture["lens"] and tuple(picture["lens"]))
        groups.setdefault(key, []).append(picture)
    for group in groups.values():
        reader = pycolmap.ImageReaderOptions()
        reader.camera_model, reader.camera_params = camera_of(group[0])
        names = [p["name"] for p in group]
        pycolmap.import_images(database, job.images, pycolmap.CameraMode.SINGLE, names, reader)
    options = pycolmap.FeatureExtractionOptions()
    options.type = pycolmap.FeatureExtractorType.SIFT
    options.num_threads = job.threads
    options.use_gpu = False
    options.max_image_size = attempt.size
    options.sift.first_octave = attempt.first_octave
    options.sift.max_num_features = attempt.features
    reader = pycolmap.ImageReaderOptions()
    if job.masks is not None:
        reader.mask_path = job.masks
    pycolmap.extract_features(
        database,
        job.images,
        job.names,
        reader_options=reader,
        extraction_options=options,
        device=pycolmap.Device.cpu,
    )


def camera_of(picture: dict[str, Any]) -> tuple[str, str]:
    """COLMAP's camera model of a picture and its parameters."""
    if picture["lens"]:
        return "OPENCV", ",".join(repr(float(v)) for v in picture["lens"])
    focal = picture["focal"] or DEFAULT_FOCAL * max(picture["width"], picture["height"])
    return "SIMPLE_RADIAL", f"{focal},{picture['width'] / 2},{picture['height'] / 2},0"


def match(job: Job, attempt: Attempt, database: Path) -> None:
    import pycolmap

    pairs = photo_pairs(job, database)
    listed = database.with_name("pairs.txt")
    listed.write_text("".join(f"{job.names[a]} {job.names[b]}\n" for a, b in pairs))
    matching = pycolmap.FeatureMatchingOptions()
    matching.type = pycolmap.FeatureMatcherType.SIFT_BRUTEFORCE
    matching.num_threads = job.threads
    matching.use_gpu = False
    matching.guided_matching = attempt.guided
    pairing = pycolmap.ImportedPairingOptions()
    pairing.match_list_path = str(listed)
    verification = pycolmap.TwoViewGeometryOptions()
    verification.ransac.random_seed = job.seed
    pycolmap.match_image_pairs(database, matching, pairing, verification, pycolmap.Device.cpu)


def photo_pairs(job: Job, database: Path) -> list[tuple[int, int]]:
    """Which photos are matched with which (see SfmOptions.pairs)."""
    count = len(job.names)
    if job.pairs == "all" or (job.pairs == "auto" and count <= EXHAUSTIVE):
        return all_pairs(count)
    if job.pairs == "sequential":
        return [(a, b) for a, b in all_pairs(count) if b - a <= 2 * job.window]
    window = job.window if job.pairs == "auto" else 0
    return choose_pairs(*top_descriptors(job, database), job.neighbours, window)


def all_pairs(count: int) -> list[tuple[int, int]]:
    return [(a, b) for a in range(count) for b in range(a + 1, count)]


def top_descriptors(job: Job, database: Path, count: int = 256) -> tuple[list[NDArray[Any]]]:
    """The descriptors [<= count, 128] of the largest features of each photo."""
    out = []
    with opened(database) as db:
        ids = image_ids(db)
        for name in job.names:
            keypoints = db.read_keypoints(ids[name])
            data = np.asarray(db.read_descriptors(ids[name]).data).reshape(len(keypoints), -1)
            scale = np.hypot(keypoints[:, 2], keypoints[:, 3])
            out.append(data[np.argsort(-scale, kind="stable")[:count]].astype(np.float32))
    return (out,)


def map_photos(job: Job, attempt: Attempt, database: Path, folder: Path, planar: bool, clear: bool) -> list[Any]:
    """Models, largest first. Focal lengths are refined, except where the photos cannot tell them: two photos, one
    plane, and three photos that EXIF's explain as well."""
    known = all(p["focal"] for p in job.pictures)
    count = len(job.names)
    refine = count > 2 and not (planar and (known or not clear))
    if job.poses:
        return map_among_known(job, attempt, database, folder, refine)
    if job.mapper == "global":
        return map_globally(job, database, folder / "models", refine)
    models = reconstruct(job, attempt, database, folder / "models", refine)
    if refine and known and models and models[0].num_reg_images() <= 3 and not job.has_lenses:
        models[0] = prefer_exif(job, models[0])
    return models


def prefer_exif(job: Job, model: Any) -> Any:
    """A small model with the focal lengths of EXIF, where these explain its tracks almost as well as refined ones.

    Three photos fit many focal lengths nearly equally well, and noise would decide; EXIF is mostly within a few per
    cent, and where it is not the error rises by much more than this tolerance.
    """
    trial = copy.deepcopy(model)
    focal = {p["name"]: p["focal"] for p in job.pictures}
    for key in trial.reg_image_ids():
        image = trial.image(key)
        camera = trial.camera(image.camera_id)
        camera.params = [focal[image.name], camera.width / 2, camera.height / 2, 0]
    adjust(job, trial, refine=False)
    if trial.compute_mean_reprojection_error() > EXIF_TOLERANCE * model.compute_mean_reprojection_error():
        return model
    job.note("the focal length is kept as EXIF has it")
    polish(job, trial, refine=False)
    return trial


def reconstruct(job: Job, attempt: Attempt, database: Path, folder: Path, refine: bool) -> list[Any]:
    import pycolmap

    folder.mkdir()
    pycolmap.set_random_seed(job.seed)
    models = pycolmap.incremental_mapping(database, job.images, folder, mapper_options(job, attempt, refine))
    ordered = sorted(models.items(), key=lambda m: (-m[1].num_reg_images(), -m[1].num_points3D(), m[0]))
    found = [model for _, model in ordered]
    for model in found[:1]:
        polish(job, model, refine)
    return found


def map_globally(job: Job, database: Path, folder: Path, refine: bool) -> list[Any]:
    """All cameras at once (Pan et al., "Global structure-from-motion revisited", 2024)."""
    import pycolmap

    folder.mkdir()
    pycolmap.set_random_seed(job.seed)
    options = pycolmap.GlobalPipelineOptions()
    mapper = options.mapper
    for part in (options, mapper, mapper.rotation_averaging, mapper.global_positioning, mapper.retriangulation):
        part.random_seed = job.seed
    options.num_threads = mapper.num_threads = 1
    mapper.global_positioning.use_gpu = mapper.bundle_adjustment.ceres.use_gpu = False
    mapper.bundle_adjustment.ceres.solver_options.num_threads = 1
    mapper.bundle_adjustment.refine_focal_length = mapper.bundle_adjustment.refine_extra_params = refine
    models = pycolmap.global_mapping(database, job.images, folder, options)
    ordered = sorted(models.items(), key=lambda m: (-m[1].num_reg_images(), -m[1].num_points3D(), m[0]))
    found = [model for _, model in ordered]
    for model in found[:1]:
        polish(job, model, refine)
    return found


def map_among_known(job: Job, attempt: Attempt, database: Path, folder: Path, refine: bool) -> list[Any]:
    """One model in which the known cameras stay where they are: points between them, then the other photos."""
    import pycolmap

    pycolmap.set_random_seed(job.seed)
    options = mapper_options(job, attempt, refine)
    options.fix_existing_frames = True
    options.triangulation.ignore_two_view_tracks = options.triangulation.ignore_two_view_tracks and len(job.poses) > 3
    (folder / "known").mkdir()
    (folder / "models").mkdir()
    model = pycolmap.triangulate_points(
        posed_model(job, database), database, job.images, folder / "known", True, options
    )
    if len(job.poses) < len(job.names):
        options.multiple_models = False
        options.min_model_size = 2
        options.constant_cameras = constant_cameras(job, model)
        model.write(folder / "known")
        grown = pycolmap.incremental_mapping(
            database, job.images, folder / "models", options, input_path=folder / "known"
        )
        model = max(grown.values(), key=lambda m: m.num_reg_images(), default=model)
    polish(job, model, refine)
    return [model]


def posed_model(job: Job, database: Path) -> Any:
    """The database's cameras and photos, the known ones in place."""
    import pycolmap

    model = pycolmap.Reconstruction()
    with opened(database) as db:
        cameras, rigs, frames, images = (
            db.read_all_cameras(),
            db.read_all_rigs(),
            db.read_all_frames(),
            db.read_all_images(),
        )
    poses = {image.frame_id: job.poses.get(image.name) for image in images}
    for camera in cameras:
        model.add_camera(camera)
    for rig in rigs:
        model.add_rig(rig)
    for frame in frames:
        pose = poses[frame.frame_id]
        if pose is not None:
            frame.rig_from_world = pycolmap.Rigid3d(np.array(pose, np.float64))
        model.add_frame(frame)
    for image in images:
        model.add_image(image)
    for key, pose in poses.items():
        if pose is not None:
            model.register_frame(key)
    return model


def constant_cameras(job: Job, model: Any) -> set[int]:
    """Ids of the cameras whose lens is known."""
    known = {p["name"] for p in job.pictures if p["lens"]}
    return {image.camera_id for image in model.images.values() if image.name in known}


def mapper_options(job: Job, attempt: Attempt, refine: bool) -> Any:
    import pycolmap

    options = pycolmap.IncrementalPipelineOptions()
    options.num_threads = options.mapper.num_threads = 1
    options.random_seed = options.mapper.random_seed = options.triangulation.random_seed = job.seed
    options.extract_colors = False
    options.min_model_size = 2 if len(job.names) < 6 else 3
    options.multiple_models = len(job.names) > 3
    options.max_num_models = 5
    options.min_focal_length_ratio, options.max_focal_length_ratio = 0.3, 8  # over the longer side
    options.ba_refine_focal_length = options.ba_refine_extra_params = refine
    options.mapper.abs_pose_refine_focal_length = options.mapper.abs_pose_refine_extra_params = refine
    if len(job.names) <= 3:
        options.triangulation.ignore_two_view_tracks = False
    if attempt.loose or len(job.names) == 2:
        options.mapper.init_min_tri_angle = 2  # degrees, of the first pair's median point
        options.mapper.init_max_forward_motion = 1.0  # any direction
    if attempt.loose:
        options.min_num_matches = 10
        options.mapper.init_min_num_inliers = 30
        options.mapper.abs_pose_min_num_inliers = 15
        options.mapper.abs_pose_min_inlier_ratio = 0.1
    return options


def polish(job: Job, model: Any, refine: bool) -> None:
    """Robust bundle adjustment of everything, then without the points that fit badly or hardly have depth."""
    import pycolmap

    for _ in range(2):
        adjust(job, model, refine)
        pycolmap.ObservationManager(model).filter_all_points3D(2.5 * pixel_scale(model), 1.5)
    model.update_point_3d_errors()


def adjust(job: Job, model: Any, refine: bool) -> None:
    """Bundle adjustment with a Cauchy loss; known poses and lenses stay as they are."""
    import pycolmap

    options = pycolmap.BundleAdjustmentOptions()
    options.print_summary = False
    options.refine_focal_length = options.refine_extra_params = refine
    options.ceres.loss_function_type = pycolmap.LossFunctionType.CAUCHY
    options.ceres.loss_function_scale = 0.5 * pixel_scale(model)
    options.ceres.solver_options.num_threads = 1
    options.ceres.solver_options.function_tolerance = 1e-8
    if job.poses or job.has_lenses:
        pycolmap.create_default_bundle_adjuster(options, what_to_adjust(job, model), model).solve()
    else:
        pycolmap.bundle_adjustment(model, options)
    model.update_point_3d_errors()


def what_to_adjust(job: Job, model: Any) -> Any:
    import pycolmap

    config = pycolmap.BundleAdjustmentConfig()
    for key in model.reg_image_ids():
        image = model.image(key)
        config.add_image(key)
        if image.name in job.poses:
            config.set_constant_rig_from_world_pose(image.frame_id)
    for key in constant_cameras(job, model):
        config.set_constant_cam_intrinsics(key)
    if not job.poses:
        config.fix_gauge(pycolmap.BundleAdjustmentGauge.TWO_CAMS_FROM_WORLD)
    return config


def pixel_scale(model: Any) -> float:
    """Tolerances in pixels are meant for a picture 1024 wide."""
    return max(max(c.width, c.height) for c in model.cameras.values()) / 1024


# ---------------------------------------------------------------- what the matches tell


@contextmanager
def opened(database: Path) -> Iterator[Any]:
    import pycolmap

    db = pycolmap.Database.open(database)
    try:
        yield db
    finally:
        db.close()


def image_ids(db: Any) -> dict[str, int]:
    return {image.name: image.image_id for image in db.read_all_images()}


def verified_pairs(job: Job, database: Path) -> list[tuple[int, int, Any]]:
    """(photo, photo, two-view geometry) for each matched pair, best first."""
    import pycolmap

    with opened(database) as db:
        index = {key: job.names.index(name) for name, key in image_ids(db).items()}
        pairs, geometries = db.read_two_view_geometries()
    found = []
    for pair, geometry in zip(pairs, geometries):
        a, b = (index[key] for key in pycolmap.pair_id_to_image_pair(pair))
        found.append((a, b, geometry))
    return sorted(found, key=lambda f: (-len(f[2].inlier_matches), f[0], f[1]))


def match_table(job: Job, database: Path) -> NDArray[np.int32]:
    """[n, n]: verified matches between photos."""
    table = np.zeros((len(job.names), len(job.names)), np.int32)
    for a, b, geometry in verified_pairs(job, database):
        table[a, b] = table[b, a] = len(geometry.inlier_matches)
    return table


def matched_pixels(db: Any, names: list[str], a: int, b: int, geometry: Any) -> tuple[NDArray[Any], NDArray[Any]]:
    """[m, 2] each: where the verified matches of photos a and b lie."""
    ids = image_ids(db)
    swap = ids[names[a]] > ids[names[b]]  # a pair's matches are listed by ascending id
    matches = np.asarray(geometry.inlier_matches, np.int64).reshape(-1, 2)[:, :: -1 if swap else 1]
    points = [db.read_keypoints(ids[names[i]])[:, :2].astype(np.float64) for i in (a, b)]
    return points[0][matches[:, 0]], points[1][matches[:, 1]]


def homography_share(
    pixels: tuple[NDArray[np.float64], NDArray[np.float64]], homography: NDArray[np.float64], tolerance: float
) -> float:
    """Share of the matches that the homography (first to second photo) explains within some pixels."""
    moved = np.concatenate([pixels[0], np.ones((len(pixels[0]), 1))], 1) @ homography.T
    with np.errstate(divide="ignore", invalid="ignore"):
        error = np.linalg.norm(moved[:, :2] / moved[:, 2:] - pixels[1], axis=1)
    return float(np.mean(error < tolerance))


def pair_homographies(job: Job, database: Path, most: int = 60) -> list[tuple[int, int, float, NDArray[np.float64]]]:
    """(photo, photo, share of matches explained, homography) for the best pairs."""
    out = []
    with opened(database) as db:
        ids = image_ids(db)
        for a, b, geometry in verified_pairs(job, database)[:most]:
            if len(geometry.inlier_matches) < MIN_MATCHES or geometry.H is None:
                continue
            pixels = matched_pixels(db, job.names, a, b, geometry)
            forward = ids[job.names[a]] < ids[job.names[b]]
            homography = np.asarray(geometry.H if forward else np.linalg.inv(geometry.H), np.float64)
            tolerance = 2 * max(job.pictures[b]["width"], job.pictures[b]["height"]) / 1024
            out.append((a, b, homography_share(pixels, homography, tolerance), homography))
    return out


def is_planar(job: Job, database: Path) -> bool:
    """Whether homographies explain nearly all matches, so that the photos cannot tell their focal length."""
    shares = [share for _, _, share, _ in pair_homographies(job, database)]
    return bool(shares) and float(np.median(shares)) > FLAT


def stands_still(job: Job, database: Path) -> bool:
    """Whether most matches are of a background that stays where it is in the pictures: more of them say no more."""
    moves = []
    for a, _, share, homography in pair_homographies(job, database):
        width, height = size(job, a)
        corners = np.array([[0, 0, 1], [width, 0, 1], [0, height, 1], [width, height, 1]], np.float64)
        moved = corners @ homography.T
        step = np.linalg.norm(moved[:, :2] / moved[:, 2:] - corners[:, :2], axis=1).max()
        moves.append(share > FLAT_AND_STILL and step < STILL * max(width, height))
    return bool(moves) and float(np.mean(moves)) > FLAT_AND_STILL


def guess_unknown_focals(job: Job, database: Path) -> bool:
    """Set cameras without EXIF to the focal length that the best pairs agree on. Returns whether they clearly do."""
    unknown = [i for i, p in enumerate(job.pictures) if p["focal"] is None]
    if not unknown:
        return True
    pairs: list[Matches] = []
    free = set(unknown)
    with opened(database) as db:
        for a, b, geometry in verified_pairs(job, database)[:40]:
            if a in free and b in free and len(geometry.inlier_matches) >= 2 * MIN_MATCHES and len(pairs) < 8:
                first, second = matched_pixels(db, job.names, a, b, geometry)
                pairs.append((first, second, size(job, a), size(job, b)))
        ratio, clear = guess_focal(pairs, DEFAULT_FOCAL, job.seed)
        for camera in db.read_all_cameras():
            if any(job.pictures[i]["name"] in camera_pictures(db, camera.camera_id) for i in unknown):
                camera.params = [ratio * max(camera.width, camera.height), *camera.params[1:]]
                db.update_camera(camera)
    job.note(f"no focal length in EXIF: starting from {ratio:.2f} times the longer side")
    return clear


def size(job: Job, index: int) -> tuple[int, int]:
    return job.pictures[index]["width"], job.pictures[index]["height"]


def camera_pictures(db: Any, camera_id: int) -> set[str]:
    return {image.name for image in db.read_all_images() if image.camera_id == camera_id}


# ---------------------------------------------------------------- the answer


def registered_mask(job: Job, outcome: Outcome) -> NDArray[np.bool_]:
    names = model_names(outcome.models[0]) if outcome.models else set()
    return np.array([name in names for name in job.names])


def model_names(model: Any) -> set[str]:
    return {model.image(key).name for key in model.reg_image_ids()}


def collect(job: Job, outcome: Outcome) -> dict[str, NDArray[Any]]:
    """Everything the parent needs, as arrays over the photos in the order asked."""
    count = len(job.names)
    group = np.full(count, -1, np.int32)  # 0 for the largest model, 1 for the next ...
    for number, model in reversed(list(enumerate(outcome.models))):
        for i, name in enumerate(job.names):
            group[i] = number if name in model_names(model) else group[i]
    with opened(outcome.database) as db:
        ids = image_ids(db)
        features = np.array([db.num_keypoints_for_image(ids[name]) for name in job.names], np.int32)
    plane = pair_homographies(job, outcome.database)
    answer: dict[str, NDArray[Any]] = {
        "group": group,
        "features": features,
        "matches": match_table(job, outcome.database),
        "pair": np.array([(a, b) for a, b, _, _ in plane], np.int32).reshape(-1, 2),
        "pair_share": np.array([share for _, _, share, _ in plane], np.float64),
        "pair_homography": np.array([h for _, _, _, h in plane], np.float64).reshape(-1, 3, 3),
        "seconds": np.array(json.dumps(job.seconds)),
        "poses": np.tile(np.eye(4), (count, 1, 1)),
        "lens": np.ones((count, 8)),  # OPENCV's parameters
        "points": np.zeros((0, 3)),
        "errors": np.zeros(0),
        "tracks": np.zeros((0, 2), np.int32),
    }
    if outcome.models:
        answer |= collect_model(job, outcome.models[0])
    return answer


def collect_model(job: Job, model: Any) -> dict[str, NDArray[Any]]:
    count = len(job.names)
    poses, lens = np.tile(np.eye(4), (count, 1, 1)), np.ones((count, 8))
    index = {}
    for key in model.reg_image_ids():
        image = model.image(key)
        i = index[key] = job.names.index(image.name)
        poses[i, :3] = image.cam_from_world().matrix()
        lens[i] = opencv_lens(model.camera(image.camera_id))
    keys = sorted(model.point3D_ids())
    points = [model.point3D(key) for key in keys]
    tracks = {(p, index[e.image_id]) for p, point in enumerate(points) for e in point.track.elements}
    return {
        "poses": poses,
        "lens": lens,
        "points": np.array([p.xyz for p in points], np.float64).reshape(-1, 3),
        "errors": np.array([p.error for p in points], np.float64),
        "tracks": np.array(sorted(tracks), np.int32).reshape(-1, 2),
    }


def opencv_lens(camera: Any) -> list[float]:
    """fx, fy, cx, cy, k1, k2, p1, p2 of a camera made by `camera_of`."""
    params = [float(v) for v in camera.params]
    return params if len(params) == 8 else [params[0], params[0], *params[1:4], 0.0, 0.0, 0.0]


def main(request: Path, result: Path) -> None:
    channel = os.dup(1)
    os.dup2(2, 1)  # whatever libraries print goes to the log
    threading.Thread(target=end_with_parent, daemon=True).start()
    import pycolmap

    pycolmap.logging.minloglevel = 1
    answer = recover(Job(json.loads(request.read_text()), channel))
    draft = result.with_name("draft.npz")
    np.savez(draft, **answer)  # type: ignore[arg-type]
    draft.replace(result)  # whole or not at all


def end_with_parent() -> None:
    """End this process when its standard input closes, even in the middle of a library call."""
    os.read(0, 1)
    signal.raise_signal(signal.SIGTERM)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))

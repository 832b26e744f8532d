"""Photos to cameras to depth to points to surface to texture: the stages of the main job, joined.

Each stage reads what the one before has left in a scene folder (see `workspace`) and leaves its own result there, so
any of them can be the first or the last, and their files may come from another tool.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from mvgen.core.camera import Camera, Similarity
from mvgen.core.dust3r.align import Prediction, align
from mvgen.core.dust3r.checkpoint import load_network
from mvgen.core.dust3r.join import Dust3rOptions, align_options, fits_of, masked, pair_score, posed_scene
from mvgen.core.dust3r.pairs import best_pairs, both_ways, pair_graph
from mvgen.core.dust3r.pictures import fit_photo, network_picture
from mvgen.core.dust3r.predict import find_pairs, load_pair, pair_name, predict_pairs
from mvgen.core.errors import CannotError, InputError
from mvgen.core.frame import upright_frame
from mvgen.core.fusion import FusionOptions, fuse
from mvgen.core.fusion.region import region_of_interest
from mvgen.core.geometry import Mesh, PointCloud
from mvgen.core.gps import gps_similarity
from mvgen.core.io.cameras import read_scene_folder, write_scene_folder
from mvgen.core.io.depth import has_confidence, load_depth, save_depth
from mvgen.core.io.images import Photo, check_photo, read_image
from mvgen.core.io.meshes import load_mesh, load_points, save_mesh, save_points
from mvgen.core.limits import between
from mvgen.core.memory import Holding, available_memory, gigabytes, plan_memory, require
from mvgen.core.memory import Job as MemoryJob
from mvgen.core.prepare.background import fixed_background
from mvgen.core.prepare.treatment import Treatment, treat
from mvgen.core.progress import Progress, Silent
from mvgen.core.scale import Distance, Mark, metres_per_unit
from mvgen.core.scene import DepthMap, Scene
from mvgen.core.sfm import Known, Picture, SfmOptions, SfmResult, Verdict, find_cameras, prepare_pictures, with_known
from mvgen.core.sfm.lens import Lens
from mvgen.core.sfm.recover import refuse_too_few
from mvgen.core.splats.fit.options import FitOptions
from mvgen.core.stereo.confirm import cross_checked, depth_maps
from mvgen.core.stereo.depth import ConfirmOptions, StereoOptions, estimate_depths, read_at
from mvgen.core.stereo.select import source_views
from mvgen.core.surface import (
    SurfaceOptions,
    TsdfOptions,
    drop_small_parts,
    poisson_surface,
    simplify,
    trim,
    tsdf_surface,
)
from mvgen.core.surface.carve import outside_masks
from mvgen.core.surface.poisson import keep_faces
from mvgen.core.texture import texture_mesh
from mvgen.core.weights import weights_size
from mvgen.core.workspace import Workspace, adopt, check_workspace, digest, files_digest, link

Stage = Literal["load", "sfm", "stereo", "predict", "align", "fusion", "surface", "texture"]
Method = Literal["classic", "dust3r"]
STAGES: dict[Method, tuple[Stage, ...]] = {
    "classic": ("load", "sfm", "stereo", "fusion", "surface", "texture"),
    "dust3r": ("load", "predict", "align", "fusion", "surface", "texture"),
}
FOREIGN_SOURCES = 8  # views that a depth map of another tool is compared with
OUTSIDE = 0.5  # of the masked views that look at a point; beyond it the point is not part of what the masks keep
TURNTABLE_SAMPLE = 12  # pictures that tell whether the background stays the same
SAME_BACKGROUND = "the background is the same in all photos, as when the thing turns and the camera does not"
MASK_IT = "mask it with --masks DIR, or try --background static"
WHOLE_VIEWS = 75  # as many depth maps as may take part with every pixel when what they look through is asked
_MADE: dict[Stage, tuple[str, ...]] = {  # what each stage leaves in a scene folder
    "sfm": ("images", "masks", "sparse", "transforms.json", "scene.json"),
    "stereo": ("depth",),
    "predict": ("pairs",),
    "align": ("images", "masks", "sparse", "transforms.json", "scene.json", "depth"),
    "fusion": ("points.ply",),
    "surface": ("surface.ply",),
}


@dataclass(frozen=True)
class ReconstructOptions:
    """Every stage's options. method: classical matching, or a network that sees photos in pairs."""

    method: Method = "classic"
    dust3r: Dust3rOptions = field(default_factory=Dust3rOptions)
    sfm: SfmOptions = field(default_factory=SfmOptions)
    stereo: StereoOptions = field(default_factory=StereoOptions)
    fusion: FusionOptions = field(default_factory=FusionOptions)
    surface: SurfaceOptions = field(default_factory=SurfaceOptions)
    tsdf: TsdfOptions = field(default_factory=lambda: TsdfOptions(pixels=3.0))  # finer ones are thinned out anyway
    surface_from: Literal["poisson", "tsdf"] = "poisson"
    splats: FitOptions = field(default_factory=FitOptions)
    faces: int = between(50_000, 4)
    texture_size: int = between(0, 0, 16384)  # side of the texture; 0 follows the photos


@dataclass(frozen=True, eq=False)
class Source:
    """What a reconstruction starts from.

    photos, and known: what is known of their cameras, by the photo's name; where a pose is known, the result stays in
    the frame of the known poses. treatment: masks and enhancement. scene: the folder to start from when the first stage
    is not load. earlier: the scene.json of a scene that is being added to. distance with marks, or gps: what tells the
    true size. weights: the network's, for the method dust3r; predictions: a folder with files of pairs that need no
    network.
    """

    photos: Sequence[Photo] = ()
    known: Mapping[str, Known] = field(default_factory=dict)
    treatment: Treatment = field(default_factory=Treatment)
    skip_bad: bool = False
    scene: Path | None = None
    earlier: Mapping[str, Any] = field(default_factory=dict)
    distance: Distance | None = None
    marks: Mapping[str, Sequence[Mark]] = field(default_factory=dict)
    gps: bool = False
    weights: Path | None = None
    predictions: Path | None = None


@dataclass(frozen=True, eq=False)
class Run:
    """How stages work: where, with which options, and who listens. memory: the most bytes to take, where that is asked
    for; holding: how much of it goes into not reading files twice, see `memory`."""

    workspace: Workspace
    options: ReconstructOptions
    seed: int
    threads: int
    device: str
    progress: Progress
    memory: int | None = None
    holding: Holding = field(default_factory=Holding)


@dataclass(frozen=True, eq=False)
class Reconstruction:
    """What came of it, as far as the last stage went; all lies in one frame, and in the workspace's folder.

    about: what scene.json says; seconds: of the steps that found the cameras.
    """

    about: dict[str, Any]
    seconds: dict[str, float]
    scene: Scene | None = None
    points: PointCloud | None = None
    mesh: Mesh | None = None

    @property
    def verdicts(self) -> list[Verdict]:
        return [Verdict(**v) for v in self.about.get("photos", ())]


def reconstruct(source: Source, run: Run, first: Stage = "load", last: Stage = "texture") -> Reconstruction:
    """Run the stages from first to last. What an earlier call with the same workspace, photos and options has finished
    is not done again.

    Raises CannotError where the photos do not allow it, with the reason, InputError for unusable files.
    """
    check_workspace(run.workspace.folder, [p.path for p in source.photos])
    key = _start(source, run, first)
    stages = STAGES[run.options.method]
    todo = stages[stages.index(first) : stages.index(last) + 1]
    run = within_memory(source, run, todo)
    mesh = None
    for stage in todo:
        if stage == "texture":
            mesh = texture_stage(run)
            continue
        key = digest(stage, key, _parts(stage, source, run))
        if run.workspace.key(stage) == key:
            run.progress.note(f"{stage}: finished earlier, not repeated")
            continue
        _clear(run, stage)
        run.workspace.finish(stage, key, _do(stage, source, run, key))
    return _gathered(run, last, mesh)


def _start(source: Source, run: Run, first: Stage) -> str:
    """Bring in what earlier stages would have left; returns the key that the first stage builds on."""
    if source.scene is None:
        return digest("start")
    stages = STAGES[run.options.method]
    before = stages[: stages.index(first)]
    names = [name for stage in before for name in _MADE.get(stage, ())]
    adopt(source.scene, run.workspace, names)
    read_scene_folder(run.workspace.folder)
    needed = _MADE[before[-1]][0]
    if not (run.workspace.folder / needed).exists():
        raise InputError(f"{source.scene}: holds no {needed}, which {first} needs", "start --from an earlier stage")
    return digest("given", first, files_digest(source.scene, names))


def within_memory(source: Source, run: Run, stages: Sequence[Stage]) -> Run:
    """The run with as much held in memory as fits. Raises CannotError where the memory asked for is too little."""
    if source.scene is None:
        sizes = [(p.width, p.height) for p in source.photos]
    else:
        sizes = [(v.camera.width, v.camera.height) for v in read_scene_folder(run.workspace.folder).views]
    o = run.options
    job = MemoryJob(
        sizes, o.sfm.picture_size, o.sfm.feature_size, o.stereo.size, o.sfm.max_features, o.sfm.neighbours,
        o.stereo.sources, o.fusion.chunk, o.faces, o.texture_size, weights_size(source.weights),
    )  # fmt: skip
    limit = available_memory() if run.memory is None else run.memory
    plan = plan_memory(job, stages, run.threads, limit)
    run.progress.note(str(plan))
    if run.memory is not None:
        require(plan, job, stages, run.memory)
    elif limit is not None and plan.peak > limit:
        run.progress.warn(
            f"{plan.largest} may take {gigabytes(plan.peak)} of memory and {gigabytes(limit)} are free; "
            "a smaller --size takes less"
        )
    return replace(run, holding=plan.holding)


def _clear(run: Run, stage: Stage) -> None:
    """Nothing is left of a stage and those after it."""
    stages = STAGES[run.options.method]
    later = stages[stages.index(stage) :]
    run.workspace.forget(later)
    run.workspace.remove(name for each in later for name in _MADE.get(each, ()))


def _parts(stage: Stage, source: Source, run: Run) -> Any:
    """All that a stage's result depends on, but for what the stages before have left."""
    options, device = run.options, run.device.partition(":")[0]
    if stage == "load":
        photos = [(p.name, hashlib.sha256(p.path.read_bytes()).hexdigest()) for p in source.photos]
        return options.sfm.picture_size, photos, source.treatment.key(), source.skip_bad
    known = {
        name: (k.lens and (k.lens.width, k.lens.height, k.lens.params), None if k.pose is None else k.pose.tolist())
        for name, k in source.known.items()
    }
    if stage == "predict":
        given = [source.weights, source.predictions]
        found = [files_digest(p.parent, [p.name]) for p in given if p is not None]
        return asdict(options.dust3r), found, device
    if stage == "align":
        return asdict(options.dust3r), asdict(options.stereo.confirm), known, run.seed
    if stage == "sfm":
        marks = {name: [asdict(m) for m in marks] for name, marks in source.marks.items()}
        distance = source.distance and asdict(source.distance)
        return asdict(options.sfm), known, distance, marks, source.gps, dict(source.earlier), run.seed
    if stage == "stereo":
        return asdict(options.stereo), run.seed, device
    if stage == "fusion":
        return asdict(options.fusion), asdict(options.stereo.confirm), run.seed
    return options.surface_from, asdict(options.surface), asdict(options.tsdf), options.faces, run.seed


def _do(stage: Stage, source: Source, run: Run, key: str) -> dict[str, Any]:
    if stage == "load":
        return load_stage(source, run)
    if stage == "sfm":
        return sfm_stage(source, run)
    if stage == "stereo":
        return stereo_stage(run, key)
    if stage == "predict":
        return predict_stage(source, run, key)
    if stage == "align":
        return align_stage(source, run)
    if stage == "fusion":
        return fusion_stage(run)
    return surface_stage(run)


# ---------------------------------------------------------------- stages


def load_stage(source: Source, run: Run) -> dict[str, Any]:
    """Upright pictures and masks, in a hidden folder, as `sfm` undistorts them."""
    fewest = 1 if run.options.method == "dust3r" else 2
    refuse_too_few(len(source.photos), fewest)
    folder = run.workspace.fresh("upright")
    photos = source.photos
    if source.skip_bad and source.treatment.masks.background == "static":  # which looks at all photos beforehand
        photos = sound_photos(photos, run.progress)
    how = treat(photos, source.treatment, run.progress)
    pictures = prepare_pictures(
        photos, folder, run.options.sfm.picture_size, run.holding.loaders, run.progress, how, source.skip_bad
    )
    refuse_too_few(len(pictures), fewest)
    return {"pictures": [_plain(p) for p in pictures]}


def sound_photos(photos: Sequence[Photo], progress: Progress) -> list[Photo]:
    """The photos that can be decoded; the others are named in warnings."""
    sound = []
    for photo in photos:
        try:
            check_photo(photo)
            sound.append(photo)
        except InputError as error:
            progress.warn(f"{error.message}; skipped")
    return sound


def _plain(picture: Picture) -> dict[str, Any]:
    values = asdict(picture)
    return {
        **{k: values[k] for k in ("photo", "width", "height", "focal", "camera")},
        "path": picture.path.name,
        "mask": picture.mask and picture.mask.name,
    }


def loaded_pictures(workspace: Workspace) -> list[Picture]:
    """What the load stage has left."""
    folder = workspace.hidden / "upright"
    return [
        Picture(
            p["photo"],
            folder / "images" / p["path"],
            p["width"],
            p["height"],
            p["focal"],
            p["camera"],
            p["mask"] and folder / "masks" / p["mask"],
        )
        for p in workspace.facts("load")["pictures"]
    ]


def sfm_stage(source: Source, run: Run) -> dict[str, Any]:
    """Cameras, undistorted pictures and sparse points in the result's frame."""
    workspace, options = run.workspace, run.options.sfm
    pictures = with_known(loaded_pictures(workspace), source.known)
    work = workspace.fresh("sfm")
    turntable = not source.treatment.drops_background and looks_like_turntable(pictures)
    try:
        result = find_cameras(pictures, work, options, run.seed, run.threads, run.progress)
    except CannotError as error:
        if not turntable:
            raise
        raise CannotError(f"{error.message}; {SAME_BACKGROUND}", MASK_IT) from error
    if turntable:
        run.progress.warn(f"{SAME_BACKGROUND}; {MASK_IT}")
    anchored = any(p.pose is not None for p in pictures)
    metres, up = _true_size(source, result, run)
    if anchored:
        frame, metres = Similarity.identity(), None
    else:
        frame = scene_frame(result.scene, run.seed, metres, up)
    scene = result.scene.moved(frame)
    draft = workspace.hidden / "draft"
    write_scene_folder(scene, draft, replace=True)
    about = {
        "photos": [asdict(v) for v in result.verdicts],
        "reprojection_error_px": result.reprojection_error,
        "result_from_cameras": frame.matrix().tolist(),
        "units": "m" if metres else None,
    }
    kept = {key: source.earlier[key] for key in ("result_from_cameras", "units") if key in source.earlier}
    (draft / "scene.json").write_text(json.dumps(about | kept, indent=1), encoding="utf-8")
    (draft / ".mvgen-files").unlink(missing_ok=True)
    workspace.install(draft)
    workspace.discard("sfm")
    return {"seconds": result.seconds}


def looks_like_turntable(pictures: Sequence[Picture]) -> bool:
    """Whether the background stays with the camera, so that its features speak against those of the object."""
    step = max(1, len(pictures) // TURNTABLE_SAMPLE)
    small = [cv2.resize(read_image(p.path), (320, 240), interpolation=cv2.INTER_AREA) for p in pictures[::step]]
    return fixed_background([np.asarray(image, np.uint8) for image in small])[1]


def _true_size(source: Source, result: SfmResult, run: Run) -> tuple[float | None, NDArray[np.float64] | None]:
    """Metres per unit of the cameras' world, and the direction up [3] in it; None where not known."""
    cameras = {name: v.camera for name, v in zip(result.lenses, result.scene.views)}
    if source.distance is not None:
        whole = {p.name: p for p in source.photos}
        places = {
            name: [_picture_place(m, whole[m.photo], result.lenses[m.photo]) for m in marks if m.photo in cameras]
            for name, marks in source.marks.items()
        }
        return metres_per_unit(source.distance, cameras, places), None
    if source.gps:
        return _size_from_gps(source, cameras, run.progress)
    return None, None


def _size_from_gps(
    source: Source, cameras: Mapping[str, Camera], progress: Progress
) -> tuple[float, NDArray[np.float64]]:
    nowhere = (math.nan, math.nan, None)
    fixes = {p.name: p.gps or nowhere for p in source.photos}
    gps = np.array([[a, b, math.nan if c is None else c] for a, b, c in (fixes[name] for name in cameras)], np.float64)
    similarity, residual, used = gps_similarity(np.array([c.centre for c in cameras.values()]), gps)
    progress.note(f"true size and up from the GPS of {int(used.sum())} photos, {residual:.1f} m off in the median")
    return similarity.scale, similarity.rotation.T @ [0.0, 0.0, 1.0]


def _picture_place(mark: Mark, photo: Photo, lens: Lens) -> tuple[str, float, float]:
    """A mark in the pixels of the undistorted picture."""
    ratio = np.array([lens.width / photo.width, lens.height / photo.height])
    x, y = lens.undistort(np.array([[mark.x, mark.y]]) * ratio)[0]
    return mark.photo, float(x), float(y)


def stereo_stage(run: Run, key: str) -> dict[str, Any]:
    """A depth map for each view, confirmed by other views."""
    workspace, options = run.workspace, run.options.stereo
    scene = read_scene_folder(workspace.folder)
    states = workspace.kept("stereo", key)
    stereo = estimate_depths(scene, states, options, run.seed, run.progress, run.device, run.holding.pictures)
    run.progress.stage("confirm", len(scene.views))
    draft = workspace.fresh("draft")
    (draft / "depth").mkdir()
    for depth_map, _ in depth_maps(stereo, options.confirm, run.progress, run.holding.depths):
        save_depth(depth_map, draft / "depth" / f"{Path(depth_map.camera.name).stem}.npz")
    workspace.install(draft)
    workspace.discard("stereo")
    return {}


def predict_stage(source: Source, run: Run, key: str) -> dict[str, Any]:
    """What a network says of pairs of pictures, a file for each; or the files that were given."""
    options, workspace = run.options.dust3r, run.workspace
    pictures = loaded_pictures(workspace)
    work = workspace.kept("predict", key) / "pairs"
    if source.predictions is not None:
        found = find_pairs(source.predictions)
        last = max(k for pair, _ in found for k in pair)
        if last >= max(len(pictures), 2):
            raise InputError(
                f"{source.predictions}: speaks of photo {last}, and there are {len(pictures)}", "photos count from 0"
            )
        work.mkdir(parents=True, exist_ok=True)
        for pair, path in found:
            if not (work / pair_name(pair)).exists():
                link(path, work / pair_name(pair))
    else:
        assert source.weights is not None
        network = load_network(source.weights, run.progress, run.device)
        size = options.image_size or network.config.image_size
        images = [network_picture(read_image(p.path), fit_photo(p.width, p.height, size)) for p in pictures]
        images *= 2 if len(images) == 1 else 1  # one photo is shown beside itself
        pairs = both_ways(pair_graph(len(images), options.graph))
        predict_pairs(network, images, pairs, work, run.progress, options.batch, options.precision)
    draft = workspace.fresh("draft")
    work.replace(draft / "pairs")
    workspace.install(draft)
    workspace.discard("predict")
    return {}


def align_stage(source: Source, run: Run) -> dict[str, Any]:
    """Cameras and a depth map for each picture, from what was said of pairs."""
    workspace, options = run.workspace, run.options.dust3r
    pictures = with_known(loaded_pictures(workspace), source.known)
    found = find_pairs(workspace.folder / "pairs")
    twice = pictures * 2 if len(pictures) == 1 else pictures
    fits = fits_of(found, twice)
    sizes = [(fit.size[1], fit.size[0]) for fit in fits]

    def load(e: int) -> Prediction:
        (i, j), path = found[e]
        prediction = load_pair((i, j), path, (sizes[i], sizes[j]))
        return masked(prediction, twice[i].mask, twice[j].mask, fits)

    if options.worst_pairs:
        scores = [pair_score(load(e)) for e in range(len(found))]
        kept = best_pairs([pair for pair, _ in found], scores, options.worst_pairs)
        run.progress.note(f"align: {len(found) - len(kept)} of {len(found)} predictions are left out as the least sure")
        found = [found[e] for e in kept]
    aligned = align([pair for pair, _ in found], load, sizes, align_options(twice, fits, options), run.progress)
    run.progress.note(f"predictions differ by {aligned.residual:.2%} of the depth in the median")
    scene, maps = posed_scene(aligned, fits, pictures, options)
    if options.clean and len(pictures) > 1:
        around = source_views(scene, FOREIGN_SOURCES)
        confirm = replace(run.options.stereo.confirm, relative=options.agreement, pixels=4.0)
        maps = list(cross_checked(maps.__getitem__, around, confirm))
    frame = Similarity.identity() if any(p.pose is not None for p in pictures) else scene_frame(scene, run.seed)
    draft = workspace.hidden / "draft"
    write_scene_folder(scene.moved(frame), draft, replace=True)
    (draft / "depth").mkdir()
    for depth_map in maps:
        moved = replace(
            depth_map, camera=depth_map.camera.moved(frame), depth=(depth_map.depth * frame.scale).astype(np.float32)
        )
        save_depth(moved, draft / "depth" / f"{Path(moved.camera.name).stem}.npz")
    about = {"result_from_cameras": frame.matrix().tolist(), "units": None}
    (draft / "scene.json").write_text(json.dumps(about, indent=1), encoding="utf-8")
    (draft / ".mvgen-files").unlink(missing_ok=True)
    workspace.install(draft)
    return {}


def fusion_stage(run: Run) -> dict[str, Any]:
    """One cloud of oriented points from all depth maps."""
    workspace = run.workspace
    scene = read_scene_folder(workspace.folder)
    run.progress.stage("fusion", len(scene.views))
    maps = seen_depths(workspace, scene, run.options.stereo.confirm, run.progress, run.holding.depths)
    points = fuse(maps, region_of_interest(scene), run.options.fusion)
    draft = workspace.fresh("draft")
    save_points(points, draft / "points.ply")
    workspace.install(draft)
    return {}


def seen_depths(
    workspace: Workspace, scene: Scene, options: ConfirmOptions, progress: Progress, held: int = 32
) -> Iterator[tuple[DepthMap, NDArray[np.uint8]]]:
    """Each depth map of a scene with its picture at the same size, in the order of the views.

    Maps that come without confidence are another tool's, and are checked against each other first.
    """
    files = {p.stem: p for p in workspace.depth_files}
    known = [i for i, v in enumerate(scene.views) if Path(v.camera.name).stem in files]
    if not known:
        raise InputError(f"{workspace.folder / 'depth'}: no depth map is named like a picture", "NAME.npz for NAME.jpg")
    views = [scene.views[i] for i in known]

    def load(k: int) -> DepthMap:
        return load_depth(files[Path(views[k].camera.name).stem], views[k].camera)

    maps: Iterator[DepthMap] = map(load, range(len(views)))
    if not all(has_confidence(files[Path(v.camera.name).stem]) for v in views):
        progress.note("the depth maps have no confidence: what no second view agrees on is left out")
        place = {i: k for k, i in enumerate(known)}
        found = source_views(scene, FOREIGN_SOURCES)
        sources = [[place[j] for j in found[i] if j in place] for i in known]
        maps = cross_checked(load, sources, options, held)
    for view, depth_map in zip(views, maps):
        yield depth_map, read_at(view, depth_map.camera)
        progress.advance()


def surface_stage(run: Run) -> dict[str, Any]:
    """A clean surface of at most options.faces faces through the points."""
    workspace, options, progress = run.workspace, run.options, run.progress
    scene = read_scene_folder(workspace.folder)
    points = load_points(workspace.folder / "points.ply")
    progress.stage("surface", 4)
    if options.surface_from == "tsdf":
        mesh = averaged_surface(run, scene, points)
    else:
        mesh = poisson_surface(points, options.surface)
        progress.advance()
        mesh = trim(mesh, points, small_depths(workspace, scene), options.surface)
    mesh = carved(mesh, scene)
    progress.advance()
    mesh = drop_small_parts(simplify(drop_small_parts(mesh), options.faces))
    progress.advance(2)
    if not len(mesh.faces):
        raise CannotError("no surface was left after clean-up", "write the points as they are with --as points")
    draft = workspace.fresh("draft")
    save_mesh(mesh, draft / "surface.ply")
    workspace.install(draft)
    return {}


def carved(mesh: Mesh, scene: Scene) -> Mesh:
    """The mesh without what most masks speak against."""
    if all(v.mask_path is None for v in scene.views):
        return mesh
    outside = outside_masks(mesh.vertices, scene.views, OUTSIDE)
    return keep_faces(mesh, np.logical_not(outside[mesh.faces].any(axis=1)))


def averaged_surface(run: Run, scene: Scene, points: PointCloud) -> Mesh:
    """The surface that the depth maps agree on where there are points."""
    margin = 0.02 * points.diagonal
    bounds = points.bounds + np.array([[-margin], [margin]])

    def maps() -> Iterator[tuple[DepthMap, NDArray[np.uint8]]]:
        return seen_depths(run.workspace, scene, run.options.stereo.confirm, Silent(), run.holding.depths)

    return tsdf_surface(maps, bounds, run.options.tsdf, run.progress)


def small_depths(workspace: Workspace, scene: Scene) -> list[DepthMap]:
    """The depth maps at half size, or less where there are many: enough to know what each view looks through."""
    step = max(2, math.ceil(math.sqrt(len(workspace.depth_files) / WHOLE_VIEWS)))
    cameras = {Path(v.camera.name).stem: v.camera for v in scene.views}
    maps = []
    for path in workspace.depth_files:
        whole = load_depth(path, cameras.get(path.stem))
        depth = np.ascontiguousarray(whole.depth[::step, ::step])
        camera = whole.camera.resized(depth.shape[1], depth.shape[0])
        maps.append(DepthMap(camera, depth, np.zeros((0, 0), np.float32), np.zeros((0, 0), np.float32)))
    return maps


def texture_stage(run: Run) -> Mesh:
    """The surface with a texture from the photos."""
    workspace = run.workspace
    scene = read_scene_folder(workspace.folder)
    mesh = load_mesh(workspace.folder / "surface.ply")
    mesh = texture_mesh(mesh, scene.views, run.options.texture_size or None, run.progress)
    return replace(mesh, metadata=_record(read_about(workspace.folder), scene))


def scene_frame(
    scene: Scene, seed: int, scale: float | None = None, up: NDArray[np.float64] | None = None
) -> Similarity:
    """The result's frame, from the cameras and the sparse points of what they are of."""
    region = region_of_interest(scene)
    points = scene.points.points
    inside = points[np.linalg.norm(points - region.centre, axis=1) <= region.radius]
    return upright_frame([v.camera for v in scene.views], inside if len(inside) >= 50 else points, seed, scale, up)


# ---------------------------------------------------------------- what came of it


def read_about(folder: Path) -> dict[str, Any]:
    """What the scene.json in a folder says; empty where another tool made the folder. Raises InputError."""
    path = folder / "scene.json"
    if not path.exists():
        return {}
    try:
        about = dict(json.loads(path.read_text(encoding="utf-8")).items())
        _check_about(about)
    except (OSError, ValueError, TypeError, AttributeError, RecursionError) as error:
        raise InputError(f"{path}: is damaged ({error})", "delete it; it may be missing") from error
    return about


def _check_about(about: Mapping[str, Any]) -> None:
    """Raise ValueError or TypeError for a scene.json that nobody here has written."""
    matrix = about.get("result_from_cameras")
    if matrix is not None and np.asarray(matrix, np.float64).shape != (4, 4):
        raise ValueError("result_from_cameras is not 4x4")
    if about.get("units") not in (None, "m"):
        raise ValueError("units are neither m nor unknown")
    for verdict in about.get("photos", ()):
        Verdict(**verdict)


def _gathered(run: Run, last: Stage, mesh: Mesh | None) -> Reconstruction:
    folder, stages = run.workspace.folder, STAGES[run.options.method]
    stage = stages.index(last)
    about = read_about(folder)
    posed = "sfm" if "sfm" in stages else "align"
    scene = read_scene_folder(folder) if stage >= stages.index(posed) else None
    made = (folder / "points.ply").exists() and stage >= stages.index("fusion")
    points = load_points(folder / "points.ply") if made else None
    if last == "surface" and scene is not None:
        mesh = replace(load_mesh(folder / "surface.ply"), metadata=_record(about, scene))
    return Reconstruction(about, run.workspace.facts("sfm").get("seconds", {}), scene, points, mesh)


def _record(about: Mapping[str, Any], scene: Scene) -> dict[str, object]:
    """What a file should keep of how it came to be."""
    matrix = about.get("result_from_cameras")
    return {
        "up": "+Y",
        **({} if matrix is None else {"result_from_cameras": np.round(matrix, 9).tolist()}),
        **({"units": about["units"]} if about.get("units") else {}),
        "photos": [v.camera.name for v in scene.views],
    }

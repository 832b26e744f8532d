"""``mvgen reconstruct``: photos to a textured mesh, points, or a posed scene."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from mvgen.commands.job import Job, Report
from mvgen.commands.options import BLACK, Format, Output, Settings, parse_count, streamed
from mvgen.commands.settings import apply_settings
from mvgen.core.errors import UsageError

if TYPE_CHECKING:
    from mvgen.core.io.images import Photo
    from mvgen.core.reconstruct import Reconstruction, Run, Source
    from mvgen.core.splats.fit.fit import Quality
    from mvgen.core.splats.model import Splats

DEVICES = ("cpu", "cuda")
EXTENSIONS = {
    "mesh": (".glb", ".ply", ".obj", ".stl", ".off"),
    "points": (".ply", ".glb"),
    "splats": (".ply", ".spz", ".splat"),
}
LAST = {
    "mesh": "texture",
    "points": "fusion",
    "splats": "surface",
    "scene": "fusion",
}  # the last stage of each kind of result
KINDS = {
    "load": "scene",
    "sfm": "scene",
    "stereo": "scene",
    "predict": "scene",
    "align": "scene",
    "fusion": "points",
    "surface": "mesh",
    "texture": "mesh",
}
ONLY = {"classic": ("sfm", "stereo"), "dust3r": ("predict", "align")}  # stages of one method
ENOUGH_PLACED = 0.6  # of the photos; with fewer, auto lets the network try
WEIGHTS = "dust3r-512 (2.3 GB, not for commercial use)"

NO_TREATMENT = (
    "masks.background=none",
    "masks.sky=False",
    "enhancement.contrast=0.0",
    "enhancement.sharpness=0.0",
)

Kind = Literal["mesh", "points", "splats", "scene"]
Stage = Literal["load", "sfm", "stereo", "predict", "align", "fusion", "surface", "texture"]
Method = Literal["auto", "classic", "dust3r"]


def reconstruct(
    job: Job,
    images: Annotated[
        list[str],
        typer.Argument(metavar="IMAGES|DIR...", help="Photos, folders, videos; one scene folder with --from."),
    ],
    output: Output,
    kind: Annotated[
        Kind | None,
        typer.Option(
            "--as",
            help="A textured mesh, points, Gaussian splats, or a folder with cameras, pictures and depths.",
            show_default="mesh",
        ),
    ] = None,
    faces: Annotated[
        Any,
        typer.Option(parser=parse_count, metavar="N", help="Most faces of the mesh; viewers like under 100k."),
    ] = 50_000,
    size: Annotated[
        int | None,
        typer.Option(
            min=64,
            max=4096,
            metavar="PIXELS",
            help="Long side of the depth maps; finer is slower.",
            show_default="960",
        ),
    ] = None,
    method: Annotated[
        Method | None,
        typer.Option(
            help="classic matches pictures; dust3r, a network with weights, copes with few photos far apart. auto: "
            "dust3r where classic cannot and weights are there.",
            show_default="auto",
        ),
    ] = None,
    weights: Annotated[
        str | None,
        typer.Option(
            metavar="FILE|DIR|NAME",
            help="The network's weights: .pth, safetensors, or a downloaded model (mvgen models list).",
            show_default="the best downloaded",
        ),
    ] = None,
    surface: Annotated[
        Literal["poisson", "tsdf"],
        typer.Option(help="poisson closes gaps smoothly; tsdf averages depth maps, quicker, and leaves gaps open."),
    ] = "poisson",
    texture_size: Annotated[
        int | None,
        typer.Option(
            min=16, max=16384, metavar="PIXELS", help="Side of the texture.", show_default="follows the photos"
        ),
    ] = None,
    frames: Annotated[
        int | None,
        typer.Option(min=2, max=5000, metavar="N", help="Of a video: so many sharp frames.", show_default="2 a second"),
    ] = None,
    masks: Annotated[
        str | None,
        typer.Option(metavar="DIR", help="Masks named like the photos; white counts. Transparency masks by itself."),
    ] = None,
    background: Annotated[
        Literal["none", "white", "black", "border", "static"],
        typer.Option(help="Mask a plain backdrop (border: of any colour), or one that stays while the thing turns."),
    ] = "none",
    mask_sky: Annotated[bool, typer.Option("--mask-sky", help="Mask the sky.")] = False,
    contrast: Annotated[
        float, typer.Option(min=0, max=10, metavar="X", help="Raise local contrast; 2 is a lot.")
    ] = 0.0,
    sharpness: Annotated[float, typer.Option(min=0, max=5, metavar="X", help="Sharpen; 1 is a lot.")] = 0.0,
    intrinsics: Annotated[
        str | None,
        typer.Option(
            metavar="F|FX,FY,CX,CY[,K1,K2,P1,P2]|FILE",
            help="The lens, where it is known, in pixels of the photo; kept as it is.",
        ),
    ] = None,
    cameras: Annotated[
        str | None,
        typer.Option(
            metavar="FILE|DIR",
            help="Known cameras: COLMAP, transforms.json, cameras.json. The result stays in their frame.",
        ),
    ] = None,
    add_to: Annotated[
        str | None,
        typer.Option(metavar="DIR", help="An earlier scene folder, which the photos join; its cameras stay."),
    ] = None,
    scale_by: Annotated[
        str | None,
        typer.Option(
            metavar="A,B=1.2m|gps",
            help="True size: the distance of two marked points or of two photos' cameras, or the photos' GPS.",
        ),
    ] = None,
    marks: Annotated[
        str | None,
        typer.Option(metavar="FILE.csv", help="Marked points: lines of name,photo,x,y in pixels of the photo."),
    ] = None,
    skip_bad: Annotated[
        bool, typer.Option("--skip-bad", help="Name photos that cannot be read, and go on without them.")
    ] = False,
    pairs: Annotated[
        Literal["auto", "all", "sequential", "similar"],
        typer.Option(help="Photos to match: auto takes all of up to 40, else neighbours and those that look alike."),
    ] = "auto",
    mapper: Annotated[
        Literal["incremental", "global"],
        typer.Option(help="Cameras one after the other, or all at once: quicker for hundreds of photos."),
    ] = "incremental",
    stop_after: Annotated[
        Stage | None, typer.Option(help="Write what this stage makes: a scene folder, points, or a mesh.")
    ] = None,
    start_from: Annotated[
        Stage | None, typer.Option("--from", help="Begin with this stage, on a scene folder from here or another tool.")
    ] = None,
    checkpoint: Annotated[
        str | None,
        typer.Option(metavar="DIR", help="Work in this scene folder, and go on from what an earlier run has finished."),
    ] = None,
    memory: Annotated[
        Any,
        typer.Option(
            parser=parse_count,
            metavar="BYTES",
            help="Take at most so much memory, as 3g or 800m, or say at once what would fit.",
            show_default="what is free",
        ),
    ] = None,
    save_cameras: Annotated[
        str | None,
        typer.Option(
            metavar="FILE|DIR",
            help="Also write the cameras: transforms.json, a COLMAP model in a folder, or a .glb to look at.",
        ),
    ] = None,
    previews: Annotated[
        str | None,
        typer.Option(metavar="DIR", help="Also write pictures of depth, confidence and cameras, and a contact sheet."),
    ] = None,
    settings: Settings = None,
    format: Format = None,
) -> Report:
    """Photos to a textured mesh, points, splats, or a posed scene; on the CPU, with no download.

    Take photos from different places, each showing about two thirds of what the one before shows. The result is
    upright (+Y), centred, and two units long, unless cameras or distances are given. Stages: load, sfm, stereo (dust3r:
    load, predict, align), fusion, surface, texture.

    Examples:
      mvgen reconstruct photos/*.jpg -o scene.glb
      mvgen reconstruct photos/ -o cloud.ply --as points --save-cameras transforms.json
      mvgen reconstruct photos/ -o scene.glb --checkpoint work/
    """
    from mvgen.core.models import find_weights
    from mvgen.core.reconstruct import ReconstructOptions, Run
    from mvgen.core.reconstruct import reconstruct as run
    from mvgen.core.splats.files import save_splats, written_format
    from mvgen.core.stereo.match import usable_device
    from mvgen.core.workspace import opened

    if faces < 4:
        raise UsageError(f"--faces {faces}: a mesh has at least 4", "leave --faces out")
    kind, last = _goal(kind, stop_after)
    if kind != "scene":
        format = streamed(output, format, "glb" if kind == "mesh" else "ply")
    _check_together(cameras=cameras, add_to=add_to, intrinsics=intrinsics)
    method = _method(method, start_from, stop_after)
    if method == "dust3r":
        _refuse_with_dust3r(add_to, scale_by, pairs, mapper, size)
    _check_outputs(job, output, kind, format, checkpoint)
    _check_extras(job, last, save_cameras, previews)
    options = apply_settings(
        ReconstructOptions(),
        [
            f"method={'dust3r' if method == 'dust3r' else 'classic'}",
            f"stereo.size={size or 960}",
            f"faces={faces}",
            f"texture_size={texture_size or 0}",
            f"surface_from={surface}",
            f"sfm.pairs={pairs}",
            f"sfm.mapper={mapper}",
            *(settings or []),
        ],
    )
    device = usable_device(job.device, job.progress)
    inputs = Inputs(images, start_from, frames, skip_bad, masks, add_to)
    look = [f"masks.background={background}", f"masks.sky={mask_sky}"]
    look += [f"enhancement.contrast={contrast}", f"enhancement.sharpness={sharpness}"]
    source = _source(job, inputs, look, cameras, intrinsics, scale_by, marks)
    if method == "dust3r":
        source = _with_network(job, source, images, start_from, stop_after, weights)
    elif weights is not None and method == "classic":
        raise UsageError("--weights: the classic method has none", "add --method dust3r")
    elif weights is not None:
        find_weights(weights)
    undecided = method == "auto" and source.scene is None and last != "load"
    with opened(Path(checkpoint) if checkpoint else job.scratch / "scene") as workspace:
        how = Run(workspace, options, job.seed, job.threads, device, job.progress, memory)
        if undecided:
            source, how = _decided(source, how, weights, add_to or scale_by)
        result = run(source, how, _first(start_from), last)
        kept = Path(checkpoint) if checkpoint else source.scene
        if kind == "splats":
            fitted = _fit(how)
            written = written_format(f".{format.lstrip('.')}" if format else output)
            splats = _from_scene(fitted[0], kept, output)
            job.write(output, lambda draft: save_splats(splats, draft, written), format)
        else:
            fitted = None
            _write(job, result, how, output, kind, last, format, kept)
        if save_cameras is not None:
            _write_cameras(job, result, save_cameras)
        if previews is not None:
            _write_previews(job, result, how, previews)
    return _report(result, how, output, kind, last, fitted)


def _fit(how: Run) -> tuple[Splats, Quality]:
    """Splats that begin on the surface of the scene, and how well they show the photos."""
    from mvgen.core.render.splats import usable_device
    from mvgen.core.splats.fit.fit import fit_splats, quality
    from mvgen.core.splats.fit.train import Job as Fit
    from mvgen.core.splats.fit.views import posed_photos

    photos, points = posed_photos(
        how.workspace.folder, how.options.splats.size, how.workspace.fresh("fit"), how.progress
    )
    device = usable_device(how.device, how.progress)
    fit = Fit(photos, how.options.splats, BLACK, how.seed, device)
    splats = fit_splats(fit, points, how.progress, how.workspace.hidden / "splats")
    return splats, quality(splats, photos, BLACK, device)


def _goal(kind: Kind | None, stop_after: Stage | None) -> tuple[Kind, Stage]:
    """What to write, and the last stage that it takes."""
    if stop_after is None:
        kind = kind or "mesh"
        return kind, LAST[kind]  # type: ignore[return-value]
    natural = KINDS[stop_after]
    if kind not in (None, natural) and not (kind == "scene" and stop_after in ("fusion", "surface")):
        raise UsageError(f"--as {kind}: --stop-after {stop_after} makes a {natural}", f"leave --as {kind} out")
    return kind or natural, stop_after  # type: ignore[return-value]


def _first(start_from: Stage | None) -> Stage:
    """A scene's pictures are photos like others, so that looking for cameras again begins with loading them."""
    return "load" if start_from in (None, "load", "sfm", "predict", "align") else start_from


def _method(method: Method | None, start_from: Stage | None, stop_after: Stage | None) -> Method:
    """The method asked for, or that whose stages are named."""
    for stage in (start_from, stop_after):
        for own, stages in ONLY.items():
            if stage in stages:
                if method not in (None, own):
                    raise UsageError(f"--method {method}: {stage} is a stage of {own}", f"use --method {own}")
                method = own  # type: ignore[assignment]
    return method or "auto"


def _decided(source: Source, how: Run, weights: str | None, classic_only: str | None) -> tuple[Source, Run]:
    """What to go on with, and how: the network where the classic method finds too few cameras and weights are there.

    classic_only: an option that goes with the classic method alone.
    """
    from mvgen.core.errors import CannotError
    from mvgen.core.models import default_weights, find_weights
    from mvgen.core.reconstruct import reconstruct as run

    failure, placed = None, 0.0
    try:
        verdicts = run(source, how, "load", "sfm").verdicts
        placed = sum(v.registered for v in verdicts) / len(verdicts)
        why = f"only {placed:.0%} of the photos could be placed"
    except CannotError as error:
        failure, why = error, error.message
    if placed >= ENOUGH_PLACED:
        how.progress.note(
            "method: classic, which placed enough photos" + ("; --weights is not needed" if weights else "")
        )
        return source, how
    found = default_weights("dust3r") if weights is None else (weights, find_weights(weights))
    if found is not None and classic_only is None:
        how.progress.say(f"method: dust3r with {found[0]}, as {why}")
        return replace(source, weights=found[1]), replace(how, options=replace(how.options, method="dust3r"))
    if failure is not None and classic_only is None:
        failure.hint = f"{failure.hint}; or get the network that copes with more: mvgen models pull {WEIGHTS}"
    if failure is not None:
        raise failure
    return source, how


def _refuse_with_dust3r(add_to: str | None, scale_by: str | None, pairs: str, mapper: str, size: int | None) -> None:
    given = {
        "--size": size,
        "--add-to": add_to,
        "--scale-by": scale_by,
        "--pairs": pairs != "auto",
        "--mapper": mapper != "incremental",
    }
    for name, value in given.items():
        if value:
            raise UsageError(
                f"{name}: not with --method dust3r",
                "leave it out; see --set dust3r.graph for pairs, dust3r.image_size for size",
            )


def _with_network(
    job: Job, source: Source, images: list[str], start_from: Stage | None, stop_after: Stage | None, weights: str | None
) -> Source:
    """The source with a network, or with files of pairs where these are what to begin with."""
    from mvgen.core.dust3r.predict import find_pairs
    from mvgen.core.errors import WeightsError
    from mvgen.core.models import default_weights, find_weights

    if start_from in ONLY["dust3r"]:
        folder = Path(images[0])
        folder = folder / "pairs" if (folder / "pairs").is_dir() else folder
        if start_from == "align" or weights is None:
            find_pairs(folder)
            return replace(source, predictions=folder)
    if stop_after == "load" or source.scene is not None:
        return source
    if weights is not None:
        return replace(source, weights=job.read(find_weights(weights), "weights", folder=True))
    found = default_weights("dust3r")
    if found is None:
        raise WeightsError(
            "--method dust3r needs its network's weights", f"mvgen models pull {WEIGHTS}, or give --weights FILE"
        )
    job.progress.say(f"weights: {found[0]}")
    return replace(source, weights=found[1])


def _check_together(**options: str | None) -> None:
    given = [f"--{name.replace('_', '-')}" for name, value in options.items() if value is not None]
    if len(given) > 1:
        raise UsageError(f"{given[0]} and {given[1]} both say what is known of cameras", "give one of them")


def _check_outputs(job: Job, output: str, kind: Kind, format: str | None, checkpoint: str | None) -> None:
    """Refuse what could not be written in the end, before any work."""
    from mvgen.core.workspace import check_workspace

    if checkpoint is not None:
        check_workspace(Path(checkpoint))
    if kind == "scene" and _is_same(output, checkpoint):
        return
    job.check(output, format, folder=kind == "scene")
    if kind != "scene":
        suffix = f".{format.lstrip('.').lower()}" if format else Path(output).suffix.lower()
        if suffix not in EXTENSIONS[kind]:
            raise UsageError(
                f"{output}: {kind} cannot be written as {suffix or 'this'}",
                f"use one of {', '.join(EXTENSIONS[kind])}" + (", or --as scene for a folder" if not suffix else ""),
            )


def _check_extras(job: Job, last: Stage, save_cameras: str | None, previews: str | None) -> None:
    if save_cameras is not None:
        if last in ("load", "predict"):
            raise UsageError(f"--save-cameras: --stop-after {last} finds no cameras", "stop after sfm, align or later")
        job.check(save_cameras, folder=not save_cameras.endswith((".json", ".glb")))
    if previews is not None:
        if last in ("load", "sfm", "predict"):
            raise UsageError(f"--previews: --stop-after {last} makes no depth maps", "stop after stereo or later")
        job.check(previews, folder=True)


def _is_same(output: str, checkpoint: str | None) -> bool:
    return checkpoint is not None and Path(output).resolve() == Path(checkpoint).resolve()


@dataclass(frozen=True)
class Inputs:
    """What the photos are, as the command line says."""

    images: list[str]
    start_from: Stage | None
    frames: int | None
    skip_bad: bool
    masks: str | None
    add_to: str | None


def _source(
    job: Job,
    inputs: Inputs,
    look: list[str],
    cameras: str | None,
    intrinsics: str | None,
    scale_by: str | None,
    marks: str | None,
) -> Source:
    from mvgen.core.prepare.treatment import Treatment
    from mvgen.core.reconstruct import Source, read_about
    from mvgen.core.scale import parse_distance, read_marks
    from mvgen.core.sfm.known import known_cameras, parse_intrinsics, scene_cameras

    distance = None if scale_by in (None, "gps") else parse_distance(str(scale_by))
    if marks is not None and distance is None:
        raise UsageError("--marks: says where points are, but not how far apart", "add --scale-by A,B=1.2m")
    if _first(inputs.start_from) != "load":
        _refuse_early_options(inputs, look, cameras, intrinsics, scale_by)
        return Source(scene=_scene_folder(job, inputs.images, inputs.start_from))
    photos, count, files = _photos(job, inputs)
    known, about = {}, {}
    if inputs.add_to is not None:
        known, about = scene_cameras(photos[:count], Path(inputs.add_to)), read_about(Path(inputs.add_to))
    elif cameras is not None:
        known = known_cameras(photos, job.read(cameras, "camera file", folder=True), poses=True)
    elif intrinsics is not None:
        known = parse_intrinsics(intrinsics, photos)
    if scale_by and any(k.pose is not None for k in known.values()):
        raise UsageError("--scale-by: known cameras have a scale already", "give one of them")
    return Source(
        photos=photos,
        known=known,
        treatment=apply_settings(Treatment(files=files), look),
        skip_bad=inputs.skip_bad,
        earlier=about,
        distance=distance,
        marks={} if marks is None else read_marks(job.read(marks, "CSV file")),
        gps=scale_by == "gps",
    )


def _refuse_early_options(
    inputs: Inputs, look: list[str], cameras: str | None, intrinsics: str | None, scale_by: str | None
) -> None:
    """What only earlier stages would heed must not be passed over in silence."""
    given = {
        "--cameras": cameras,
        "--intrinsics": intrinsics,
        "--scale-by": scale_by,
        "--add-to": inputs.add_to,
        "--masks": inputs.masks,
        "--frames": inputs.frames,
        "--skip-bad": inputs.skip_bad,
        "--background, --mask-sky, --contrast, --sharpness": look != list(NO_TREATMENT),
    }
    for name, value in given.items():
        if value:
            raise UsageError(
                f"--from {inputs.start_from}: cameras and pictures are those of the scene, so that {name} says nothing",
                "leave it out, or start --from sfm",
            )


def _photos(job: Job, inputs: Inputs) -> tuple[tuple[Photo, ...], int, dict[str, Path]]:
    """All photos, how many of them are those of an earlier scene (which come first), and mask files by name."""
    from mvgen.core.io.images import find_photos, split_bad
    from mvgen.core.prepare.masks import find_masks

    scene = None if inputs.add_to is None else job.read(inputs.add_to, "scene folder", folder=True)
    images = inputs.images
    if inputs.start_from in ("sfm", *ONLY["dust3r"]):
        scene = _scene_folder(job, images, inputs.start_from)
        images = []
    earlier = [] if scene is None else find_photos([scene / "images"])
    photos, bad = split_bad([*earlier, *find_photos(_stills(job, images, inputs.frames))])
    for _, error in bad:
        if not inputs.skip_bad:
            raise error
        job.progress.warn(f"{error.message}; skipped")
    old = {p.resolve() for p in earlier}
    count = sum(p.path.resolve() in old for p in photos)
    files: dict[str, Path] = {}
    if scene is not None and (scene / "masks").is_dir():
        files |= find_masks(photos[:count], scene / "masks", job.progress)
    if inputs.masks is not None:
        new = photos[count:] or photos
        files |= find_masks(new, job.read(inputs.masks, "folder of masks", folder=True), job.progress)
    return photos, count, files


def _stills(job: Job, images: list[str], count: int | None) -> list[Path]:
    """The inputs, with the frames of videos in place of these."""
    from mvgen.core.prepare.frames import VIDEO_EXTENSIONS, video_frames

    paths: list[Path] = []
    videos = 0
    for image in map(Path, images):
        if image.suffix.lower() in VIDEO_EXTENSIONS:
            videos += 1
            paths += video_frames(image, count, job.scratch / f"frames{videos}", job.progress)
        else:
            paths.append(image)
    if count is not None and not videos:
        raise UsageError("--frames: there is no video among the inputs", "leave it out")
    return paths


def _scene_folder(job: Job, images: list[str], start_from: str | None) -> Path:
    if len(images) != 1:
        raise UsageError(f"--from {start_from} takes one scene folder, not {len(images)} inputs", "name the folder")
    path = job.read(images[0], "scene folder", folder=True)
    if not path.is_dir():
        raise UsageError(f"{path}: --from {start_from} takes a scene folder", "as --as scene writes it")
    return path


def _write(
    job: Job,
    result: Reconstruction,
    run: Run,
    output: str,
    kind: Kind,
    last: Stage,
    format: str | None,
    kept: Path | None,
) -> None:
    """kept: the scene folder that stays, where there is one."""
    from mvgen.core.io.meshes import save_mesh, save_points
    from mvgen.core.workspace import publish

    mesh, points = result.mesh, result.points
    if kind == "scene":
        if _is_same(output, str(run.workspace.folder)):
            job.written.append(output)
        elif last in ("load", "predict"):
            job.write_folder(output, lambda draft: _publish_pictures(run, draft))
        else:
            job.write_folder(output, lambda draft: publish(run.workspace.folder, draft))
    elif mesh is not None:
        named = _from_scene(mesh, kept, output)
        job.write(output, lambda draft: save_mesh(named, draft), format)
    elif points is not None:
        job.write(output, lambda draft: save_points(points, draft), format)


def _from_scene(shape: Any, scene: Path | None, output: str) -> Any:
    """A mesh or splats whose metadata name their scene folder."""
    from mvgen.core.io.origin import noted

    return replace(shape, metadata=noted(shape.metadata, scene, output))


def _publish_pictures(run: Run, target: Path) -> None:
    """The loaded pictures, and what was predicted of them."""
    from mvgen.core.workspace import publish

    publish(run.workspace.hidden / "upright", target)
    if (run.workspace.folder / "pairs").is_dir():
        publish(run.workspace.folder, target, ("pairs",))


def _write_cameras(job: Job, result: Reconstruction, target: str) -> None:
    from mvgen.core.io.cameras import save_cameras
    from mvgen.core.io.meshes import save_mesh
    from mvgen.core.io.pyramids import pyramid_width, pyramids

    scene = result.scene
    assert scene is not None
    cameras = [view.camera for view in scene.views]
    if target.endswith(".glb"):
        job.write(target, lambda draft: save_mesh(pyramids(cameras, pyramid_width(cameras)), draft))
    elif target.endswith(".json"):
        job.write(target, lambda draft: save_cameras(scene, draft))
    else:
        job.write_folder(target, lambda draft: save_cameras(scene, draft))


def _write_previews(job: Job, result: Reconstruction, run: Run, target: str) -> None:
    from mvgen.core.previews import DepthPreviews
    from mvgen.core.reconstruct import seen_depths

    scene = result.scene
    assert scene is not None

    def fill(draft: Path) -> None:
        previews = DepthPreviews(draft)
        for depth_map, image in seen_depths(run.workspace, scene, run.options.stereo.confirm, job.progress):
            previews(depth_map, image)
        previews.finish(scene, result.points or scene.points)

    job.progress.stage("previews", len(scene.views))
    job.write_folder(target, fill)


def _report(
    result: Reconstruction, run: Run, output: str, kind: Kind, last: Stage, fitted: tuple[Splats, Quality] | None
) -> Report:
    verdicts, progress = result.verdicts, run.progress
    missed = [v for v in verdicts if not v.registered]
    for verdict in missed:
        progress.warn(f"{verdict.name}: {verdict.reason}; {verdict.advice}")
    data: dict[str, Any] = {
        "photos": [asdict(v) for v in verdicts],
        "registered": len(verdicts) - len(missed),
        "reprojection_error_px": result.about.get("reprojection_error_px"),
        "sfm_seconds": result.seconds,
        "result_from_cameras": result.about.get("result_from_cameras"),
        "units": result.about.get("units"),
        "last_stage": last,
        "method": run.options.method,
        "device": run.device,
        "options": asdict(run.options),
    }
    told = []
    if result.points is not None:
        data["points"] = len(result.points)
    if kind == "points":
        told.append(f"{data['points']:,} points")
    if result.mesh is not None and kind == "mesh":
        data |= {"vertices": len(result.mesh.vertices), "faces": len(result.mesh.faces)}
        told.append(f"{len(result.mesh.faces):,} faces")
        if result.mesh.texture is not None:
            data["texture"] = list(result.mesh.texture.shape[1::-1])
            told.append(f"texture {data['texture'][0]} x {data['texture'][1]}")
    if fitted is not None:
        data |= {"splats": len(fitted[0]), "fitted": asdict(fitted[1])}
        told.append(f"{len(fitted[0]):,} splats, {fitted[1].psnr:.1f} dB")
    if kind == "scene":
        told.append(f"a scene, as far as {last}")
    if verdicts:
        told.append(f"from {len(verdicts) - len(missed)} of {len(verdicts)} photos")
    return Report(data=data, lines=(f"{output}: {', '.join(told)}",))

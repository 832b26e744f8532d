"""``mvgen refine``: a mesh sharpened by normals, or splats by photos, everywhere or in regions."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, NamedTuple

import typer

from mvgen.commands.job import Job, Report
from mvgen.commands.options import BLACK, BadValue, Format, Output, Settings, parse_count, streamed
from mvgen.commands.places import Spot, parse_spot, where_of
from mvgen.commands.refine_page import check_page, refine_in_browser
from mvgen.commands.settings import apply_settings
from mvgen.core.errors import CannotError, InputError, UsageError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from mvgen.core.geometry import Mesh
    from mvgen.core.refine.meshes import Result
    from mvgen.core.refine.photos import Picture
    from mvgen.core.refine.refine import RefineOptions
    from mvgen.core.refine.session import Way
    from mvgen.core.refine.views import NormalView
    from mvgen.core.splats.fit.views import Photo
    from mvgen.core.splats.model import Splats

DEVICES = ("cpu", "cuda")
FORMATS = (".glb", ".ply", ".obj", ".stl", ".off")
OF_MESHES = {  # options that splats have no use for
    *("normals", "cameras", "frame", "detail", "sharpen", "estimator", "normal_model", "prompt", "strength"),
    *("falloff", "preview", "interactive", "settings"),
}
STEPS, SPLAT_PIXELS = 500, 640  # of splats: iterations, and the longer side of the photos
PROMPT, ANEW = "a normal map of a finely detailed sculpture", 0.4  # for diffusion models
MILD = 0.5  # how much detail is added where nothing else is asked for
PIXELS = 512  # of the views of a detailed mesh
PHOTO_PIXELS = 2000  # the longer side of photos as they are seen


class Part(NamedTuple):
    """A region, and how strongly it is refined."""

    where: Spot | str
    strength: float


def parse_part(text: Any) -> Part:
    """``FILE``, ``FILE:NAME``, ``sphere:...`` or ``box:...``, and then perhaps ``=0.5``. Raises typer.BadParameter."""
    if isinstance(text, Part):
        return text
    name, sign, last = str(text).rpartition("=")
    if not sign or Path(str(text)).exists():
        return Part(parse_spot(text), 1.0)
    try:
        strength = float(last)
    except ValueError:
        return Part(parse_spot(text), 1.0)
    if not 0 < strength <= 1:
        raise BadValue(f"{text}: a strength is above 0 and at most 1; write it as ear.npz=0.5")
    return Part(parse_spot(name), strength)


@dataclass(frozen=True)
class Sources:
    """What tells what the surface should be, as the command line names it."""

    normals: str | None
    cameras: str | None
    frame: str
    detail: str | None
    images: str | None
    sharpen: float | None
    estimator: str | None
    normal_model: str | None
    prompt: str | None
    strength: float | None


def refine(
    job: Job,
    source: Annotated[
        str, typer.Argument(metavar="INPUT", help="A mesh (GLB, PLY, OBJ, STL, OFF), or splats.", show_default=False)
    ],
    output: Output,
    normals: Annotated[
        str | None, typer.Option(metavar="DIR", help="Normal maps, with the names of the pictures of --cameras.")
    ] = None,
    cameras: Annotated[
        str | None,
        typer.Option(metavar="FILE|DIR", help="Their cameras: a COLMAP model, transforms.json or cameras.json."),
    ] = None,
    frame: Annotated[
        Literal["auto", "opengl", "opencv", "world"],
        typer.Option(help="Axes of the normal maps; auto takes those that agree with the mesh, and says which."),
    ] = "auto",
    detail: Annotated[
        str | None, typer.Option(metavar="MESH", help="A mesh in the same place that has the detail.")
    ] = None,
    images: Annotated[
        str | None,
        typer.Option(
            metavar="SCENE",
            help="Posed photos of it: a scene folder, COLMAP model or transforms.json.",
            show_default="the scene that the file names, where nothing else is given",
        ),
    ] = None,
    sharpen: Annotated[
        float | None,
        typer.Option(
            min=-1.0,
            max=10.0,
            metavar="AMOUNT",
            help="Make its own detail stronger by so much; below 0: weaker.",
            show_default=f"{MILD} where nothing else is given and the file names no photos",
        ),
    ] = None,
    estimator: Annotated[
        str | None,
        typer.Option(
            metavar="NAME|DIR",
            help="A network that tells depth from one picture (Depth Anything, DPT, ZoeDepth): of views of the mesh, "
            "or of --images.",
        ),
    ] = None,
    normal_model: Annotated[
        str | None,
        typer.Option(
            metavar="NAME|DIR", help="A diffusion model with a ControlNet, which draws normal maps of the mesh anew."
        ),
    ] = None,
    prompt: Annotated[
        str | None, typer.Option(metavar="TEXT", help="What it should draw.", show_default=PROMPT)
    ] = None,
    strength: Annotated[
        float | None,
        typer.Option(min=0.03, max=1, metavar="X", help="How much it draws anew.", show_default=str(ANEW)),
    ] = None,
    region: Annotated[
        list[Any] | None,
        typer.Option(
            parser=parse_part,
            metavar="REGION[=STRENGTH]",
            help="Only there: a file of select-region, FILE:NAME, sphere:X,Y,Z,R or box:X,Y,Z,X,Y,Z; all else stays "
            "bit for bit. Given again: there, too.",
            show_default="everywhere",
        ),
    ] = None,
    falloff: Annotated[
        float,
        typer.Option(min=0.0, max=1.0, metavar="SHARE", help="How far in a region it takes, in diagonals of the mesh."),
    ] = 0.03,
    iterations: Annotated[
        Any, typer.Option(parser=parse_count, metavar="N", help="Of splats: steps of the fit.", show_default=str(STEPS))
    ] = None,
    preview: Annotated[str | None, typer.Option(metavar="PNG", help="A picture of the mesh before and after.")] = None,
    interactive: Annotated[
        bool, typer.Option("--interactive", help="Paint regions in a browser, refine, compare, undo, save.")
    ] = False,
    settings: Settings = None,
    format: Format = None,
) -> Report:
    """A mesh sharpened by normals, or splats by photos, everywhere or in regions.

    The surface is turned, face by face, to the normals that --normals, --detail, --estimator or --normal-model show,
    and its triangles become smaller where these differ; or its vertices move to where --images agree about them.
    Without any of these, the photos of the scene that the file names are taken, or its own detail is made stronger.
    Texture and colours are kept. Networks add short waves alone: the form stays the mesh's. Weights are not downloaded
    here (mvgen models). Splats are fitted on to --images.

    Examples:
      mvgen refine scene.glb -o fine.glb
      mvgen refine coarse.glb -o fine.glb --normals normals/ --cameras transforms.json
      mvgen refine low.glb -o fine.glb --detail scan.ply
      mvgen refine statue.glb -o crisp.glb --estimator depth-anything-small
      mvgen refine statue.glb -o face.glb --region face.npz --falloff 0.05 --preview face.png
      mvgen refine statue.glb -o crisp.glb --interactive
      mvgen refine splats.ply -o fine.ply --images scene/ --region sphere:0,1,0,0.3
    """
    from mvgen.core.splats.files import holds_splats

    sources = Sources(normals, cameras, frame, detail, images, sharpen, estimator, normal_model, prompt, strength)
    _check(job, output, format, sources, preview)
    if interactive:
        check_page(output)
    path = job.read(source, "mesh, or file of splats")
    if holds_splats(path):
        return _refine_splats(job, source, path, output, format, images, region or [], iterations)
    if iterations is not None:
        raise UsageError("--iterations is of splats, and this is a mesh", "its rounds are --set iterations=24")
    return _refine_mesh(
        job, source, path, output, format, sources, region or [], falloff, preview, interactive, settings or []
    )


def _check(job: Job, output: str, format: str | None, sources: Sources, preview: str | None) -> None:
    job.check(output, streamed(output, format, "glb"))
    if preview is not None:
        job.check(preview)
        if Path(preview).suffix.lower() != ".png":
            raise UsageError(f"{preview}: a preview is a .png", "name it so")
    names = ("normals", "detail", "estimator", "normal_model", "images", "sharpen")
    given = [f"--{name.replace('_', '-')}" for name in names if getattr(sources, name) is not None]
    if len(given) > 1 and given != ["--estimator", "--images"]:
        raise UsageError(f"{given[0]} and {given[1]} both tell what the surface should be", "give one of them")
    if (sources.normals is None) != (sources.cameras is None):
        raise UsageError("--normals and --cameras belong together", "give both, or neither")
    if sources.frame != "auto" and sources.normals is None:
        raise UsageError(f"--frame {sources.frame} is of --normals", "leave it out")
    if sources.normal_model is None and (sources.prompt is not None or sources.strength is not None):
        raise UsageError("--prompt and --strength are of --normal-model", "give one, or leave them out")


# ---------------------------------------------------------------- meshes


def _refine_mesh(
    job: Job,
    source: str,
    path: Path,
    output: str,
    format: str | None,
    sources: Sources,
    parts: list[Part],
    falloff: float,
    preview: str | None,
    interactive: bool,
    settings: list[str],
) -> Report:
    from mvgen.core.io.meshes import load_mesh, save_mesh
    from mvgen.core.io.origin import carried
    from mvgen.core.refine import meshes
    from mvgen.core.refine.refine import RefineOptions

    format = streamed(output, format, "glb")
    suffix = f".{format.lstrip('.').lower()}" if format else Path(output).suffix.lower()
    if suffix not in FORMATS:
        raise UsageError(
            f"{output}: a mesh cannot be written as {suffix or 'this'}", f"use one of {', '.join(FORMATS)}"
        )
    options = apply_settings(RefineOptions(), settings)
    job.progress.stage("read")
    mesh = load_mesh(path, job.progress.warn)
    strength = _strength(job, mesh, parts, 0.0 if interactive else falloff)
    ways = _ways(job, mesh, sources, options)

    def write(result: Mesh) -> None:
        named = replace(result, metadata=carried(mesh.metadata, source, output))
        job.progress.stage("write")
        job.write(output, lambda draft: save_mesh(named, draft), format)
        if preview is not None:
            _preview(job, preview, mesh, named)

    if interactive:
        from mvgen.core.refine.session import Refinement
        from mvgen.core.viewer.refining import Choices

        begun = Refinement(mesh, (strength > 0) & bool(parts), falloff)
        amount = MILD if sources.sharpen is None else sources.sharpen
        choices = Choices(ways, amount, max((part.strength for part in parts), default=1.0))
        how, done = refine_in_browser(job, source, begun, choices, output, write)
        return _report(output, how, mesh, done, options if done.after is not None else None)
    if ways:
        ((how, way),) = ways.items()
        done = way(mesh, strength=strength, progress=job.progress)
    elif sources.sharpen is not None:
        done, how = meshes.sharpen(mesh, sources.sharpen, strength, job.progress), f"sharpen {sources.sharpen:g}"
    else:
        done, how = _by_itself(job, source, mesh, strength)
    write(done.mesh)
    return _report(output, how, mesh, done, options if done.after is not None else None)


def _ways(job: Job, mesh: Mesh, sources: Sources, options: RefineOptions) -> dict[str, Way]:
    """The one that the sources tell, by its name; none where they tell of no other surface."""
    from mvgen.core.refine import meshes

    views = _views(job, mesh, sources)
    if views:
        names = {"normals": "normal maps", "detail": "detail", "estimator": "depth maps", "normal_model": "diffusion"}
        how = next(name for option, name in names.items() if getattr(sources, option) is not None)
        return {how: partial(meshes.refine_by_views, views=views, options=options)}
    if sources.images is not None:
        return {"photos": partial(meshes.refine_by_photos, pictures=_pictures(job, sources.images))}
    return {}


def _by_itself(job: Job, source: str, mesh: Mesh, strength: NDArray[np.float64]) -> tuple[Result, str]:
    """By the photos of the scene that the mesh names, where they can be used, else its own detail stronger; and how."""
    from mvgen.core.io.origin import scene_of
    from mvgen.core.refine import meshes

    why = "no source is given, and the file names no photos"
    try:
        scene = scene_of(mesh.metadata, source)
        if scene is not None:
            pictures = _pictures(job, str(scene))
            _check_names(scene, pictures, mesh.metadata.get("photos"))
            job.progress.say(f"the file names the photos of {scene}: vertices move to where these agree")
            return meshes.refine_by_photos(mesh, pictures, strength, job.progress), f"photos of {scene}"
    except (InputError, CannotError) as error:
        job.progress.warn(error.message)
        why = "the photos that the file names cannot be used"
    job.progress.say(f"{why}: its own detail becomes stronger (--sharpen {MILD})")
    return meshes.sharpen(mesh, MILD, strength, job.progress), f"sharpen {MILD}"


def _check_names(scene: Path, pictures: list[Picture], told: Any) -> None:
    """Raise InputError for a scene with none of the photos that a file says it was made of."""
    if isinstance(told, list) and not {str(name) for name in told} & {p.camera.name for p in pictures}:
        raise InputError(f"{scene}: holds none of the photos that the file was made of")


def _strength(job: Job, mesh: Mesh, parts: list[Part], falloff: float) -> NDArray[np.float64]:
    """[V]: how strongly each vertex is refined; where regions overlap, as the stronger one says."""
    import numpy as np

    from mvgen.core.edit.replay import mesh_mask
    from mvgen.core.refine.region import strengths

    out = np.zeros(len(mesh.vertices)) if parts else np.ones(len(mesh.vertices))
    for part in parts:
        mask = mesh_mask(where_of(job, part.where), mesh, job.progress.warn)
        out = np.maximum(out, strengths(mesh.vertices, mask, falloff * mesh.diagonal, part.strength))
    return out


def _views(job: Job, mesh: Mesh, sources: Sources) -> list[NormalView]:
    """What views should show; none where the sources are no normals."""
    from mvgen.core.io.cameras import read_cameras
    from mvgen.core.io.meshes import load_mesh
    from mvgen.core.refine.maps import read_normal_views
    from mvgen.core.refine.views import cameras_around, views_of

    if sources.normals is not None and sources.cameras is not None:
        told = read_cameras(job.read(sources.cameras, "camera file", folder=True))
        return read_normal_views(Path(sources.normals), told, mesh, sources.frame, job.progress)
    if sources.detail is not None:
        fine = load_mesh(job.read(sources.detail, "mesh"), job.progress.warn)
        return views_of(fine, cameras_around(fine, PIXELS))
    if sources.estimator is not None:
        return _estimated(job, mesh, sources.estimator, sources.images)
    if sources.normal_model is not None:
        return _drawn(job, mesh, sources)
    return []


def _estimated(job: Job, mesh: Mesh, estimator: str, images: str | None) -> list[NormalView]:
    """By depth maps of pictures of the mesh, or of photos of it."""
    from mvgen.core.models import find_weights
    from mvgen.core.refine.estimator import depth_maps
    from mvgen.core.refine.relative import views_by_depths
    from mvgen.core.refine.views import cameras_around
    from mvgen.core.render.pictures import over, picture
    from mvgen.core.render.raycast import Caster

    folder = find_weights(estimator)
    if images is None:
        cameras, caster = cameras_around(mesh, PIXELS), Caster(mesh)
        pictures = [over(picture(caster.render(camera), "color", (0, 1)), (1, 1, 1)) for camera in cameras]
    else:
        photos = _photos(job, images)
        cameras, pictures = [p.camera for p in photos], [p.picture for p in photos]
    maps = depth_maps(pictures, folder, job.device, job.progress)
    sized = [camera.resized(one.shape[1], one.shape[0]) for camera, one in zip(cameras, maps)]
    views = views_by_depths(mesh, sized, maps)
    if not views:
        raise CannotError(
            "no depth map agrees with the mesh", "give photos with --images, or another network with --estimator"
        )
    job.progress.say(f"{len(views)} of {len(maps)} depth maps agree with the mesh")
    return views


def _drawn(job: Job, mesh: Mesh, sources: Sources) -> list[NormalView]:
    """By normal maps of the mesh that a diffusion model draws anew."""
    from mvgen.core.refine.diffusion import Sharpener, Wish
    from mvgen.core.refine.relative import own_normals, views_by_normals
    from mvgen.core.refine.views import cameras_around

    job.progress.stage("load")
    sharpener = Sharpener(str(sources.normal_model), job.device)
    cameras = cameras_around(mesh, sharpener.side)[:6]  # along the axes
    own = own_normals(mesh, cameras)
    wish = Wish(sources.prompt or PROMPT, sources.strength or ANEW, job.seed)
    return views_by_normals(cameras, own, sharpener(own, wish, job.progress))


def _pictures(job: Job, scene: str) -> list[Picture]:
    """The photos of a scene in grey."""
    import cv2
    import numpy as np

    from mvgen.core.refine.photos import Picture

    photos = _photos(job, scene)
    grey = [np.asarray(cv2.cvtColor(p.picture, cv2.COLOR_RGB2GRAY), np.float32) for p in photos]
    return [Picture(p.camera, picture, p.mask) for p, picture in zip(photos, grey)]


def _photos(job: Job, scene: str) -> list[Photo]:
    from mvgen.core.splats.fit.views import load_photos, read_posed

    path = job.read(scene, "scene folder or camera file", folder=True)
    folder = job.scratch / "undistorted"
    folder.mkdir()
    return load_photos(read_posed(path, None, folder, job.progress.warn), PHOTO_PIXELS)


def _preview(job: Job, path: str, before: Mesh, after: Mesh) -> None:
    """Two views of clay, before and after."""
    from mvgen.core.io.images import write_image
    from mvgen.core.render.orbit import orbit_cameras, robust_points, up_of
    from mvgen.core.render.pictures import over, picture, sheet
    from mvgen.core.render.raycast import Caster

    cameras = orbit_cameras(robust_points(before), 2, (640, 640), up_of(before.metadata))
    casters = [Caster(replace(m, normals=None, colours=None, uv=None, texture=None)) for m in (before, after)]
    tiles = [over(picture(c.render(camera), "color", (0, 1)), (1, 1, 1)) for camera in cameras for c in casters]
    job.write(path, lambda draft: write_image(sheet(tiles), draft))


def _report(output: str, how: str, before: Mesh, done: Any, options: RefineOptions | None) -> Report:
    from dataclasses import asdict

    from mvgen.core.surface.topology import topology

    shape = topology(done.mesh)
    data: dict[str, Any] = {"how": how, "vertices": len(done.mesh.vertices), "faces": len(done.mesh.faces)}
    data |= {"watertight": shape.watertight, "genus": shape.genus, "open_edges": shape.open_edges}
    data |= {"before": {"vertices": len(before.vertices), "faces": len(before.faces)}}
    line = f"{output}: {len(done.mesh.faces):,} faces, {how}"
    if options is not None:
        data |= {"normal_error_before": done.before, "normal_error": done.after, "options": asdict(options)}
        line += f", normals off by {done.after:.1f} degrees (before: {done.before:.1f})"
    if done.known is not None:
        data["known"] = done.known
        line += f" that agree about {100 * done.known:.0f} % of the vertices"
    return Report(data, (line,))


# ---------------------------------------------------------------- splats


def _refine_splats(
    job: Job,
    source: str,
    path: Path,
    output: str,
    format: str | None,
    images: str | None,
    parts: list[Part],
    iterations: int | None,
) -> Report:
    """Those of the regions fitted on to posed photos; the others stay bit for bit."""
    from mvgen.core.io.origin import carried, scene_of
    from mvgen.core.splats.files import load_splats, save_splats

    format = streamed(output, format, "ply")
    kind, steps = _splats_kind(job, output, format), _splats_steps(iterations)
    job.progress.stage("read")
    before = load_splats(path, job.progress.warn, None)
    rows = _rows(job, before, parts)
    scene = images or scene_of(before.metadata, source)
    if scene is None:
        raise UsageError("splats are refined by posed photos, and the file names none", "give --images SCENE")
    if images is None:
        job.progress.say(f"the file names the photos of {scene}: splats are fitted to these")
    told = job.read(scene, "scene folder or camera file", folder=True)

    from mvgen.core.edit.fits import Fitting, refitted
    from mvgen.core.edit.operations import begun
    from mvgen.core.render.splats import usable_device
    from mvgen.core.splats.fit.fit import quality
    from mvgen.core.splats.fit.views import posed_photos
    from mvgen.core.splats.seen import in_scene

    photos = posed_photos(told, SPLAT_PIXELS, job.scratch, job.progress)[0]
    device = usable_device(job.device, job.progress)
    done = refitted(begun(before), rows, Fitting(photos, steps, job.seed, device, job.progress)).splats
    done = replace(done, metadata=carried(before.metadata, source, output))
    job.progress.stage("compare")
    first, last = (quality(in_scene(splats), photos, BLACK, device) for splats in (before, done))
    job.progress.stage("write")
    job.write(output, lambda draft: save_splats(done, draft, kind), format)
    data = {"how": f"photos of {scene}", "splats": len(done), "fitted": int(rows.sum()), "iterations": steps}
    line = f"{output}: {len(done):,} splats, {int(rows.sum()):,} fitted, {last.psnr:.1f} dB on {last.photos} photos"
    return Report(data | {"psnr_before": first.psnr, "psnr": last.psnr}, (f"{line} (before: {first.psnr:.1f})",))


def _splats_kind(job: Job, output: str, format: str | None) -> str:
    """The format to write. Raises UsageError for others, and for options of meshes."""
    from mvgen.core.splats.files import WRITE_FORMATS, written_format

    other = next((name for name in job.order if name in OF_MESHES), None)
    if other is not None:
        named = "set" if other == "settings" else other.replace("_", "-")
        raise UsageError(f"--{named} is of meshes, and this holds splats", "leave it out")
    kind = written_format(f".{format.lstrip('.')}" if format else output)
    if kind is None:
        raise UsageError(f"{output}: splats cannot be written as this", "use one of " + ", ".join(WRITE_FORMATS))
    return kind


def _splats_steps(iterations: int | None) -> int:
    if iterations is not None and iterations < 1:
        raise UsageError(f"--iterations {iterations}: is not at least 1", "leave it out")
    return STEPS if iterations is None else iterations


def _rows(job: Job, splats: Splats, parts: list[Part]) -> NDArray[np.bool_]:
    """[N]: splats of any of the regions, or all where there are none."""
    import numpy as np

    from mvgen.core.edit.replay import splats_mask

    if any(part.strength != 1 for part in parts):
        raise UsageError("--region ...=STRENGTH is of meshes, and this holds splats", "leave the strength out")
    masks = [splats_mask(where_of(job, part.where), splats, job.progress.warn) for part in parts]
    return np.logical_or.reduce(masks) if masks else np.ones(len(splats), bool)

"""``mvgen refine``: a mesh sharpened by normals, everywhere or in regions."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, NamedTuple

import typer

from mvgen.commands.job import Job, Report
from mvgen.commands.options import BadValue, Format, Output, Settings, streamed
from mvgen.commands.places import Spot, parse_spot, where_of
from mvgen.commands.settings import apply_settings
from mvgen.core.errors import UsageError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from mvgen.core.geometry import Mesh
    from mvgen.core.refine.photos import Picture
    from mvgen.core.refine.refine import RefineOptions
    from mvgen.core.refine.views import NormalView

FORMATS = (".glb", ".ply", ".obj", ".stl", ".off")
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


def refine(
    job: Job,
    source: Annotated[str, typer.Argument(metavar="MESH", help="What to refine: GLB, PLY, OBJ, STL, OFF.")],
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
        typer.Option(metavar="SCENE", help="Posed photos of it: a scene folder, COLMAP model or transforms.json."),
    ] = None,
    sharpen: Annotated[
        float | None,
        typer.Option(
            min=-1.0,
            max=10.0,
            metavar="AMOUNT",
            help="Make its own detail stronger by so much; below 0: weaker.",
            show_default=f"{MILD} where nothing else is given",
        ),
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
    preview: Annotated[str | None, typer.Option(metavar="PNG", help="A picture of the mesh before and after.")] = None,
    settings: Settings = None,
    format: Format = None,
) -> Report:
    """A mesh sharpened by normals, everywhere or in regions.

    The surface is turned, face by face, to the normals that --normals or --detail show, and its triangles become
    smaller where these differ; or its vertices move to where --images agree about them. Without any of these its own
    detail is made stronger. Texture and colours are kept.

    Examples:
      mvgen refine coarse.glb -o fine.glb --normals normals/ --cameras transforms.json
      mvgen refine low.glb -o fine.glb --detail scan.ply
      mvgen refine statue.glb -o crisp.glb --sharpen 1
      mvgen refine statue.glb -o face.glb --region face.npz --falloff 0.05 --preview face.png
    """
    from mvgen.core.io.meshes import load_mesh, save_mesh
    from mvgen.core.refine import meshes
    from mvgen.core.refine.refine import RefineOptions

    format = streamed(output, format, "glb")
    _check(job, output, format, normals, cameras, frame, detail, images, sharpen, preview)
    options = apply_settings(RefineOptions(), settings or [])
    job.progress.stage("read")
    mesh = load_mesh(job.read(source, "mesh"), job.progress.warn)
    strength = _strength(job, mesh, region or [], falloff)
    views = _views(job, mesh, normals, cameras, frame, detail)
    if views:
        done = meshes.refine_by_views(mesh, views, strength, options, job.progress)
        how = "normal maps" if normals is not None else "detail"
    elif images is not None:
        done = meshes.refine_by_photos(mesh, _pictures(job, images), strength, job.progress)
        how = "photos"
    else:
        amount = MILD if sharpen is None else sharpen
        if sharpen is None:
            job.progress.say(f"no --normals, --detail or --images: its own detail becomes stronger (--sharpen {MILD})")
        done = meshes.sharpen(mesh, amount, strength, job.progress)
        how = f"sharpen {amount:g}"
    job.progress.stage("write")
    job.write(output, lambda draft: save_mesh(done.mesh, draft), format)
    if preview is not None:
        _preview(job, preview, mesh, done.mesh)
    return _report(output, how, mesh, done, options if views else None)


def _check(
    job: Job,
    output: str,
    format: str | None,
    normals: str | None,
    cameras: str | None,
    frame: str,
    detail: str | None,
    images: str | None,
    sharpen: float | None,
    preview: str | None,
) -> None:
    job.check(output, format)
    suffix = f".{format.lstrip('.').lower()}" if format else Path(output).suffix.lower()
    if suffix not in FORMATS:
        raise UsageError(
            f"{output}: a mesh cannot be written as {suffix or 'this'}", f"use one of {', '.join(FORMATS)}"
        )
    if preview is not None:
        job.check(preview)
        if Path(preview).suffix.lower() != ".png":
            raise UsageError(f"{preview}: a preview is a .png", "name it so")
    sources = {"--normals": normals, "--detail": detail, "--images": images, "--sharpen": sharpen}
    given = [name for name, value in sources.items() if value is not None]
    if len(given) > 1:
        raise UsageError(f"{given[0]} and {given[1]} both tell what the surface should be", "give one of them")
    if (normals is None) != (cameras is None):
        raise UsageError("--normals and --cameras belong together", "give both, or neither")
    if frame != "auto" and normals is None:
        raise UsageError(f"--frame {frame} is of --normals", "leave it out")


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


def _views(
    job: Job, mesh: Mesh, normals: str | None, cameras: str | None, frame: str, detail: str | None
) -> list[NormalView]:
    from mvgen.core.io.cameras import read_cameras
    from mvgen.core.io.meshes import load_mesh
    from mvgen.core.refine.maps import read_normal_views
    from mvgen.core.refine.views import cameras_around, views_of

    if normals is not None and cameras is not None:
        told = read_cameras(job.read(cameras, "camera file", folder=True))
        return read_normal_views(Path(normals), told, mesh, frame, job.progress)
    if detail is not None:
        fine = load_mesh(job.read(detail, "mesh"), job.progress.warn)
        return views_of(fine, cameras_around(fine, PIXELS))
    return []


def _pictures(job: Job, scene: str) -> list[Picture]:
    """The photos of a scene in grey."""
    import cv2
    import numpy as np

    from mvgen.core.refine.photos import Picture
    from mvgen.core.splats.fit.views import load_photos, read_posed

    path = job.read(scene, "scene folder or camera file", folder=True)
    photos = load_photos(read_posed(path, None, job.scratch, job.progress.warn), PHOTO_PIXELS)
    grey = [np.asarray(cv2.cvtColor(p.picture, cv2.COLOR_RGB2GRAY), np.float32) for p in photos]
    return [Picture(p.camera, picture, p.mask) for p, picture in zip(photos, grey)]


def _preview(job: Job, path: str, before: Mesh, after: Mesh) -> None:
    """Two views of clay, before and after."""
    from dataclasses import replace

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

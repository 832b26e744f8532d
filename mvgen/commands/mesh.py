"""``mvgen mesh``: a surface from points, depth maps or grids; or a mesh cleaned and changed."""

from __future__ import annotations

import re
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, NamedTuple

import typer

from mvgen.commands.job import Job, Report
from mvgen.commands.options import BadValue, Format, Output, Settings, parse_count, streamed
from mvgen.commands.settings import apply_settings
from mvgen.core.errors import UsageError

if TYPE_CHECKING:
    from mvgen.core.meshing import Cleaned, Cleaning, Source

FORMATS = (".glb", ".ply", ".obj", ".stl", ".off")
FOLDERS_AND_FILES = "mesh, point, depth or grid file"


class Share(NamedTuple):
    """A length in diagonals of the bounding box."""

    value: float
    text: str

    def __str__(self) -> str:
        return self.text


class Parts(NamedTuple):
    """The largest ``number`` of parts, or those with a ``share`` of the largest one's area."""

    number: int | None
    share: float

    def __str__(self) -> str:
        return f"{self.share:g}" if self.number is None else str(self.number)


def parse_share(text: str | Share) -> Share:
    """``0.01`` or ``1%``: above 0 and at most 100 %. Raises typer.BadParameter."""
    match = re.fullmatch(r"(\d*\.?\d+(?:e-?\d+)?)(%?)", str(text).strip().lower())
    value = float(match[1]) / (100 if match[2] else 1) if match else 0.0
    if not 0 < value <= 1:
        raise BadValue(f"{text} is not a share of the diagonal; write it as 0.01 or 1%")
    return Share(value, str(text))


def parse_hole(text: str | Share) -> Share:
    """As `parse_share`, without the upper end; or ``all``. Raises typer.BadParameter."""
    if str(text).strip().lower() == "all":
        return Share(float("inf"), "all")
    match = re.fullmatch(r"(\d*\.?\d+(?:e-?\d+)?)(%?)", str(text).strip().lower())
    value = float(match[1]) / (100 if match[2] else 1) if match else 0.0
    if not value > 0:
        raise BadValue(f"{text} is not a length in diagonals; write it as 0.05, 5% or all")
    return Share(value, str(text))


def parse_parts(text: str | Parts) -> Parts:
    """``largest``, a whole number, or a share (``0.01``, ``1%``). Raises typer.BadParameter."""
    plain = str(text).strip().lower()
    if plain == "largest":
        return Parts(1, 0.0)
    if re.fullmatch(r"[1-9]\d{0,8}", plain):
        return Parts(int(plain), 0.0)
    try:
        return Parts(None, parse_share(plain).value)
    except BadValue:
        raise BadValue(f"{text} names no components; write largest, a number of them, or a share as 0.01") from None


def mesh(
    job: Job,
    inputs: Annotated[
        list[str],
        typer.Argument(
            metavar="INPUT...",
            help="Points, splats or a mesh (PLY, GLB, OBJ, ...), folders or files of depth maps, a grid (.npz, .npy).",
        ),
    ],
    output: Output,
    method: Annotated[
        Literal["auto", "poisson", "tsdf", "ball", "marching-cubes", "flexicubes"],
        typer.Option(help="How the surface is made; auto follows the kind of input, and says what it took."),
    ] = "auto",
    cameras: Annotated[
        str | None,
        typer.Option(metavar="FILE|DIR", help="Cameras of other tools' depth maps, or that saw the points or splats."),
    ] = None,
    depth_scale: Annotated[
        float | None,
        typer.Option(min=1e-12, metavar="X", help="Unit of depths: 0.001 for millimetres.", show_default="1"),
    ] = None,
    kind: Annotated[
        Literal["sdf", "occupancy"] | None,
        typer.Option(help="What a grid holds.", show_default="as the file says; sdf with values below 0"),
    ] = None,
    level: Annotated[
        float | None, typer.Option(metavar="X", help="Where a grid's surface is.", show_default="0; occupancy 0.5")
    ] = None,
    transform: Annotated[
        str | None,
        typer.Option(metavar="FILE|STEPS", help="First, move: a 4x4 matrix, or 'scale=2 rotate=x:90 translate=0,0,1'."),
    ] = None,
    repair: Annotated[
        bool, typer.Option("--repair", help="Weld, drop degenerate and double faces, part non-manifold ones, turn.")
    ] = False,
    components: Annotated[
        Parts | None,
        typer.Option(parser=parse_parts, metavar="N|largest|SHARE", help="Keep the largest parts, by area."),
    ] = None,
    holes: Annotated[
        Share | None,
        typer.Option("--fill-holes", parser=parse_hole, metavar="SIZE|all", help="Close holes; border in diagonals."),
    ] = None,
    smooth: Annotated[
        int, typer.Option(min=0, max=1000, metavar="N", help="Rounds of Taubin smoothing; 10 is much.")
    ] = 0,
    remesh: Annotated[
        Share | None,
        typer.Option(parser=parse_share, metavar="LENGTH", help="Even triangles with edges this long, in diagonals."),
    ] = None,
    faces: Annotated[
        Any, typer.Option(parser=parse_count, metavar="N", help="Most faces.", show_default="as many as there are")
    ] = None,
    texture_size: Annotated[
        int | None,
        typer.Option(
            min=16, max=8192, metavar="PIXELS", help="Side of a new texture.", show_default="follows the old one"
        ),
    ] = None,
    settings: Settings = None,
    format: Format = None,
) -> Report:
    """A surface from points, depth maps, splats or grids; or a mesh cleaned and changed.

    Lengths are shares of the bounding box's diagonal. The clean-up options work in the order in which they stand here,
    whatever the order on the command line. Textures and colours are carried over to the new faces.

    Examples:
      mvgen mesh points.ply -o surface.glb
      mvgen mesh scene/ -o surface.glb --faces 50k
      mvgen mesh broken.stl -o sound.glb --repair --fill-holes all
      mvgen mesh big.glb -o small.glb --faces 5k
    """
    from mvgen.core.io.cameras import read_cameras
    from mvgen.core.io.meshes import save_mesh
    from mvgen.core.meshing import MeshOptions, choose_method, clean, measured, read_source, surface_of

    format = streamed(output, format, "glb")
    _check_output(job, output, format)
    cleaning = _cleaning(transform, repair, components, holes, smooth, remesh, faces)
    options = apply_settings(MeshOptions(), settings or [])
    job.progress.stage("read")
    views = read_cameras(job.read(cameras, "camera file", folder=True)) if cameras is not None else []
    paths = [job.read(i, FOLDERS_AND_FILES, folder=True) for i in inputs]
    source = read_source(paths, views, job.progress, depth_scale, kind, level)
    chosen, why = choose_method(source.kind, method)
    job.progress.note(f"{source.kind}: {chosen} ({why})")
    raw = surface_of(source, chosen, options, job.progress)
    before = measured(raw)
    done = clean(raw, cleaning, texture_size, job.progress)
    job.write(output, lambda draft: save_mesh(done.mesh, draft), format)
    return _report(output, source, chosen, why, before, done, asdict(options))


def _check_output(job: Job, output: str, format: str | None) -> None:
    job.check(output, format)
    suffix = f".{format.lstrip('.').lower()}" if format else Path(output).suffix.lower()
    if suffix not in FORMATS:
        raise UsageError(
            f"{output}: a mesh cannot be written as {suffix or 'this'}", f"use one of {', '.join(FORMATS)}"
        )


def _cleaning(
    transform: str | None,
    repair: bool,
    components: Parts | None,
    holes: Share | None,
    smooth: int,
    remesh: Share | None,
    faces: int | None,
) -> Cleaning:
    from mvgen.core.io.transforms import read_transform
    from mvgen.core.meshing import Cleaning

    if faces is not None and faces < 4:
        raise UsageError(f"--faces {faces}: a mesh has at least 4", "leave --faces out")
    return Cleaning(
        transform=None if transform is None else read_transform(transform),
        repair=repair,
        parts=None if components is None else components.number,
        part_share=0.0 if components is None else components.share,
        holes=0.0 if holes is None else holes.value,
        smooth=smooth,
        remesh=0.0 if remesh is None else remesh.value,
        faces=faces,
    )


def _report(
    output: str, source: Source, method: str, why: str, before: dict[str, Any], done: Cleaned, options: dict[str, Any]
) -> Report:
    from mvgen.core.meshing import measured

    after = measured(done.mesh, done.welded and done.mesh.texture is None)
    data = {"kind": source.kind, "method": method, "why": why, **after}
    data |= {"before": before, "steps": done.steps, "options": options}
    if done.mesh.texture is not None:
        data["texture"] = list(done.mesh.texture.shape[1::-1])
    closed = "watertight" if after["watertight"] else f"{after['open_edges']:,} open edges"
    genus = "" if after["genus"] is None else f", genus {after['genus']}"
    parts = after["components"]
    how = "" if method == "none" else f"; {method}"
    line = f"{output}: {after['faces']:,} faces, {closed}{genus}, {parts:,} part{'s' * (parts != 1)}{how}"
    return Report(data=data, lines=(line,))

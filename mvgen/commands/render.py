"""``mvgen render``: pictures or a film of a mesh or points."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from mvgen.commands.job import Job, Report
from mvgen.commands.options import WHITE, Colour, Crop, Format, Output, Size, parse_colour, parse_size
from mvgen.core.errors import UsageError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from mvgen.core.camera import Camera
    from mvgen.core.render.frames import Look
    from mvgen.core.render.orbit import Shape
    from mvgen.core.render.splats import Painter
    from mvgen.core.splats.model import Splats

DEVICES = ("cpu", "cuda")  # for splats
PICTURES = (".png", ".jpg", ".jpeg", ".webp")
FILMS = (".mp4", ".gif")
VIEW = 480  # pixels of a side of --views
ORBITS = {"picture": 1, "numbers": 1, "folder": 36, ".gif": 36, ".mp4": 72}  # views, where nothing else is asked for


def render(
    job: Job,
    shape: Annotated[
        str,
        typer.Argument(
            metavar="MESH|POINTS|SPLATS",
            help="GLB, glTF, PLY, OBJ, STL or OFF; splats as .spz, .splat, ...; - is standard input.",
        ),
    ],
    output: Output,
    cameras: Annotated[
        str | None,
        typer.Option(metavar="FILE|DIR", help="Views to render: a COLMAP model, transforms.json or cameras.json."),
    ] = None,
    orbit: Annotated[
        int | None,
        typer.Option(min=1, max=10000, metavar="N", help="Views on a circle.", show_default="1; 36 frames; 72 in .mp4"),
    ] = None,
    views: Annotated[
        str | None,
        typer.Option(metavar="JSON", help="Views of view --record or edit --views: the middle of each orbit."),
    ] = None,
    size: Annotated[
        Size | None,
        typer.Option(
            parser=parse_size,
            metavar="WxH",
            help="Pixels of a view.",
            show_default="960x720; 480x360 in a sheet; the cameras' own; 480x480 of --views",
        ),
    ] = None,
    what: Annotated[
        Literal["color", "depth", "normal", "alpha", "id"],
        typer.Option(help="What to show; depth has near points bright."),
    ] = "color",
    background: Annotated[
        Colour | None,
        typer.Option(
            parser=parse_colour,
            metavar="COLOUR",
            help="black, white or #rrggbb.",
            show_default="transparent; white in .jpg and films",
        ),
    ] = None,
    elevation: Annotated[
        float, typer.Option(min=-90, max=90, metavar="DEGREES", help="How far above the horizon an orbit looks from.")
    ] = 20.0,
    azimuth: Annotated[
        float, typer.Option(metavar="DEGREES", help="Where an orbit begins: 0 is in front, 90 to the right.")
    ] = 30.0,
    crop: Crop = None,
    antialiased: Annotated[
        bool | None,
        typer.Option(help="Whether splats were made for an antialiased renderer.", show_default="what the file says"),
    ] = None,
    renderer: Annotated[
        Literal["mvgen", "gsplat"], typer.Option(help="What draws splats: mvgen, or gsplat where it is installed.")
    ] = "mvgen",
    format: Format = None,
) -> Report:
    """Pictures or a film of a mesh, points or splats.

    The output tells the kind: a picture (.png, .jpg, .webp; several views make a contact sheet), a folder of frames,
    a film (.mp4, .gif), or .npz with one view's numbers (depth, normals, face numbers, camera). Textures and colours
    are shown unlit; a mesh without them looks like clay. Frames of --cameras carry the names of the cameras' pictures.

    Examples:
      mvgen render scene.glb -o scene.png
      mvgen render scene.glb -o turn.mp4 --background white
      mvgen render scene.glb -o frames/ --cameras scene/ --what depth
    """
    from mvgen.core.box import Box, cropped
    from mvgen.core.io.cameras import read_cameras
    from mvgen.core.io.meshes import load_any
    from mvgen.core.render.frames import Look, fit_camera
    from mvgen.core.render.orbit import orbit_cameras, robust_points, up_of
    from mvgen.core.splats import seen
    from mvgen.core.splats.files import holds_splats, load_splats
    from mvgen.core.splats.model import Splats

    kind = _kind(output, format)
    named = [option for option, given in (("--cameras", cameras), ("--orbit", orbit), ("--views", views)) if given]
    if len(named) > 1:
        raise UsageError(f"{' and '.join(named[:2])} both name the views", "give one of them")
    job.check(output, _format(output, format), folder=kind == "folder")
    path = job.read(shape, "mesh, point or splat file", folder=True)
    loaded: Shape
    if holds_splats(path):
        loaded = load_splats(path, job.progress.warn, None)
        loaded = loaded if cameras is None else seen.in_scene(loaded)
        up = seen.up_of(loaded)
    else:
        loaded = load_any(job.read(path, "mesh, point or splat file"), job.progress.warn)
        up = up_of(loaded.metadata)
    if crop is not None:
        loaded = cropped(loaded, Box(*crop), str(path))
    shown: list[Camera]
    if views is not None:
        shown = _middles(job, views, up, size)
    elif cameras is None:
        count = orbit or ORBITS[kind]
        size = size or (Size(480, 360) if kind == "picture" and count > 1 else Size(960, 720))
        shown = seen.orbit(loaded, count, size, elevation, azimuth) if isinstance(loaded, Splats) and not crop else []
        shown = shown or orbit_cameras(robust_points(loaded), count, size, up, elevation, azimuth)
    else:
        found = read_cameras(job.read(cameras, "camera file", folder=True))
        shown = found if size is None else [fit_camera(c, size) for c in found]
    opaque = kind in FILMS or _suffix(output, format) in (".jpg", ".jpeg")
    look = Look(what, WHITE if background is None and opaque else background)
    drawer = _painter(job, loaded, antialiased, renderer) if isinstance(loaded, Splats) else None
    _write(job, kind, output, format, loaded, shown, look, drawer)
    width, height = shown[0].width, shown[0].height
    return Report(
        data={"what": what, "views": len(shown), "size": [width, height]},
        lines=(f"{output}: {len(shown)} view{'s' * (len(shown) > 1)} of {width} x {height}",),
    )


def _middles(job: Job, views: str, up: NDArray[np.float64], size: Size | None) -> list[Camera]:
    """The camera in the middle of each orbit of a list of views."""
    from dataclasses import replace

    from mvgen.core.guidance.orbits import load_views, middle

    side = VIEW if size is None else min(size)
    orbits = load_views(job.read(views, "list of views"))
    return [replace(middle(orbit, up, side), name=f"view_{i:03d}.png") for i, orbit in enumerate(orbits)]


def _painter(job: Job, splats: Splats, antialiased: bool | None, renderer: Literal["mvgen", "gsplat"]) -> Painter:
    from dataclasses import replace

    from mvgen.core.render.splats import painter

    if antialiased is not None:
        splats = replace(splats, metadata={**splats.metadata, "antialiased": antialiased})
    return painter(splats, job.device, renderer, job.progress)


def _suffix(output: str, format: str | None) -> str:
    return f".{format.lstrip('.').lower()}" if format else Path(output).suffix.lower()


def _format(output: str, format: str | None) -> str | None:
    return format or ("png" if output == "-" else None)


def _kind(output: str, format: str | None) -> str:
    """picture, numbers, folder, or the extension of a film."""
    suffix = _suffix(output, _format(output, format))
    if output != "-" and (output.endswith("/") or Path(output).is_dir() or (not suffix and not Path(output).exists())):
        if format is not None:
            raise UsageError("frames in a folder are PNG files", "leave --format out")
        return "folder"
    if suffix in PICTURES:
        return "picture"
    if suffix == ".npz":
        return "numbers"
    if suffix in FILMS:
        return suffix
    raise UsageError(
        f"{output}: cannot write views as {suffix or 'this'}", "use .png, .jpg, .webp, .mp4, .gif, .npz or a folder/"
    )


def _write(
    job: Job,
    kind: str,
    output: str,
    format: str | None,
    shape: Shape,
    cameras: list[Camera],
    look: Look,
    drawer: Painter | None,
) -> None:
    from mvgen.core.io.images import encode_image
    from mvgen.core.io.video import write_video
    from mvgen.core.render import frames as f
    from mvgen.core.render.pictures import sheet

    def folder(draft: Path) -> None:
        names = f.frame_names(cameras)
        for name, frame in zip(names, f.frames(shape, cameras, look, job.progress, drawer)):
            (draft / f"{name}.png").write_bytes(encode_image(frame, ".png"))

    def picture(draft: Path) -> None:
        tiles = list(f.frames(shape, cameras, look, job.progress, drawer))
        draft.write_bytes(encode_image(tiles[0] if len(tiles) == 1 else sheet(tiles), draft.suffix))

    def numbers(draft: Path) -> None:
        f.save_buffers(next(f.buffers(shape, cameras, job.progress, drawer)), cameras[0], draft)

    def film(draft: Path) -> None:
        write_video(f.frames(shape, f.same_size(cameras), look, job.progress, drawer), draft)

    if kind == "folder":
        job.write_folder(output, folder)
        return
    if kind == "numbers" and len(cameras) > 1:
        raise UsageError(
            f"{output}: .npz holds one view, not {len(cameras)}", "give a camera file with one view, or --orbit 1"
        )
    job.write(output, {"picture": picture, "numbers": numbers}.get(kind, film), _format(output, format))

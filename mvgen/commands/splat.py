"""``mvgen splat``: Gaussian splats fitted to posed photos."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from mvgen.commands.job import Job, Report
from mvgen.commands.options import BLACK, Colour, Format, Output, Settings, parse_colour, parse_count
from mvgen.commands.settings import apply_settings
from mvgen.core.errors import UsageError

if TYPE_CHECKING:
    from mvgen.core.geometry import PointCloud
    from mvgen.core.splats.fit.fit import Quality
    from mvgen.core.splats.fit.options import FitOptions
    from mvgen.core.splats.fit.views import Photo

DEVICES = ("cpu", "cuda")


def splat(
    job: Job,
    scene: Annotated[
        str,
        typer.Argument(
            metavar="SCENE", help="A scene folder (reconstruct --as scene), COLMAP model or transforms.json."
        ),
    ],
    output: Output,
    splats: Annotated[
        Any, typer.Option(parser=parse_count, metavar="N", help="Most splats; more show finer detail.")
    ] = "50k",
    iterations: Annotated[
        Any, typer.Option(parser=parse_count, metavar="N", help="Steps; each looks at one photo.")
    ] = "1k",
    size: Annotated[
        int, typer.Option(min=16, max=8192, metavar="PIXELS", help="Long side of the photos as they are seen.")
    ] = 640,
    strategy: Annotated[
        Literal["default", "mcmc"],
        typer.Option(help="How splats come and go: split where the photos pull, or faint ones move to others."),
    ] = "default",
    degree: Annotated[
        int, typer.Option(min=0, max=3, metavar="0..3", help="Of the colours' change with the direction.")
    ] = 3,
    images: Annotated[
        str | None, typer.Option(metavar="DIR", help="The photos, where they are not beside the cameras.")
    ] = None,
    points: Annotated[
        str | None,
        typer.Option(metavar="FILE", help="Points to begin at.", show_default="surface and depths, else the scene's"),
    ] = None,
    depths: Annotated[
        str | None,
        typer.Option(metavar="DIR", help="Depth maps named like the photos.", show_default="those of the scene"),
    ] = None,
    surface: Annotated[
        str | None,
        typer.Option(metavar="MESH", help="A surface in the frame of the cameras.", show_default="that of the scene"),
    ] = None,
    hold_out: Annotated[
        int, typer.Option(min=0, metavar="N", help="Compare every Nth photo instead of fitting to it.")
    ] = 0,
    exposure: Annotated[
        bool, typer.Option("--exposure", help="Each photo has a brightness and colour balance of its own.")
    ] = False,
    antialiased: Annotated[
        bool, typer.Option("--antialiased", help="For renderers that fade what is smaller than a pixel.")
    ] = False,
    background: Annotated[
        Colour,
        typer.Option(
            parser=parse_colour,
            metavar="COLOUR",
            help="black, white or #rrggbb: behind all splats.",
            show_default="black",
        ),
    ] = BLACK,
    checkpoint: Annotated[
        str | None, typer.Option(metavar="DIR", help="Keep the fit here, and go on from there.")
    ] = None,
    settings: Settings = None,
    format: Format = None,
) -> Report:
    """Gaussian splats fitted to posed photos.

    Masks of the scene are respected: what they leave out stays empty. Splats lie in the scene's frame, so its cameras
    show them. The default suits a CPU; with a GPU, more splats, iterations and pixels cost little.

    Examples:
      mvgen splat scene/ -o scene.ply
      mvgen splat colmap/ -o scene.spz --splats 500k --iterations 15k --size 1600 --device cuda
    """
    from mvgen.core.io.origin import noted
    from mvgen.core.render.splats import usable_device
    from mvgen.core.splats.files import WRITE_FORMATS, save_splats, written_format
    from mvgen.core.splats.fit.fit import fit_splats, quality
    from mvgen.core.splats.fit.options import FitOptions
    from mvgen.core.splats.fit.train import Job as Fit
    from mvgen.core.splats.fit.views import split

    kind = written_format(f".{format.lstrip('.')}" if format else output)
    if kind is None:
        raise UsageError(f"{output}: splats cannot be written as this", "use one of " + ", ".join(WRITE_FORMATS))
    job.check(output, format)
    options = FitOptions(
        size=size,
        iterations=_positive("--iterations", iterations),
        splats=_positive("--splats", splats),
        degree=degree,
        strategy=strategy,
        antialiased=antialiased,
        exposure=exposure,
    )
    options = apply_settings(options, settings or [])
    job.progress.stage("read")
    photos, cloud = _inputs(job, scene, images, points, depths, surface, options.size)
    seen, held = split(photos, hold_out)
    device = usable_device(job.device, job.progress)
    fit = Fit(seen, options, background, job.seed, device)
    found = fit_splats(fit, cloud, job.progress, None if checkpoint is None else Path(checkpoint))
    job.progress.stage("compare", len(seen) + len(held))
    scores = tuple(quality(found, part, background, device) for part in (seen, held))
    folder = Path(scene) if images is None and Path(scene).is_dir() else None
    found = replace(found, metadata=noted(found.metadata, folder, output))
    job.write(output, lambda draft: save_splats(found, draft, kind), format)
    return _report(output, len(found), options, *scores)


def _inputs(
    job: Job, scene: str, images: str | None, points: str | None, depths: str | None, surface: str | None, size: int
) -> tuple[list[Photo], PointCloud | None]:
    """The photos, with what is known of the surface, and the points to begin at, where the surface does not tell."""
    from mvgen.core.io.meshes import load_mesh, load_points
    from mvgen.core.splats.fit.views import posed_photos

    path = job.read(scene, "scene folder or camera file", folder=True)
    pictures = None if images is None else job.read(images, "folder of photos", folder=True)
    deep = None if depths is None else job.read(depths, "folder of depth maps", folder=True)
    mesh = None if surface is None else load_mesh(job.read(surface, "mesh"))
    cloud = None if points is None else load_points(job.read(points, "point file"))
    photos, own = posed_photos(path, size, job.scratch, job.progress, pictures, deep, mesh)
    return photos, own if cloud is None else cloud


def _positive(name: str, value: int) -> int:
    if value < 1:
        raise UsageError(f"{name} {value}: is not at least 1", f"leave {name} out")
    return value


def _report(output: str, count: int, options: FitOptions, seen: Quality, held: Quality) -> Report:
    data: dict[str, Any] = {"splats": count, "fitted": asdict(seen), "options": asdict(options)}
    line = f"{output}: {count:,} splats, {seen.psnr:.1f} dB on {seen.photos} photos"
    if held.photos:
        data["held_out"] = asdict(held)
        line += f", {held.psnr:.1f} dB on {held.photos} held out"
    return Report(data=data, lines=(line,))

"""``mvgen select-region``: some vertices, points, splats or cells, for the commands that change only these."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mvgen.commands.job import Job, Report
from mvgen.commands.options import WHITE, Format, Output
from mvgen.commands.pages import wait
from mvgen.core.errors import CannotError, UsageError
from mvgen.core.region import language

if TYPE_CHECKING:
    from mvgen.core.region.model import Region
    from mvgen.core.region.query import Saved
    from mvgen.core.region.things import Mask, Things

DEVICES = ("cpu", "cuda")  # for --text and --sam
FORMATS = (".npz", ".npy")
PICTURES = (".png", ".jpg", ".jpeg", ".webp")
VIEWS, VIEW_SIZE = 6, (640, 480)  # that --text looks at, without --cameras
PREVIEW_SIZE = (480, 360)  # of each of four views
BORDER = 0.1  # share of a mesh's area in faces that are partly selected, above which that is told
_Many = list[str] | None


def select_region(
    job: Job,
    input: Annotated[
        str,
        typer.Argument(
            metavar="MESH|POINTS|SPLATS|GRID", help="Vertices, points, splats or occupied cells; - is standard input."
        ),
    ],
    output: Output,
    box: Annotated[_Many, typer.Option(metavar="X,Y,Z,X,Y,Z", help="Between two corners; inf: no end.")] = None,
    sphere: Annotated[_Many, typer.Option(metavar="X,Y,Z,R", help="Within R of a place.")] = None,
    half_space: Annotated[_Many, typer.Option(metavar="A,B,C,D", help="Where A x + B y + C z >= D.")] = None,
    lasso: Annotated[
        _Many, typer.Option(metavar="CAMERA:X,Y,X,Y,...", help="In a polygon in a camera's picture.")
    ] = None,
    mask: Annotated[_Many, typer.Option(metavar="PNG:CAMERA", help="Where a camera's mask is white.")] = None,
    click: Annotated[
        _Many, typer.Option(metavar="CAMERA:X,Y[,R]", help="Within R (2%) of the place seen at a pixel.")
    ] = None,
    component: Annotated[
        str | None, typer.Option(metavar="largest|N|PLACE", help="A connected part, by size or by a place in it.")
    ] = None,
    geodesic: Annotated[
        _Many, typer.Option(metavar="PLACE,R", help="Within R along the surface; PLACE is X,Y,Z or CAMERA:x,y.")
    ] = None,
    color: Annotated[_Many, typer.Option(metavar="#RRGGBB[,T]", help="Of a colour, within T (20) in CIE Lab.")] = None,
    opacity: Annotated[str | None, typer.Option(metavar="LOW..HIGH", help="Splats of an opacity.")] = None,
    scale: Annotated[str | None, typer.Option(metavar="LOW..HIGH", help="Splats by their longest deviation.")] = None,
    normal: Annotated[
        _Many, typer.Option(metavar="X,Y,Z[,DEGREES]", help="Facing a direction, within 30 degrees.")
    ] = None,
    inside: Annotated[_Many, typer.Option(metavar="MESH", help="Within a closed mesh.")] = None,
    text: Annotated[_Many, typer.Option(metavar="WORDS", help="What words say, by CLIPSeg in several views.")] = None,
    sam: Annotated[_Many, typer.Option(metavar="CAMERA:X,Y", help="The object at a pixel, by SAM.")] = None,
    region: Annotated[_Many, typer.Option(metavar="FILE[:NAME]", help="A region selected before.")] = None,
    grow: Annotated[str | None, typer.Option(metavar="R", help="Then, add what is within R.")] = None,
    shrink: Annotated[
        str | None, typer.Option(metavar="R", help="Then, drop what is within R of the unselected.")
    ] = None,
    invert: Annotated[bool, typer.Option("--invert", help="Then, take all others.")] = False,
    both: Annotated[_Many, typer.Option("--and", metavar="FILE[:NAME]", help="Then, keep what is in it, too.")] = None,
    either: Annotated[_Many, typer.Option("--or", metavar="FILE[:NAME]", help="Then, add what is in it.")] = None,
    minus: Annotated[_Many, typer.Option(metavar="FILE[:NAME]", help="Then, drop what is in it.")] = None,
    cameras: Annotated[
        str | None,
        typer.Option(
            metavar="FILE|DIR",
            help="Of the pictures: a COLMAP model, transforms.json, ...",
            show_default="view_000, the picture of mvgen render",
        ),
    ] = None,
    through: Annotated[
        bool, typer.Option("--through", help="Lassos and masks take what is hidden behind, too.")
    ] = False,
    gap: Annotated[
        str | None,
        typer.Option(
            metavar="R", help="For --component: what is nearer than R hangs together.", show_default="twice the spacing"
        ),
    ] = None,
    weights: Annotated[
        _Many, typer.Option(metavar="NAME|FOLDER", help="Of --text or --sam.", show_default="those on this machine")
    ] = None,
    name: Annotated[str, typer.Option(metavar="NAME", help="Of the region.")] = "region",
    append: Annotated[bool, typer.Option("--append", help="Keep the regions of other names in OUTPUT.")] = False,
    allow_empty: Annotated[bool, typer.Option("--allow-empty", help="Write a region of nothing, too.")] = False,
    preview: Annotated[str | None, typer.Option(metavar="PNG", help="A picture with the selection in orange.")] = None,
    interactive: Annotated[
        bool, typer.Option("--interactive", help="Go on in a browser: click, brush, lasso, box, undo, save.")
    ] = False,
    format: Format = None,
) -> Report:
    """Some vertices, points, splats or cells, for the commands that change only these.

    What all of the options hold is selected; of several --box, --sphere, --click, --geodesic, --color, --normal,
    --inside and --text, what one of them holds. Then follow the steps, in the order in which they stand here. Lengths
    (R) are in the numbers of the file, or with % in hundredths of its diagonal.

    Examples:
      mvgen select-region splats.ply -o head.npz --sphere 0,1.2,0,0.3 --opacity 0.1.. --preview head.png
      mvgen select-region mesh.glb -o leg.npz --click view_000:480,600 --grow 5%
      mvgen select-region scene.ply -o car.npz --mask car.png:IMG_3.jpg --cameras scene/ --component largest
      mvgen select-region mesh.glb -o rest.npz --region leg.npz --invert --minus head.npz
      mvgen select-region splats.ply -o part.npz --interactive
    """
    told: dict[str, Any] = {
        "boxes": _each(language.box, box, "--box"),
        "balls": _each(language.ball, sphere, "--sphere"),
        "planes": _each(language.plane, half_space, "--half-space"),
        "lassos": _each(language.lasso, lasso, "--lasso"),
        "clicks": _each(language.click, click, "--click"),
        "part": None if component is None else language.part(component, "--component"),
        "walks": _each(language.ball, geodesic, "--geodesic"),
        "shades": _each(language.shade, color, "--color"),
        "opacity": None if opacity is None else language.interval(opacity, "--opacity"),
        "scale": None if scale is None else language.interval(scale, "--scale"),
        "cones": _each(language.cone, normal, "--normal"),
        "texts": _each(language.words, text, "--text"),
        "sams": _each(language.pixel, sam, "--sam"),
        "gap": None if gap is None else language.length(gap, "--gap"),
    }
    drawn = [language.named(one, "--mask", "MASK.png:CAMERA") for one in mask or []]
    lengths = {
        "grow": None if grow is None else language.length(grow, "--grow"),
        "shrink": None if shrink is None else language.length(shrink, "--shrink"),
    }
    kind = _kind(output, format)
    _check(job, output, kind, append, preview)
    says = bool(drawn or inside or region or any(told[key] for key in told if key != "gap"))
    if not (says or interactive):
        raise UsageError("nothing says what to select", "add --box, --sphere, --click, ...; or --region FILE")
    if interactive:
        from mvgen.core.viewer.serve import need_viser

        need_viser()

    from mvgen.core.io.cameras import read_cameras
    from mvgen.core.region.query import Eyes, Query, Steps, selected, stepped
    from mvgen.core.region.sight import sight_of, standard_cameras
    from mvgen.core.region.things import finer, load_things

    job.progress.stage("read")
    source = job.read(input, "mesh, point, splat or grid file", folder=True)
    things = finer(load_things(source, input, job.progress.warn))
    views = None if cameras is None else read_cameras(job.read(cameras, "camera file", folder=True))
    sight = sight_of(things, views is not None)
    if any((lasso, mask, click, sam, text)) or ":" in "".join([component or "", *(geodesic or [])]):
        sight.prepare()
    eyes = Eyes(
        sight,
        views or standard_cameras(sight.things),
        views or standard_cameras(sight.things, VIEWS, VIEW_SIZE),
        job.device,
    )
    query = Query(
        **told,
        masks=tuple((job.read(path, "mask"), camera) for path, camera in drawn),
        meshes=tuple(job.read(path, "mesh file") for path in inside or []),
        saved=_saved(job, region),
        through=through,
        weights=tuple(weights or []),
    )
    steps = Steps(
        **lengths, invert=invert, both=_saved(job, both), either=_saved(job, either), minus=_saved(job, minus)
    )
    job.progress.stage("select")
    chosen = _none(things)
    if says:
        chosen = stepped(things, selected(things, query, eyes, job.progress), steps, job.progress.warn)

    def write(mask: Mask) -> str:
        if not mask.any() and not allow_empty:
            raise _nothing(things)
        job.progress.stage("write")
        if mask.any() and not mask[: len(mask) if things.own is None else things.count].any():
            job.progress.warn(f"{input}: places on its faces are selected, but none of its vertices")
        if things.border(mask) > BORDER:
            job.progress.warn(
                f"{input}: {things.border(mask):.0%} of its area is in faces that are partly selected; "
                "mvgen mesh --remesh 1% makes smaller ones"
            )
        _write(job, things, things.region(mask, name), output, kind, format, append)
        if preview is not None:
            _write_preview(job, preview, things, mask)
        return output

    chosen = _in_browser(job, things, chosen, write) if interactive else chosen
    if not interactive:
        write(chosen)
    return _report(output, things, things.region(chosen, name))


def _none(things: Things) -> Mask:
    import numpy as np

    return np.zeros(len(things.places), np.bool_)


def _in_browser(job: Job, things: Things, start: Mask, write: Callable[[Mask], str]) -> Mask:
    """What was saved last before Ctrl-C, which is the way out; without that it is an interruption."""
    import numpy as np

    from mvgen.core.region.session import Session
    from mvgen.core.viewer.panel import add_panel, set_view
    from mvgen.core.viewer.pick import add_tools
    from mvgen.core.viewer.serve import serving
    from mvgen.core.viewer.show import show
    from mvgen.core.viewer.stage import make_stage
    from mvgen.core.viewer.thin import Limits, thinned
    from mvgen.core.viewer.things import Thing

    thing = Thing(things.name, things.whole, things.up)
    stage = make_stage([thing])
    session, saved = Session(things, start), []

    def save() -> str:
        said = write(session.mask)
        job.written[:] = dict.fromkeys(job.written)  # however often it is saved
        saved.append(session.mask)
        return said

    with serving("127.0.0.1", None, "mvgen select-region") as server:
        job.progress.stage("show")
        small = thinned(thing, Limits(), np.random.default_rng(job.seed), job.progress.warn)
        shown = show(server, small, stage, 0, job.progress)
        add_tools(server, session, stage).add_button("save", save, said=True)
        add_panel(server, [shown], stage, WHITE)
        set_view(server, stage)
        wait(job, server, saved)
    return saved[-1]


def _each(read: Callable[[str, str], Any], texts: list[str] | None, option: str) -> tuple[Any, ...]:
    return tuple(read(one, option) for one in texts or [])


def _saved(job: Job, texts: list[str] | None) -> tuple[Saved, ...]:
    """Regions in files: FILE, or FILE:NAME where there is no file of the whole name."""
    from mvgen.core.region.query import Saved

    out = []
    for text in texts or []:
        path, colon, name = text.rpartition(":")
        whole = not (colon and path and name) or Path(text).exists()
        source = job.read(text if whole else path, "region file", folder=True)
        out.append(Saved(source, None if whole else name))
    return tuple(out)


def _kind(output: str, format: str | None) -> str:
    """.npz, .npy, or "folder", of Interactive3D's arrays."""
    suffix = f".{format.lstrip('.').lower()}" if format else Path(output).suffix.lower()
    if output == "-" and format is None:
        return ".npz"
    if format is None and (output.endswith("/") or Path(output).is_dir() or (not suffix and not Path(output).exists())):
        return "folder"
    if suffix not in FORMATS:
        raise UsageError(
            f"{output}: cannot write a region as {suffix or 'this'}", "use .npz, .npy, or for a grid a folder/"
        )
    return suffix


def _check(job: Job, output: str, kind: str, append: bool, preview: str | None) -> None:
    job.check(output, kind.lstrip("."), folder=kind == "folder")
    if append and (kind != ".npz" or output == "-"):
        raise UsageError("--append adds to a .npz file", "name one with -o")
    if preview is not None:
        if Path(preview).suffix.lower() not in PICTURES:
            raise UsageError(f"--preview {preview}: is not the name of a picture", "use " + ", ".join(PICTURES))
        job.check(preview)


def _write(job: Job, things: Things, found: Region, output: str, kind: str, format: str | None, append: bool) -> None:
    from mvgen.core.region.carry import load_all_on
    from mvgen.core.region.files import save_region
    from mvgen.core.region.interactive3d import save_parts

    if kind == "folder":
        grid = things.grid
        if grid is None:
            raise UsageError(f"{output}: is a folder, which holds parts of a grid", "use .npz or .npy")
        job.write_folder(output, lambda draft: save_parts([found], grid, draft))
        return
    regions = [found]
    if append and Path(output).exists():
        before = load_all_on(things, Path(output))
        regions = [one for one in before if one.name != found.name] + regions
    job.write(
        output, lambda draft: save_region(regions, draft, things.told), kind.lstrip(".") if output == "-" else format
    )


def _write_preview(job: Job, preview: str, things: Things, chosen: Mask) -> None:
    from mvgen.core.io.images import encode_image
    from mvgen.core.region.preview import preview as drawn
    from mvgen.core.region.sight import standard_cameras

    sheet = drawn(things, chosen, standard_cameras(things, 4, PREVIEW_SIZE), job.progress)
    job.write(preview, lambda draft: draft.write_bytes(encode_image(sheet, draft.suffix)))


def _nothing(things: Things) -> CannotError:
    places = things.places
    low, high = (",".join(f"{v:.6g}" for v in corner) for corner in (places.min(0), places.max(0)))
    return CannotError(
        f"{things.name}: none of its {things.selectable:,} {things.kind} is selected",
        f"it spans {low} to {high}; --allow-empty writes an empty region",
    )


def _report(output: str, things: Things, found: Region) -> Report:
    chosen = int(found.mask.sum())
    data = {
        "kind": found.kind,
        "name": found.name,
        "count": found.count,
        "selectable": things.selectable,
        "selected": chosen,
        "bounds": None if found.bounds is None else found.bounds.tolist(),
    }
    share = 100 * chosen / things.selectable
    return Report(data, (f"{output}: {chosen:,} of {things.selectable:,} {found.kind} ({share:.3g} %)",))

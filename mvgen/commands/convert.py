"""``mvgen convert``: meshes, points, splats and scenes from one format to another."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from mvgen.commands.job import Job, Report
from mvgen.commands.options import Corners, Crop, Format, Output, parse_count, parse_three, parse_turn
from mvgen.core.errors import UsageError

if TYPE_CHECKING:
    from mvgen.core.camera import Similarity
    from mvgen.core.geometry import Mesh, PointCloud
    from mvgen.core.io.model import Model
    from mvgen.core.splats.model import Frame, Splats

Unit = Literal["um", "mm", "cm", "m", "in", "ft"]
Up = Literal["x", "y", "z", "-x", "-y", "-z"]
SCENES = ("scene", "colmap", "colmap-text", "nerfstudio", "bundler", "opensfm")
ORIGIN = (0.0, 0.0, 0.0)
FILES = {"nerfstudio": ".json", "opensfm": ".json", "bundler": ".out"}


def convert(
    job: Job,
    sources: Annotated[
        list[str],
        typer.Argument(
            metavar="INPUT...",
            help="GLB, glTF, PLY, OBJ, STL, OFF, 3MF or XYZ; splats, of which several are joined; a scene or COLMAP "
            "folder, transforms.json, reconstruction.json or bundle.out; - is standard input.",
        ),
    ],
    output: Output,
    to: Annotated[
        Literal["scene", "colmap", "colmap-text", "nerfstudio", "bundler", "opensfm", "splats", "points"] | None,
        typer.Option(help="What to write, where the name of the output does not tell it."),
    ] = None,
    images: Annotated[
        str | None,
        typer.Option(metavar="DIR", help="The pictures of the cameras, where they are not beside the input."),
    ] = None,
    approximate: Annotated[
        bool, typer.Option("--approximate", help="Write cameras that Bundler cannot hold as near as it can.")
    ] = False,
    from_units: Annotated[
        Unit | None, typer.Option(help="What one unit of the input is.", show_default="3MF says it; glTF has metres")
    ] = None,
    to_units: Annotated[
        Unit | None, typer.Option(help="Units of the output: lengths are converted.", show_default="numbers stay")
    ] = None,
    from_up: Annotated[
        Up | None, typer.Option(help="The input's up axis.", show_default="what the file says; y in glTF, z in 3MF")
    ] = None,
    to_up: Annotated[Up | None, typer.Option(help="The output's up axis: the shape is turned.")] = None,
    scale: Annotated[float, typer.Option(min=1e-12, max=1e12, metavar="FACTOR", help="Then make it larger.")] = 1.0,
    rotate: Annotated[
        list[Any] | None,
        typer.Option(parser=parse_turn, metavar="AXIS:DEGREES", help="Then turn it; may be given several times."),
    ] = None,
    about: Annotated[
        Any,
        typer.Option(
            parser=parse_three, metavar="X,Y,Z", help="The place that --scale and --rotate keep.", show_default="0,0,0"
        ),
    ] = None,
    translate: Annotated[
        Any, typer.Option(parser=parse_three, metavar="X,Y,Z", help="Then move it.", show_default="0,0,0")
    ] = None,
    crop: Crop = None,
    splats: Annotated[
        Any,
        typer.Option(
            parser=parse_count,
            metavar="N",
            help="Most splats: those that show most are kept.",
            show_default="as many as there are",
        ),
    ] = None,
    degree: Annotated[
        int | None,
        typer.Option(min=0, max=3, help="Of the spherical harmonics of splats.", show_default="the input's"),
    ] = None,
    texture: Annotated[
        Literal["png", "jpg"], typer.Option(help="Pictures in the output: exact, or smaller (quality 92).")
    ] = "png",
    format: Format = None,
) -> Report:
    """Meshes, points, splats and scenes from one format to another.

    The extension of the output chooses its format; a folder is a scene unless --to says otherwise. Colours, normals,
    textures, lens distortion, points and tracks are kept where the format can hold them; what it cannot hold is told.
    Numbers stay as they are unless units, an up axis or a change are named.

    Examples:
      mvgen convert part.3mf -o part.glb --to-units m --to-up y
      mvgen convert scene.glb -o scene.obj
      mvgen convert sparse/0 -o transforms.json
      mvgen convert room.ply chair.spz -o both.ply --crop -2,-2,-2,2,2,2 --splats 500k
    """
    from mvgen.core.io.models import find_model
    from mvgen.core.splats.files import holds_splats

    cameras = to if to in SCENES else None
    _check_output(job, output, cameras, format)
    paths = [job.read(source, "mesh, points, splats or cameras", folder=True) for source in sources]
    change = _Change(
        from_units, to_units, from_up, to_up, scale, tuple(rotate or ()), about or ORIGIN, translate or ORIGIN
    )
    pictures = None if images is None else job.read(images, "folder of pictures", folder=True)
    held = [holds_splats(path) for path in paths]
    if cameras is None and (all(held) or to == "splats" or (to is None and _splats_alone(output, format))):
        return _convert_splats(job, paths, output, to, format, change, crop, degree, splats)
    if len(paths) > 1:
        raise UsageError(f"{output}: only splats are joined, and not all inputs are", "give one input, or --to splats")
    if splats is not None or degree is not None:
        raise UsageError("--splats and --degree are for splats", "leave them out, or write --to splats")
    path = paths[0]
    if path.is_dir() or (find_model(path) is not None and not _is_shape(path)):
        if crop is not None:
            raise UsageError("--crop is for meshes, points and splats", "leave it out")
        return _convert_model(job, path, output, cameras, format, pictures, approximate, change)
    if cameras is not None:
        raise UsageError(
            f"{sources[0]}: is no file of cameras, so that it cannot be written --to {to}", "leave --to out"
        )
    return _convert_shape(job, path, output, to, format, None if texture == "png" else 92, change, crop)


class _Change:
    """What is done to lengths and places: units, up axis, then scale and turns about a place, shift."""

    def __init__(
        self,
        from_units: str | None,
        to_units: str | None,
        from_up: str | None,
        to_up: str | None,
        scale: float,
        turns: tuple[tuple[str, float], ...],
        about: tuple[float, float, float],
        shift: tuple[float, float, float],
    ):
        self.from_units, self.to_units, self.from_up, self.to_up = from_units, to_units, from_up, to_up
        self.scale, self.turns, self.about, self.shift = scale, turns, about, shift

    def similarity(self, units: str | None, up: str | None) -> Similarity:
        """The whole change; ``units`` and ``up`` are those that the input states. Raises UsageError."""
        import numpy as np

        from mvgen.core.units import moved, scaled, turn, unit_scale, up_rotation

        units, up = self.from_units or units, self.from_up or up
        if self.to_units is not None and units is None:
            raise UsageError("--to-units needs to know the units of the input", "say --from-units")
        if self.to_up is not None and up is None:
            raise UsageError("--to-up needs to know the up axis of the input", "say --from-up")
        out = scaled(1.0)
        if self.to_units is not None and units is not None:
            out = scaled(unit_scale(units, self.to_units))
        if self.to_up is not None and up is not None:
            out = scaled(1.0, up_rotation(up, self.to_up)).after(out)
        about = np.array(self.about)
        out = scaled(self.scale).after(moved(-about)).after(out)
        for axis, degrees in self.turns:
            out = scaled(1.0, turn(axis, degrees)).after(out)
        return moved(about + self.shift).after(out)


def _is_shape(path: Path) -> bool:
    """Whether a JSON file is a glTF file under another name."""
    from mvgen.core.io.sniff import HEAD, sniff

    with path.open("rb") as file:
        return sniff(file.read(HEAD), path.stat().st_size) == ".gltf"


def _suffix(output: str, format: str | None) -> str:
    return f".{format.lstrip('.').lower()}" if format else Path(output).suffix.lower()


def _splats_alone(output: str, format: str | None) -> bool:
    """Whether the output's format holds splats and nothing else."""
    from mvgen.core.splats.files import written_format

    return written_format(f".{format}" if format else output) not in (None, ".ply")


def _check_output(job: Job, output: str, to: str | None, format: str | None) -> None:
    """Refuse early what could not be written in the end."""
    if output == "-" and to is not None and format is None:
        format = FILES.get(to, "").lstrip(".") or None
        if format is None:
            raise UsageError(f"--to {to} writes a folder, which cannot go to standard output", "name one with -o")
    job.check(output, format, folder=_is_folder(output, to, format))


def _is_folder(output: str, to: str | None, format: str | None) -> bool:
    if output == "-" or format is not None:
        return False
    if to is not None and to not in FILES:
        return True
    return output.endswith("/") or Path(output).is_dir() or not Path(output).suffix


# ---------------------------------------------------------------- meshes and points


def _convert_shape(
    job: Job,
    path: Path,
    output: str,
    to: str | None,
    format: str | None,
    quality: int | None,
    change: _Change,
    crop: Corners | None,
) -> Report:
    from mvgen.core.box import Box, cropped
    from mvgen.core.geometry import Mesh
    from mvgen.core.io.meshes import MESH_FORMATS, POINT_FORMATS, load_any, not_kept, save_mesh, save_points

    suffix = _suffix(output, format)
    if suffix not in (*MESH_FORMATS, *POINT_FORMATS):
        raise UsageError(
            f"{output}: a mesh or points cannot be written as {suffix or 'a folder'}",
            "use " + ", ".join(dict.fromkeys((*MESH_FORMATS, *POINT_FORMATS))),
        )
    job.progress.stage("read")
    shape = load_any(path, job.progress.warn)
    stated = _stated(shape, path)
    shape, units = _changed(job, shape, stated, change, suffix)
    if crop is not None:
        shape = cropped(shape, Box(*crop), str(path))
    if isinstance(shape, Mesh) and (suffix not in MESH_FORMATS or to == "points"):
        if to != "points":
            job.progress.warn(f"{output}: a {suffix} file has no faces; the vertices are written as points")
        shape = _vertices(shape)
    if not isinstance(shape, Mesh) and suffix not in POINT_FORMATS:
        raise UsageError(
            f"{path}: holds points, which cannot be written as {suffix}", "use " + ", ".join(POINT_FORMATS)
        )
    for text in not_kept(shape, suffix):
        job.progress.warn(f"{output}: {text}")
    job.progress.stage("write")

    def save(draft: Path) -> None:
        if isinstance(shape, Mesh):
            save_mesh(shape, draft, quality, units or "mm")
        else:
            save_points(shape, draft)

    job.write(output, save, format)
    data: dict[str, Any] = {"format": suffix.lstrip("."), "units": units, "bounds": shape.bounds}
    if isinstance(shape, Mesh):
        data |= {"kind": "mesh", "vertices": len(shape.vertices), "faces": len(shape.faces)}
        return Report(data, (f"{output}: {len(shape.vertices)} vertices, {len(shape.faces)} faces",))
    data |= {"kind": "points", "points": len(shape)}
    return Report(data, (f"{output}: {len(shape)} points",))


def _vertices(mesh: Mesh) -> PointCloud:
    import numpy as np

    from mvgen.core.geometry import PointCloud
    from mvgen.core.io.meshes import with_vertex_colours

    normals = None if mesh.normals is None else mesh.normals.astype(np.float32)
    return PointCloud(mesh.vertices, normals, with_vertex_colours(mesh).colours, metadata=mesh.metadata)


def _stated(shape: Mesh | PointCloud, path: Path) -> tuple[str | None, str | None]:
    """Units and up axis that a file states, or that its format's standard lays down."""
    from mvgen.core.io.meshes import format_of
    from mvgen.core.units import METRES, UP_AXES

    with path.open("rb") as file:
        kind = format_of(file.read(1 << 16), path)
    standard = {".glb": ("m", "y"), ".gltf": ("m", "y")}.get(kind, (None, None))
    units = shape.metadata.get("units", standard[0])
    up = str(shape.metadata.get("up", standard[1])).lower().lstrip("+")
    return (units if units in METRES else None), (up if up in UP_AXES else None)


def _changed(
    job: Job, shape: Mesh | PointCloud, stated: tuple[str | None, str | None], change: _Change, suffix: str
) -> tuple[Mesh | PointCloud, str | None]:
    """The shape moved, its record of units and up made true, and the units of the output where they are known."""
    from dataclasses import replace

    moved = change.similarity(*stated)
    units = change.to_units or change.from_units or stated[0]
    metadata = {key: value for key, value in shape.metadata.items() if key != "units"}
    if "units" in shape.metadata or change.to_units or change.from_units:
        metadata["units"] = units
    if change.to_up is not None:
        metadata["up"] = _up_name(change.to_up)
    if not _is_identity(moved):
        shape = shape.moved(moved)
        _move_record(metadata, moved)
    standard = {".glb": "m"}.get(suffix)
    if units is not None and standard is not None and units != standard:
        job.progress.warn(f"the numbers are {units}, while glTF has metres by its standard; --to-units m converts them")
    if suffix == ".3mf" and units is None:
        job.progress.warn("no units are known: 3MF is written as millimetres; --from-units says what they are")
    return replace(shape, metadata=metadata), units


def _up_name(axis: str) -> str:
    """An up axis as metadata write it: ``+Z``."""
    return axis.upper() if axis.startswith("-") else f"+{axis.upper()}"


def _is_identity(moved: Similarity) -> bool:
    import numpy as np

    return bool(np.array_equal(moved.matrix(), np.eye(4)))


def _move_record(metadata: dict[str, Any], moved: Similarity) -> None:
    """Keep true what a result says of its cameras' world, and of the scene that it was in."""
    import numpy as np

    from mvgen.core.io.origin import SCENE

    metadata.pop(SCENE, None)
    before = metadata.get("result_from_cameras")
    if before is not None and np.shape(before) == (4, 4):
        metadata["result_from_cameras"] = (moved.matrix() @ np.array(before, np.float64)).tolist()


# ---------------------------------------------------------------- splats


def _convert_splats(
    job: Job,
    paths: list[Path],
    output: str,
    to: str | None,
    format: str | None,
    change: _Change,
    crop: Corners | None,
    degree: int | None,
    most: int | None,
) -> Report:
    """Splats and points to splats; to other formats, their centres with base colours as points."""
    from dataclasses import replace

    from mvgen.core.box import Box, cropped
    from mvgen.core.io.meshes import POINT_FORMATS, save_points
    from mvgen.core.splats.files import WRITE_FORMATS, WRITTEN_FRAMES, not_kept, save_splats, written_format
    from mvgen.core.splats.model import merged
    from mvgen.core.splats.prune import pruned
    from mvgen.core.splats.seen import up_name

    kind = None if to == "points" else written_format(f".{format}" if format else output)
    suffix = kind or _suffix(output, format)
    if kind is None and (suffix not in POINT_FORMATS or to == "splats"):
        raise UsageError(
            f"{output}: splats cannot be written as {suffix or 'a folder'}",
            "use " + ", ".join(dict.fromkeys((*WRITE_FORMATS, *(() if to == "splats" else POINT_FORMATS)))),
        )
    if most == 0:
        raise UsageError("--splats 0 would leave nothing", "leave --splats out")
    job.progress.stage("read")
    # changes are those of the numbers that are written, so that the target's axes come first
    frame = WRITTEN_FRAMES.get(suffix, "rub" if suffix == ".glb" else None)
    splats = merged([_as_splats(job, path, frame) for path in paths])
    splats = _moved_splats(splats, change)
    if crop is not None:
        splats = cropped(splats, Box(*crop), ", ".join(map(str, paths)))
    if degree is not None:
        splats = splats.with_degree(degree)
    if most is not None:
        splats = pruned(splats, most, job.progress)
    data = {"format": suffix.lstrip("."), "bounds": splats.bounds, "degree": splats.degree}
    job.progress.stage("write")
    if kind is None:
        if to != "points":
            job.progress.warn(
                f"{output}: a {suffix} file has no splats; their centres and base colours are written as points"
            )
        points = splats.points()
        points = replace(points, metadata={**points.metadata, "up": _up_name(change.to_up or up_name(splats))})
        job.write(output, lambda draft: save_points(points, draft), format)
        return Report({**data, "kind": "points", "points": len(splats)}, (f"{output}: {len(splats)} points",))
    for text in not_kept(splats, kind):
        job.progress.warn(f"{output}: {text}")
    job.write(output, lambda draft: save_splats(splats, draft, kind), format)
    return Report({**data, "kind": "splats", "splats": len(splats)}, (f"{output}: {len(splats)} splats",))


def _as_splats(job: Job, path: Path, frame: Frame | None) -> Splats:
    """The splats of a file, or round ones in place of its points."""
    from mvgen.core.geometry import Mesh
    from mvgen.core.io.meshes import load_any
    from mvgen.core.splats.files import holds_splats, load_splats
    from mvgen.core.splats.model import UP
    from mvgen.core.splats.points import splats_of_points

    if path.is_dir() or holds_splats(path):
        return load_splats(path, job.progress.warn, frame)
    shape = load_any(path, job.progress.warn)
    if isinstance(shape, Mesh):
        raise UsageError(f"{path}: holds a mesh; splats are made of points", "write its vertices with --to points")
    up = _stated(shape, path)[1]
    own: Frame = next((name for name, axis in UP.items() if axis == up), frame or "rdf")
    splats = splats_of_points(shape, own)
    return splats if frame is None else splats.in_frame(frame)


def _moved_splats(splats: Splats, change: _Change) -> Splats:
    """Splats after a change, and the units that their file states made true."""
    from dataclasses import replace

    from mvgen.core.io.origin import noted
    from mvgen.core.splats.seen import up_name

    units = splats.metadata.get("units")
    moved = change.similarity(units, up_name(splats))
    if not _is_identity(moved):
        splats = splats.moved(moved)
        splats = replace(splats, metadata=noted(splats.metadata, None, "-"))
    now = change.to_units or change.from_units or units
    return splats if now == units else replace(splats, metadata={**splats.metadata, "units": now})


# ---------------------------------------------------------------- cameras


def _convert_model(
    job: Job,
    path: Path,
    output: str,
    to: str | None,
    format: str | None,
    images: Path | None,
    approximate: bool,
    change: _Change,
) -> Report:
    from mvgen.core.io.models import approximated, not_held, read_model, write_model_file, write_model_folder

    target = to or _target(output, format)
    job.progress.stage("read")
    model = read_model(path, images, job.progress.warn)
    moved = change.similarity(None, None)
    if not _is_identity(moved):
        model = model.moved(moved)
    if target in ("points", "mesh"):
        return _write_points(job, model, output, format)
    if target == "bundler" and approximate:
        model = approximated(model, job.progress.warn)
    folder = _is_folder(output, to, format)
    for text in not_held(model, target):
        job.progress.warn(f"{output}: {text}")
    job.progress.stage("write")
    if folder:
        job.write_folder(output, lambda draft: write_model_folder(model, draft, target, job.progress.warn))
    else:
        ending = format or (FILES[target].lstrip(".") if output == "-" else None)
        job.write(output, lambda draft: write_model_file(model, draft, target, output == "-"), ending)
        if output == "-" and (len(model.points) or target == "bundler"):
            job.progress.warn("points, tracks and lists are files of their own, which standard output cannot carry")
    data = {"kind": "scene", "format": target, "cameras": len(model.cameras), "points": len(model.points)}
    line = f"{output}: {len(model.cameras)} cameras, {len(model.points)} points"
    return Report({**data, "tracks": len(model.sightings.tracks)}, (line,))


def _target(output: str, format: str | None) -> str:
    """The format of cameras that the name of an output asks for."""
    from mvgen.core.io.meshes import POINT_FORMATS

    suffix, name = _suffix(output, format), Path(output).name.lower()
    if _is_folder(output, None, format):
        return "scene"
    if suffix == ".json":
        return "opensfm" if name.startswith("reconstruction") else "nerfstudio"
    if suffix == ".out":
        return "bundler"
    if suffix in POINT_FORMATS:
        return "points"
    raise UsageError(
        f"{output}: cameras cannot be written as {suffix or 'this'}",
        f"use .json, .out, a folder, or --to {', '.join(SCENES)}; .ply for the points alone",
    )


def _write_points(job: Job, model: Model, output: str, format: str | None) -> Report:
    from mvgen.core.io.meshes import save_points

    job.progress.warn(f"{output}: the sparse points alone are written, without the {len(model.cameras)} cameras")
    job.write(output, lambda draft: save_points(model.points, draft), format)
    data = {"kind": "points", "format": _suffix(output, format).lstrip("."), "points": len(model.points)}
    return Report(data, (f"{output}: {len(model.points)} points",))

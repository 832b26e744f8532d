"""``mvgen edit``: parts of splats or of a mesh moved, dragged, removed, added, recoloured, fitted and imagined."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer

from mvgen.commands.job import Job, Report
from mvgen.commands.options import (
    BadValue,
    Format,
    Output,
    parse_colour,
    parse_count,
    parse_numbers,
    parse_three,
    parse_turn,
)  # fmt: skip
from mvgen.commands.places import parse_spot, reference_of, where_of
from mvgen.core.errors import UsageError

if TYPE_CHECKING:
    from mvgen.core.edit.recipe import Guidance, Recipe, Step, Where
    from mvgen.core.edit.replay import Place
    from mvgen.core.splats.fit.views import Photo

DEVICES = ("cpu", "cuda")
CHECKPOINT = ".safetensors"
IMAGINE = 500  # steps towards a prompt
_STEPS = re.compile(r"(.+?)(?::((?:scale|rotate|translate)=.*))?", re.DOTALL)


class Reach(NamedTuple):
    """A drag: from where, to where, and what is held."""

    source: tuple[float, float, float]
    target: tuple[float, float, float]
    radius: float | None


def parse_drag(text: Any) -> Reach:
    """``0,0,0:0,1,0`` or ``0,0,0:0,1,0:0.3``. Raises typer.BadParameter."""
    if isinstance(text, Reach):
        return text
    parts = [parse_numbers(part) for part in str(text).split(":")]
    if [len(p) for p in parts] not in ([3, 3], [3, 3, 1]) or parts[0] == parts[1] or (parts[2:] and parts[2][0] <= 0):
        raise BadValue(f"{text} is no drag; write it as X,Y,Z:X,Y,Z or, with a radius, X,Y,Z:X,Y,Z:R")
    (a, b, c), (x, y, z) = parts[:2]
    return Reach((a, b, c), (x, y, z), parts[2][0] if parts[2:] else None)


def parse_stretch(text: Any) -> tuple[str, float]:
    """``x:1.5``. Raises typer.BadParameter."""
    if isinstance(text, tuple):
        return text
    axis, _, rest = str(text).partition(":")
    numbers = parse_numbers(rest)
    if axis not in ("x", "y", "z") or len(numbers) != 1 or not 1e-9 < numbers[0] < 1e9:
        raise BadValue(f"{text} is no stretch; write it as x:1.5")
    return axis, numbers[0]


def parse_shear(text: Any) -> tuple[str, str, float]:
    """``xy:0.3``: x grows by 0.3 y. Raises typer.BadParameter."""
    if isinstance(text, tuple):
        return text
    axes, _, rest = str(text).partition(":")
    numbers = parse_numbers(rest)
    if not re.fullmatch("[xyz]{2}", axes) or axes[0] == axes[1] or len(numbers) != 1:
        raise BadValue(f"{text} is no shear; write it as xy:0.3")
    return axes[0], axes[1], numbers[0]


def parse_axis(text: Any) -> str:
    """``x``, ``y`` or ``z``. Raises typer.BadParameter."""
    if str(text) not in ("x", "y", "z"):
        raise BadValue(f"{text} is no axis; write x, y or z")
    return str(text)


def parse_factor(text: Any) -> float:
    """A number above 0. Raises typer.BadParameter."""
    numbers = parse_numbers(str(text))
    if len(numbers) != 1 or not 1e-9 < numbers[0] < 1e9:
        raise BadValue(f"{text} is no factor; write it as 1.5")
    return numbers[0]


def edit(
    job: Job,
    source: Annotated[
        str, typer.Argument(metavar="INPUT", help="Splats, a checkpoint of mvgen splat (.safetensors), or a mesh.")
    ],
    output: Output,
    region: Annotated[
        list[Any] | None,
        typer.Option(
            parser=parse_spot,
            metavar="REGION",
            help="What the operations work on: a file, FILE:NAME, sphere:X,Y,Z,R or box:X,Y,Z,X,Y,Z; given again, "
            "what those after it work on.",
            show_default="everything",
        ),
    ] = None,
    recipe: Annotated[
        list[str] | None, typer.Option(metavar="FILE", help="The steps of an earlier edit; a --region is theirs then.")
    ] = None,
    remove: Annotated[bool, typer.Option("--remove", help="Drop what is selected.")] = False,
    keep: Annotated[bool, typer.Option("--keep", help="Drop everything else.")] = False,
    duplicate: Annotated[bool, typer.Option("--duplicate", help="Copy it; what follows works on the copy.")] = False,
    add: Annotated[
        list[str] | None,
        typer.Option(
            metavar="FILE[:STEPS]",
            help="Other splats, moved by steps as 'scale=2 rotate=x:90 translate=0,0,1'; what follows works on them.",
        ),
    ] = None,
    translate: Annotated[
        list[Any] | None, typer.Option(parser=parse_three, metavar="X,Y,Z", help="Move what is selected.")
    ] = None,
    rotate: Annotated[
        list[Any] | None, typer.Option(parser=parse_turn, metavar="AXIS:DEGREES", help="Turn it.")
    ] = None,
    scale: Annotated[list[Any] | None, typer.Option(parser=parse_factor, metavar="F", help="Make it larger.")] = None,
    stretch: Annotated[
        list[Any] | None, typer.Option(parser=parse_stretch, metavar="AXIS:F", help="Make it longer along an axis.")
    ] = None,
    shear: Annotated[
        list[Any] | None, typer.Option(parser=parse_shear, metavar="AXES:A", help="xy:0.3 moves x by 0.3 y.")
    ] = None,
    mirror: Annotated[
        list[Any] | None, typer.Option(parser=parse_axis, metavar="x|y|z", help="Mirror it along an axis.")
    ] = None,
    about: Annotated[
        Any,
        typer.Option(
            parser=parse_three, metavar="X,Y,Z", help="The place that these keep.", show_default="the mean of it"
        ),
    ] = None,
    drag: Annotated[
        list[Any] | None,
        typer.Option(
            parser=parse_drag,
            metavar="X,Y,Z:X,Y,Z[:R]",
            help="Pull what is within R of a place to another; several at once.",
            show_default="R: the region, else a tenth of the diagonal",
        ),
    ] = None,
    rigid: Annotated[bool, typer.Option("--rigid/--deform", help="Drag it as one body, or like plasticine.")] = False,
    recolor: Annotated[
        list[Any] | None,
        typer.Option(parser=parse_colour, metavar="COLOUR", help="Its mean colour; differences from it stay."),
    ] = None,
    scene: Annotated[
        str | None, typer.Option(metavar="SCENE", help="Posed photos, as of mvgen splat, for --iterations.")
    ] = None,
    iterations: Annotated[
        Any,
        typer.Option(
            parser=parse_count,
            metavar="N",
            help="Then fit what was changed to the photos or the prompt; drags happen in these steps.",
            show_default=f"0; with a prompt {IMAGINE}",
        ),
    ] = None,
    size: Annotated[
        int, typer.Option(min=16, max=8192, metavar="PIXELS", help="Long side of the photos as they are seen.")
    ] = 640,
    prompt: Annotated[
        str | None, typer.Option(metavar="TEXT", help="What splats should become, by a diffusion model.")
    ] = None,
    negative: Annotated[str | None, typer.Option(metavar="TEXT", help="What should not be seen.")] = None,
    views: Annotated[
        str | None,
        typer.Option(
            metavar="FILE", help="Orbits to look from, with prompts, as JSON.", show_default="near what is edited"
        ),
    ] = None,
    weights: Annotated[
        str | None, typer.Option(metavar="NAME|DIR", help="The diffusion model.", show_default="a downloaded one")
    ] = None,
    guidance_scale: Annotated[
        float | None,
        typer.Option(min=0.001, max=1000, metavar="X", help="How much the prompt counts.", show_default="100"),
    ] = None,
    strength: Annotated[
        float | None,
        typer.Option(min=0.03, max=1, metavar="X", help="Most noise; 0.3 changes little.", show_default="0.98"),
    ] = None,
    format: Format = None,
) -> Report:
    """Parts of splats or of a mesh moved, dragged, removed, added, recoloured, fitted again and imagined.

    Operations happen in the order in which they are given. What is not selected stays bit for bit. Numbers are those of
    the file. The steps are written beside the output as NAME.recipe.json, for --recipe.

    Examples:
      mvgen edit bear.ply -o bald.ply --region hat.npz --remove
      mvgen edit bear.ply -o two.ply --duplicate --translate 1,0,0 --rotate y:180
      mvgen edit bear.ply -o bear2.ply --drag 0,1,0:0,1.5,0:0.2
      mvgen edit bear.ply -o clown.ply --region hat.npz --prompt "a bear in a red hat"
      mvgen edit other.ply -o other2.ply --recipe bear2.recipe.json
    """
    told: dict[str, Any] = {"prompt": prompt, "negative": negative, "views": views, "weights": weights}
    told |= {"scale": guidance_scale, "strength": strength}
    _check_together(scene, iterations, {name: value for name, value in told.items() if value is not None})
    job.check(output, format)
    path = job.read(source, "file of splats, checkpoint or mesh", folder=True)
    job.progress.stage("read")
    repeated = {"region": region, "recipe": recipe, "add": add, "translate": translate, "rotate": rotate}
    repeated |= {"scale": scale, "stretch": stretch, "shear": shear, "mirror": mirror, "drag": drag, "recolor": recolor}
    fit = None if scene is None else {"scene": scene, "iterations": int(iterations), "size": size}
    if prompt is not None or views is not None:
        fit = {"guidance": _guidance(job, told), "iterations": int(iterations or IMAGINE)}
    steps = _steps(job, repeated, rigid, about, fit)
    if path.suffix.lower() == CHECKPOINT:
        return _edit_fit(job, path, output, format, steps)
    from mvgen.core.splats.files import holds_splats

    return (_edit_splats if holds_splats(path) else _edit_mesh)(job, path, output, format, steps)


# ---------------------------------------------------------------- what is asked for


def _check_together(scene: str | None, iterations: Any, told: dict[str, Any]) -> None:
    if {"prompt", "views"} & set(told):
        if scene is not None:
            raise UsageError("--scene and --prompt are two ways of fitting", "give one of them")
        if iterations is not None and not iterations:
            raise UsageError("--iterations 0: leaves nothing to do for the prompt", "give more, or no --prompt")
        if "prompt" in told and not told["prompt"].strip():
            raise UsageError("--prompt: says nothing", "write it as --prompt 'a red hat'")
    elif told:
        name = "guidance-scale" if "scale" in told else next(iter(told))
        raise UsageError(f"--{name} is for --prompt", "give a prompt, or leave it out")
    elif (scene is None) != (not iterations):
        raise UsageError("--iterations belongs to --scene or --prompt", "give both, or neither")


def _guidance(job: Job, told: dict[str, Any]) -> Guidance:
    from mvgen.core.edit.recipe import Guidance

    given = {name: value for name, value in told.items() if value is not None}
    if "views" in given:
        given["views"] = reference_of(job, given["views"], "list of views")
    return Guidance(**given)


def _steps(
    job: Job,
    repeated: dict[str, list[Any] | None],
    rigid: bool,
    about: tuple[float, float, float] | None,
    fit: dict[str, Any] | None,
) -> Recipe:
    """The recipe that the options ask for, in their order. All drags are one step, where the first of them stands."""
    from mvgen.core.edit.recipe import Imagine, Recipe, Refit, Select, load_recipe

    left = {name: list(values or ()) for name, values in repeated.items()}
    drags, left["drag"] = left["drag"], left["drag"][:1]
    order, where, steps = list(job.order), None, list[Any]()
    if "region" in order:  # the first one holds from the beginning
        order.insert(0, order.pop(order.index("region")))
    for name in order:
        if name in ("remove", "keep", "duplicate"):
            value: Any = None
        elif left.get(name):
            value = left[name].pop(0)
        else:
            continue
        if name == "region":
            if where is not None:
                raise UsageError(f"--region {value}: follows another one", "join them with mvgen select-region")
            where = where_of(job, value)
            continue
        if name == "recipe":
            old = load_recipe(job.read(value, "recipe")).steps
            steps += old if where is None else _elsewhere(old, where)
        else:
            step = _step(job, name, drags if name == "drag" else value, rigid, about, fit)
            steps.append(replace(step, region=where))
        where = None
    if fit is not None and not drags:
        steps.append((Imagine if "guidance" in fit else Refit)(region=where, **fit))
        where = None
    if not steps:
        raise UsageError("nothing is to be done", "name an operation, such as --translate 0,1,0, or a --recipe")
    return Recipe(tuple(steps) if where is None else (*steps, Select(region=where)))


def _elsewhere(steps: Sequence[Step], where: Where) -> list[Step]:
    """Steps of a recipe with another region in place of theirs; where they have none, they work on it."""
    from mvgen.core.edit.recipe import Select

    if all(step.region is None for step in steps):
        return [Select(region=where), *steps]
    return [step if step.region is None else replace(step, region=where) for step in steps]


def _step(
    job: Job,
    name: str,
    value: Any,
    rigid: bool,
    about: tuple[float, float, float] | None,
    fit: dict[str, Any] | None,
) -> Step:
    from mvgen.core.edit import recipe as r

    make: dict[str, Callable[[], Step]] = {
        "remove": r.Remove,
        "keep": r.Keep,
        "duplicate": r.Duplicate,
        "add": lambda: _add(job, value),
        "translate": lambda: r.Translate(shift=value),
        "rotate": lambda: r.Rotate(axis=value[0], degrees=value[1], about=about),
        "scale": lambda: r.Scale(factor=value, about=about),
        "stretch": lambda: r.Stretch(axis=value[0], factor=value[1], about=about),
        "shear": lambda: r.Shear(axis=value[0], by=value[1], amount=value[2], about=about),
        "mirror": lambda: r.Mirror(axis=value, about=about),
        "recolor": lambda: r.Recolor(colour=tuple(value)),
        "drag": lambda: r.Drag(
            mode="rigid" if rigid else "deform",
            handles=tuple(r.Handle(*reach) for reach in value),
            **(fit or {}),
        ),
    }
    return make[name]()


def _add(job: Job, text: str) -> Step:
    from mvgen.core.edit.recipe import Add
    from mvgen.core.io.transforms import read_transform

    match = _STEPS.fullmatch(text)
    name, steps = (text, None) if match is None or Path(text).exists() else match.groups()
    told = reference_of(job, name, "file of splats")
    if steps is None:
        return Add(file=told)
    try:
        matrix = read_transform(steps)
    except UsageError as error:
        raise UsageError(error.message.replace("--transform", "--add"), error.hint) from None
    return Add(file=told, matrix=tuple(float(v) for v in matrix.reshape(-1)))


# ---------------------------------------------------------------- what is edited


def _place(job: Job) -> Place:
    from mvgen.core.edit.replay import Place
    from mvgen.core.splats.fit.views import posed_photos

    def photos(scene: str, size: int) -> list[Photo]:
        folder = job.scratch / f"scene{len(list(job.scratch.iterdir()))}"
        folder.mkdir()
        return posed_photos(job.read(scene, "scene folder or camera file", folder=True), size, folder, job.progress)[0]

    return Place(photos, job.seed, job.device, job.progress)


def _edit_splats(job: Job, path: Path, output: str, format: str | None, recipe: Recipe) -> Report:
    from mvgen.core.edit.operations import begun
    from mvgen.core.edit.replay import edited
    from mvgen.core.splats.files import WRITE_FORMATS, load_splats, not_kept, save_splats, written_format

    kind = written_format(f".{format.lstrip('.')}" if format else output)
    if kind is None:
        raise UsageError(f"{output}: splats cannot be written as this", "use one of " + ", ".join(WRITE_FORMATS))
    before = load_splats(path, job.progress.warn, None)
    done = edited(begun(before), recipe, _place(job))
    for text in not_kept(done.splats, kind):
        job.progress.warn(f"{output}: {text}")
    _write(job, output, lambda draft: save_splats(_changed(done.splats, output), draft, kind), format, recipe)
    return _told(output, len(before), done, recipe)


def _edit_fit(job: Job, path: Path, output: str, format: str | None, recipe: Recipe) -> Report:
    from mvgen.core.edit.fits import of_state, to_state
    from mvgen.core.edit.replay import edited
    from mvgen.core.splats.fit.state import load_state, save_state

    if (f".{format.lstrip('.')}" if format else Path(output).suffix).lower() != CHECKPOINT:
        raise UsageError(f"{output}: an edited checkpoint is a checkpoint", f"name a {CHECKPOINT} file with -o")
    before = load_state(path, "cpu")
    done = edited(of_state(before), recipe, _place(job))
    _write(job, output, lambda draft: save_state(to_state(done, before), draft), format, recipe)
    return _told(output, len(before), done, recipe)


def _edit_mesh(job: Job, path: Path, output: str, format: str | None, recipe: Recipe) -> Report:
    from mvgen.core.edit.meshes import begun
    from mvgen.core.edit.replay import edited_mesh
    from mvgen.core.io.meshes import MESH_FORMATS, load_mesh, not_kept, save_mesh

    suffix = f".{format.lstrip('.').lower()}" if format else Path(output).suffix.lower()
    if suffix not in MESH_FORMATS:
        raise UsageError(f"{output}: a mesh cannot be written as this", "use one of " + ", ".join(MESH_FORMATS))
    done = edited_mesh(begun(load_mesh(path, job.progress.warn)), recipe, _place(job))
    for text in not_kept(done.mesh, suffix):
        job.progress.warn(f"{output}: {text}")
    _write(job, output, lambda draft: save_mesh(_changed(done.mesh, output), draft, None), format, recipe)
    count, changed = len(done.mesh.vertices), int(done.touched.sum())
    data: dict[str, Any] = {"kind": "mesh", "vertices": count, "faces": len(done.mesh.faces), "changed": changed}
    line = f"{output}: {count:,} vertices, {changed:,} changed"
    return Report(data | {"bounds": done.mesh.bounds, "recipe": _plain(recipe)}, (line,))


def _changed(shape: Any, output: str) -> Any:
    """Splats or a mesh without the scene that their metadata name: its photos show what was before."""
    from mvgen.core.io.origin import noted

    return replace(shape, metadata=noted(shape.metadata, None, output))


def _write(job: Job, output: str, save: Callable[[Path], object], format: str | None, recipe: Recipe) -> None:
    """The output and, beside a file, the recipe."""
    from mvgen.core.edit.recipe import recipe_text

    def both(draft: Path) -> None:
        save(draft)
        if draft.name == Path(output).name:
            draft.with_name(f"{_stem(draft.name)}.recipe.json").write_text(recipe_text(recipe), encoding="utf-8")

    job.progress.stage("write")
    job.write(output, both, format)


def _stem(name: str) -> str:
    return name.removesuffix(".compressed.ply") if name.endswith(".compressed.ply") else Path(name).stem


def _plain(recipe: Recipe) -> Any:
    import json

    from mvgen.core.edit.recipe import recipe_text

    return json.loads(recipe_text(recipe))


def _told(output: str, before: int, done: Any, recipe: Recipe) -> Report:
    count, new = len(done.splats), int((done.origin < 0).sum())
    changed = int((done.touched & (done.origin >= 0)).sum())
    removed = before - (count - new)
    data = {"kind": "splats", "splats": count, "changed": changed, "new": new, "removed": removed}
    line = f"{output}: {count:,} splats, {changed:,} changed, {new:,} new, {removed:,} removed"
    return Report({**data, "bounds": done.splats.bounds, "recipe": _plain(recipe)}, (line,))

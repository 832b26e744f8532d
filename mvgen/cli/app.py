"""The command line's grammar: the commands by name, each loaded when it is called, and the options all share."""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from typing import Annotated, Any, Final

import typer
from typer.core import TyperGroup
from typer.main import get_command

from mvgen import __version__
from mvgen.cli.help import ORDER, HelpfulCommand
from mvgen.core.errors import ExitCode, UsageError

COMMANDS: Final = {
    "reconstruct": "Photos to a textured mesh, points, splats, or a posed scene",
    "generate": "A picture to a textured mesh",
    "splat": "Gaussian splats fitted to posed photos",
    "refine": "A mesh sharpened by normals, or splats by photos, everywhere or in regions",
    "edit": "Parts of splats or a mesh moved, dragged, removed, added, fitted again",
    "select-region": "Some vertices, points, splats or cells, for commands that change only these",
    "render": "Pictures or a video of a mesh, points or splats",
    "view": "Shapes and scenes in a browser",
    "mesh": "A surface from points, depth maps, splats or grids; or a mesh cleaned and changed",
    "convert": "Meshes, points and scenes from one format to another",
    "compress": "Meshes into files of a few kilobytes",
    "decompress": "Compressed meshes back into mesh files",
    "eval": "Measure a result against ground truth",
    "info": "What a file or folder holds",
    "models": "Network weights: list, download, verify",
}

_SETTINGS: Final = {"help_option_names": ["-h", "--help"], "max_content_width": 100}


@dataclass(frozen=True)
class Common:
    """The values of the options that every command has."""

    seed: int
    device: str
    threads: int | None
    json: str | None
    quiet: bool
    verbose: bool
    debug: bool
    overwrite: bool


@dataclass(frozen=True)
class Task:
    """A command ready to run: its name, function, devices, own arguments, the common options, and the names of the
    options in the order in which they were given."""

    name: str
    function: Callable[..., Any]
    devices: tuple[str, ...]
    arguments: dict[str, Any]
    common: Common
    order: tuple[str, ...]


_COMMON: Final[dict[str, tuple[Any, Any]]] = {
    "seed": (
        Annotated[int, typer.Option(min=0, metavar="N", help="Start of the random numbers: same seed, same file.")],
        0,
    ),
    "device": (Annotated[str, typer.Option(metavar="auto|cpu|cuda[:N]", help="Where to compute.")], "auto"),
    "threads": (
        Annotated[int | None, typer.Option(min=1, metavar="N", show_default="all cores", help="CPU threads.")],
        None,
    ),
    "json": (
        Annotated[
            str | None,
            typer.Option("--json", metavar="[=FILE]", help="Report as JSON: to FILE, else to standard output."),
        ],
        None,
    ),
    "quiet": (Annotated[bool, typer.Option("--quiet", "-q", help="Say nothing but errors.")], False),
    "verbose": (Annotated[bool, typer.Option("--verbose", "-v", help="Explain choices, time stages.")], False),
    "debug": (Annotated[bool, typer.Option("--debug", help="Show a traceback of errors.")], False),
    "overwrite": (Annotated[bool, typer.Option(help="Replace an output that exists.")], True),
}


def parse(arguments: tuple[str, ...]) -> Task | int:
    """The task that the arguments describe, or an exit code where there is nothing left to do (help was shown).

    Raises UsageError, or the parser's own errors (``format_message``, ``ctx``).
    """
    result = get_command(_app).main(args=list(arguments), prog_name="mvgen", standalone_mode=False)
    return result if isinstance(result, Task) else int(result or 0)


def available() -> list[str]:
    """Names of the commands whose module is there."""
    return [name for name in COMMANDS if find_spec(_module(name)) is not None]


class _LazyGroup(TyperGroup):
    """Lists commands from the table; imports one only to parse its arguments."""

    def list_commands(self, ctx: Any) -> list[str]:
        return available()

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        return HelpfulCommand(cmd_name, help=COMMANDS[cmd_name]) if cmd_name in available() else None

    def resolve_command(self, ctx: Any, args: list[str]) -> tuple[str | None, Any, list[str]]:
        name = args[0]
        if name not in available():
            if ctx.resilient_parsing:  # a shell asks for completions
                return None, None, args[1:]
            near = difflib.get_close_matches(name, available(), 1)
            raise UsageError(f"no such command: {name}", f"did you mean mvgen {near[0]}?" if near else "mvgen --help")
        return name, _load(name), args[1:]


def _module(name: str) -> str:
    return f"mvgen.commands.{name.replace('-', '_')}"


def _devices(module: Any, arguments: dict[str, Any]) -> tuple[str, ...]:
    """Those that a command can use, which may depend on its arguments: see `mvgen.commands.job`."""
    found: tuple[str, ...] = getattr(module, "DEVICES", ("cpu",))
    return module.devices(arguments) if hasattr(module, "devices") else found


def _load(name: str) -> Any:
    """The parser of one command: its function's parameters without ``job``, and the common options."""
    module = import_module(_module(name))
    function = getattr(module, name.replace("-", "_"))

    def collect(context: Any, **values: Any) -> Task:
        common = Common(**{key: values.pop(key) for key in _COMMON})
        return Task(name, function, _devices(module, values), values, common, context.meta[ORDER])

    own = list(inspect.signature(function, eval_str=True).parameters.values())[1:]
    shared = [
        inspect.Parameter(key, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)
        for key, (annotation, default) in _COMMON.items()
    ]
    context = inspect.Parameter("context", inspect.Parameter.KEYWORD_ONLY, annotation=typer.Context)
    parameters = [context, *(p.replace(kind=inspect.Parameter.KEYWORD_ONLY) for p in own), *shared]
    collect.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    collect.__annotations__ = {p.name: p.annotation for p in parameters}
    collect.__doc__ = function.__doc__
    single = typer.Typer(add_completion=False, rich_markup_mode=None, context_settings=dict(_SETTINGS))
    single.command(name, cls=HelpfulCommand)(collect)
    command = get_command(single)
    command.shared = frozenset(_COMMON)  # type: ignore[attr-defined]
    return command


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"mvgen {__version__}")
        raise typer.Exit


_app = typer.Typer(
    cls=_LazyGroup, no_args_is_help=False, rich_markup_mode=None, context_settings=dict(_SETTINGS), add_completion=True
)


@_app.callback(invoke_without_command=True)
def _root(
    ctx: typer.Context,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> int | None:
    """Photos, prompts and meshes into 3D, one composable step at a time.

    Inputs and outputs are files whose format follows the extension; - is standard input or output.
    """
    if ctx.invoked_subcommand is None:
        typer.echo(ctx.get_help())
        return int(ExitCode.DONE)
    return None

"""Who may import whom: cli -> commands -> core -> kernels, and heavy libraries only where they are used."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "mvgen"
MODULES = sorted(PACKAGE.rglob("*.py"))
LAYERS = ("cli", "commands", "core", "kernels")  # each may import itself and those to its right

SHELL_ONLY = {"typer", "click", "rich", "tqdm"}
HEAVY = {"numpy", "scipy", "torch", "numba", "cv2", "PIL", "trimesh", "pycolmap", "pymeshlab", "imageio", "xatlas"}
LAZY_EVERYWHERE = {"torch", "diffusers", "transformers", "pycolmap", "pymeshlab", "viser"}
# a module so named imports torch as it is loaded, and is itself imported only where it is used
TORCH_MODULES = {
    "network",
    "flexicubes",
    "mlp_torch",
    "raster",
    "raster_reference",
    "splatting",
    "splatting_cuda",
    "splatting_gsplat",
    "splatting_reference",
}
TORCH_FOLDERS = {("core", "splats", "fit")}
SHARED_BY_COMMANDS = {
    "mvgen.commands",
    "mvgen.commands.job",
    "mvgen.commands.options",
    "mvgen.commands.pages",
    "mvgen.commands.places",
    "mvgen.commands.refine_page",
    "mvgen.commands.settings",
}


def _imports(tree: ast.Module) -> Iterator[tuple[str, bool]]:
    """Every imported module's full name, and whether importing the file imports it too."""
    inside = {id(n) for f in ast.walk(tree) if isinstance(f, (ast.FunctionDef, ast.Lambda)) for n in ast.walk(f)}
    typing_only = {
        id(n)
        for i in tree.body
        if isinstance(i, ast.If) and "TYPE_CHECKING" in ast.unparse(i.test)
        for n in ast.walk(i)
    }
    for node in ast.walk(tree):
        eager = id(node) not in inside | typing_only
        if isinstance(node, ast.Import):
            yield from ((alias.name, eager) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are written in full"
            yield str(node.module), eager
            yield from ((f"{node.module}.{alias.name}", eager) for alias in node.names)


def _layer(parts: tuple[str, ...]) -> str | None:
    return parts[0] if parts and parts[0] in LAYERS else None


def _loads_torch(parts: tuple[str, ...]) -> bool:
    """Whether importing a module of the package imports torch."""
    source = PACKAGE.joinpath(*parts).with_suffix(".py").read_text(encoding="utf-8")
    return any(eager and name.split(".")[0] == "torch" for name, eager in _imports(ast.parse(source)))


def _offences(path: Path, source: str) -> list[str]:
    """What a file at ``path`` (relative to the package) imports against the rules."""
    layer, found = _layer(path.parts), []
    for name, eager in _imports(ast.parse(source)):
        top, parts = name.split(".")[0], tuple(name.split(".")[1:])
        target = _layer(parts) if top == "mvgen" else None
        if layer and target and LAYERS.index(target) < LAYERS.index(layer):
            found.append(f"{layer} imports {name}, which is above it")
        if layer == "commands" and target == "commands" and ".".join(name.split(".")[:3]) not in SHARED_BY_COMMANDS:
            found.append(f"a command imports the command {name}")
        if layer in ("core", "kernels") and top in SHELL_ONLY:
            found.append(f"{layer} imports {top}")
        network = path.stem in TORCH_MODULES or path.parts[:-1] in TORCH_FOLDERS
        if eager and top in (HEAVY if layer in ("cli", "commands", None) else LAZY_EVERYWHERE) and not network:
            found.append(f"{top} is imported with the module")
        torch_too = TORCH_MODULES & set(parts[-1:]) or parts[:-1] in TORCH_FOLDERS
        if eager and not network and top == "mvgen" and torch_too and _loads_torch(parts):
            found.append(f"{name} is imported with the module, and torch with it")
        if top == "pycolmap" and "worker" not in path.stem:
            found.append("pycolmap outside a worker process")
    return sorted(set(found))


@pytest.mark.parametrize("path", MODULES, ids=lambda p: p.relative_to(PACKAGE).as_posix())
def test_module_keeps_to_its_layer(path: Path) -> None:
    assert _offences(path.relative_to(PACKAGE), path.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    ("path", "source"),
    [
        ("core/mesh.py", "from mvgen.commands.job import Job"),
        ("core/mesh.py", "def f():\n    from mvgen import cli"),
        ("kernels/a.py", "import mvgen.core.camera"),
        ("commands/render.py", "from mvgen.commands.eval import eval"),
        ("commands/render.py", "from mvgen.commands import eval"),
        ("commands/render.py", "import numpy as np"),
        ("core/a.py", "import rich.table"),
        ("core/a.py", "if True:\n    import torch"),
        ("core/sfm/match.py", "def f():\n    import pycolmap"),
        ("__init__.py", "import numpy"),
    ],
)
def test_rule_is_enforced(path: str, source: str) -> None:
    assert _offences(Path(path), source)


@pytest.mark.parametrize(
    ("path", "source"),
    [
        ("commands/render.py", "def f():\n    import numpy\n    from mvgen.core import camera"),
        ("commands/render.py", "from mvgen.commands.job import Job"),
        ("core/sfm/worker.py", "def f():\n    import pycolmap"),
        ("core/a.py", "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import torch"),
    ],
)
def test_rule_lets_good_code_pass(path: str, source: str) -> None:
    assert _offences(Path(path), source) == []


def test_core_does_not_print_or_exit() -> None:
    for path in (*PACKAGE.glob("core/**/*.py"), *PACKAGE.glob("kernels/**/*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call):
                called = ast.unparse(node.func)
                assert called not in {"print", "sys.exit", "exit", "quit", "os._exit"}, f"{path.name}: {called}"


def test_nothing_untrusted_is_executed() -> None:
    for path in MODULES:
        source = path.read_text(encoding="utf-8")
        for node in ast.walk(ast.parse(source)):
            if isinstance(node, ast.Call):
                called = ast.unparse(node.func)
                assert called not in {"eval", "exec", "pickle.load", "pickle.loads"}, f"{path.name}: {called}"
        assert "allow_pickle=True" not in source

"""Starting up loads nothing heavy; what is loaded is certain, how long it takes is not, so only the first is tested."""

from __future__ import annotations

import subprocess
import sys

import pytest

HEAVY = ("numpy", "torch", "numba", "scipy", "cv2", "PIL", "trimesh", "pycolmap", "pymeshlab", "viser", "rich", "tqdm")

_LISTING = """
import sys
from mvgen.cli.main import main
try:
    main(sys.argv[1:])
except SystemExit as end:
    code = end.code
print("loaded", code, *sorted({name.partition(".")[0] for name in sys.modules}))
"""


def _run(*arguments: str) -> tuple[int, str, set[str]]:
    done = subprocess.run([sys.executable, "-c", _LISTING, *arguments], capture_output=True, text=True, check=True)
    code, *modules = done.stdout.rpartition("loaded ")[2].split()
    return int(code), done.stdout + done.stderr, set(modules)


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        ((), 0, "Usage: mvgen"),
        (("--help",), 0, "Usage: mvgen"),
        (("--version",), 0, "mvgen 0."),
        (("no-such-command",), 2, "error: no such command"),
        (("--no-such-option",), 2, "error: no such option"),
    ],
)
def test_answers_without_loading_anything_heavy(arguments: tuple[str, ...], code: int, words: str) -> None:
    got, text, modules = _run(*arguments)
    assert (got, words in text) == (code, True), text
    assert modules.isdisjoint(HEAVY)


def test_every_listed_command_shows_help_without_loading_anything_heavy() -> None:
    from mvgen.cli.app import COMMANDS, available

    for name in available():
        code, text, modules = _run(name, "--help")
        assert code == 0, text
        assert modules.isdisjoint(HEAVY), name
        assert COMMANDS[name].split()[0] in text
        assert text.partition("Examples:")[2].count(f"mvgen {name}") >= 2, f"{name} shows two examples"


def test_a_wrong_option_of_a_command_is_told_without_loading_anything_heavy() -> None:
    from mvgen.cli.app import available

    for name in available():
        code, text, modules = _run(name, "--no-such-option")
        assert code == 2
        assert f"hint: mvgen {name} --help" in text
        assert modules.isdisjoint(HEAVY), name


def test_importing_the_package_loads_nothing_else() -> None:
    script = "import sys; before = set(sys.modules); import mvgen; print(*(set(sys.modules) - before))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["mvgen"]


def test_module_form_is_the_same_program() -> None:
    done = subprocess.run([sys.executable, "-m", "mvgen", "--version"], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("mvgen ")

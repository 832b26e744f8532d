"""The written pages name only what exists."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGES = [
    ROOT / "README.md",
    *sorted((ROOT / "docs").rglob("*.md")),
    *(ROOT / f / "README.md" for f in ("demo", "examples")),
]


def name_of(path):
    return str(path.relative_to(ROOT))


@pytest.fixture(scope="module")
def known_options():
    """Options of all commands, from their help."""
    commands = sorted(p.stem.replace("_", "-") for p in (ROOT / "mvgen" / "commands").glob("*.py"))
    out = set()
    for command in commands:
        run = subprocess.run([sys.executable, "-m", "mvgen", command, "--help"], capture_output=True, text=True)
        out |= set(re.findall(r"--[a-z][a-z-]*", run.stdout))
    return out | {"--version"}


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_links_lead_somewhere(page):
    targets = re.findall(r"\]\(([^)#]+)[^)]*\)", page.read_text(encoding="utf-8"))
    missing = [t for t in targets if "://" not in t and not (page.parent / t).exists()]
    assert not missing


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_options_exist(page, known_options):
    lines = [
        line
        for line in page.read_text(encoding="utf-8").splitlines()
        if "python " not in line and "pip " not in line  # scripts have options of their own
    ]
    named = set(re.findall(r"(?<![\w-])--[a-z][a-z-]*", "\n".join(lines)))
    assert named <= known_options


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_make_targets_exist(page):
    rules = {
        file: set(re.findall(r"^([a-z-]+):", (ROOT / file).read_text(encoding="utf-8"), re.M))
        for file in ("Makefile", "examples/Makefile", "examples/stages.mk")
    }
    for line in re.findall(r"^ {4}make .*|`make [^`]*`", page.read_text(encoding="utf-8"), re.M):
        words = line.strip("` ").partition("#")[0].split()[1:]
        folder = "examples/" if "examples" in words else ""
        file = words[words.index("-f") + 1] if "-f" in words else "Makefile"
        asked = {w for w in words if re.fullmatch(r"[a-z][a-z-]*", w)} - {"examples"}
        assert asked <= rules[folder + file], line

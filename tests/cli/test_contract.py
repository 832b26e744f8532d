"""What every command keeps to, whatever it does: streams, errors, exit codes, reports, interrupts."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

SHELL = [sys.executable, str(Path(__file__).parent / "shell.py")]
PLY = b"ply\nformat ascii 1.0\nelement vertex 0\nend_header\n"


class Box:
    """A folder to work in, an empty TMPDIR, and the probe command."""

    def __init__(self, folder: Path):
        self.folder, self.scratch = folder / "work", folder / "tmp"
        self.folder.mkdir()
        self.scratch.mkdir()
        (self.folder / "in.ply").write_bytes(PLY)

    def environment(self, **more: str) -> dict[str, str]:
        return {**os.environ, "TMPDIR": str(self.scratch), **more}

    def run(self, *arguments: str, stdin: Any = b"", **more: str) -> subprocess.CompletedProcess[bytes]:
        done = subprocess.run(
            [*SHELL, *arguments], cwd=self.folder, input=stdin, capture_output=True, env=self.environment(**more)
        )
        assert list(self.scratch.iterdir()) == [], "scratch was left behind"
        return done

    def probe(self, *arguments: str, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
        return self.run("probe", *arguments, stdin=stdin)

    @property
    def files(self) -> list[str]:
        return sorted(p.name for p in self.folder.iterdir())


@pytest.fixture
def box(tmp_path: Path) -> Box:
    return Box(tmp_path)


def test_done(box: Box) -> None:
    done = box.probe("in.ply", "-o", "out.ply")
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"copied\n")
    assert (box.folder / "out.ply").read_bytes() == PLY


def test_quiet_says_nothing(box: Box) -> None:
    done = box.probe("in.ply", "-o", "out.ply", "-q", "--act", "warn")
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")


def test_verbose_explains(box: Box) -> None:
    text = box.probe("in.ply", "-o", "out.ply", "-v").stderr.decode()
    assert "a note" in text
    assert "load: 0." in text
    assert "library chatter" in text


# Errors


@pytest.mark.parametrize(
    ("arguments", "code", "error", "hint"),
    [
        (["prob"], 2, "no such command: prob", "did you mean mvgen probe?"),
        (["xyzzy"], 2, "no such command: xyzzy", "mvgen --help"),
        (["probe"], 2, "missing argument 'INPUT'", "mvgen probe --help"),
        (["probe", "in.ply"], 2, "missing option '--output'", "mvgen probe --help"),
        (["probe", "in.ply", "-o", "out.ply", "--fces", "3"], 2, "no such option: --fces", "mvgen probe --help"),
        (["probe", "in.ply", "-o", "out.ply", "--faces", "many"], 2, "many is not a count", "mvgen probe --help"),
        (["probe", "in.ply", "-o", "out.ply", "--size", "big"], 2, "big is not a size", "mvgen probe --help"),
        (["probe", "in.ply", "-o", "out.ply", "--colour", "mauve"], 2, "mauve is not a colour", "mvgen probe --help"),
        (["probe", "in.ply", "-o", "out.ply", "--threads", "0"], 2, "--threads", "mvgen probe --help"),
        (["probe", "in.ply", "-o", "out.ply", "--seed", "-1"], 2, "--seed", "mvgen probe --help"),
        (["probe", "in.ply", "-o", "out.ply", "--device", "tpu"], 2, "--device tpu: no such", "auto, cpu, cuda"),
        (["probe", "in.ply", "-o", "out.ply", "--device", "cuda"], 2, "CPU only", "leave --device out"),
        (["probe", "in.ply", "-o", "out.ply", "--set", "stereo.round=5"], 2, "no such setting", "stereo.rounds?"),
        (["probe", "in.ply", "-o", "-"], 2, "no extension", "--format"),
        (["probe", "missing.ply", "-o", "out.ply"], 3, "missing.ply: no such file", "check the name"),
        (["probe", "empty.ply", "-o", "out.ply"], 3, "empty.ply: is empty", "completely"),
        (["probe", "folder", "-o", "out.ply"], 3, "folder: is a folder, not a mesh", "name a mesh"),
        (["probe", "in.ply", "-o", "folder"], 3, "folder: is a folder", "name a file"),
        (["probe", "in.ply", "-o", "none/out.ply"], 3, "its folder does not exist", "mkdir -p none"),
        (["probe", "in.ply", "-o", "out.ply", "--json=none/r.json"], 3, "none/r.json: its folder", "mkdir -p none"),
        (["probe", "in.ply", "-o", "in.ply", "--no-overwrite"], 3, "in.ply: exists already", "another name"),
        (["probe", "in.ply", "-o", "out.ply", "--act", "cannot"], 1, "photos do not overlap", "take more"),
        (["probe", "in.ply", "-o", "out.ply", "--act", "crash"], 1, "internal: ZeroDivisionError: oops", "--debug"),
        (["probe", "-", "-o", "out.ply"], 3, "standard input: is empty", "before it"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_failure_is_one_line_one_hint_and_no_trace(
    box: Box, arguments: list[str], code: int, error: str, hint: str
) -> None:
    (box.folder / "empty.ply").touch()
    (box.folder / "folder").mkdir()
    done = box.run(*arguments)
    lines = done.stderr.decode().splitlines()
    assert (done.returncode, done.stdout) == (code, b"")
    assert len(lines) == 2, lines
    assert lines[0].startswith("error: ")
    assert error in lines[0]
    assert lines[1].startswith("hint: ")
    assert hint in lines[1]
    assert box.files == ["empty.ply", "folder", "in.ply"]
    assert (box.folder / "in.ply").read_bytes() == PLY


def test_failure_leaves_the_older_output(box: Box) -> None:
    (box.folder / "out.ply").write_bytes(b"older")
    assert box.probe("in.ply", "-o", "out.ply", "--act", "crash").returncode == 1
    assert (box.folder / "out.ply").read_bytes() == b"older"
    assert box.files == ["in.ply", "out.ply"]


def test_debug_shows_where(box: Box) -> None:
    text = box.probe("in.ply", "-o", "out.ply", "--act", "crash", "--debug").stderr.decode()
    assert "Traceback" in text
    assert 'raise ZeroDivisionError("oops")' in text


def test_missed_requirement_exits_one_with_a_report(box: Box) -> None:
    done = box.probe("in.ply", "-o", "out.ply", "--act", "miss", "--json")
    assert done.returncode == 1
    assert json.loads(done.stdout)["output"] == "out.ply"


# Streams


def test_pipe_in_pipe_out(box: Box) -> None:
    done = box.probe("-", "-o", "-", "--format", "ply", stdin=PLY)
    assert (done.returncode, done.stdout) == (0, PLY)
    assert box.files == ["in.ply"]


def test_two_in_a_row(box: Box) -> None:
    one = [*SHELL, "probe", "in.ply", "-o", "-", "--format", "ply", "-q"]
    two = [*SHELL, "probe", "-", "-o", "out.ply", "-q"]
    with subprocess.Popen(one, cwd=box.folder, stdout=subprocess.PIPE) as first:
        assert subprocess.run(two, cwd=box.folder, stdin=first.stdout).returncode == 0
    assert (box.folder / "out.ply").read_bytes() == PLY


def test_standard_input_is_told_by_its_content(box: Box) -> None:
    done = box.probe("-", "-o", "out", "--json", stdin=b"\x89PNG\r\n\x1a\n....")
    assert json.loads(done.stdout)["spooled_as"] == ".png"


def test_unknown_standard_input_is_refused(box: Box) -> None:
    done = box.probe("-", "-o", "out.ply", stdin=b"Dear reader,")
    assert done.returncode == 3
    assert b"standard input: is of no format known here" in done.stderr


def test_named_pipe_and_device_are_not_replaced(box: Box) -> None:
    os.mkfifo(box.folder / "pipe")
    with subprocess.Popen(["cat", str(box.folder / "pipe")], stdout=subprocess.PIPE) as reader:
        assert box.probe("in.ply", "-o", "pipe", "--format", "ply").returncode == 0
        assert reader.communicate(timeout=20)[0] == PLY
    assert (box.folder / "pipe").is_fifo()
    assert box.probe("in.ply", "-o", "/dev/null", "--format", "ply").returncode == 0
    assert Path("/dev/null").is_char_device()


def test_terminals_carry_no_data(box: Box) -> None:
    ours, theirs = os.openpty()
    try:
        streams: dict[str, Any] = {"cwd": box.folder, "env": box.environment(), "stderr": subprocess.PIPE}
        out = subprocess.run([*SHELL, "probe", "in.ply", "-o", "-", "--format", "ply"], stdout=theirs, **streams)
        assert (out.returncode, b"not written to a terminal" in out.stderr) == (2, True)
        inn = subprocess.run([*SHELL, "probe", "-", "-o", "out.ply"], stdin=theirs, **streams)
        assert (inn.returncode, b"which is a terminal" in inn.stderr) == (2, True)
    finally:
        os.close(ours)
        os.close(theirs)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs the device that is always full")
def test_full_disk_is_told(box: Box) -> None:
    done = box.probe("in.ply", "-o", "/dev/full", "--format", "ply")
    assert done.returncode == 1
    assert done.stderr.startswith(b"error: the disk is full\nhint: ")


@pytest.mark.parametrize("arguments", [["--help"], ["probe", "--help"], ["probe", "in.ply", "-o", "o.ply", "--json"]])
def test_reader_that_leaves_is_no_drama(box: Box, arguments: list[str]) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    try:
        done = subprocess.run([*SHELL, *arguments], cwd=box.folder, stdout=writing, stderr=subprocess.PIPE)
    finally:
        os.close(writing)
    assert done.returncode in (1, 141)
    assert b"Traceback" not in done.stderr
    assert b"Exception" not in done.stderr


# Reports


def test_json_has_what_every_report_has(box: Box) -> None:
    done = box.probe("in.ply", "-o", "out.ply", "--json", "--seed", "7", "--threads", "1", "--act", "warn")
    report = json.loads(done.stdout)
    assert report | {"seconds": 0, "peak_memory_mb": 0, "stage_memory_mb": 0, "version": ""} == {
        "command": "probe",
        "output": "out.ply",
        "written": ["out.ply"],
        "seconds": 0,
        "peak_memory_mb": 0,
        "stage_memory_mb": 0,
        "device": "cpu",
        "seed": 7,
        "threads": 1,
        "version": "",
        "warnings": ["something is odd"],
        "spooled_as": ".ply",
        "rounds": 3,
        "faces": 6000,
        "size": None,
        "colour": [0.0, 0.0, 0.0],
        "nan": None,
    }
    assert set(report["seconds"]) == {"load", "save", "total"}
    assert report["peak_memory_mb"] >= report["stage_memory_mb"]["save"] >= report["stage_memory_mb"]["load"] > 1
    assert done.stdout.count(b"\n") == 1


def test_json_goes_to_standard_error_when_data_owns_standard_output(box: Box) -> None:
    done = box.probe("in.ply", "-o", "-", "--format", "ply", "--json")
    assert done.stdout == PLY
    assert json.loads(done.stderr.splitlines()[-1])["output"] == "-"


def test_json_goes_to_a_file(box: Box) -> None:
    done = box.probe("in.ply", "-o", "out.ply", "--json=report.json")
    assert done.stdout == b""
    assert json.loads((box.folder / "report.json").read_bytes())["command"] == "probe"


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["probe", "missing.ply", "-o", "out.ply", "--json"], 3),
        (["probe", "--json"], 2),
        (["nonsense", "--json"], 2),
        (["probe", "in.ply", "-o", "out.ply", "--json", "report.json"], 2),
        (["probe", "in.ply", "-o", "out.ply", "--act", "crash", "--json"], 1),
    ],
)
def test_json_of_a_failure(box: Box, arguments: list[str], code: int) -> None:
    done = box.run(*arguments)
    report = json.loads(done.stdout)
    assert set(report) == {"error", "hint", "exit_code"}
    assert report["exit_code"] == done.returncode == code
    assert f"error: {report['error']}" in done.stderr.decode()


def test_table_is_plain_when_piped(box: Box) -> None:
    text = box.probe("in.ply", "-o", "out.ply", "--act", "table").stderr.decode()
    assert "Scores\nf_score: 0.9877\npsnr: 25\n" in text
    assert text.isascii()
    assert "\x1b" not in text


@pytest.mark.parametrize("variable", [{"NO_COLOR": "1"}, {"TERM": "dumb"}])
def test_no_colour_where_none_is_wanted(box: Box, variable: dict[str, str]) -> None:
    ours, theirs = os.openpty()
    arguments = [*SHELL, "probe", "in.ply", "-o", "out.ply", "--act", "table"]
    try:
        done = subprocess.run(arguments, cwd=box.folder, stderr=theirs, env=box.environment(**variable))
        text = os.read(ours, 1 << 16).decode()
    finally:
        os.close(ours)
        os.close(theirs)
    assert done.returncode == 0
    assert "f_score" in text
    assert "\x1b[3" not in text  # colours and italics; a bar may still move the cursor


# Values


def test_values_reach_the_command(box: Box) -> None:
    own = ["--faces", "1.5k", "--size", "96x72", "--colour", "#ff0000", "--set", "stereo.rounds=5"]
    report = json.loads(box.probe("in.ply", "-o", "out.ply", "--json", *own).stdout)
    assert (report["faces"], report["size"], report["colour"], report["rounds"]) == (1500, [96, 72], [1.0, 0.0, 0.0], 5)


def test_help_of_a_command(box: Box) -> None:
    text = box.probe("--help").stdout.decode()
    assert "\n  mvgen probe in.ply -o out.ply\n  cat in.ply | mvgen probe - -o - --format ply > out.ply\n" in text
    for option in ("--seed", "--device", "--threads", "--json", "--quiet", "--verbose", "--debug", "--no-overwrite"):
        assert option in text


def test_completion_knows_commands_and_options(box: Box) -> None:
    def complete(words: str) -> str:
        more = {"_MVGEN_COMPLETE": "complete_bash", "COMP_WORDS": words, "COMP_CWORD": str(len(words.split()) - 1)}
        return box.run(**more).stdout.decode()

    assert "probe" in complete("mvgen pro")
    assert "--overwrite" in complete("mvgen probe --over")


# Interrupts


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_interrupt_in_the_middle_leaves_nothing(box: Box, number: int) -> None:
    (box.folder / "out.ply").write_bytes(b"older")
    arguments = [*SHELL, "probe", "in.ply", "-o", "out.ply", "--act", "hang"]
    job = subprocess.Popen(arguments, cwd=box.folder, env=box.environment(), stderr=subprocess.PIPE)
    assert job.stderr is not None
    assert job.stderr.readline() == b"hanging\n"
    assert len(box.files) == 3, "the draft is there while the job runs"
    assert len(list(box.scratch.iterdir())) == 1
    children = Path(f"/proc/{job.pid}/task/{job.pid}/children")
    workers = children.read_text().split() if children.exists() else []
    job.send_signal(number)
    assert job.wait(timeout=20) == 130
    assert job.stderr.read() == b"error: interrupted\n"
    assert box.files == ["in.ply", "out.ply"]
    assert (box.folder / "out.ply").read_bytes() == b"older"
    assert list(box.scratch.iterdir()) == []
    assert not any(Path(f"/proc/{pid}").exists() for pid in workers)


def test_an_interrupt_that_a_library_turned_into_another_error_is_an_interrupt(box: Box) -> None:
    arguments = [*SHELL, "probe", "in.ply", "-o", "out.ply", "--act", "hang-in-import"]
    job = subprocess.Popen(arguments, cwd=box.folder, env=box.environment(), stderr=subprocess.PIPE)
    assert job.stderr is not None
    job.stderr.readline()
    job.send_signal(signal.SIGINT)
    assert job.wait(timeout=20) == 130
    assert job.stderr.read() == b"error: interrupted\n"
    assert box.files == ["in.ply"]


def test_impatience_does_not_disturb_the_clean_up(box: Box) -> None:
    arguments = [*SHELL, "probe", "in.ply", "-o", "out.ply", "--act", "hang"]
    job = subprocess.Popen(arguments, cwd=box.folder, env=box.environment(), stderr=subprocess.PIPE)
    assert job.stderr is not None
    job.stderr.readline()
    for _ in range(5):
        job.send_signal(signal.SIGINT)
        time.sleep(0.01)
    assert job.wait(timeout=20) in (130, -signal.SIGINT)  # the last may strike when Python itself is already leaving
    assert box.files == ["in.ply"]
    assert list(box.scratch.iterdir()) == []

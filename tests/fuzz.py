"""A mutation fuzzer of every file format that is read: no crash, no hang, little memory, a sound result or InputError.

    python -m tests.fuzz [--cases 10000] [--seed 0] [--jobs 2] [--kinds mks,ply] [--keep DIR]

Sound files of each kind are damaged at random and read in worker processes that live long. A case fails where the
worker dies, needs more than 10 seconds of processor time (or two minutes in all) or 2 GB, raises anything but
InputError, or returns a mesh that is none. Failing files are kept, and --only N repeats the case N.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import queue
import shutil
import struct
import subprocess
import sys
import tempfile
import threading
import time
import zipfile
import zlib
from collections import Counter
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

SECONDS = 10.0  # of processor time
PATIENCE = 120.0  # seconds in all, for a worker that sleeps
MEGABYTES = 2000
ROOT = Path(__file__).resolve().parents[1]
WORKER = [sys.executable, "-m", "tests.fuzz", "--worker"]
INTEGERS = (0, 1, 0x7F, 0x80, 0xFF, 0x7FFF, 0x8000, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 0x10000000)
WORDS = (b"-1", b"0", b"1e999", b"-1e999", b"nan", b"inf", b"4294967296", b"99999999999999999999", b"1e-320", b"")
MKS = ("closed", "open", "colours", "crowded")


# ---- sound files


@dataclass(frozen=True)
class Sound:
    """files: by name; damaged: the name of the one to change; target: that of what is read, empty for the folder."""

    files: dict[str, bytes]
    damaged: str
    target: str


def kinds() -> list[str]:
    from mvgen.core.compress.codec import CODECS, candidates
    from tests.core.io.test_damage import KINDS

    packed = [f"mks-{codec.name}-{shape}" for codec in candidates("auto") for shape in MKS]
    fields = [f"mks-{codec.name}-{shape}" for codec in CODECS if codec.field for shape in ("closed", "colours", "open")]
    return [*packed, *fields, *KINDS]


@cache
def sound(kind: str) -> Sound:
    if kind.startswith("mks-"):
        codec, _, shape = kind.removeprefix("mks-").rpartition("-")
        return Sound({"a.mks": packed_mesh(codec, shape)}, "a.mks", "a.mks")
    from tests.core.io.test_damage import write

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        damaged, target = write(kind, folder)
        files = {p.name: p.read_bytes() for p in folder.iterdir() if p.is_file()}
        return Sound(files, damaged.name, "" if target == folder else target.name)


def packed_mesh(codec: str, shape: str) -> bytes:
    """A small mesh by one codec."""
    from mvgen.core.compress.auto import compress
    from mvgen.core.compress.codec import CODECS, FieldSettings, Goal
    from mvgen.core.progress import Silent

    made = next(c for c in CODECS if c.name == codec)
    small = FieldSettings(width=8, layers=2, samples=6000)
    goal = Goal(bytes=900, field=small) if made.field else Goal(mean=0.002)
    return compress(small_mesh(shape), goal, made.option, 1, 0, Silent(), only=codec).data


def small_mesh(shape: str) -> Any:
    import trimesh

    from mvgen.core.geometry import Mesh

    made = trimesh.creation.icosphere(2)
    vertices = np.asarray(made.vertices) * [1, 0.7, 0.4] + [0.3, 0, 2]
    faces = np.asarray(made.faces, np.int32)
    colours = (vertices * 0.2 + 0.3).clip(0, 1).astype(np.float32) if shape == "colours" else None
    if shape == "open":
        faces = faces[60:]
    if shape == "crowded":
        faces = np.concatenate([faces, [[0, 1, 2], [int(faces[0, 0]), int(faces[0, 1]), 40]]]).astype(np.int32)
    return Mesh(vertices, faces, colours=colours)


# ---- damage


def damage(data: bytes, rng: np.random.Generator) -> bytes:
    """One to four changes of bytes: flips, numbers, cuts, insertions, repeats, moves, other words."""
    out = bytearray(data)
    for _ in range(int(rng.integers(1, 5))):
        if not out:
            break
        at = int(rng.integers(len(out)))
        size = min(int(2 ** rng.uniform(0, 7)), len(out) - at)
        way = int(rng.integers(8))
        if way == 0:
            out[at] ^= 1 << int(rng.integers(8))
        elif way == 1:
            out[at : at + size] = rng.bytes(size)
        elif way == 2:
            number = INTEGERS[int(rng.integers(len(INTEGERS)))]
            wide = (1, 2, 4, 8)[int(rng.integers(4))]
            order: Any = ("little", "big")[int(rng.integers(2))]
            out[at : at + wide] = (number & ((1 << 8 * wide) - 1)).to_bytes(wide, order)
        elif way == 3:
            del out[at : at + size]
        elif way == 4:
            out[at:at] = rng.bytes(size) if rng.random() < 0.5 else out[at : at + size]
        elif way == 5:
            del out[at:]
        elif way == 6:
            other = int(rng.integers(len(out)))
            out[other : other + size] = out[at : at + size]
        else:
            replace_word(out, at, WORDS[int(rng.integers(len(WORDS)))])
    return bytes(out)


def replace_word(data: bytearray, at: int, word: bytes) -> None:
    """The number in text at or after a place becomes another."""
    digits = b"0123456789.-+e"
    start = at
    while start < len(data) and data[start] not in digits:
        start += 1
    end = start
    while end < len(data) and data[end] in digits and end - start < 30:
        end += 1
    data[start:end] = word


def damage_mks(data: bytes, rng: np.random.Generator) -> bytes:
    """Damage behind right checksums, so that it reaches what reads heads and payloads; or anywhere."""
    if rng.random() < 0.25:
        return damage(data, rng)
    length = data[4]
    head, sections = data[5 : 5 + length], sections_of(data[5 + length + 4 :])
    if rng.random() < 0.2:
        head = damage(head, rng)[:127]
    else:
        one = int(rng.integers(len(sections)))
        sections[one] = sections[one][0], damage(sections[one][1], rng)
    parts = [data[:4] + bytes([len(head)]) + head]
    parts += [bytes([number]) + varint(len(content)) + content for number, content in sections]
    return b"".join(part + struct.pack("<I", zlib.crc32(part)) for part in parts)


def sections_of(data: bytes) -> list[tuple[int, bytes]]:
    """Number and content of each."""
    out, at = [], 0
    while at < len(data):
        number, size, shift = data[at], 0, 0
        while True:
            at += 1
            size |= (data[at] & 127) << shift
            shift += 7
            if data[at] < 128:
                break
        out.append((number, data[at + 1 : at + 1 + size]))
        at += 1 + size + 4
    return out


def damage_zip(data: bytes, rng: np.random.Generator) -> bytes:
    """Damage to one file of an archive, behind its right checksum, so that it reaches what reads it; or anywhere."""
    if rng.random() < 0.25:
        return damage(data, rng)
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    name = sorted(parts)[int(rng.integers(len(parts)))]
    parts[name] = damage(parts[name], rng)
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name, content in parts.items():
            archive.writestr(name, content)
    return out.getvalue()


def varint(value: int) -> bytes:
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    return bytes([*out, value])


def make_case(index: int, seed: int, names: list[str], folder: Path) -> tuple[str, Path, bytes]:
    """The kind of a case, what is to be read, and its damaged bytes, all files written to ``folder``."""
    kind = names[index % len(names)]
    whole, rng = sound(kind), np.random.default_rng([seed, index])
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for name, content in whole.files.items():
        (folder / name).write_bytes(content)
    way = damage_mks if kind.startswith("mks") else damage_zip if whole.damaged.endswith(".npz") else damage
    data = way(whole.files[whole.damaged], rng)
    (folder / whole.damaged).write_bytes(data)
    return kind, folder / whole.target if whole.target else folder, data


# ---- workers


def serve() -> None:
    """Reads what it is told to, a path a line, and answers with a line each."""
    import warnings

    from mvgen.core.errors import InputError
    from mvgen.core.info.describe import describe
    from tests.core.io.test_damage import read

    warnings.simplefilter("ignore")
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
    warm(read)
    print("ready", file=answers, flush=True)
    for line in sys.stdin:
        path = Path(json.loads(line))
        try:
            if path.suffix == ".mks":
                describe(path)
            read(path)
            verdict = "read"
        except InputError as error:
            verdict = "refused" if "\n" not in error.message and len(error.message) < 1000 else "bad: a long message"
        except BaseException as error:
            verdict = f"bad: {type(error).__name__}: {str(error)[:200]}"
        print(json.dumps(verdict), file=answers, flush=True)


def warm(read: Any) -> None:
    """Libraries loaded and kernels compiled; then memory is limited to what is used and 2 GB."""
    import resource

    with tempfile.TemporaryDirectory() as name:
        for kind in kinds():
            folder = Path(name) / kind.replace(".", "_")
            folder.mkdir()
            whole = sound(kind)
            for file, content in whole.files.items():
                (folder / file).write_bytes(content)
            read(folder / whole.target if whole.target else folder)
    used = int(Path("/proc/self/statm").read_text().split()[0]) * os.sysconf("SC_PAGE_SIZE")
    resource.setrlimit(resource.RLIMIT_AS, (used + MEGABYTES * 10**6,) * 2)


class Worker:
    """A process that reads files, started anew when it dies."""

    def __init__(self, command: list[str]):
        self.command = command
        self.process: subprocess.Popen[bytes] | None = None

    def ask(self, path: Path) -> str:
        """``read``, ``refused``, or what went wrong."""
        process = self._living()
        assert process.stdin is not None
        before, looks = self._usage()[0], 0
        try:
            process.stdin.write(json.dumps(str(path)).encode() + b"\n")
            process.stdin.flush()
        except BrokenPipeError:
            return self._died()
        while True:
            try:
                line = self._lines.get(timeout=0.5)
            except queue.Empty:
                looks += 1  # not the clock, which runs on while everything is stopped
                if self._usage()[0] - before > SECONDS or looks > 2 * PATIENCE:
                    self.end()
                    return "bad: takes too long"
                continue
            if not line:
                return self._died()
            verdict = str(json.loads(line))
            peak = self._usage()[1]
            if peak > MEGABYTES:
                self.end()
                return f"bad: needs {peak} MB"
            return verdict

    def end(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None

    def _living(self) -> subprocess.Popen[bytes]:
        if self.process is None:
            self.process = subprocess.Popen(
                self.command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=one_thread()
            )
            self._lines: queue.Queue[bytes] = queue.Queue()
            threading.Thread(target=self._listen, args=(self.process, self._lines), daemon=True).start()
            if self._lines.get() != b"ready\n":
                raise SystemExit("error: a worker of the fuzzer did not start")
        return self.process

    def _listen(self, process: subprocess.Popen[bytes], lines: queue.Queue[bytes]) -> None:
        assert process.stdout is not None
        for line in process.stdout:
            lines.put(line)
        lines.put(b"")

    def _died(self) -> str:
        assert self.process is not None
        code = self.process.wait()
        self.process = None
        return f"bad: the process died with {code}"

    def _usage(self) -> tuple[float, int]:
        """Processor seconds and the largest resident megabytes so far."""
        assert self.process is not None
        try:
            fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
            status = Path(f"/proc/{self.process.pid}/status").read_text()
        except OSError:
            return 0.0, 0
        peak = next((int(row.split()[1]) for row in status.splitlines() if row.startswith("VmHWM")), 0)
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK"), peak // 1000


def one_thread() -> dict[str, str]:
    names = ("NUMBA_NUM_THREADS", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
    return {**os.environ, **dict.fromkeys(names, "1")}


# ---- the run


@dataclass(frozen=True)
class Failure:
    case: int
    kind: str
    what: str
    kept: Path


def fuzz(
    cases: list[int], seed: int, names: list[str], jobs: int, keep: Path, command: list[str] | None = None
) -> tuple[Counter[str], list[Failure]]:
    """How many files were read and refused, and the failures."""
    todo: queue.SimpleQueue[int] = queue.SimpleQueue()
    for index in cases:
        todo.put(index)
    counts: Counter[str] = Counter()
    failures: list[Failure] = []
    lock = threading.Lock()
    for name in names:
        sound(name)  # in the main thread: pymeshlab, once imported in another, crashes when Python ends

    def work(number: int, folder: Path) -> None:
        worker = Worker(command or WORKER)
        try:
            while True:
                try:
                    index = todo.get_nowait()
                except queue.Empty:
                    return
                with lock:
                    kind, target, _ = make_case(index, seed, names, folder)
                verdict = worker.ask(target)
                with lock:
                    counts[verdict if verdict in ("read", "refused") else "failed"] += 1
                    if verdict not in ("read", "refused"):
                        kept = keep / f"case-{seed}-{index}"
                        shutil.copytree(folder, kept, dirs_exist_ok=True)
                        failures.append(Failure(index, kind, verdict, kept))
                        print(f"case {index} ({kind}): {verdict}; kept in {kept}", flush=True)
        finally:
            worker.end()

    with tempfile.TemporaryDirectory() as scratch:
        threads = [threading.Thread(target=work, args=(n, Path(scratch) / str(n))) for n in range(jobs)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    return counts, failures


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--cases", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--kinds", help="beginnings of the kinds to try, as in mks,ply")
    parser.add_argument("--only", type=int, help="the number of one case")
    parser.add_argument("--keep", type=Path, default=Path(tempfile.gettempdir()) / "mvgen-fuzz")
    parser.add_argument("--worker", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args(arguments)
    if given.worker:
        serve()
        return 0
    names = kinds()
    if given.kinds:
        names = [n for n in names if n.startswith(tuple(given.kinds.split(",")))]
    cases = [given.only] if given.only is not None else list(range(given.cases))
    start = time.monotonic()
    counts, failures = fuzz(cases, given.seed, names, given.jobs, given.keep)
    done = ", ".join(f"{counts[word]} {word}" for word in ("read", "refused", "failed"))
    print(f"{len(cases)} cases of {len(names)} kinds in {time.monotonic() - start:.0f} s: {done}")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())

"""One mesh file to one compressed file, and many of them in worker processes."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import dataclass, replace
from multiprocessing import active_children, get_context, parent_process
from pathlib import Path
from time import perf_counter
from typing import Any, Literal

from mvgen.core.compress.auto import Result, compress
from mvgen.core.compress.codec import FieldSettings, Goal
from mvgen.core.errors import CannotError, InputError, MvgenError
from mvgen.core.geometry import Mesh
from mvgen.core.io.meshes import READ_FORMATS, load_mesh, with_vertex_colours
from mvgen.core.progress import Progress, Silent

_THREADS = ("NUMBA_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS")
_PACKED = 12  # bytes of a vertex (three float32) and of a face (three int32)


@dataclass(frozen=True)
class Bound:
    """A largest error: in diagonals, or in the mesh's own units."""

    value: float
    own_units: bool = False

    def of(self, mesh: Mesh) -> float:
        """In diagonals of a mesh."""
        return self.value / max(mesh.diagonal, 1e-300) if self.own_units else self.value


@dataclass(frozen=True)
class Order:
    """What is asked of each file. texture: what becomes of one, which no file holds; field: for codecs of fields."""

    codec: str
    size: int | None
    mean: Bound | None
    maximum: Bound | None
    effort: int
    seed: int
    best_effort: bool
    texture: Literal["colours", "refuse", "drop"]
    field: FieldSettings


@dataclass(frozen=True)
class Outcome:
    """data: the compressed file; facts: plain values about it; notes: what one should know; warnings: of reading."""

    data: bytes
    facts: dict[str, Any]
    notes: tuple[str, ...]
    warnings: tuple[str, ...]


def compress_file(path: Path, name: str, order: Order, progress: Progress) -> Outcome:
    """Raises InputError for what is no mesh, and CannotError, with the best that was found, for a goal not reached;
    both name the file ``name``."""
    start = perf_counter()
    warnings: list[str] = []
    progress.stage("read")
    source = load_mesh(path, lambda text: warnings.append(text.replace(str(path), name)))
    mesh = _without_texture(source, name, order, warnings.append)
    mean, maximum = (None if bound is None else bound.of(mesh) for bound in (order.mean, order.maximum))
    goal = Goal(order.size, mean, maximum, order.field)
    try:
        result = compress(mesh, goal, order.codec, order.effort, order.seed, progress, path.stat().st_size)
    except (CannotError, InputError) as error:
        raise type(error)(f"{name}: {error.message}", error.hint) from error
    if result.missed is not None and not order.best_effort:
        found = f"the nearest is {len(result.data)} bytes with a mean error of {_share(result.errors.mean)}"
        hint = f"{found} and a largest of {_share(result.errors.maximum)}; --best-effort writes it"
        raise CannotError(f"{name}: {result.missed}", hint)
    return Outcome(result.data, _facts(path, source, result, perf_counter() - start), _notes(result), tuple(warnings))


def compress_files(
    sources: Sequence[tuple[Path, str]], order: Order, jobs: int, threads: int, progress: Progress
) -> Iterator[tuple[int, Outcome | MvgenError]]:
    """The outcome or error of each (path, name), by its index, as they are done."""
    progress.stage("compress", len(sources))
    if jobs == 1:
        for index, (path, name) in enumerate(sources):
            yield index, _outcome_or_error(path, name, order)
            progress.advance()
        return
    with _environment(dict.fromkeys(_THREADS, str(max(1, threads // jobs)))), _pool(jobs) as pool:
        pending = {pool.submit(_outcome_or_error, *source, order): i for i, source in enumerate(sources)}
        for done in as_completed(pending):
            yield pending[done], _answer(done.result, sources[pending[done]][1])
            progress.advance()


def mesh_files(folder: Path) -> list[Path]:
    """Every mesh file below a folder, by name, hidden ones left out."""
    wanted = set(READ_FORMATS) - {".xyz", ".mks"}
    found = (p for p in folder.rglob("*") if p.suffix.lower() in wanted and p.is_file())
    return sorted(p for p in found if not any(part.startswith(".") for part in p.relative_to(folder).parts))


def _without_texture(mesh: Mesh, name: str, order: Order, warn: Callable[[str], object]) -> Mesh:
    """The mesh as it can be held. Raises CannotError where textures are to be refused."""
    if mesh.texture is None:
        return mesh
    height, width = mesh.texture.shape[:2]
    if order.texture == "colours":
        warn(f"{name}: its texture ({width}x{height}) becomes colours of the vertices (--texture)")
    if order.texture == "refuse":
        raise CannotError(
            f"{name}: has a texture ({width}x{height}), which a compressed mesh does not hold",
            "--texture colours makes it colours of the vertices, --texture drop leaves it out",
        )
    return with_vertex_colours(mesh) if order.texture == "colours" else replace(mesh, uv=None, texture=None)


def _facts(path: Path, source: Mesh, result: Result, seconds: float) -> dict[str, Any]:
    size, file = len(result.data), path.stat().st_size
    packed = _PACKED * (len(source.vertices) + len(source.faces))
    return {
        "codec": result.codec.name,
        "bytes": size,
        "source_bytes": file,
        "packed_bytes": packed,
        "ratio": size / file,
        "ratio_packed": size / packed,
        "mean_error": result.errors.mean,
        "max_error": result.errors.maximum,
        "max_error_is": "proved" if result.errors.proved else "estimated",
        "vertices": len(result.mesh.vertices),
        "faces": len(result.mesh.faces),
        "source_vertices": len(source.vertices),
        "source_faces": len(source.faces),
        "colours": result.mesh.colours is not None,
        "keeps_faces": result.codec.keeps,
        "missed": result.missed,
        "tried": result.tried,
        "encode_seconds": round(seconds, 3),
    }


def _notes(result: Result) -> tuple[str, ...]:
    notes = [] if result.openness.has_inside else [f"it has no inside ({result.openness.why}); its openings are kept"]
    if result.trim is not None:
        notes = [f"its holes are kept open, by a trim mask of {len(result.trim)} bytes"]
    return (*notes, *([] if result.missed is None else [f"the goal is missed: {result.missed}"]))


def _share(value: float) -> str:
    return f"{100 * value:.2g}%"


# ---- workers


def _outcome_or_error(path: Path, name: str, order: Order) -> Outcome | MvgenError:
    try:
        return compress_file(path, name, order, Silent())
    except MvgenError as error:
        return _plain(error)
    except MemoryError:
        return CannotError(f"{name}: there is not enough memory for it", "try fewer --jobs")


def _plain(error: MvgenError) -> MvgenError:
    """Without the errors that caused it, which a pipe may not carry."""
    error.__cause__ = error.__context__ = None
    return error.with_traceback(None)


def _answer(result: Callable[[], Outcome | MvgenError], name: str) -> Outcome | MvgenError:
    from concurrent.futures.process import BrokenProcessPool

    try:
        return result()
    except BrokenProcessPool:
        return CannotError(f"{name}: a worker process ended unexpectedly", "is memory short? try fewer --jobs")


@contextmanager
def _pool(jobs: int) -> Iterator[ProcessPoolExecutor]:
    """Worker processes, which are killed when the block is left by an error or an interrupt."""
    pool = ProcessPoolExecutor(jobs, get_context("spawn"), _end_with_parent)
    try:
        yield pool
    except BaseException:
        for child in active_children():
            child.kill()
        raise
    finally:
        pool.shutdown(cancel_futures=True)


def _end_with_parent() -> None:
    """A worker does not outlive the process that started it, however that ends; Ctrl-C is that one's business."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = parent_process()

    def watch() -> None:
        if parent is not None:
            parent.join()
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=watch, daemon=True).start()


@contextmanager
def _environment(values: dict[str, str]) -> Iterator[None]:
    before = {key: os.environ.get(key) for key in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for key, value in before.items():
            if value is None:
                del os.environ[key]
            else:
                os.environ[key] = value

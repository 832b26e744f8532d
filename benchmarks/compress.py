"""Compressed meshes beside what Draco makes of them.

    MVGEN_DATA=... python -m benchmarks.compress [--sizes 3k,6k,10k,20k] [--effort 5] [--networks] [NAME|FILE...]

For each mesh under $MVGEN_DATA/meshes that has a stored baseline, or each that is named, and each size: `mvgen
compress`; decimation and Draco, in the quick search that `mvgen compress` has too; and, where it is there, the stored
baseline, a long search over decimations and bits. Then Draco on the whole mesh, 11 bits, most compression. With
--networks also networks of key spheres: the published one, trained as published (about 6 minutes), and ours. Errors are
mean and largest distances in diagonals, 100,000 points each way, measured after decoding.
"""

from __future__ import annotations

import argparse
import json
import math
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from benchmarks.common import data_folder, mvgen, print_machine, print_table
from mvgen.commands.options import parse_count
from mvgen.core.compress.codec import Goal
from mvgen.core.compress.container import frame_of
from mvgen.core.compress.measure import Errors, Surface, measure
from mvgen.core.compress.prepare import prepared
from mvgen.core.errors import MvgenError
from mvgen.core.geometry import Mesh
from mvgen.core.io.meshes import load_mesh
from mvgen.core.progress import Silent

SEED = 11  # of the points; another than the one that the encoder measures with
TIE = 1e-5  # errors below it are equal


@dataclass(frozen=True)
class Row:
    """One way to compress one mesh: bytes, errors, and seconds to encode and to decode."""

    way: str
    size: int
    errors: Errors
    encode: float
    decode: float | None


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("meshes", nargs="*", help="names of stored baselines, or mesh files")
    parser.add_argument("--sizes", default="3k,6k,10k,20k")
    parser.add_argument("--effort", type=int, default=5)
    parser.add_argument("--networks", action="store_true", help="also networks of key spheres, as published and ours")
    given = parser.parse_args()
    print_machine()
    sizes = [parse_count(word) for word in given.sizes.split(",")]
    table: list[list[Any]] = []
    ratios: list[float] = []
    for path, baseline in chosen(given.meshes):
        rows, found = compare(path, baseline, sizes, given.effort)
        table += rows
        if given.networks:
            table += networks(path, given.effort)
        ratios += found
        print(f"  {path.name} done", file=sys.stderr, flush=True)
    header = ["mesh", "way", "bytes", "mean, 1e-6", "max, 1e-6", "encode s", "decode s", "of the baseline"]
    print_table("Compressed meshes (errors in diagonals)", header, table)
    if ratios:
        mean = math.exp(sum(map(math.log, ratios)) / len(ratios))
        print(f"\n  error over the baseline's, {len(ratios)} pairs: geometric mean {mean:.3f}, worst {max(ratios):.3f}")
    return 0


def chosen(names: list[str]) -> list[tuple[Path, dict[str, Any]]]:
    """Meshes, and what is stored of their baselines."""
    data = data_folder()
    stored = {} if data is None else {p.stem: p for p in sorted((data / "meshes" / "baseline").glob("*.json"))}
    out = []
    for name in names or stored:
        if name in stored:
            content = json.loads(stored[name].read_text(encoding="utf-8"))
            out.append(((stored[name].parent / content["mesh"]["path"]).resolve(), content["budgets"]))
        else:
            out.append((Path(name), {}))
    return out


def compare(path: Path, baseline: dict[str, Any], sizes: list[int], effort: int) -> tuple[list[list[Any]], list[float]]:
    """Lines of the table, and our error over the baseline's where they differ."""
    whole = prepared(load_mesh(path))
    mesh = Mesh(whole.moved(frame_of(whole).frame_from_world).vertices, whole.faces)
    source = Surface(mesh)
    table, ratios = [], []
    for size in sizes:
        ours = by_command(path, Surface(whole), whole.diagonal, "--target-size", str(size), "--effort", str(effort))
        stored = baseline.get(str(size))
        ratio = None
        if stored is not None and max(ours.errors.mean, stored["error"]) > TIE:
            ratio = max(ours.errors.mean, TIE) / max(stored["error"], TIE)
            ratios.append(ratio)
        table.append(line(path.stem, ours, ratio))
        try:
            table.append(line(path.stem, decimated(mesh, source, size, effort)))
        except MvgenError as error:
            table.append([path.stem, f"decimation + Draco, {size}: {error.message}", *[None] * 6])
        if stored is not None:
            errors = Errors(stored["error"], 0.0, stored["max"], False)
            table.append(line(path.stem, Row("stored baseline", stored["bytes"], errors, math.nan, None)))
    table.append(line(path.stem, undecimated(mesh, source)))
    return table, ratios


def networks(path: Path, effort: int) -> list[list[Any]]:
    """Lines of the table. A mesh without an inside has none: the command says so."""
    mesh = prepared(load_mesh(path))
    out = []
    for words in (("--paper",), ("--effort", str(effort))):
        try:
            row = by_command(path, Surface(mesh), mesh.diagonal, "--codec", "keyspheres", *words)
        except subprocess.CalledProcessError:
            break
        way = "key spheres as published, float32" if words == ("--paper",) else row.way
        out.append(line(path.stem, replace(row, way=way)))
    return out


def line(name: str, row: Row, ratio: float | None = None) -> list[Any]:
    seconds = None if math.isnan(row.encode) else row.encode
    errors = f"{1e6 * row.errors.mean:.1f}", f"{1e6 * row.errors.maximum:.0f}"
    return [name, row.way, row.size, *errors, seconds, row.decode, ratio]


def by_command(path: Path, source: Surface, diagonal: float, *words: str) -> Row:
    """`mvgen compress` and `decompress`, seconds of the whole commands. Raises CalledProcessError."""
    with tempfile.TemporaryDirectory() as name:
        packed, back = Path(name, "a.mks"), Path(name, "a.ply")
        start = time.perf_counter()
        report = Path(name, "report.json")
        mvgen("compress", path.resolve(), "-o", packed, f"--json={report}", "--texture", "drop", "-q", *words)
        middle = time.perf_counter()
        mvgen("decompress", packed, "-o", back, "-q")
        end = time.perf_counter()
        codec = json.loads(report.read_text(encoding="utf-8"))["codec"]
        found = measure(source, Surface(load_mesh(back)), seed=SEED)
        errors = Errors(found.mean / diagonal, found.doubt / diagonal, found.maximum / diagonal, found.proved)
        return Row(f"mvgen ({codec})", packed.stat().st_size, errors, middle - start, end - middle)


def decimated(mesh: Mesh, source: Surface, size: int, effort: int) -> Row:
    from mvgen.core.compress import draco

    start = time.perf_counter()
    payload = draco.encode(mesh, Goal(size), effort, 0, Silent())
    return timed("decimation + Draco", payload, source, time.perf_counter() - start)


def undecimated(mesh: Mesh, source: Surface) -> Row:
    import DracoPy

    start = time.perf_counter()
    payload = DracoPy.encode(mesh.vertices.astype("float32"), mesh.faces, quantization_bits=11, compression_level=10)
    return timed("Draco, all faces, 11 bits", payload, source, time.perf_counter() - start)


def timed(way: str, payload: bytes, source: Surface, seconds: float) -> Row:
    from mvgen.core.compress import draco

    start = time.perf_counter()
    result = draco.decode(payload)
    return Row(way, len(payload), measure(source, Surface(result), seed=SEED), seconds, time.perf_counter() - start)


if __name__ == "__main__":
    sys.exit(main())

"""Does the workflow hold? Bars for `mvgen reconstruct` as a person uses it, measured on the real command.

    python -m benchmarks.workflow [LINE...] [--work DIR] [--sets DIR...] [--kills 20] [--json FILE]

large    60 photos at 1024 px, 5 of them spoilt, --skip-bad: time, memory, photos placed, F-score
kill     a run with --checkpoint is killed at random moments and goes on: are its files those of an unbroken run?
cameras  --cameras with the true cameras against own ones: F-scores (sets: --sets)
scale    --scale-by with two photos and with marks: error of the result's scale (the first of --sets)
add      --add-to: do old cameras stay, where do new ones come? (the first of --sets)
masks    a turntable with books behind it: with --masks, without, and with --background static

Without LINE all of them run. The sets of large and masks are made by `benchmarks.sets` of a mesh under $MVGEN_DATA,
that of kill by examples/make_photos.py; they are kept in the folder of --work (build/workflow) and used again. A line
whose options a build does not have says so. The exit code is 1 where a bar is missed.
"""

from __future__ import annotations

import argparse
import csv
import json
import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from benchmarks.common import ROOT, data_folder, print_machine
from benchmarks.processes import Run, mvgen, watch
from mvgen.core.alignment import align_cameras, camera_errors, matching_cameras
from mvgen.core.camera import Camera
from mvgen.core.io.cameras import read_cameras
from mvgen.core.io.images import find_photos
from mvgen.core.io.truth import Truth, load_truth
from mvgen.core.render.raycast import Caster

Array = NDArray[np.float64]
MESH = Path("textured_meshes/egyptian_cat/cat.glb")  # under $MVGEN_DATA
SETS = ("rendered/egyptian_cat", "rendered/spot", "rendered/exploding_barrel")
MOST_SECONDS, MOST_MB, LARGE_F = 600, 3000, 0.9  # bars of `large`
CAMERAS_LOSS = 0.0  # of F-score that true cameras may cost
SCALE_ERROR = 0.005
KEPT_DEGREES, KEPT_SHIFT = 0.1, 1e-4  # how much an old camera may move in `add`; the shift in diagonals
NEW_DEGREES = 0.5
MASKED_F = 0.85
CHAIN = 3  # kills in a row before a chain is let go on to its end


@dataclass(frozen=True)
class Row:
    """One line of the table; held: None where nothing was measured."""

    line: str
    bar: str
    measured: str
    held: bool | None = None
    seconds: float | None = None
    peak_mb: float | None = None


class Missed(Exception):
    """A run ended otherwise than it should have; the row that says so."""

    def __init__(self, row: Row):
        super().__init__(row.measured)
        self.row = row


@dataclass(frozen=True)
class Place:
    """Where a line works, and what it was told. run() numbers its logs."""

    folder: Path
    options: argparse.Namespace

    def run(self, line: str, bar: str, *arguments: str | Path) -> Run:
        """Run mvgen. Raises Missed where it fails."""
        run = mvgen(*arguments, log=self.log())
        check(run, line, bar)
        return run

    def log(self) -> Path:
        return self.folder / f"{len(list(self.folder.glob('*.log'))):03d}.log"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("lines", nargs="*", metavar="LINE", help=f"any of {', '.join(LINES)}")
    parser.add_argument("--work", type=Path, default=ROOT / "build" / "workflow", help="where sets and results lie")
    parser.add_argument("--sets", type=Path, nargs="+", metavar="DIR", help="sets with truth (default: rendered ones)")
    parser.add_argument("--large", type=Path, metavar="DIR", help="a set for large, instead of making one")
    parser.add_argument("--turntable", type=Path, metavar="DIR", help="a set for masks, instead of making one")
    parser.add_argument("--photos", type=Path, metavar="DIR", help="photos for kill, instead of making some")
    parser.add_argument("--kills", type=int, default=20, help="runs that are killed once (default 20)")
    parser.add_argument("--chains", type=int, default=4, help=f"runs that are killed {CHAIN} times (default 4)")
    parser.add_argument("--seed", type=int, default=0, help="of the moments of the kills (default 0)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the table as JSON")
    options = parser.parse_args()
    unknown = [line for line in options.lines if line not in LINES]
    if unknown:
        parser.error(f"no such line: {', '.join(unknown)}")
    rows = []
    for name in options.lines or LINES:
        for row in measured(name, options):
            print(f"{row.line}: {row.measured}", file=sys.stderr)
            rows.append(row)
    print_machine()
    show(rows)
    if options.json is not None:
        options.json.write_text(json.dumps([asdict(row) for row in rows], indent=1) + "\n")
    return 1 if any(row.held is False for row in rows) else 0


def measured(name: str, options: argparse.Namespace) -> Iterator[Row]:
    """The rows of a line, made in an empty folder of its own."""
    folder = options.work.resolve() / name
    if folder.exists():
        shutil.rmtree(folder)
    folder.mkdir(parents=True)
    try:
        yield from LINES[name](Place(folder, options))
    except Missed as end:
        yield end.row


def check(run: Run, line: str, bar: str) -> None:
    """Raise Missed where a run failed."""
    lacking = run.lacks()
    if lacking is not None:
        raise Missed(Row(line, bar, f"not in this build: {lacking}"))
    if run.code != 0:
        raise Missed(Row(line, bar, f"failed: {run.told()}", False, run.seconds, run.peak_mb))


def show(rows: list[Row]) -> None:
    table = Table(show_lines=True)
    for title in ("line", "bar", "measured", "held"):
        table.add_column(title, overflow="fold")
    for title in ("seconds", "peak MB"):
        table.add_column(title, justify="right")
    for row in rows:
        held = {None: "-", True: "yes", False: "NO"}[row.held]
        numbers = ["-" if v is None else f"{v:.0f}" for v in (row.seconds, row.peak_mb)]
        table.add_row(row.line, row.bar, row.measured, held, *numbers)
    Console(width=None if sys.stdout.isatty() else 150).print(table)


# ---- large


def large(place: Place) -> Iterator[Row]:
    """Many photos, some of them spoilt."""
    line, bar = "large", f"all usable placed, F >= {LARGE_F}, <= {MOST_SECONDS} s, <= {MOST_MB} MB"
    folder = place.options.large or made(place, "orbit-60", line, bar, "orbit", "--photos=60", "--corrupt=5")
    truth, spoilt = load_truth(folder), json.loads((folder / "meta.json").read_text()).get("corrupt", {})
    result, cameras = place.folder / "result.glb", place.folder / "transforms.json"
    options = ("--skip-bad", f"--save-cameras={cameras}")
    run = place.run(line, bar, "reconstruct", folder / "images", "-o", result, *options)
    score = scores(place, line, bar, result, folder, cameras)
    names = [Path(name).stem for name in spoilt]
    told = sum(name in run.errors for name in names)
    placed = round(score["registered"] * len(truth.cameras))
    measured = (
        f"{placed} of {len(truth.cameras)} usable placed, {told} of {len(names)} spoilt ones named, "
        f"F {score['f_score@1%']:.3f}, PSNR {score['psnr']:.1f}"
    )
    held = placed == len(truth.cameras) and told == len(names) and score["f_score@1%"] >= LARGE_F
    held = held and run.seconds <= MOST_SECONDS and run.peak_mb <= MOST_MB
    yield Row(line, bar, measured, held, run.seconds, run.peak_mb)


# ---- kill


def kill(place: Place) -> Iterator[Row]:
    """Runs killed at random moments, and taken up again."""
    line, bar = "kill", "files equal to those of an unbroken run"
    photos = place.options.photos or small_photos(place, line, bar)
    whole = attempt(place, photos, "whole")
    check(whole, line, bar)
    truth = contents(place, "whole")
    kept = attempt(place, photos, "kept", checkpoint=True)
    check(kept, line, bar)
    same = contents(place, "kept") == truth
    again = attempt(place, photos, "kept", checkpoint=True)
    same = same and again.code == 0 and contents(place, "kept") == truth
    measured = f"{'equal' if same else 'UNEQUAL'}; a second run takes {again.seconds:.1f} s of {kept.seconds:.1f}"
    yield Row(f"{line}: none", bar, measured, same, kept.seconds, kept.peak_mb)
    rng = np.random.default_rng(place.options.seed)
    for label, count, kills in (("once", place.options.kills, 1), (f"{CHAIN} times", place.options.chains, CHAIN)):
        if count:
            yield killed(
                place, photos, truth, (f"{line}: {label}", bar), count, rng.random((count, kills)) * kept.seconds
            )


def killed(
    place: Place, photos: Path, truth: dict[str, bytes], title: tuple[str, str], count: int, moments: Array
) -> Row:
    """Count runs that end with the files of an unbroken one, after kills at moments [count, kills] in seconds."""
    equal, partial, seconds, wrong = 0, 0, 0.0, []
    for k, chain in enumerate(moments):
        name = f"killed{k}"
        for moment in chain:
            run = attempt(place, photos, name, checkpoint=True, kill_after=float(moment))
            seconds += run.seconds
            partial += any(data != truth.get(file) for file, data in contents(place, name).items())
        run = attempt(place, photos, name, checkpoint=True)
        seconds += run.seconds
        good = run.code == 0 and contents(place, name) == truth
        equal += good
        if not good:
            when = ", ".join(f"{m:.2f}" for m in chain)
            wrong.append(f"after {when} s: " + ("other bytes" if run.code == 0 else run.told()))
        shutil.rmtree(place.folder / name)
    measured = f"{equal} of {count} equal; {partial} kills left a partial output"
    measured += "".join(f"; {text}" for text in wrong[:3])
    return Row(*title, measured, equal == count and not partial, seconds, None)


def attempt(place: Place, photos: Path, name: str, checkpoint: bool = False, kill_after: float | None = None) -> Run:
    """One run of `mvgen reconstruct` into a folder of that name."""
    folder = place.folder / name
    folder.mkdir(exist_ok=True)
    options = ["--size=480", "--faces=20k", f"--save-cameras={folder / 'cameras.json'}"]
    options += [f"--checkpoint={folder / 'checkpoint'}"] if checkpoint else []
    log = place.log()
    return mvgen("reconstruct", photos, "-o", folder / "result.glb", *options, log=log, kill_after=kill_after)


def contents(place: Place, name: str) -> dict[str, bytes]:
    """The files that a run wrote, but for its checkpoint; drafts with hidden names are not counted as outputs."""
    folder = place.folder / name
    return {p.name: p.read_bytes() for p in sorted(folder.iterdir()) if p.is_file() and not p.name.startswith(".")}


def small_photos(place: Place, line: str, bar: str) -> Path:
    """Six photos of the examples' still life."""
    folder = place.folder.parent / "sets" / "still-life-6"
    if not folder.is_dir():
        folder.parent.mkdir(exist_ok=True)
        command = [sys.executable, ROOT / "examples" / "make_photos.py", folder]
        check(watch([*command, "--views=6", "--arc=75", "--size=480x360"], place.log()), line, bar)
    return folder / "images"


# ---- cameras


def cameras(place: Place) -> Iterator[Row]:
    """Own cameras against the true ones."""
    for folder in truth_sets(place, "cameras"):
        line, bar = f"cameras: {folder.name}", f"F with true cameras >= own - {CAMERAS_LOSS}"
        own_result, own_cameras = place.folder / f"{folder.name}-own.glb", place.folder / f"{folder.name}-own.json"
        result, cameras = place.folder / f"{folder.name}-true.glb", place.folder / f"{folder.name}-true.json"
        try:
            ask = ("reconstruct", folder / "images", "-o")
            given = f"--cameras={folder / 'cameras.json'}"
            run = place.run(line, bar, *ask, result, given, f"--save-cameras={cameras}")
            own_run = place.run(line, bar, *ask, own_result, f"--save-cameras={own_cameras}")
            own = scores(place, line, bar, own_result, folder, own_cameras)
            with_true = scores(place, line, bar, result, folder, cameras)
            as_it_lies = scores(place, line, bar, result, folder, cameras, "--align=none")
        except Missed as end:
            yield end.row
            continue
        f_own, f_true, f_none = (s["f_score@1%"] for s in (own, with_true, as_it_lies))
        measured = f"F own {f_own:.3f}, true {f_true:.3f}, true and not aligned {f_none:.3f}"
        held = f_true >= f_own - CAMERAS_LOSS and f_none >= f_own - 2 * CAMERAS_LOSS
        yield Row(line, bar, measured + f" ({own_run.seconds:.0f} s with own)", held, run.seconds, run.peak_mb)


# ---- scale


def scale(place: Place) -> Iterator[Row]:
    """Lengths that are told, against lengths in the result; a unit of the truth counts as a metre."""
    folder = truth_sets(place, "scale")[0]
    truth = load_truth(folder)
    a, b = truth.cameras[0], truth.cameras[len(truth.cameras) // 3]
    apart = float(np.linalg.norm(a.centre - b.centre))
    yield scaled(place, folder, "scale: two photos", f"--scale-by={a.name},{b.name}={apart:.9g}m")
    ends = far_apart(truth)
    length = float(np.linalg.norm(ends[1] - ends[0]))
    for label, noise in (("exact marks", 0.0), ("marks 1 px off", 1.0)):
        marks = place.folder / f"{label.replace(' ', '-')}.csv"
        write_marks(marks, truth, ends, noise, np.random.default_rng(place.options.seed))
        yield scaled(place, folder, f"scale: {label}", f"--marks={marks}", f"--scale-by=P,Q={length:.9g}m")


def scaled(place: Place, folder: Path, line: str, *options: str) -> Row:
    bar = f"scale error <= {SCALE_ERROR:.0%}"
    cameras = place.folder / "cameras.json"
    try:
        ask = ("reconstruct", folder / "images", "-o", place.folder / "points.ply", "--as=points", "--size=480")
        run = place.run(line, bar, *ask, f"--save-cameras={cameras}", *options)
    except Missed as end:
        return end.row
    error = scale_of(read_cameras(cameras), load_truth(folder).cameras) - 1
    return Row(line, bar, f"error {error:+.4%}", abs(error) <= SCALE_ERROR, run.seconds, run.peak_mb)


def scale_of(cameras: list[Camera], truth: tuple[Camera, ...]) -> float:
    """Units of the result in one of the truth: the median over pairs of cameras of their distances' ratio."""
    places = {c.name: c.centre for c in cameras}
    pairs = [(x, y) for x, y in combinations([c for c in truth if c.name in places], 2)]
    ratios = [
        np.linalg.norm(places[x.name] - places[y.name]) / np.linalg.norm(x.centre - y.centre)
        for x, y in pairs
        if np.linalg.norm(x.centre - y.centre) > 0
    ]
    return float(np.median(ratios))


def far_apart(truth: Truth) -> Array:
    """[2, 3]: two points of the true shape, far apart, each of which at least three photos show."""
    middles = truth.shape.vertices[truth.shape.faces].mean(1)
    points = middles[:: max(1, len(middles) // 2000)]
    seen = points[np.sum([shown(truth, camera, points) for camera in truth.cameras], axis=0) >= 3]
    gaps = np.linalg.norm(seen[:, None] - seen[None], axis=-1)
    i, j = np.unravel_index(int(gaps.argmax()), gaps.shape)
    return np.stack([seen[i], seen[j]])


def shown(truth: Truth, camera: Camera, points: Array) -> NDArray[np.bool_]:
    """[N]: which points [N, 3] of the true shape a photo shows: not hidden, not at a slant, not at its border."""
    pixels, depth = camera.project(points)
    inside = (depth > 0) & (pixels > 8).all(1) & (pixels < np.array([camera.width, camera.height]) - 8).all(1)
    caster, rays = Caster(truth.shape), points - camera.centre
    hits = caster.hits(camera.centre, rays)
    facing = np.abs((caster.face_normals[hits.face] * rays).sum(1)) / np.linalg.norm(rays, axis=1)
    return inside & (hits.face >= 0) & (np.abs(hits.distance - 1) < 1e-3) & (facing > 0.3)


def write_marks(path: Path, truth: Truth, ends: Array, noise: float, rng: np.random.Generator) -> None:
    """A CSV of name, photo, x, y of two points P and Q in all photos that show them, x and y some pixels off."""
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["name", "photo", "x", "y"])
        for camera in truth.cameras:
            pixels, _ = camera.project(ends)
            for name, pixel, seen in zip("PQ", pixels, shown(truth, camera, ends)):
                if seen:
                    x, y = pixel + noise * rng.normal(size=2)
                    writer.writerow([name, camera.name, f"{x:.2f}", f"{y:.2f}"])


# ---- add


def add(place: Place) -> Iterator[Row]:
    """Photos that join an earlier scene."""
    line, bar = "add", f"old cameras within {KEPT_DEGREES} deg, all new placed within {NEW_DEGREES} deg"
    folder = truth_sets(place, "add")[0]
    truth, photos = load_truth(folder), find_photos([folder / "images"])
    first, rest = photos[: 2 * len(photos) // 3], photos[2 * len(photos) // 3 :]
    scene, cameras = place.folder / "scene", place.folder / "cameras.json"
    place.run(line, bar, "reconstruct", *first, "-o", scene, "--as=scene", "--size=480")
    old = {c.name: c for c in read_cameras(scene)}
    run = place.run(
        line, bar, "reconstruct", *rest, f"--add-to={scene}", "-o", place.folder / "x.glb", f"--save-cameras={cameras}"
    )
    after = read_cameras(cameras)
    unit = (
        truth.diagonal * align_cameras(matching_cameras(truth.cameras, list(old.values()))).scale
    )  # a diagonal, in the scene
    turn, shift = moved(old, after)
    fresh = [c for c in after if c.name not in old]
    similarity = align_cameras(matching_cameras(list(old.values()), truth.cameras))
    off, away = np.array([180.0]), np.array([np.inf])
    if fresh:
        off, away = camera_errors(matching_cameras(fresh, truth.cameras), similarity)
    measured = (
        f"{len(old)} old: turned by at most {turn:.2g} deg, moved by {shift / unit:.1e} diagonals; {len(fresh)} of "
        f"{len(rest)} new, at most {off.max():.3f} deg and {away.max() / truth.diagonal:.2%} of the diagonal off"
    )
    kept = turn <= KEPT_DEGREES and shift / unit <= KEPT_SHIFT and len(after) == len(old) + len(fresh)
    yield Row(
        line, bar, measured, kept and len(fresh) == len(rest) and off.max() <= NEW_DEGREES, run.seconds, run.peak_mb
    )


def moved(before: dict[str, Camera], after: list[Camera]) -> tuple[float, float]:
    """The largest turn in degrees and the largest shift of cameras between two lists, in one frame."""
    turns, shifts = [0.0], [0.0]
    for camera in after:
        if camera.name in before:
            old = before[camera.name]
            chord = float(np.linalg.norm(camera.rotation - old.rotation)) / np.sqrt(8)
            turns.append(float(np.degrees(2 * np.arcsin(min(1.0, chord)))))
            shifts.append(float(np.linalg.norm(camera.centre - old.centre)))
    return max(turns), max(shifts)


# ---- masks


def masks(place: Place) -> Iterator[Row]:
    """A turntable whose surroundings stand still."""
    bar = f"F >= {MASKED_F}"
    folder = place.options.turntable or made(place, "turntable-18", "masks", bar, "turntable", "--photos=18")
    yield on_table(place, folder, "masks: --masks", bar, f"--masks={folder / 'masks'}")
    yield on_table(place, folder, "masks: --background static", bar, "--background=static")
    yield on_table(place, folder, "masks: none", "fails and says why")


def on_table(place: Place, folder: Path, line: str, bar: str, *options: str) -> Row:
    """A reconstruction of a turntable; without options it should fail, as the surroundings make one place of all."""
    name = line.replace(" ", "-").replace(":", "")
    result, cameras = place.folder / f"{name}.glb", place.folder / f"{name}.json"
    run = mvgen("reconstruct", folder / "images", "-o", result, f"--save-cameras={cameras}", *options, log=place.log())
    try:
        check(run, line, bar)
        score = scores(place, line, bar, result, folder, cameras)
    except Missed as end:
        if options or run.code != 1:
            return end.row
        return Row(line, bar, run.told(), "hint:" in run.errors, run.seconds, run.peak_mb)
    measured = f"{score['registered']:.0%} placed, F {score['f_score@1%']:.3f}"
    warned = [text.strip() for text in run.errors.splitlines() if text.strip().startswith("warning:")]
    if not options:
        return Row(line, bar, "; ".join([measured, *warned]), bool(warned), run.seconds, run.peak_mb)
    return Row(line, bar, measured, score["f_score@1%"] >= MASKED_F, run.seconds, run.peak_mb)


# ---- sets and scores


def made(place: Place, name: str, line: str, bar: str, *arguments: str) -> Path:
    """The folder of a set of MESH, made when it is not there yet. Raises Missed where the mesh is not there."""
    folder, data = place.folder.parent / "sets" / name, data_folder()
    if folder.is_dir():
        return folder
    if data is None or not (data / MESH).is_file():
        raise Missed(Row(line, bar, f"no set: $MVGEN_DATA/{MESH} is not there"))
    folder.parent.mkdir(exist_ok=True)
    kind, *more = arguments
    command = [sys.executable, "-m", "benchmarks.sets", kind, data / MESH, "-o", folder, *more]
    check(watch(command, place.log()), line, bar)
    return folder


def truth_sets(place: Place, line: str) -> list[Path]:
    """The sets of --sets, else the rendered ones under $MVGEN_DATA. Raises Missed where there are none."""
    data = data_folder()
    sets = place.options.sets or [data / name for name in SETS if data is not None and (data / name).is_dir()]
    if not sets:
        raise Missed(Row(line, "", "no sets: give --sets, or set MVGEN_DATA"))
    return [folder.resolve() for folder in sets]


def scores(place: Place, line: str, bar: str, result: Path, folder: Path, cameras: Path, *more: str) -> dict[str, Any]:
    """The metrics of `mvgen eval`."""
    report = place.folder / "scores.json"
    place.run(line, bar, "eval", result, folder, f"--cameras={cameras}", f"--json={report}", *more)
    return json.loads(report.read_text(encoding="utf-8"))["metrics"]


LINES: dict[str, Callable[[Place], Iterator[Row]]] = {
    "large": large,
    "kill": kill,
    "cameras": cameras,
    "scale": scale,
    "add": add,
    "masks": masks,
}


if __name__ == "__main__":
    sys.exit(main())

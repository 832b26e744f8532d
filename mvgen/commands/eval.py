"""``mvgen eval``: measure a result against ground truth."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from mvgen.commands.job import Job, Report, Table
from mvgen.core.errors import InputError, UsageError

LENGTHS = ("accuracy", "completeness", "chamfer", "centre_error")


def eval(
    job: Job,
    result: Annotated[str, typer.Argument(metavar="RESULT", help="A mesh or points; - is standard input.")],
    truth: Annotated[
        str,
        typer.Argument(
            metavar="GROUND_TRUTH", help="A mesh or points, or a folder with gt.ply, cameras.json, images/."
        ),
    ],
    cameras: Annotated[
        str | None,
        typer.Option(metavar="FILE|DIR", help="The result's cameras: COLMAP model, transforms.json or cameras.json."),
    ] = None,
    photos: Annotated[
        str | None, typer.Option(metavar="DIR", help="Photos to compare renderings with.", show_default="the folder's")
    ] = None,
    align: Annotated[
        Literal["auto", "none", "similarity", "icp", "cameras"],
        typer.Option(help="auto: by cameras if given, else as it lies if near, else by shape; then refined."),
    ] = "auto",
    thresholds: Annotated[
        str, typer.Option(metavar="LIST", help="Of the F-score, as shares of the diagonal.")
    ] = "0.5%,1%,2%",
    require: Annotated[
        str | None,
        typer.Option(metavar="LIST", help="Conditions, as in 'f_score@1%>=0.9,psnr>=24'; a miss exits with 1."),
    ] = None,
    baseline: Annotated[
        str | None, typer.Option(metavar="FILE", help="An earlier --json report; a worse value exits with 1.")
    ] = None,
    tolerance: Annotated[
        str, typer.Option(metavar="SHARE", help="How much worse than the baseline is good enough.")
    ] = "2%",
    more: Annotated[
        Literal["keyspheres"] | None,
        typer.Option("--metrics", help="Adds those of key spheres: surface, importance, grid errors, gIoU, Chamfer."),
    ] = None,
) -> Report:
    """Measure a result against ground truth.

    Lengths are fractions of the ground truth's bounding-box diagonal, shares lie in 0 to 1, angles are in degrees. With
    a folder as ground truth only its object counts: within its bounds, above the ground, seen by at least two views;
    its photos are compared with renderings of the result over the object.

    Examples:
      mvgen eval scene.glb rendered/ --cameras scene-cameras/
      mvgen eval scan.ply truth.ply --require 'f_score@1%>=0.9' --json
    """
    limits = _thresholds(thresholds)
    known = _metric_names(limits)
    requirements = _requirements(require, known)
    share = _share(tolerance, "--tolerance")
    before = None if baseline is None else _baseline(job.read(baseline, "report of mvgen eval"), baseline)

    from mvgen.core.evaluate import Options, evaluate
    from mvgen.core.io.cameras import read_cameras
    from mvgen.core.io.meshes import load_any
    from mvgen.core.io.truth import load_truth
    from mvgen.core.requirements import misses, regressions

    goal = load_truth(job.read(truth, "mesh, points or rendered set", folder=True), job.progress.warn)
    shape = load_any(job.read(result, "mesh or point file"), job.progress.warn)
    views = [] if cameras is None else read_cameras(job.read(cameras, "camera file", folder=True))
    pictures = None if photos is None else job.read(photos, "folder of photos", folder=True)
    if pictures is not None and not (views or goal.cameras):
        raise UsageError("--photos needs to know where they were taken", "give the result's --cameras")
    scores = evaluate(shape, goal, views, pictures, Options(align, limits, job.seed, more is not None), job.progress)
    failures = misses(requirements, scores.metrics)
    if before is not None:
        failures += regressions(before, scores.metrics, share)
    data: dict[str, Any] = {
        "metrics": scores.metrics,
        "reasons": scores.reasons,
        "alignment": scores.alignment,
        "per_view": scores.per_view,
        "misses": failures,
    }
    lines = [f"aligned by {scores.alignment['by']}", *(f"missed: {text}" for text in failures)]
    return Report(data, tuple(lines), (_table(scores.metrics, scores.reasons),), failed=bool(failures))


def _share(text: str, option: str) -> float:
    from mvgen.core.requirements import parse_share

    try:
        value = parse_share(text)
    except ValueError:
        value = -1.0
    if not 0 <= value <= 1:
        raise UsageError(f"{option} {text}: is not a share", "write it as 2% or 0.02")
    return value


def _thresholds(text: str) -> tuple[float, ...]:
    limits = tuple(_share(part, "--thresholds") for part in text.split(","))
    if not all(limits):
        raise UsageError(f"--thresholds {text}: zero is no threshold", "write them as 0.5%,1%,2%")
    return limits


def _metric_names(limits: tuple[float, ...]) -> list[str]:
    from mvgen.core.metrics import metric_names

    return metric_names(limits)


def _requirements(text: str | None, known: list[str]) -> list[Any]:
    from mvgen.core.requirements import parse_requirements

    return [] if text is None else parse_requirements(text, known)


def _baseline(path: Path, name: str) -> dict[str, float | None]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))["metrics"]
        return {str(key): None if value is None else float(value) for key, value in found.items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        raise InputError(
            f"{name}: is not a report of mvgen eval", "write one with mvgen eval ... --json=FILE"
        ) from None


def _table(values: dict[str, float | None], reasons: dict[str, str]) -> Table:
    rows = [(name, _shown(name, value), reasons.get(name, "")) for name, value in values.items()]
    return Table("", ("metric", "value", "note"), tuple(rows))


def _shown(name: str, value: float | None) -> str:
    if value is None:
        return "-"
    if name in ("surface_error", "importance_error", "grid_error", "chamfer_squared"):
        return f"{value:.3e}"
    if name.startswith(LENGTHS):
        return f"{100 * value:.3f} %"
    if name.startswith("rotation_error"):
        return f"{value:.3f} deg"
    return f"{value:.2f} dB" if name == "psnr" else f"{value:.4f}"

"""``mvgen models``: network weights, listed, brought, checked and found."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from mvgen.commands.job import Job, Report, Table
from mvgen.core.errors import UsageError

if TYPE_CHECKING:
    from mvgen.core.models import Model

NEEDS = {"list": (0, 0), "pull": (1, 99), "verify": (0, 99), "path": (1, 1), "convert": (1, 1)}  # names: least, most


def models(
    job: Job,
    action: Annotated[
        Literal["list", "pull", "verify", "path", "convert"],
        typer.Argument(help="What to do.", show_default=False),
    ],
    names: Annotated[
        list[str] | None,
        typer.Argument(metavar="[NAME|HUB-ID|FILE]...", help="Models of the list, ids on the hub, or files to verify."),
    ] = None,
    output: Annotated[
        str | None, typer.Option("--output", "-o", metavar="DIR", help="Where convert writes its folder.")
    ] = None,
    offline: Annotated[
        bool, typer.Option("--offline", help="pull: use no network; fail if files are missing.")
    ] = False,
) -> Report:
    """Network weights: what there is, under which licence, and what of it is on this machine.

    list shows every checkpoint that mvgen can use. pull downloads one into the model hub's cache (HF_HOME), after
    telling its size, licence and checksum. verify computes checksums, of all that is there or of a file. path prints
    where one lies. convert makes a safetensors folder of a .pth file. No other command downloads anything.

    Examples:
      mvgen models list
      mvgen models pull dust3r-512 && mvgen reconstruct imgs/*.png --method dust3r -o scene.glb
      mvgen models verify DUSt3R_ViTLarge_BaseDecoder_512_dpt.pth
    """
    given = names or []
    least, most = NEEDS[action]
    if not least <= len(given) <= most:
        what = "a name" if len(given) < least else "no more names" if most else "no names"
        raise UsageError(f"models {action}: takes {what}", "mvgen models --help")
    if (action == "convert") != (output is not None):
        raise UsageError(
            "models convert: needs a folder to write" if output is None else f"--output: not with {action}",
            "mvgen models convert FILE.pth -o FOLDER",
        )
    if action == "list":
        return _list()
    if action == "pull":
        return _pull(job, given, offline)
    if action == "verify":
        return _verify(job, given)
    if action == "path":
        return _path(given[0])
    return _convert(job, given[0], str(output))


def _list() -> Report:
    from mvgen.core.models import cached, known_models

    found = [(model, cached(model)) for model in known_models()]
    rows = tuple(
        (m.name, m.method, _size(m.bytes), m.licence, "yes" if folder else "no", m.what) for m, folder in found
    )
    data = {"models": [{**_facts(m), "path": folder and str(folder)} for m, folder in found]}
    return Report(
        data,
        lines=("get one with: mvgen models pull NAME",),
        tables=(Table("", ("name", "method", "size", "licence", "here", "what"), rows),),
    )


def _pull(job: Job, names: list[str], offline: bool) -> Report:
    from mvgen.core.errors import WeightsError
    from mvgen.core.models import cached, download, model_named, remote_files

    found = []
    for model in [model_named(name) for name in names]:
        if offline:
            folder = cached(model)
            if folder is None:
                raise WeightsError(f"{model.name}: is not on this machine", "pull it once without --offline")
        else:
            files = remote_files(model)
            _tell(job, model, [(f.name, f.bytes, f.checksum) for f in files])
            folder = download(model, files, job.progress)
        found.append((model, folder))
    data = {"models": [{**_facts(model), "path": str(folder)} for model, folder in found]}
    return Report(data, lines=tuple(f"{model.name}: {folder}" for model, folder in found))


def _tell(job: Job, model: Model, files: list[tuple[str, int, str]]) -> None:
    """Size, licence and checksums, before anything is brought."""
    total = sum(size for _, size, _ in files)
    job.progress.say(f"{model.name}: {_size(total)} from {model.repository}; licence {model.licence}")
    for name, size, checksum in files:
        job.progress.say(f"  {name}: {size} bytes, checksum {checksum or 'unknown'}")


def _verify(job: Job, names: list[str]) -> Report:
    from mvgen.core.models import cached, known_models, model_named

    rows: list[tuple[str, str]] = []
    for name in names or [m.name for m in known_models() if cached(m) is not None]:
        if Path(name).is_file():
            rows.append((name, _file(job, name)))
        else:
            rows.append((name, _cached(job, model_named(name))))
    good = not any(verdict.startswith("damaged:") for _, verdict in rows)
    lines = () if rows else ("no models are on this machine; see mvgen models list",)
    tables = (Table("", ("model", "verdict"), tuple(rows)),) if rows else ()
    data = {"verdicts": dict(rows)}
    return Report(data, lines=lines, tables=tables, failed=not good)


def _file(job: Job, name: str) -> str:
    """What the checksum of a file tells. An unknown one is no fault: files are published in several forms."""
    from mvgen.core.models import checksum, known_models

    found = checksum(job.read(name, "weights"), "")
    for model in known_models():
        if found in model.sha256:
            return f"is {model.sha256[found]} ({model.name})"
    return f"unknown: SHA-256 {found} is none of those in the list"


def _cached(job: Job, model: Model) -> str:
    from mvgen.core.errors import WeightsError
    from mvgen.core.models import cached, damaged

    folder = cached(model)
    if folder is None:
        raise WeightsError(f"{model.name}: is not on this machine", f"mvgen models pull {model.name}")
    job.progress.stage(f"verify {model.name}")
    wrong = damaged(folder)
    return f"damaged: {', '.join(wrong)}; pull it again" if wrong else "whole"


def _path(name: str) -> Report:
    from mvgen.core.models import find_weights

    path = find_weights(name)
    return Report({"path": str(path)}, answer=str(path))


def _convert(job: Job, name: str, output: str) -> Report:
    from mvgen.core.dust3r.checkpoint import save_network

    path = job.read(name, "weights")
    job.write_folder(output, lambda draft: save_network(path, draft, job.progress))
    return Report({"output": output}, lines=(f"{output}: model.safetensors and config.json",))


def _facts(model: Model) -> dict[str, object]:
    return {
        "name": model.name,
        "method": model.method,
        "repository": model.repository,
        "files": list(model.files),
        "bytes": model.bytes,
        "licence": model.licence,
        "sha256": dict(model.sha256),
    }


def _size(count: int) -> str:
    return f"{count / 1e9:.2f} GB" if count >= 10**8 else f"{count / 1e6:.1f} MB"

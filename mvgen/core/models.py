"""Known network weights (models.toml), and the copies of them in the model hub's cache on this machine."""

from __future__ import annotations

import hashlib
import re
import shutil
import tomllib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mvgen.core.errors import CannotError, InputError, UsageError, WeightsError
from mvgen.core.progress import Progress

HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")
FILES = ("config.json", "model.safetensors")  # of a network that is not in the list
_SPARE = 1 << 28  # bytes to leave free on the disk


@dataclass(frozen=True)
class Model:
    """One checkpoint. repository: its id on the hub; bytes: of the download, about, 0 where unknown; sha256: of other
    published forms of the file, to their names."""

    name: str
    method: str
    what: str
    repository: str
    files: tuple[str, ...]
    bytes: int
    licence: str
    sha256: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Remote:
    """A file on the hub. checksum: SHA-256 of large files, git's SHA-1 of small ones."""

    name: str
    bytes: int
    checksum: str


def known_models() -> list[Model]:
    """Every checkpoint in the list, the preferred ones of a method first."""
    text = Path(__file__).with_name("models.toml").read_text(encoding="utf-8")
    tables = tomllib.loads(text)
    return [Model(**{**values, "name": name, "files": tuple(values["files"])}) for name, values in tables.items()]


def model_named(name: str) -> Model:
    """The checkpoint of a name in the list, or of an id on the hub. Raises UsageError for anything else."""
    for model in known_models():
        if name in (model.name, model.repository):
            return model
    if HUB_ID.fullmatch(name):
        return Model(name, "", "not in mvgen's list", name, FILES, 0, "see its page on the hub")
    known = ", ".join(model.name for model in known_models())
    raise UsageError(f"{name}: is no known model", f"known are {known}; or give an id on the hub, as in owner/name")


def cached(model: Model) -> Path | None:
    """The folder with the model's files in the hub's cache, or None where one is missing."""
    from huggingface_hub import constants

    if not (Path(constants.HF_HUB_CACHE) / f"models--{model.repository.replace('/', '--')}").is_dir():
        return None  # told without the hub's library, which takes a while to load
    from huggingface_hub import try_to_load_from_cache

    found = [try_to_load_from_cache(model.repository, name) for name in model.files]
    return Path(found[-1]).parent if all(isinstance(path, str) for path in found) else None  # type: ignore[arg-type]


def find_weights(given: str) -> Path:
    """A file or folder as it is; the cached copy of a known model or hub id otherwise.

    Raises WeightsError where it was not downloaded yet, InputError where there is no such thing.
    """
    path = Path(given)
    names = {name for model in known_models() for name in (model.name, model.repository)}
    if path.exists() or (given not in names and not HUB_ID.fullmatch(given)) or path.suffix in (".pth", ".safetensors"):
        if not path.exists():
            raise InputError(f"{given}: no such file", "check the name, or see the models there are: mvgen models list")
        return path
    folder = cached(model_named(given))
    if folder is None:
        raise WeightsError(f"{given}: is not on this machine yet", f"mvgen models pull {given}")
    return folder


def default_weights(method: str) -> tuple[str, Path] | None:
    """Name and folder of the preferred model of a method that is on this machine."""
    for model in known_models():
        folder = cached(model) if model.method == method else None
        if folder is not None:
            return model.name, folder
    return None


def remote_files(model: Model) -> list[Remote]:
    """What the hub says of a model's files.

    Raises CannotError where it cannot be asked, WeightsError where it has none.
    """
    from huggingface_hub import get_hf_file_metadata, hf_hub_url

    found = []
    with _explained(model):
        for name in model.files:
            about = get_hf_file_metadata(hf_hub_url(model.repository, name))
            found.append(Remote(name, about.size or 0, about.etag or ""))
    return found


def download(model: Model, files: list[Remote], progress: Progress) -> Path:
    """Bring the files into the hub's cache, each checked against the hub's checksum; returns their folder.

    Files that are there already are not brought again. Raises CannotError where the disk is too small or the connection
    fails, WeightsError where a file is not what the hub said.
    """
    from huggingface_hub import constants, hf_hub_download

    needed = sum(f.bytes for f in files) if cached(model) is None else 0
    place = Path(constants.HF_HUB_CACHE)
    free = shutil.disk_usage(next(p for p in (place, *place.parents) if p.exists())).free
    if needed + _SPARE > free:
        raise CannotError(
            f"{place}: has {free / 1e9:.1f} GB free, and {model.name} takes {needed / 1e9:.1f} GB",
            "make room, or set HF_HOME to a folder on another disk",
        )
    for file in files:
        progress.stage(f"{file.name} (MB)", file.bytes // 10**6)
        with _explained(model):
            path = Path(hf_hub_download(model.repository, file.name, tqdm_class=_counting(progress)))
        if file.checksum and checksum(path, file.checksum) != file.checksum:
            path.resolve().unlink(missing_ok=True)
            path.unlink(missing_ok=True)
            raise WeightsError(f"{model.repository}: {file.name} is not what the hub announced", "pull it again")
    return path.parent


def _counting(progress: Progress) -> Any:
    """What the hub's library takes for a class of progress bars: it counts megabytes for us."""

    class Bar:
        def __init__(self, *_: object, initial: int = 0, **__: object):
            self.done = initial

        def update(self, count: float | None = 1) -> None:
            before, self.done = self.done, self.done + int(count or 0)
            progress.advance(self.done // 10**6 - before // 10**6)

        def __enter__(self) -> Bar:
            return self

        def __exit__(self, *_: object) -> None:
            pass

        def close(self) -> None:
            pass

    return Bar


def damaged(folder: Path) -> list[str]:
    """Names of a cached model's files whose content is not that of their checksum, which the cache keeps as a name."""
    links = (path for path in sorted(folder.rglob("*")) if path.is_symlink())
    return [path.relative_to(folder).as_posix() for path in links if _differs(path)]


def _differs(path: Path) -> bool:
    expected = path.resolve().name
    return not path.exists() or checksum(path, expected) != expected


def checksum(path: Path, like: str) -> str:
    """SHA-256 of a file, or git's SHA-1 of it where `like` is as short as one."""
    if len(like) == 40:
        digest = hashlib.sha1(b"blob %d\0" % path.stat().st_size, usedforsecurity=False)
    else:
        digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


@contextmanager
def _explained(model: Model) -> Iterator[None]:
    """The hub's own errors in our words."""
    from huggingface_hub import errors

    gone = f"https://huggingface.co/{model.repository}"
    try:
        yield
    except errors.GatedRepoError as error:
        raise WeightsError(
            f"{model.repository}: asks for its terms to be accepted", f"accept them at {gone}"
        ) from error
    except (errors.RepositoryNotFoundError, errors.EntryNotFoundError, errors.RevisionNotFoundError) as error:
        if isinstance(error, errors.LocalEntryNotFoundError):
            raise _unreachable(model, error) from error
        raise WeightsError(
            f"{model.repository}: the hub has no {' and '.join(model.files)} there", f"look at {gone}"
        ) from error
    except Exception as error:  # no connection, a full disk, ...: the classes differ with the hub's HTTP library
        raise _unreachable(model, error) from error


def _unreachable(model: Model, error: BaseException) -> CannotError:
    said = (str(error).strip().splitlines() or [type(error).__name__])[0][:160]
    return CannotError(
        f"{model.repository}: cannot be downloaded ({said})", "try again with a connection, or give --weights FILE"
    )

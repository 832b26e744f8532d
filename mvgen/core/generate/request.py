"""What can be asked for, and which model does it."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from mvgen.core.errors import UsageError, WeightsError
from mvgen.core.limits import between
from mvgen.core.models import default_weights, find_weights
from mvgen.core.views.options import ViewsOptions

Stage = Literal["prepare", "views", "coordinates", "triplane", "mesh", "texture"]
Given = Literal["prepare", "views", "coordinates"]  # stages whose files a run can begin with
Model = Literal["auto", "inflate", "views", "crm"]
Precision = Literal["auto", "float32", "bfloat16", "float16"]

STAGES: dict[str, tuple[Stage, ...]] = {
    "inflate": ("prepare", "mesh", "texture"),
    "views": ("prepare", "mesh", "texture"),
    "crm": ("prepare", "views", "coordinates", "triplane", "mesh", "texture"),
}
PULL = "mvgen models pull crm"


@dataclass(frozen=True)
class InflateOptions:
    """thickness: depth of a round part over its width."""

    thickness: float = between(1.0, 0.01, 10.0)


@dataclass(frozen=True)
class CrmOptions:
    """ratio: of the network's picture, taken by the longer side of the object; precision: of the diffusion networks,
    auto is float16 on a GPU and float32 elsewhere; part: connected parts with less than this share of the largest one's
    area are dropped."""

    ratio: float = between(0.9, 0.1, 1.0)
    precision: Precision = "auto"
    part: float = between(0.01, 0, 1)


@dataclass(frozen=True)
class GenerateOptions:
    """Expert settings of the models."""

    inflate: InflateOptions = field(default_factory=InflateOptions)
    views: ViewsOptions = field(default_factory=ViewsOptions)
    crm: CrmOptions = field(default_factory=CrmOptions)


@dataclass(frozen=True)
class Request:
    """What is to be made.

    mask and foreground: how the object is told from its background (see `cut_out`); steps and guidance: of diffusion;
    texture_size: texels along the texture's longer side, None for what suits the model; colours: of vertices instead
    of a texture; first: the stage whose files are given, None for a picture; last: after which to stop; cameras_given:
    of the views, which then stay where they are.
    """

    model: str = "inflate"
    weights: Path | None = None
    mask: Path | None = None
    foreground: str = "auto"
    steps: int = 50
    guidance: float = 5.0
    texture_size: int | None = None
    colours: bool = False
    first: Given | None = None
    last: Stage = "texture"
    cameras_given: bool = False
    seed: int = 0
    device: str = "cpu"
    options: GenerateOptions = field(default_factory=GenerateOptions)

    @property
    def stages(self) -> tuple[Stage, ...]:
        """Those that run."""
        every = STAGES[self.model]
        start = 0 if self.first is None else every.index(self.first) + 1
        return every[start : every.index(self.last) + 1]


@dataclass(frozen=True)
class Choice:
    """A model, its weights where it has any, and a line that tells why and what would be better."""

    model: str
    weights: Path | None
    why: str


def choose_model(wanted: Model, weights: str | None, device: str, several: bool) -> Choice:
    """auto takes views where pictures come with directions (``several``), CRM where its weights are given, or at hand
    with a GPU; else the outline is inflated.

    Raises WeightsError where a model's weights are missing, UsageError for what contradicts.
    """
    if several != (wanted == "views") and (wanted != "auto" or (several and weights is not None)):
        raise UsageError(
            f"--model {wanted}: makes a mesh of one picture, and views were given"
            if several
            else "--model views: needs pictures and where they look from",
            "give --front, --right and so on, or pictures with --cameras, for --model views alone",
        )
    if several:
        return Choice(
            "views", None, "views: the shape that fits all outlines; more photos, and mvgen reconstruct, do better"
        )
    if wanted == "inflate" and weights is not None:
        raise UsageError("--weights: inflate has no use for them", "leave out --weights or --model")
    if wanted == "inflate":
        return Choice("inflate", None, "")
    found = None if weights is None else (weights, find_weights(weights))
    found = found or default_weights("crm")
    if wanted == "crm" or weights is not None:
        if found is None:
            raise WeightsError("crm: its weights are not on this machine", f"{PULL}; or give them with --weights")
        return Choice("crm", found[1], f"crm with {found[0]}")
    if found is None:
        return Choice("inflate", None, f"inflate: the outline made round, the back invented; better: {PULL}, and a GPU")
    if device == "cpu":
        return Choice("inflate", None, "inflate, as crm takes an hour or more without a GPU; --model crm has it run")
    return Choice("crm", found[1], f"crm with {found[0]}")


def check_stages(model: str, first: Given | None, last: Stage) -> None:
    """Raises UsageError for stages that the model does not have, or in the wrong order."""
    every = STAGES[model]
    for name, stage in (("--from", first), ("--stop-after", last)):
        if stage is not None and stage not in every:
            raise UsageError(f"{name} {stage}: is no stage of {model}", f"its stages are {', '.join(every)}")
    if first is not None and every.index(first) >= every.index(last):
        raise UsageError(f"--from {first} --stop-after {last}: leaves nothing to do", "stop later, or begin earlier")

"""What a fit knows between two steps: splats, what Adam remembers of them, and how hard they were pushed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mvgen.core.errors import InputError
from mvgen.core.splats.model import Splats

SPLATS = ("means", "quaternions", "log_scales", "logits", "harmonics")  # tensors with a row for each splat
PARTS = ("values", "first", "second")
BETAS, EPSILON = (0.9, 0.999), 1e-15


@dataclass(frozen=True, eq=False)
class State:
    """values, and Adam's first and second moments of them, by name: those in SPLATS, as in `Splats`, and exposure
    [V, 3, 4]: what is done to the colours of each picture. push [N] and seen [N]: the summed lengths of the gradients
    in the picture and their number, since splats last came or went. step: how many are done."""

    values: dict[str, Tensor]
    first: dict[str, Tensor]
    second: dict[str, Tensor]
    push: Tensor
    seen: Tensor
    step: int = 0

    def __len__(self) -> int:
        return len(self.values["means"])


def begin(splats: Splats, views: int, degree: int, device: str) -> State:
    """The state before the first step; harmonics are brought to a degree."""
    splats = splats.with_degree(degree)
    values = {name: torch.tensor(getattr(splats, name), device=device) for name in SPLATS}
    values["exposure"] = torch.eye(3, 4, device=device).repeat(views, 1, 1)
    return _with_values(values, {}, {}, 0)


def splats_of(state: State, like: Splats) -> Splats:
    """The splats as they are now, with the frame and metadata of others."""
    arrays: dict[str, Any] = {name: state.values[name].detach().cpu().numpy() for name in SPLATS}
    arrays["quaternions"] = arrays["quaternions"] / np.linalg.norm(arrays["quaternions"], axis=1, keepdims=True)
    return replace(like, **arrays)


def picked(state: State, rows: Tensor) -> State:
    """The splats that a mask or an index picks, with their moments."""
    return _with_values(
        _each(state.values, lambda t: t[rows]),
        _each(state.first, lambda t: t[rows]),
        _each(state.second, lambda t: t[rows]),
        state.step,
    )


def joined(state: State, more: Mapping[str, Tensor]) -> State:
    """With more splats, of which Adam knows nothing yet."""
    values = state.values | {name: torch.cat([state.values[name], more[name]]) for name in SPLATS}
    return _with_values(values, state.first, state.second, state.step)


def adam(state: State, gradients: Mapping[str, Tensor], rates: Mapping[str, float | Tensor]) -> State:
    """One step (Kingma and Ba, 2015), in place."""
    step = state.step + 1
    for name, gradient in gradients.items():
        first, second = state.first[name], state.second[name]
        first.lerp_(gradient, 1 - BETAS[0])
        second.mul_(BETAS[1]).addcmul_(gradient, gradient, value=1 - BETAS[1])
        size = (second / (1 - BETAS[1] ** step)).sqrt_().add_(EPSILON)
        state.values[name].sub_(rates[name] * first / size / (1 - BETAS[0] ** step))
    return replace(state, step=step)


def save_state(state: State, path: Path) -> None:
    """Write a state as safetensors."""
    from safetensors.torch import save_file

    tensors = {f"{part}.{name}": t for part in PARTS for name, t in getattr(state, part).items()}
    tensors |= {"push": state.push, "seen": state.seen}
    save_file({k: t.detach().cpu().contiguous() for k, t in tensors.items()}, path, {"step": str(state.step)})


def load_state(path: Path, device: str) -> State:
    """A state that `save_state` wrote. Raises InputError where it is damaged."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, "pt", device=device) as file:
            step = int((file.metadata() or {})["step"])
            parts = {p: {n: file.get_tensor(f"{p}.{n}") for n in (*SPLATS, "exposure")} for p in PARTS}
            return State(**parts, push=file.get_tensor("push"), seen=file.get_tensor("seen"), step=step)
    except (OSError, SafetensorError, KeyError, ValueError) as error:
        raise InputError(f"{path}: is damaged ({error})", "delete it, and the fit begins anew") from error


def _with_values(
    values: dict[str, Tensor], first: Mapping[str, Tensor], second: Mapping[str, Tensor], step: int
) -> State:
    """Moments are filled with zeros for the rows that they lack."""
    count = values["means"].new_zeros(len(values["means"]))
    return State(values, _filled(first, values), _filled(second, values), count, count.clone(), step)


def _filled(moments: Mapping[str, Tensor], values: Mapping[str, Tensor]) -> dict[str, Tensor]:
    out = {}
    for name, value in values.items():
        old = moments.get(name, value[:0])
        out[name] = torch.cat([old, torch.zeros_like(value[len(old) :])])
    return out


def _each(tensors: Mapping[str, Tensor], change: Any) -> dict[str, Tensor]:
    return {name: change(t) if name in SPLATS else t for name, t in tensors.items()}

"""The state of a fit: Adam, rows that come and go, and files."""

import numpy as np
import pytest
import torch

from mvgen.core.errors import InputError
from mvgen.core.splats.fit.state import SPLATS, State, adam, begin, joined, load_state, picked, save_state, splats_of
from tests.core.splats import made


def start(count: int = 12) -> State:
    return begin(made.splats(count, degree=1), 3, 1, "cpu")


def pulled(state: State, steps: int = 4) -> State:
    for step in range(steps):
        random = torch.Generator().manual_seed(step)
        gradients = {n: torch.randn(t.shape, generator=random) for n, t in state.values.items()}
        state = adam(state, gradients, dict.fromkeys(state.values, 0.01))
    return state


def test_adam_steps_as_that_of_torch():
    state = start()
    other = {n: t.clone().requires_grad_() for n, t in state.values.items()}
    optimiser = torch.optim.Adam(list(other.values()), lr=0.01, eps=1e-15)
    for step in range(4):
        random = torch.Generator().manual_seed(step)
        for tensor in other.values():
            tensor.grad = torch.randn(tensor.shape, generator=random)
        optimiser.step()
    for name, tensor in pulled(state).values.items():
        assert torch.allclose(tensor, other[name], atol=1e-6)


def test_rows_keep_their_moments_and_new_ones_have_none():
    state = pulled(start())
    some = picked(state, torch.tensor([3, 0, 7]))
    more = joined(some, {n: torch.ones_like(some.values[n][:2]) for n in SPLATS})
    assert len(some) == 3 and len(more) == 5 and len(more.push) == 5 and more.step == state.step
    for name in SPLATS:
        for part in ("values", "first", "second"):
            assert torch.equal(getattr(some, part)[name], getattr(state, part)[name][[3, 0, 7]])
            assert torch.equal(getattr(more, part)[name][:3], getattr(some, part)[name])
        assert not more.first[name][3:].any() and not more.second[name][3:].any()
    assert torch.equal(more.first["exposure"], state.first["exposure"])


def test_file_and_back(tmp_path):
    state = pulled(start())
    state.push.add_(2)
    save_state(state, tmp_path / "a.safetensors")
    back = load_state(tmp_path / "a.safetensors", "cpu")
    assert back.step == 4 and torch.equal(back.push, state.push)
    for part in ("values", "first", "second"):
        assert all(torch.equal(t, getattr(state, part)[n]) for n, t in getattr(back, part).items())
    assert np.array_equal(splats_of(back, made.splats(1)).means, state.values["means"].numpy())


@pytest.mark.parametrize("damage", [lambda b: b[:40], lambda b: b"", lambda b: b"\xff" * 8 + b[8:]])
def test_damaged_file_is_refused(tmp_path, damage):
    save_state(start(), tmp_path / "a.safetensors")
    (tmp_path / "a.safetensors").write_bytes(damage((tmp_path / "a.safetensors").read_bytes()))
    with pytest.raises(InputError, match="damaged"):
        load_state(tmp_path / "a.safetensors", "cpu")

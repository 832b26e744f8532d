"""How gsplat is called, by a stand-in for it."""

from __future__ import annotations

import sys
import types
from typing import Any

import pytest
import torch

from mvgen.kernels import splatting, splatting_gsplat
from tests.kernels.test_splatting import HEIGHT, WIDTH, camera, splats


def rasterization(
    means: Any, quats: Any, scales: Any, opacities: Any, colors: Any, viewmats: Any, Ks: Any, width: int, height: int,
    near_plane: float, eps2d: float, packed: bool, rasterize_mode: str,
) -> Any:  # fmt: skip
    """What gsplat does with its arguments, by our kernels."""
    assert (near_plane, eps2d) == (splatting.NEAR, splatting.LOW_PASS)
    assert viewmats.shape == (1, 4, 4) and Ks.shape == (1, 3, 3) and (opacities >= 0).all() and (scales >= 0).all()
    antialiased = {"classic": False, "antialiased": True}[rasterize_mode]
    picture, light = splatting.draw(
        means, quats, torch.log(scales), torch.logit(opacities), colors, viewmats[0], Ks[0], height, width, antialiased
    )
    return picture[None], (1 - light)[None, ..., None], {}


@pytest.mark.parametrize("antialiased", [False, True])
def test_arguments_and_results_mean_the_same(monkeypatch: pytest.MonkeyPatch, antialiased: bool) -> None:
    module = types.ModuleType("gsplat")
    module.rasterization = rasterization  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "gsplat", module)
    scene = splats(15, torch.float64)
    colours = torch.rand(15, 7, dtype=torch.float64)
    arguments = (*scene[:4], colours, *camera(torch.float64), HEIGHT, WIDTH, antialiased)
    one, other = splatting.draw(*arguments), splatting_gsplat.draw(*arguments)
    assert one[0].abs().max() > 0.1
    assert torch.allclose(one[0], other[0], atol=1e-9) and torch.allclose(one[1], other[1], atol=1e-9)


def test_why_it_cannot_draw(monkeypatch: pytest.MonkeyPatch) -> None:
    assert splatting_gsplat.why_not("cpu") == "it needs a CUDA device"
    monkeypatch.setitem(sys.modules, "gsplat", None)
    monkeypatch.setattr(torch, "zeros", lambda *size, device: torch.full(size, 0.0))
    monkeypatch.setattr(torch, "tensor", lambda values, device: torch.as_tensor(values))
    monkeypatch.setattr(torch, "eye", lambda size, device: torch.diag(torch.full((size,), 1.0)))
    assert splatting_gsplat.why_not("cuda:0") == "it is not installed"

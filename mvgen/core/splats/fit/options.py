"""How splats are fitted."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from mvgen.core.limits import between

Strategy = Literal["default", "mcmc"]


@dataclass(frozen=True)
class Rates:
    """Adam's steps. That of the means is in extents of the cameras, and falls to ``last`` of itself."""

    means: float = between(5e-4, 0)
    last: float = between(0.01, 0, 1)
    quaternions: float = between(1e-3, 0)
    log_scales: float = between(5e-3, 0)
    logits: float = between(5e-2, 0)
    colours: float = between(2.5e-3, 0)
    harmonics: float = between(1.25e-4, 0)  # of the bands above the constant one
    exposure: float = between(1e-3, 0)


@dataclass(frozen=True)
class Density:
    """When splats come and go. Times are shares of all iterations; sizes are in extents of the cameras.

    gradient: of the loss by a splat's place in the picture, whose half side is 1: above it a splat is split or doubled;
    large: a splat of this size is split, a smaller one doubled; reset: from time to time all opacities fall (0: never).
    """

    start: float = between(0.02, 0, 1)
    stop: float = between(0.6, 0, 1)
    every: float = between(0.01, 0.0001, 1)
    gradient: float = between(2e-4, 0)
    large: float = between(0.01, 0)
    faint: float = between(0.005, 0, 1)  # opacity below which a splat is dropped, or moved by mcmc
    reset: float = between(0.0, 0, 1)
    noise: float = between(5e5, 0)  # of mcmc: how much means are shaken, in steps of Adam


@dataclass(frozen=True)
class FitOptions:
    """strategy: how splats come and go: by gradients (Kerbl et al. 2023), or by moving the faint ones to where others
    are (Kheradmand et al., "3D Gaussian splatting as Markov chain Monte Carlo", 2024)."""

    size: int = between(640, 16, 8192)  # long side of the photos as they are seen, in pixels
    iterations: int = between(1000, 1)
    splats: int = between(50_000, 1)  # at most
    degree: int = between(3, 0, 3)
    strategy: Strategy = "default"
    antialiased: bool = False
    structure: float = between(0.2, 0, 1)  # share of SSIM in the loss
    outside: float = between(0.5, 0)  # weight of what is seen outside the masks
    depth: float = between(1.0, 0)  # weight of depths, where they are known
    exposure: bool = False  # each picture has a brightness and colour balance of its own
    opaque: float = between(0.01, 0)  # of mcmc: weight of the mean opacity
    small: float = between(0.01, 0)  # of mcmc: weight of the mean size
    flat: float = between(1.0, 0)  # weight of the mean thickness
    first: float = between(0.8, 0.01, 1)  # share of the most splats to start with, at most
    rates: Rates = field(default_factory=Rates)
    density: Density = field(default_factory=Density)

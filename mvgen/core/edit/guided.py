"""Splats changed towards what a prompt says: views near what is edited and of the whole, judged by a diffusion model.

Source: Dong et al., "Interactive3D" (2024), sections 3.1.4 and 3.1.5: score distillation of what is selected, in views
that zoom in on it. Rates and the threshold at which splats part are those of Chen et al., "GSGEN" (2023).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from mvgen.core.camera import Camera
from mvgen.core.errors import UsageError
from mvgen.core.guidance.distil import Distillation, distilled
from mvgen.core.guidance.folder import kind_of
from mvgen.core.guidance.orbits import FOV, Orbit, around, middle_around, sampled, side_seen, zoomed
from mvgen.core.progress import Progress
from mvgen.core.render.orbit import robust_points
from mvgen.core.splats.model import Splats
from mvgen.core.splats.seen import cameras_of, up_of

if TYPE_CHECKING:
    from torch import Tensor

    from mvgen.core.guidance.network import Guide, Text
    from mvgen.core.splats.fit.local import Loss, Task
    from mvgen.core.splats.fit.options import FitOptions
    from mvgen.kernels.splatting import Flat

LOCAL = 0.7  # share of the views that are near what is edited
WEIGHT = 0.1  # of score distillation, beside the losses of a drag
PICTURE = 512  # pixels along a side of a view, at most
PUSH = 0.02  # of a splat's place at distance 1, by the loss: above it, the splat parts
REACH = 2.0  # standard deviations of a splat that should be in the picture
SIDES = ("front", "side", "back", "overhead")


@dataclass(frozen=True, eq=False)
class Wish:
    """What should be seen. folder: of the diffusion model; prompt: None where every orbit has one; orbits: of the local
    views; none: they zoom in on what is edited."""

    folder: Path
    prompt: str | None
    negative: str
    orbits: Sequence[Orbit]
    options: Distillation


@dataclass(frozen=True, eq=False)
class Views:
    """local: orbits near what is edited; whole: the orbit of everything; seen: cameras in its place, where it is known;
    neither where no prompt is for the whole. up, centre [3]: of the splats, for the words of a view; reach: how far
    away the cameras of the whole are."""

    local: Sequence[Orbit]
    whole: Orbit | None
    seen: Sequence[Camera]
    up: NDArray[np.float64]
    centre: NDArray[np.float64]
    reach: float

    @property
    def prompts(self) -> list[Orbit]:
        """An orbit for each prompt."""
        return [*self.local, *([] if self.whole is None else [self.whole])]

    def drawn(self, size: int, rng: np.random.Generator) -> tuple[Camera, Orbit]:
        """A camera, and the orbit that tells what should be seen from it."""
        if self.whole is None or rng.random() < LOCAL:
            orbit = self.local[int(rng.integers(len(self.local)))]
            return sampled(orbit, self.up, size, rng), orbit
        if self.seen:
            return self.seen[int(rng.integers(len(self.seen)))].resized(size, size), self.whole
        return sampled(self.whole, self.up, size, rng), self.whole


def views_of(wish: Wish, splats: Splats, points: NDArray[np.floating], sizes: NDArray[np.floating]) -> Views:
    """Views of splats, and near points [N, 3] that reach ``sizes`` [N] around them.

    Raises UsageError where an orbit has no prompt.
    """
    up, everything = up_of(splats), robust_points(splats)
    centre = (everything.min(0) + everything.max(0)) / 2
    seen = cameras_of(splats, (PICTURE, PICTURE))
    outer = around(everything, np.zeros(len(everything)), wish.prompt or "", wish.negative)
    reach = float(np.median([np.linalg.norm(c.centre - centre) for c in seen])) if seen else outer.distance[0]
    whole = None if wish.prompt is None else outer
    if not wish.orbits:
        near = zoomed(points, sizes, wish.prompt or "", middle_around(points, everything), up, wish.negative)
        return Views([near], whole, seen, up, centre, reach)
    if wish.prompt is None and not all(orbit.prompt for orbit in wish.orbits):
        raise UsageError("--views: an orbit has no prompt", "give --prompt, which is for those without one")
    local = [_worded(orbit, wish) for orbit in wish.orbits]
    return Views(local, whole, seen, up, centre, reach)


def _worded(orbit: Orbit, wish: Wish) -> Orbit:
    return replace(orbit, prompt=orbit.prompt or wish.prompt or "", negative=orbit.negative or wish.negative)


def told(prompt: str, side: str) -> str:
    """What a model is told of a view from a side."""
    return f"{prompt}, {side} view"


def guided(
    wish: Wish,
    views: Views,
    around: Mapping[str, Tensor],
    splats: Splats,
    iterations: int,
    seed: int,
    device: str,
    progress: Progress,
) -> Task:
    """The task of splats in views among those ``around`` (as `State.values`) with a model that is loaded here.

    splats: all of them, for what their metadata tell. Raises WeightsError.
    """
    from mvgen.core.guidance.network import load_guide, read_prompts
    from mvgen.core.splats.fit.local import Task
    from mvgen.core.splats.fit.options import Density, FitOptions, Rates

    progress.stage("prompts")
    words = [told(orbit.prompt, side) for orbit in views.prompts for side in SIDES]
    texts = read_prompts(wish.folder, [*words, *(orbit.negative for orbit in views.prompts)], device, progress)
    progress.stage("model")
    guide = load_guide(wish.folder, device)
    progress.note(f"what the prompt says is judged by the {kind_of(wish.folder)} in {wish.folder}")
    if device == "cpu" and guide.side >= PICTURE:
        progress.warn("without a GPU, a step towards a prompt takes minutes")
    options = FitOptions(
        iterations=iterations,
        splats=len(splats),
        degree=splats.degree,
        antialiased=bool(splats.metadata.get("antialiased")),
        rates=Rates(means=2e-3, last=0.1, quaternions=3e-3, log_scales=3e-3, logits=3e-3, colours=1e-2, harmonics=5e-4),
        density=Density(gradient=PUSH * float(np.tan(np.radians(FOV / 2)))),
    )
    return Task(_loss(guide, texts, views, wish.options, around, options, seed), options, views.reach, seed)


def _loss(
    guide: Guide,
    texts: Mapping[str, Text],
    views: Views,
    distillation: Distillation,
    around: Mapping[str, Tensor],
    options: FitOptions,
    seed: int,
) -> Loss:
    from mvgen.core.splats.fit.train import noise, together, view

    size = min(guide.side, PICTURE)

    def loss(values: Mapping[str, Tensor], i: int) -> tuple[Tensor, Flat, Camera]:
        rng = np.random.default_rng([seed, i])
        camera, orbit = views.drawn(size, rng)
        flat, picture, light, _ = view(together(values, around), camera, options.degree, options.antialiased)
        picture = picture + light[..., None] * picture.new_tensor(rng.random(3))
        prompt = texts[told(orbit.prompt, side_seen(camera, views.centre, views.up))]
        pictures = picture.permute(2, 0, 1)[None]
        share, draw = i / options.iterations, noise(seed, i, 2)
        found = distilled(guide, pictures, prompt, texts[orbit.negative], distillation, share, draw)
        return WEIGHT * found, flat, camera

    return loss

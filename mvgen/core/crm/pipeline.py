"""The four stages from a picture to a mesh, each a function of plain arrays that loads what it needs and frees it.

The mesh's frame is glTF's: x to the right, y up and z towards the viewer of the input picture, everything within
about [-1, 1]. Of the cameras' frame (see `sampler`) it is (x, z, -y); the triplane's is that after half a turn.

Views and coordinate maps are [6, S, S, 3] uint8 sRGB in the order front, left, below, back, right, above (see
`sampler`), on grey (127, 127, 127); S is 256 for the published weights. In a coordinate map red, green and blue are x,
y and z of the surface.

Every stage raises WeightsError for weights that are missing or do not fit, CannotError for a precision that the device
does not have, or in which a network overflows, and ValueError for arrays of other shapes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from mvgen.core.crm.checkpoint import (
    Precision,
    Source,
    Stage,
    load_reconstruction,
    load_schedule,
    load_text,
    load_unet,
    load_vae,
    load_vision,
    open_stage,
)
from mvgen.core.crm.sampler import FRAMES, Floats, Step, camera_vectors, predictor, sample, sampler_steps, start_noise
from mvgen.core.errors import CannotError
from mvgen.core.progress import Progress, Silent

if TYPE_CHECKING:
    from torch import Generator, Tensor

    from mvgen.core.crm.triplane import Triplane

Pictures = NDArray[np.uint8]

GREY = 127  # of the background that the networks were trained with
STEPS = 50
GUIDANCE = 5.0
_FRAME_OF_VIEW = tuple(FRAMES.index(view) for view in range(len(FRAMES)))
_SEEDS: dict[Stage, int] = {"views": 0, "coordinates": 1, "triplane": 2}


def make_views(
    image: Pictures,
    weights: Path,
    *,
    steps: int = STEPS,
    guidance: float = GUIDANCE,
    seed: int = 0,
    device: str = "cpu",
    precision: Precision = "float32",
    beside: Sequence[Path] = (),
    progress: Progress | None = None,
) -> Pictures:
    """Six views of the object in a square picture [S, S, 3] on `GREY`, which is taken for its front.

    weights: ``pixel-diffusion.pth`` or the folder that it is in; beside: files with what it may lack (see
    `checkpoint`). The same seed gives the same views on the same device. Raises UsageError for a number of steps
    that is not from 1 to 333.
    """
    import torch

    progress = progress or Silent()
    source, generator = _begin("views", weights, beside, seed, device, precision, progress)
    plan = _plan(source, steps, progress)
    with torch.inference_mode():
        reference = _latents(source, image[None], generator)
        text, tokens = _conditions(source, image)
        latents = _diffuse(source, reference, None, text, tokens, plan, guidance, generator, progress)
        return _pictures(source, latents)


def make_coordinates(
    image: Pictures,
    views: Pictures,
    weights: Path,
    *,
    steps: int = STEPS,
    guidance: float = GUIDANCE,
    seed: int = 0,
    device: str = "cpu",
    precision: Precision = "float32",
    beside: Sequence[Path] = (),
    progress: Progress | None = None,
) -> Pictures:
    """Coordinate maps of six views [6, S, S, 3] of the object in a picture. weights: ``ccm-diffusion.pth``; else as
    `make_views`."""
    import torch

    progress = progress or Silent()
    source, generator = _begin("coordinates", weights, beside, seed, device, precision, progress)
    plan = _plan(source, steps, progress)
    with torch.inference_mode():
        reference = _latents(source, image[None], generator)
        seen = _latents(source, _six(views)[list(FRAMES)], generator)
        text, tokens = _conditions(source, image)
        latents = _diffuse(source, reference, seen, text, tokens, plan, guidance, generator, progress)
        return _pictures(source, latents)


def make_triplane(
    views: Pictures,
    coordinates: Pictures,
    weights: Path,
    *,
    seed: int = 0,
    device: str = "cpu",
    precision: Precision = "float32",
    progress: Progress | None = None,
) -> Triplane:
    """A triplane of six views and their coordinate maps, in float32. weights: ``CRM.pth``; else as `make_views`."""
    import torch

    from mvgen.core.crm.triplane import Triplane, assemble, input_noise, noisy, triplane_features

    progress = progress or Silent()
    source, generator = _begin("triplane", weights, (), seed, device, precision, progress)
    maps = assemble(_fitted(source, _six(views)), _fitted(source, _six(coordinates)))
    clean = torch.from_numpy(maps.astype(np.float32) / 255)[None]
    progress.stage("triplane", 1)
    with torch.inference_mode():
        network, plane, heads = load_reconstruction(source)
        features = triplane_features(network, plane, noisy(clean, input_noise(generator, *maps.shape))).float()
    progress.advance()
    return Triplane(source.config.triplane, features, heads)


def triplane_to_mesh(triplane: Triplane) -> tuple[NDArray[np.float64], NDArray[np.int32]]:
    """Vertices [N, 3] and faces [M, 3], counter-clockwise from outside.

    Raises CannotError where there is no surface.
    """
    import torch

    from mvgen.core.crm.triplane import extract_mesh

    with torch.inference_mode():
        vertices, faces = extract_mesh(triplane)
    if not len(faces):
        raise CannotError("the triplane holds no surface", "try another seed, or a picture of one object on grey")
    return _turned(vertices.cpu().numpy()), faces.cpu().numpy().astype(np.int32)


def colours_at(triplane: Triplane, points: NDArray[np.floating]) -> NDArray[np.float32]:
    """sRGB [N, 3] in [0, 1] of points [N, 3] in the mesh's frame, for textures."""
    import torch

    from mvgen.core.crm.triplane import point_colours

    places = torch.from_numpy(_turned(points).astype(np.float32)).to(triplane.features.device)
    with torch.inference_mode():
        return point_colours(triplane, places).cpu().numpy()


# ---------------------------------------------------------------- parts


def _turned(points: NDArray[np.floating]) -> NDArray[np.float64]:
    """Points [N, 3] of the triplane's frame in the mesh's, or of that in the other: it is its own inverse."""
    return np.stack([-points[:, 0], points[:, 2], points[:, 1]], axis=1).astype(np.float64)


def _begin(
    stage: Stage,
    weights: Path,
    beside: Sequence[Path],
    seed: int,
    device: str,
    precision: Precision,
    progress: Progress,
) -> tuple[Source, Generator]:
    """The opened file and random numbers that differ from those of the other stages. They are drawn on the CPU so that
    a seed says the same on every device."""
    import torch

    if precision == "float16" and torch.device(device).type == "cpu":
        raise CannotError("float16: is slower than float32 on a CPU", "use float32 or bfloat16")
    state = np.random.SeedSequence([seed, _SEEDS[stage]]).generate_state(1, np.uint64)[0]
    generator = torch.Generator().manual_seed(int(state >> 1))
    return open_stage(weights, stage, progress, beside, device, precision), generator


@dataclass(frozen=True, eq=False)
class _Plan:
    """The schedule and a sampler's steps through it."""

    alphas: Floats
    steps: list[Step]


def _plan(source: Source, steps: int, progress: Progress) -> _Plan:
    alphas = load_schedule(source, progress)
    plan = _Plan(alphas, sampler_steps(alphas, steps))
    if len(plan.steps) != steps:
        progress.note(f"{len(plan.steps)} steps for {steps}, evenly spaced over the schedule")
    return plan


def _six(pictures: Pictures) -> Pictures:
    if len(pictures) != len(FRAMES):
        raise ValueError(f"{len(pictures)} pictures, expected {len(FRAMES)}")
    return pictures


def _latents(source: Source, pictures: Pictures, generator: Generator) -> Tensor:
    from mvgen.core.crm.encoders import encode_pictures

    return encode_pictures(load_vae(source), _fitted(source, pictures), generator)


def _fitted(source: Source, pictures: Pictures) -> Pictures:
    """Square pictures [N, S, S, 3] at the networks' size."""
    from mvgen.core.crm.encoders import resized

    if pictures.ndim != 4 or pictures.shape[1] != pictures.shape[2] or pictures.shape[3] != 3:
        raise ValueError(f"pictures of shape {pictures.shape}, expected [N, S, S, 3]")
    return np.stack([resized(picture, source.config.picture, "bilinear") for picture in pictures])


def _conditions(source: Source, image: Pictures) -> tuple[Tensor, Tensor]:
    """Text tokens [2, 77, C] and image tokens [2, N, W], first for the guess without a condition."""
    import torch

    from mvgen.core.crm.encoders import encode_image, encode_texts

    text = encode_texts(load_text(source), source.config.clip)
    tokens = encode_image(load_vision(source), source.config.clip, image)
    return text, torch.cat([torch.zeros_like(tokens), tokens])


def _diffuse(
    source: Source,
    reference: Tensor,
    seen: Tensor | None,
    text: Tensor,
    image: Tensor,
    plan: _Plan,
    guidance: float,
    generator: Generator,
    progress: Progress,
) -> Tensor:
    """Latents [6, 4, h, w] in the order of the six views.

    reference [1, 4, h, w]: of the input picture. Without ``seen`` it is a seventh frame of the sample; ``seen``
    [6, 4, h, w], the views in the order of `FRAMES`, goes beside the sample's own channels instead.
    """
    import torch

    from mvgen.core.crm.network import embed_image

    unet = load_unet(source)
    cameras = torch.from_numpy(camera_vectors(reference=seen is None)).to(source.device)
    noise = start_noise(plan.alphas, reference[0], len(cameras), generator)
    predict = predictor(unet, cameras, text, embed_image(unet, image), reference if seen is None else None, seen)
    progress.stage(source.stage, len(plan.steps))
    latents = sample(predict, noise, plan.steps, guidance, progress)[list(_FRAME_OF_VIEW)]
    if not latents.isfinite().all():
        raise CannotError(f"{source.precision}: the numbers of the network do not fit into it", "use float32")
    return latents


def _pictures(source: Source, latents: Tensor) -> Pictures:
    from mvgen.core.crm.encoders import decode_pictures

    return decode_pictures(load_vae(source), latents)

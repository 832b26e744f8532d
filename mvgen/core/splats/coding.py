"""What the file formats of splats have in common: bytes for opacities and colours, packed quaternions, sound arrays."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from mvgen.core.errors import InputError
from mvgen.core.io.companions import Warn
from mvgen.core.splats.harmonics import DEGREE_ZERO, MOST_DEGREE, count
from mvgen.core.splats.model import Frame, Splats

EXPORT_AGAIN = "the file looks cut short or damaged; export or download it again"
_UNIT = 3e-7  # how far from 1 the length of a quaternion may be that was rounded to float32
_FARTHEST = 40.0  # of logits and logarithms of scales: infinities of files become this
_OTHERS = np.array([[1, 2, 3], [0, 2, 3], [0, 1, 3], [0, 1, 2]])


def sound(
    name: str,
    warn: Warn,
    frame: Frame,
    means: NDArray[Any],
    quaternions: NDArray[Any],
    log_scales: NDArray[Any],
    logits: NDArray[Any],
    harmonics: NDArray[Any],
    metadata: dict[str, Any] | None = None,
) -> Splats:
    """The arrays of a file as `Splats`: quaternions of length 1, all numbers finite, no degree above 3.

    Splats with numbers that are none are left out, and told to ``warn``. Raises InputError where none is left.
    """
    with np.errstate(all="ignore"):
        arrays = [np.ascontiguousarray(a, np.float32) for a in (means, quaternions, log_scales, logits, harmonics)]
    means, quaternions, log_scales, logits, harmonics = arrays
    if harmonics.shape[1] > count(MOST_DEGREE):
        warn(f"{name}: its spherical harmonics beyond degree {MOST_DEGREE} are left out")
        harmonics = harmonics[:, : count(MOST_DEGREE)]
    good = np.isfinite(means).all(1) & np.isfinite(quaternions).all(1) & np.isfinite(harmonics).all((1, 2))
    good &= ~np.isnan(logits) & ~np.isnan(log_scales).any(1)
    if not good.any():
        raise InputError(f"{name}: {'its numbers are not finite' if len(good) else 'holds no splats'}", EXPORT_AGAIN)
    if not good.all():
        warn(f"{name}: {int((~good).sum())} splats with numbers that are not finite are left out")
        means, quaternions, log_scales, logits, harmonics = (
            a[good] for a in (means, quaternions, log_scales, logits, harmonics)
        )
    return Splats(
        means,
        unit_quaternions(quaternions),
        np.clip(log_scales, -_FARTHEST, _FARTHEST),
        np.clip(logits, -_FARTHEST, _FARTHEST),
        harmonics,
        frame,
        metadata or {},
    )


def unit_quaternions(quaternions: NDArray[np.floating]) -> NDArray[np.float32]:
    """[N, 4] of length 1; those of length 0 become no turn, and those that have it, as far as float32 can, stay."""
    largest = np.abs(quaternions).max(1, keepdims=True)
    scaled = np.where(largest > 0, quaternions, [1, 0, 0, 0]) / np.where(largest > 0, largest, 1)
    unit = (scaled / np.linalg.norm(scaled, axis=1, keepdims=True)).astype(np.float32)
    length = np.linalg.norm(quaternions.astype(np.float64), axis=1, keepdims=True)
    return np.where(np.abs(length - 1) < _UNIT, quaternions, unit).astype(np.float32)


def logits_from_opacities(opacities: NDArray[Any], least: float = 1e-7) -> NDArray[np.float64]:
    """Opacities outside [least, 1 - least] are taken as its ends."""
    clipped = np.clip(np.asarray(opacities, np.float64), least, 1 - least)
    return np.log(clipped) - np.log1p(-clipped)


def logits_from_bytes(values: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Of opacities in 255ths; 0 and 255 become those a quarter of a step inside."""
    return logits_from_opacities(values / 255, 0.25 / 255)


def bytes_of(values: NDArray[np.floating]) -> NDArray[np.uint8]:
    """Rounded and clipped to 0 ... 255."""
    return np.clip(np.rint(values), 0, 255).astype(np.uint8)


def constant_from_colours(colours: NDArray[Any]) -> NDArray[np.float64]:
    """[N, 3] coefficients of degree 0 of colours in [0, 1]."""
    return (np.asarray(colours, np.float64) - 0.5) / DEGREE_ZERO


def colours_from_constant(harmonics: NDArray[np.floating]) -> NDArray[np.float64]:
    """[N, 3] colours, beyond [0, 1] where they are, of coefficients [N, K, 3]."""
    return 0.5 + DEGREE_ZERO * np.asarray(harmonics[:, 0], np.float64)


def joined(constant: NDArray[Any], rest: NDArray[Any] | None = None) -> NDArray[np.float32]:
    """Harmonics [N, K, 3] of coefficients of degree 0 [N, 3] and of higher ones [N, K - 1, 3]."""
    first = np.asarray(constant, np.float32)[:, None]
    return first if rest is None else np.concatenate([first, np.asarray(rest, np.float32)], axis=1)


def render_mode(splats: Splats) -> list[str]:
    """The comment in PLY files by which others know splats for an antialiased renderer."""
    return ["comment SplatRenderMode: mip"] if splats.metadata.get("antialiased") is True else []


def from_three(largest: NDArray[np.integer], parts: NDArray[np.floating]) -> NDArray[np.float64]:
    """[N, 4] unit quaternions of the index of their largest component [N] and the three others in order [N, 3]."""
    out = np.empty((len(parts), 4))
    rows = np.arange(len(parts))
    out[rows[:, None], _OTHERS[largest]] = parts
    out[rows, largest] = np.sqrt(np.maximum(1 - (np.asarray(parts, np.float64) ** 2).sum(1), 0))
    return out


def to_three(quaternions: NDArray[np.floating]) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """The index of the largest component, made positive, and the three others: what `from_three` reads."""
    rows = np.arange(len(quaternions))
    largest = np.abs(quaternions).argmax(1)
    sign = np.where(quaternions[rows, largest] < 0, -1.0, 1.0)
    return largest, quaternions[rows[:, None], _OTHERS[largest]] * sign[:, None]

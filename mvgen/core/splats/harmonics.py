"""Real spherical harmonics up to degree 3, with the signs of 3D Gaussian splatting, and how they turn.

Source of the sign convention: Kerbl et al., "3D Gaussian Splatting for Real-Time Radiance Field Rendering" (2023).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

MOST_DEGREE = 3
DEGREE_ZERO = 0.28209479177387814  # the constant harmonic, sqrt(1 / (4 pi))


def count(degree: int) -> int:
    """Coefficients of all bands up to a degree."""
    return (degree + 1) ** 2


def basis(directions: NDArray[np.floating], degree: int) -> NDArray[np.float64]:
    """[..., K] values of the K = (degree + 1)^2 harmonics in unit directions [..., 3], from the camera to the splat."""
    x, y, z = np.moveaxis(np.asarray(directions, np.float64), -1, 0)
    xx, yy, zz = x * x, y * y, z * z
    bands = [
        [np.full_like(x, DEGREE_ZERO)],
        [-0.4886025119029199 * y, 0.4886025119029199 * z, -0.4886025119029199 * x],
        [
            1.0925484305920792 * x * y,
            -1.0925484305920792 * y * z,
            0.31539156525252005 * (2 * zz - xx - yy),
            -1.0925484305920792 * x * z,
            0.5462742152960396 * (xx - yy),
        ],
        [
            -0.5900435899266435 * y * (3 * xx - yy),
            2.890611442640554 * x * y * z,
            -0.4570457994644658 * y * (4 * zz - xx - yy),
            0.3731763325901154 * z * (2 * zz - 3 * xx - 3 * yy),
            -0.4570457994644658 * x * (4 * zz - xx - yy),
            1.445305721320277 * z * (xx - yy),
            -0.5900435899266435 * x * (xx - 3 * yy),
        ],
    ]
    return np.stack([values for band in bands[: degree + 1] for values in band], axis=-1)


def colours(harmonics: NDArray[np.floating], directions: NDArray[np.floating]) -> NDArray[np.float64]:
    """[N, 3] colours of coefficients [N, K, 3] seen along unit directions [N, 3]; at least 0."""
    degree = round(harmonics.shape[1] ** 0.5) - 1
    return np.maximum(0.5 + np.einsum("nk,nkc->nc", basis(directions, degree), harmonics), 0)


def turning(rotation: NDArray[np.float64], degree: int) -> NDArray[np.float64]:
    """[K, K]: what brings the coefficients of a function f to those of d -> f(rotation^T d); block by block, exact.

    Each band is closed under rotation, so that its block follows from the values at more directions than it has
    coefficients. rotation [3, 3] is orthogonal; a reflection is one, too.
    """
    seen = spread(64)
    before, after = basis(seen, degree), basis(seen @ rotation, degree)
    out = np.zeros((count(degree), count(degree)))
    for band in range(degree + 1):
        part = slice(band**2, (band + 1) ** 2)
        out[part, part] = np.linalg.pinv(before[:, part]) @ after[:, part]
    return np.round(out, 14) + 0.0  # whole where the rotation permutes axes


def spread(number: int) -> NDArray[np.float64]:
    """[number, 3] unit vectors spread evenly, along a spiral from pole to pole."""
    z = 1 - (2 * np.arange(number) + 1) / number
    angle = np.pi * (1 + 5**0.5) * np.arange(number)
    radius = np.sqrt(1 - z * z)
    return np.stack([radius * np.cos(angle), radius * np.sin(angle), z], axis=1)

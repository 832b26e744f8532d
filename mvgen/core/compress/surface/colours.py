"""Colours of vertices, told from those of the vertices that each was predicted from."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mvgen.kernels import rangecoder
from mvgen.kernels.jit import exact_kernel
from mvgen.kernels.rangecoder import GAMMA_MODELS, code_adaptive, code_gamma, code_raw

_CONTEXTS = 8


def encode_colours(
    coder: NDArray[np.int64],
    data: NDArray[np.uint8],
    colours: NDArray[np.float32],
    context: NDArray[np.int32],
    bits: int,
) -> None:
    """colours [V, 3] in [0, 1] and context [V, 3], both in the order of coding; bits of each channel, 1 to 8."""
    levels = np.rint(np.clip(np.nan_to_num(colours), 0, 1) * ((1 << bits) - 1)).astype(np.int64)
    code_raw(coder, data, bits - 1, 3)
    _code(coder, data, levels, context, rangecoder.fresh_models(3 * _CONTEXTS * (1 + GAMMA_MODELS)), (1 << bits) - 1)


def decode_colours(
    coder: NDArray[np.int64], data: NDArray[np.uint8], context: NDArray[np.int32]
) -> NDArray[np.float32]:
    """The colours [V, 3]."""
    bits = int(code_raw(coder, data, 0, 3)) + 1
    levels = np.zeros((len(context), 3), np.int64)
    _code(coder, data, levels, context, rangecoder.fresh_models(3 * _CONTEXTS * (1 + GAMMA_MODELS)), (1 << bits) - 1)
    return (levels / ((1 << bits) - 1)).astype(np.float32)


@exact_kernel
def _code(coder, data, levels, context, models, highest):  # type: ignore[no-untyped-def]
    """Green, then red and blue less what green says, each less the mean of the near vertices; sizes of errors so far
    are the context."""
    errors = np.zeros(3, np.int64)
    for v in range(len(levels)):
        drift = 0
        for turn in range(3):
            c = (1, 0, 2)[turn]
            total, count = 0, 0
            for k in range(3):
                near = context[v, k]
                if near >= 0:
                    weight = 2 if k < 2 else 1
                    total += weight * levels[near, c]
                    count += weight
            guess = (2 * total + count) // (2 * count) if count else (highest + 1) // 2
            guess = min(max(guess + drift, 0), highest)
            kind = 0
            while kind < _CONTEXTS - 1 and errors[c] >> (kind + 2):
                kind += 1
            base = (c * _CONTEXTS + kind) * (1 + GAMMA_MODELS)
            error = levels[v, c] - guess
            size = code_gamma(coder, data, models, base + 1, abs(error))
            if size and code_adaptive(coder, data, models, base, 1 if error < 0 else 0):
                size = -size
            levels[v, c] = min(max(guess + size, 0), highest)
            errors[c] = (3 * errors[c]) // 4 + 4 * abs(size)
            if turn == 0:
                drift = size

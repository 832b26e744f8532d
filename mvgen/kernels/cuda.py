"""CUDA devices, for all kernels that run on them."""

from __future__ import annotations

from collections.abc import Callable

from numba import cuda


def select(device: str) -> None:
    """Use ``cuda`` or ``cuda:N`` from here on."""
    cuda.select_device(int(device.partition(":")[2] or 0))


def failure(device: str, run_smallest: Callable[[], object]) -> str | None:
    """Why kernels cannot run on a device, or None where they can; a smallest run of them finds out."""
    try:
        select(device)
        run_smallest()
    except Exception as error:  # drivers, compilers and linkers each fail in their own way
        return " ".join(f"{type(error).__name__}: {error}".split())[:200]
    return None

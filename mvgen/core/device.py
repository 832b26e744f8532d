"""Which device a kind of kernels can run on."""

from __future__ import annotations

from importlib import import_module

from mvgen.core.progress import Progress


def usable(device: str, kernels: str, doing: str, progress: Progress) -> str:
    """The device, or ``cpu`` with a warning where the kernels of a module of `mvgen.kernels` do not run on it.

    doing: what then happens on the CPU, as the warning begins.
    """
    if device == "cpu":
        return device
    try:
        reason = import_module(f"mvgen.kernels.{kernels}").why_not(device)
    except ImportError as error:  # Numba without CUDA
        reason = str(error)
    if reason is None:
        return device
    progress.warn(f"{doing} on the CPU, as {device} cannot be used: {reason}")
    return "cpu"

"""Choose where to compute, without loading a framework to ask."""

from __future__ import annotations

import ctypes
import re

from mvgen.core.errors import CannotError, UsageError


def choose_device(asked: str, supported: tuple[str, ...]) -> str:
    """``cpu`` or ``cuda:N`` for ``auto``, ``cpu``, ``cuda`` or ``cuda:N``.

    supported: the devices the command can use. Raises UsageError for another word or a device the command cannot use,
    CannotError when the GPU is not there.
    """
    match = re.fullmatch(r"auto|cpu|cuda(?::(\d{1,3}))?", asked)
    if match is None:
        raise UsageError(f"--device {asked}: no such device", "use auto, cpu, cuda or cuda:N")
    if asked == "cpu" or (asked == "auto" and "cuda" not in supported):
        return "cpu"
    if "cuda" not in supported:
        raise UsageError(f"--device {asked}: this command runs on the CPU only", "leave --device out")
    number, count = int(match[1] or 0), cuda_devices()
    if number < count:
        return f"cuda:{number}"
    if asked == "auto":
        return "cpu"
    found = f"{count} CUDA device{'s' if count != 1 else ''} found"
    raise CannotError(f"--device {asked}: {found}", "use --device cpu, or check the driver with nvidia-smi")


def cuda_devices() -> int:
    """How many CUDA devices the driver reports; 0 without a driver."""
    count = ctypes.c_int(0)
    try:
        driver = ctypes.CDLL("libcuda.so.1")
        driver.cuInit(0)
        driver.cuDeviceGetCount(ctypes.byref(count))
    except OSError:
        return 0
    return count.value

"""Numba as every kernel uses it: one cache folder, one set of options, and the same pixel functions for CPU and CUDA."""

from __future__ import annotations

import importlib.util
import os
import sys
from pathlib import Path
from types import ModuleType

TARGET = "cpu"  # what `pixel_function` compiles for while a module is being loaded


def cache_folder() -> Path:
    """Where compiled kernels are kept: $NUMBA_CACHE_DIR, or mvgen/kernels in the user's cache folder."""
    given = os.environ.get("NUMBA_CACHE_DIR")
    if given:
        return Path(given)
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "mvgen" / "kernels"


os.environ.setdefault("NUMBA_CACHE_DIR", str(cache_folder()))

from numba import njit, prange, set_num_threads  # noqa: E402  (the cache folder is read at import)

__all__ = ["kernel", "njit", "pixel_function", "prange", "set_num_threads"]

kernel = njit(parallel=True, fastmath=True, error_model="numpy", cache=True, nogil=True)
serial_kernel = njit(fastmath=True, error_model="numpy", cache=True, nogil=True)


def pixel_function(function):  # type: ignore[no-untyped-def]
    """Compile a per-element function for the target that is being loaded."""
    if TARGET == "cuda":
        from numba import cuda

        return cuda.jit(device=True, fastmath=True)(function)
    return njit(fastmath=True, error_model="numpy", cache=True)(function)


def load_for_cuda(module_name: str) -> ModuleType:
    """A second copy of a module of pixel functions, compiled for CUDA."""
    global TARGET
    copy_name = f"{module_name}_cuda_copy"
    if copy_name in sys.modules:
        return sys.modules[copy_name]
    spec = importlib.util.find_spec(module_name)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    TARGET = "cuda"
    try:
        spec.loader.exec_module(module)
    finally:
        TARGET = "cpu"
    sys.modules[copy_name] = module
    return module


def is_warm(kernel_set: str) -> bool:
    """Whether a set of kernels has been compiled on this machine before, by this version."""
    return _stamp(kernel_set).exists()


def mark_warm(kernel_set: str) -> None:
    """Remember that a set of kernels is compiled."""
    stamp = _stamp(kernel_set)
    stamp.parent.mkdir(parents=True, exist_ok=True)
    stamp.touch()


def _stamp(kernel_set: str) -> Path:
    import numba

    from mvgen import __version__

    return cache_folder() / f"{kernel_set}-{__version__}-numba{numba.__version__}.warm"

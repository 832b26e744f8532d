"""Numba as every kernel uses it: one cache folder, one set of options, the same pixel functions for CPU and CUDA."""

from __future__ import annotations

import contextlib
import hashlib
import importlib.util
import os
import sys
import tempfile
from pathlib import Path
from types import ModuleType
from typing import Any

import numba
from numba import njit, prange, set_num_threads

from mvgen import __version__

__all__ = [
    "exact_kernel",
    "exact_pixel_function",
    "inlined_kernel",
    "inner_kernel",
    "kernel",
    "load_for_cuda",
    "pixel_function",
    "prange",
    "serial_kernel",
    "set_num_threads",
    "strict_kernel",
]

TARGET = "cpu"  # what `pixel_function` compiles for while a module is being loaded


def cache_folder() -> Path | None:
    """Where compiled kernels are kept, or None where nothing can be written.

    A folder in $NUMBA_CACHE_DIR, else in mvgen/kernels of the user's cache folder. Its name follows the version and
    the functions that kernels share, because a kernel that Numba finds compiled may have inlined older ones.
    """
    try:
        base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "mvgen" / "kernels"
        folder = Path(os.environ.get("NUMBA_CACHE_DIR") or base) / _edition()
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return folder
    except (OSError, RuntimeError):  # no permission, no space, no home
        return None


def _edition() -> str:
    code = hashlib.sha256()
    folder = Path(__file__).parent
    for path in sorted([*folder.glob("*_pixel.py"), *folder.glob("rangecoder.py")]):
        code.update(path.read_bytes())
    return f"{__version__}-numba{numba.__version__}-{code.hexdigest()[:12]}"


CACHE = cache_folder()
if CACHE is not None:
    numba.config.CACHE_DIR = str(CACHE)  # type: ignore[attr-defined]
KEPT = CACHE is not None  # without a cache folder, kernels are compiled by each process that uses them

_INNER: dict[str, Any] = {"no_cpython_wrapper": True, "no_cfunc_wrapper": True}
kernel = njit(parallel=True, fastmath=True, error_model="numpy", cache=KEPT, nogil=True)
serial_kernel = njit(fastmath=True, error_model="numpy", cache=KEPT, nogil=True)
strict_kernel = njit(cache=KEPT, nogil=True)  # arithmetic in the order written
# as serial_kernel, and a part of each kernel that calls it, for the reason that `pixel_function` gives
inlined_kernel = njit(fastmath=True, error_model="numpy", cache=KEPT, nogil=True, forceinline=True)
exact_kernel = njit(error_model="numpy", cache=KEPT, nogil=True)  # in order, and x / 0 is infinite: compiles faster
# likewise, for calls from other kernels alone, which keep it with them: compiles faster still
inner_kernel = njit(error_model="numpy", nogil=True, **_INNER)


def pixel_function(function):
    """Compile a per-element function for the target that is being loaded.

    It becomes part of each kernel that calls it. Were it only linked, the process that compiles would run another copy
    of it than those that load the kernel from the cache, and results would differ in the last digits.
    """
    if TARGET == "cuda":
        from numba import cuda

        return cuda.jit(device=True, fastmath=True)(function)
    return njit(fastmath=True, error_model="numpy", cache=KEPT, forceinline=True)(function)


def exact_pixel_function(function):
    """As `pixel_function`, with arithmetic in the order written and comparisons that know NaN and infinity."""
    if TARGET == "cuda":
        from numba import cuda

        return cuda.jit(device=True)(function)
    return inner_kernel(function)


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
    return CACHE is not None and (CACHE / f"{kernel_set}.warm").exists()


def wait_notice(kernel_set: str, seconds: int) -> str | None:
    """What to tell a person who has to wait for a set of kernels to be compiled, or None."""
    if is_warm(kernel_set):
        return None
    if CACHE is not None:
        return f"compiling kernels, once (about {seconds} seconds)"
    return f"compiling kernels (about {seconds} seconds), in every run as the cache folder cannot be written"


def mark_warm(kernel_set: str) -> None:
    """Remember that a set of kernels is compiled."""
    if CACHE is not None:
        with contextlib.suppress(OSError):
            (CACHE / f"{kernel_set}.warm").touch()

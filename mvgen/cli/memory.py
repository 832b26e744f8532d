"""How much memory this process has taken."""

from __future__ import annotations

import sys


def peak_memory_mb() -> float | None:
    """Largest resident size so far of this process or of any one worker that has ended."""
    try:
        import resource
    except ImportError:
        return None
    peak = max(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return round(peak / (2**20 if sys.platform == "darwin" else 2**10), 1)

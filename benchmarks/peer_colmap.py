"""Camera recovery by pycolmap's own pipeline with its default options, as a process of its own.

    python -m benchmarks.peer_colmap IMAGES WORK

prints {"seconds": ..., "registered": ...}. pycolmap does not share a process with others that use zlib or libpng.
"""

from __future__ import annotations

import json
import sys
import time
import zlib  # noqa: F401  before pycolmap, so that it keeps its own symbols
from pathlib import Path


def main() -> None:
    import pycolmap

    images, work = Path(sys.argv[1]), Path(sys.argv[2])
    pycolmap.logging.minloglevel = 2
    start = time.perf_counter()
    pycolmap.extract_features(work / "database.db", images, device=pycolmap.Device.cpu)
    pycolmap.match_exhaustive(work / "database.db", device=pycolmap.Device.cpu)
    models = pycolmap.incremental_mapping(work / "database.db", images, work)
    seconds = time.perf_counter() - start
    registered = max((model.num_reg_images() for model in models.values()), default=0)
    print(json.dumps({"seconds": seconds, "registered": registered}), flush=True)


if __name__ == "__main__":
    main()

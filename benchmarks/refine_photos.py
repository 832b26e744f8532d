"""What `mvgen refine --images` does to meshes that `mvgen reconstruct` made of rendered sets.

    MVGEN_DATA=... python -m benchmarks.refine_photos [SET...] [--seeds 0 1 2]

For each set of $MVGEN_DATA/rendered (those named, else all) and each seed: a scene folder and a textured mesh of its
photos with cameras of their own, and the mesh refined by the photos of that folder. Both compared with the truth by
`mvgen eval`: mean distance of the mesh from the truth in thousandths of the diagonal, F-score at 0.5 % and at 1 % in
percent.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.common import print_machine, print_table, rendered_sets, report

HEADER = ["set", "seed", "off, 1/1000", "after", "change, %", "F at 0.5 %", "after", "F at 1 %", "after", "refine, s"]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="SET")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    options = parser.parse_args()
    print_machine()
    rows = []
    for folder in rendered_sets(options.names):
        for seed in options.seeds:
            with tempfile.TemporaryDirectory() as work:
                rows.append([folder.name, seed, *measure(folder, seed, Path(work))])
            print(rows[-1], file=sys.stderr, flush=True)
    print_table("Refined by photos", HEADER, rows)
    return 0


def measure(folder: Path, seed: int, work: Path) -> list[Any]:
    """The row of a set and a seed, but for these."""
    rough, fine, scene = work / "rough.glb", work / "fine.glb", work / "scene"
    report("reconstruct", folder / "images", "-o", rough, "--checkpoint", scene, "--seed", seed, "-q")
    seconds = report("refine", rough, "-o", fine, "--images", scene, "--seed", seed, "-q")["seconds"]["total"]
    before, after = (report("eval", mesh, folder, "--cameras", scene, "-q")["metrics"] for mesh in (rough, fine))
    off = [1000 * m["accuracy"] for m in (before, after)]
    scores = [100 * m[f"f_score@{at}%"] for at in ("0.5", "1") for m in (before, after)]
    return [*off, 100 * (off[1] / off[0] - 1), *scores, seconds]


if __name__ == "__main__":
    sys.exit(main())

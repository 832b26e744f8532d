"""Pictures of what `mvgen reconstruct` makes of the sets under $MVGEN_DATA, for docs/.

    MVGEN_DATA=... python -m benchmarks.pictures [--again] [SET...]

docs/pictures/SET.jpg has a photo of the set and the result from four sides; docs/demo.jpg has photos of the demo and
its result. Sets: those named, else the demo and everything under $MVGEN_DATA. Results are kept in build/pictures;
--again makes them anew.
"""

from __future__ import annotations

import argparse
import sys
from io import BytesIO
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from benchmarks.common import DEMO, ROOT, mvgen, photo_sets, reconstruct
from mvgen.core.io.images import find_photos, read_image

LARGEST = 300_000  # bytes of a picture
TILE = (480, 360)
BUILD, DOCS = ROOT / "build" / "pictures", ROOT / "docs"
WHITE = 255


def main() -> int:
    sets = {"demo": DEMO} | photo_sets()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="SET", help=f"any of {', '.join(sets)}")
    parser.add_argument("--again", action="store_true", help="reconstruct even where a result is kept")
    options = parser.parse_args()
    unknown = [name for name in options.names if name not in sets]
    if unknown:
        parser.error(f"no such set: {', '.join(unknown)} (is MVGEN_DATA set?)")
    BUILD.mkdir(parents=True, exist_ok=True)
    (DOCS / "pictures").mkdir(parents=True, exist_ok=True)
    for name in options.names or sets:
        result = BUILD / f"{name}.glb"
        if options.again or not result.exists():
            print(f"{name}: reconstructing", file=sys.stderr)
            reconstruct(sets[name], result)
        photos = find_photos([sets[name]])
        if name == "demo":
            write(demo_sheet(photos, result), DOCS / "demo.jpg")
        else:
            write(result_sheet(photos, result), DOCS / "pictures" / f"{name}.jpg")
    return 0


def result_sheet(photos: list[Path], result: Path) -> NDArray[np.uint8]:
    """A photo, the bare shape, and the result from four sides, in two rows of three."""
    sides = renders(result, 4)
    shape = renders(result, 4, "--what=normal")[0]
    return tiled([[photo_tile(photos[0]), *sides[:2]], [shape, *sides[2:]]])


def demo_sheet(photos: list[Path], result: Path) -> NDArray[np.uint8]:
    """Photos as small tiles to the left, the result large to the right."""
    height, width = TILE[1] // 3 - 4, TILE[0] // 3 - 4
    picked = [photos[i * len(photos) // 9] for i in range(9)]
    small = [np.array(Image.fromarray(photo_tile(p)).resize((width, height), Image.Resampling.LANCZOS)) for p in picked]
    return tiled([[tiled([small[:3], small[3:6], small[6:]]), renders(result, 1)[0]]], gap=24)


def renders(result: Path, views: int, *options: str) -> list[NDArray[np.uint8]]:
    """The result from evenly spaced sides, each of the size of a tile."""
    frames = BUILD / f"{result.stem}-frames"
    size = f"{TILE[0]}x{TILE[1]}"
    mvgen(
        "render",
        result,
        "-o",
        f"{frames}/",
        "--orbit",
        str(views),
        "--size",
        size,
        "--background=white",
        "-q",
        *options,
    )
    return [read_image(path) for path in sorted(frames.glob("*.png"))[:views]]


def photo_tile(path: Path) -> NDArray[np.uint8]:
    """A photo fitted into a tile, white around it."""
    picture = Image.fromarray(read_image(path))
    picture.thumbnail(TILE, Image.Resampling.LANCZOS)
    tile = np.full((TILE[1], TILE[0], 3), WHITE, np.uint8)
    x, y = (TILE[0] - picture.width) // 2, (TILE[1] - picture.height) // 2
    tile[y : y + picture.height, x : x + picture.width] = np.array(picture)
    return tile


def tiled(rows: list[list[NDArray[np.uint8]]], gap: int = 6) -> NDArray[np.uint8]:
    """Pictures in rows, with white between them; the pictures of a row have one height, the rows one width."""

    def joined(parts: list[NDArray[np.uint8]], axis: int) -> NDArray[np.uint8]:
        between = [np.full([gap if k == axis else n for k, n in enumerate(p.shape)], WHITE, np.uint8) for p in parts]
        return np.concatenate([x for pair in zip(parts, between) for x in pair][:-1], axis)

    return joined([joined(row, 1) for row in rows], 0)


def write(picture: NDArray[np.uint8], path: Path) -> None:
    """A JPEG of at most LARGEST bytes, as good as fits."""
    for quality in range(92, 40, -4):
        out = BytesIO()
        Image.fromarray(picture).save(out, "JPEG", quality=quality, optimize=True, progressive=True)
        if out.tell() <= LARGEST:
            break
    path.write_bytes(out.getvalue())
    print(f"{path.relative_to(ROOT)}: {picture.shape[1]} x {picture.shape[0]}, {out.tell() // 1000} kB")


if __name__ == "__main__":
    sys.exit(main())

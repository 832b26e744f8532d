"""Backgrounds that can be told from what a photo shows: plain ones, and those that stand still before the camera.

Colours are compared in CIE Lab, where a distance of 2 to 3 is just visible. A background mask is true on the
background.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from mvgen.core.errors import CannotError
from mvgen.core.io.images import Photo, load_photo
from mvgen.core.progress import Progress, Silent

RING = 0.02  # of the picture's shorter side: width of its border
SPECK = 5e-4  # of the picture: islands smaller than this belong to what is around them
TEXTURED = 2.0  # standard deviation of lightness around a pixel of a border that is not plain
PLAIN = 0.5  # of the border has to be near one of its main colours for a plain background
MAIN_SHARE = 0.08  # of a side that a main colour covers, on two sides at least
MOST_COLOURS = 4
SMALL_SIDE = 160  # pixels: size at which photos are compared for a fixed background
STATIC_SIDE = 480  # pixels: size at which static backgrounds are found
MOST_PHOTOS = 24  # of a set, evenly chosen, show what the static background looks like
SAME = 7.0  # colour distance within which a pixel stays the same, beside its noise
CUTS = 4  # rounds of GrabCut
STEADY = 0.9  # of the photos in which a static pixel is the same
RIVAL = 0.2  # of the photos in which a second colour of a pixel must appear to be its background


def plain_background(image: NDArray[np.uint8], kind: str, tolerance: float = 12.0) -> NDArray[np.bool_] | None:
    """[H, W]: the white, black or border-coloured surroundings of what a picture [H, W, 3] shows; None if there is no
    such background.

    Only what hangs together with the picture's border is background, so white parts inside an object stay. ``border``
    takes the main colours of the border, and their smooth change along it.
    """
    lab = _lab(np.asarray(cv2.medianBlur(image, 3), np.uint8))
    if kind in ("white", "black"):
        distance = _distance(lab, np.array([100.0 if kind == "white" else 0.0, 0, 0], np.float32))
    else:
        found = _border_distance(lab, tolerance)
        if found is None:
            return None
        distance = found
    background = _from_border(distance <= tolerance)
    return background if background.mean() >= SPECK else None


def fixed_background(images: Sequence[NDArray[np.uint8]]) -> tuple[float, bool]:
    """Whether the border of pictures [H, W, 3] stays the same while their middle changes, as on a turntable.

    Returns the share of the border that is the same in nearly all pictures, and the verdict. Pictures of another shape
    than most are passed over; fewer than three say nothing. Sizes of some hundred pixels are plenty.
    """
    stack = _stack(images, SMALL_SIDE)
    if len(stack) < 3:
        return 0.0, False
    lab = np.stack([_lab(np.asarray(cv2.GaussianBlur(image, (5, 5), 0), np.uint8)) for image in stack])
    steady = _steady(lab) >= STEADY
    rim = _rim(steady.shape, 0.12)
    middle = np.zeros_like(steady)
    rows, columns = steady.shape
    middle[rows // 4 : rows - rows // 4, columns // 4 : columns - columns // 4] = True
    share = float(steady[rim].mean())
    return share, share > 0.7 and float((~steady[middle]).mean()) > 0.1


def static_backgrounds(
    photos: Sequence[Photo], progress: Progress | None = None, tolerance: float = SAME
) -> dict[str, NDArray[np.bool_]]:
    """Background masks [h, w] by the photo's name, at STATIC_SIDE pixels: what does not change between the photos.

    For an object that turns before a fixed camera. The photos' median shows the background wherever it is seen in most
    of them; where the object mostly hides it, the colour is taken that fits to the background around. Raises
    CannotError where the photos have different shapes or show no fixed background, InputError for a broken photo.
    """
    progress = progress or Silent()
    chosen = photos[:: -(-len(photos) // MOST_PHOTOS)] if photos else ()
    images = [load_photo(p, STATIC_SIDE) for p in chosen]
    stack = _stack(images, STATIC_SIDE)
    if len(images) < 3 or len(stack) < len(images):
        raise CannotError(
            "a static background takes at least three photos of one shape", "use --background border, or --masks"
        )
    share, fixed = fixed_background(images)
    if not fixed:
        raise CannotError(
            f"the photos have no fixed background: {share:.0%} of their border stays the same",
            "use --background border, or --masks",
        )
    lab = _levelled(_soft_lab(stack))
    plate, sure = _plate(lab)
    noise = float(np.median([np.median(_distance(one, plate)[sure]) for one in lab]))
    core = _enclosed(_steady(lab) >= STEADY)
    masks = {}
    for photo in photos:
        image = np.asarray(
            cv2.resize(load_photo(photo, STATIC_SIDE), plate.shape[1::-1], interpolation=cv2.INTER_AREA), np.uint8
        )
        distance = _distance(_levelled(_soft_lab([image]), plate)[0], plate)
        masks[photo.name] = _from_border(_cut(image, distance > max(tolerance, 4 * noise), sure, core))
        progress.advance()
    return masks


def _cut(
    image: NDArray[np.uint8], differs: NDArray[np.bool_], sure: NDArray[np.bool_], core: NDArray[np.bool_]
) -> NDArray[np.bool_]:
    """[H, W]: the background of one picture, by GrabCut (Rother et al. 2004) from where it differs from the plate.

    What differs is only a first guess: where the object mostly hides the background, the plate has the object's colour.
    sure: certainly background; core: certainly object.
    """
    seeds = np.where(differs, cv2.GC_PR_FGD, cv2.GC_PR_BGD).astype(np.uint8)
    seeds[core] = cv2.GC_FGD
    seeds[sure & ~differs] = cv2.GC_BGD
    rows, columns = (np.flatnonzero((seeds != cv2.GC_BGD).any(axis)) for axis in (1, 0))
    if not len(rows):
        return ~differs
    margin = max(8, image.shape[0] // 8)
    box = tuple(slice(max(0, int(at[0]) - margin), int(at[-1]) + margin) for at in (rows, columns))
    part = np.ascontiguousarray(seeds[box])
    if not differs[box].any() or not (part == cv2.GC_BGD).any():
        return ~differs
    models = np.zeros((2, 1, 65))
    cv2.setRNGSeed(0)
    cv2.grabCut(np.ascontiguousarray(image[box]), part, (0, 0, 1, 1), models[0], models[1], CUTS, cv2.GC_INIT_WITH_MASK)
    background = np.ones(seeds.shape, np.bool_)
    background[box] = (part == cv2.GC_BGD) | (part == cv2.GC_PR_BGD)
    return background


def _lab(image: NDArray[np.uint8]) -> NDArray[np.float32]:
    return np.asarray(cv2.cvtColor(image.astype(np.float32) / 255, cv2.COLOR_RGB2LAB), np.float32)


def _soft_lab(images: Sequence[NDArray[np.uint8]]) -> NDArray[np.float32]:
    """[N, H, W, 3] without noise of single pixels."""
    return np.stack([_lab(np.asarray(cv2.medianBlur(image, 3), np.uint8)) for image in images])


def _distance(lab: NDArray[np.float32], other: NDArray[np.float32]) -> NDArray[np.float32]:
    """[...]: between colours [..., 3]."""
    return np.asarray(np.sqrt(((lab - other) ** 2).sum(-1)), np.float32)


def _rim(shape: tuple[int, ...], share: float) -> NDArray[np.bool_]:
    """[H, W] of a shape: true along the border of a picture, over a share of its shorter side."""
    width = max(2, round(share * min(shape)))
    rim = np.ones(shape, np.bool_)
    rim[width:-width, width:-width] = False
    return rim


def _from_border(candidates: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The part of a mask that hangs together with the picture's border, not through gaps of a pixel or two; islands in
    it that are specks become part of it."""
    radius = max(1, round(0.0015 * max(candidates.shape)))
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius + 1, 2 * radius + 1))
    framed = np.pad(candidates.astype(np.uint8), radius, mode="edge")
    _, labels = cv2.connectedComponents(cv2.morphologyEx(framed, cv2.MORPH_OPEN, disc), connectivity=4)
    edge = np.concatenate([labels[0], labels[-1], labels[:, 0], labels[:, -1]])
    outer = np.isin(labels, np.unique(edge[edge > 0])).astype(np.uint8)
    grown = np.asarray(cv2.dilate(outer, disc))[radius:-radius, radius:-radius] > 0
    return _without_specks(grown & candidates)


def _without_specks(background: NDArray[np.bool_]) -> NDArray[np.bool_]:
    _, labels, facts, _ = cv2.connectedComponentsWithStats((~background).astype(np.uint8), connectivity=8)
    small = facts[:, cv2.CC_STAT_AREA] < SPECK * background.size
    small[0] = False
    return background | small[labels]


def _border_distance(lab: NDArray[np.float32], tolerance: float) -> NDArray[np.float32] | None:
    """[H, W]: how far each colour is from the border's main colours; None where the border is not plain."""
    sides = _sides(lab)
    colours = _main_colours(sides, tolerance)
    if not colours:
        return None
    ring = _rim(lab.shape[:2], RING)
    if np.median(_detail(lab)[ring]) > TEXTURED:
        return None
    distance = np.minimum.reduce([_distance(lab, colour) for colour in colours])
    if (distance[ring] <= tolerance).mean() < PLAIN:
        return None
    smooth = _smooth_change(lab, ring & (distance <= 1.5 * tolerance))
    change = _distance(lab, smooth)
    if (change[ring] <= tolerance).mean() > (distance[ring] <= tolerance).mean():
        distance = np.minimum(distance, change)
    return distance


def _detail(lab: NDArray[np.float32]) -> NDArray[np.float32]:
    """[H, W]: standard deviation of the lightness around each pixel."""
    light = lab[..., 0]
    mean = cv2.blur(light, (7, 7))
    return np.asarray(np.sqrt(np.maximum(cv2.blur(light * light, (7, 7)) - mean * mean, 0)), np.float32)


def _sides(lab: NDArray[np.float32]) -> list[NDArray[np.float32]]:
    """Colours [N, 3] along the four sides."""
    width = max(2, round(RING * min(lab.shape[:2])))
    parts = (lab[:width], lab[-width:], lab[:, :width], lab[:, -width:])
    return [part.reshape(-1, 3)[:: max(1, part.size // 3 // 5000)] for part in parts]


def _main_colours(sides: list[NDArray[np.float32]], tolerance: float) -> list[NDArray[np.float32]]:
    """Colours that many pixels of two sides at least are close to, the most common first."""
    left = np.concatenate(sides)
    colours: list[NDArray[np.float32]] = []
    for _ in range(2 * MOST_COLOURS):
        if not len(left) or len(colours) == MOST_COLOURS:
            break
        _, index, count = np.unique(np.floor(left / tolerance), axis=0, return_inverse=True, return_counts=True)
        centre = left[index.reshape(-1) == count.argmax()].mean(0)
        for _ in range(3):
            near = _distance(left, centre) <= tolerance
            centre = left[near].mean(0) if near.any() else centre
        shares = [float((_distance(side, centre) <= tolerance).mean()) for side in sides]
        if sorted(shares)[-2] >= MAIN_SHARE:
            colours.append(centre)
        left = left[_distance(left, centre) > tolerance]
    return colours


def _smooth_change(lab: NDArray[np.float32], known: NDArray[np.bool_]) -> NDArray[np.float32]:
    """[H, W, 3]: a quadratic in x and y for each channel, fitted where the colour is known."""
    rows, columns = known.shape
    y, x = (np.arange(n, dtype=np.float32) / n - 0.5 for n in (rows, columns))
    v, u = np.nonzero(known)
    pick = slice(None, None, max(1, len(u) // 20_000))
    u, v = u[pick], v[pick]

    def terms(a: NDArray[np.float32], b: NDArray[np.float32]) -> NDArray[np.float32]:
        return np.stack([np.ones_like(a * b), a + 0 * b, b + 0 * a, a * a + 0 * b, a * b, b * b + 0 * a], axis=-1)

    weights = np.linalg.lstsq(terms(x[u], y[v]), lab[v, u], rcond=None)[0].astype(np.float32)
    return np.asarray(terms(x[None, :], y[:, None]) @ weights, np.float32)


def _stack(images: Sequence[NDArray[np.uint8]], long_side: int) -> list[NDArray[np.uint8]]:
    """Those pictures that have the shape of the first, at the same small size."""
    small: list[NDArray[np.uint8]] = []
    for image in images:
        ratio = min(1.0, long_side / max(image.shape[:2]))
        size = max(8, round(image.shape[1] * ratio)), max(8, round(image.shape[0] * ratio))
        if not small or abs(size[0] - small[0].shape[1]) + abs(size[1] - small[0].shape[0]) <= 2:
            size = (small[0].shape[1], small[0].shape[0]) if small else size
            small.append(np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8))
    return small


def _steady(lab: NDArray[np.float32]) -> NDArray[np.float32]:
    """[H, W]: the share of the pictures [N, H, W, 3] in which a pixel is like its median."""
    middle = np.median(lab, axis=0)
    return np.mean([_distance(one, middle) <= SAME for one in lab], axis=0, dtype=np.float32)


def _enclosed(steady: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Steady pixels within what changes: an object that is the same from all sides hides them at all times."""
    return steady & ~_from_border(steady)


def _levelled(lab: NDArray[np.float32], goal: NDArray[np.float32] | None = None) -> NDArray[np.float32]:
    """Pictures [N, H, W, 3] whose border is as bright as that of the goal, or of most of them."""
    rim = _rim(lab.shape[1:3], 0.08)
    wanted = np.median(lab[:, rim], axis=0) if goal is None else goal[rim]
    ratio = np.median(np.maximum(wanted[:, 0], 1) / np.maximum(lab[:, rim, 0], 1), axis=1)
    shift = np.median(wanted[:, 1:] - lab[:, rim, 1:], axis=1)
    out = lab.copy()
    out[..., 0] *= ratio[:, None, None]
    out[..., 1:] += shift[:, None, None]
    return out


def _plate(lab: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """The background [H, W, 3] behind pictures [N, H, W, 3], and where it is sure [H, W].

    A pixel's background is its most common colour; where a second one is common too, the one that fits the background
    beside it, from the border inwards.
    """
    support = np.stack([sum((_distance(lab, one) <= SAME).astype(np.int16) for one in lab)])[0]
    first = support.argmax(0)[None, ..., None]
    plate = np.take_along_axis(lab, first, 0)[0]
    apart = np.where(_distance(lab, plate) > 2 * SAME, support, 0)
    other = np.take_along_axis(lab, apart.argmax(0)[None, ..., None], 0)[0]
    rival = (apart.max(0) >= RIVAL * len(lab)) & (support.max(0) < STEADY * len(lab))
    sure = _from_border(support.max(0) >= STEADY * len(lab))
    settled = sure.copy()
    ring = np.ones((3, 3), np.uint8)
    while not settled.all():
        fresh = (np.asarray(cv2.dilate(settled.astype(np.uint8), ring)) > 0) & ~settled
        if not fresh.any():
            break
        weight = cv2.blur(settled.astype(np.float32), (5, 5))
        around = cv2.blur(plate * settled[..., None], (5, 5)) / np.maximum(weight, 1e-6)[..., None]
        better = fresh & rival & (_distance(other, around) < _distance(plate, around))
        plate[better] = other[better]
        settled |= fresh
    return plate, sure

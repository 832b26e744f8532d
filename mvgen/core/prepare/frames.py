"""Photos from a video: the sharpest frame of each of some equal parts."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from mvgen.core.errors import InputError
from mvgen.core.io.images import MAX_PIXELS, write_image
from mvgen.core.progress import Progress, Silent

VIDEO_EXTENSIONS = (".mp4", ".mov", ".m4v", ".avi", ".mkv", ".webm")
PER_SECOND, FEWEST, MOST = 2, 20, 120
SHARPNESS_SIDE = 480  # pixels: size at which frames are compared
ALIKE = 1.5  # grey levels: pictures whose mean difference is less show the same
ALIKE_SIDE = 64  # pixels: size at which that is measured


@dataclass(frozen=True)
class Video:
    """What a video says of itself: size as it is shown, length in seconds, frames per second."""

    width: int
    height: int
    seconds: float
    fps: float


def default_count(seconds: float) -> int:
    """How many frames to take of a video: two per second, 20 to 120."""
    return int(np.clip(round(PER_SECOND * seconds), FEWEST, MOST))


def read_video_header(path: Path) -> Video:
    """Raises InputError for a file that is missing, empty or no video."""
    frames, video = _opened(path)
    frames.close()
    return video


def video_frames(path: Path, count: int | None, folder: Path, progress: Progress | None = None) -> list[Path]:
    """Write the sharpest frame of each of ``count`` equal parts of a video into a folder; the files, in order.

    count: None takes `default_count`. Frames stand upright, as the video is shown. A frame that shows nearly the same
    as the one taken before is left out, which is noted. Raises InputError for what is no video, is damaged, or has
    less than two frames.
    """
    progress = progress or Silent()
    frames, video = _opened(path)
    count = count or default_count(video.seconds)
    folder.mkdir(parents=True, exist_ok=True)
    progress.stage("frames", count)
    written: list[Path] = []
    last: NDArray[np.float32] | None = None
    seen = alike = 0
    part = max(video.seconds * video.fps, 1.0) / count
    for number, frame in _sharpest(_counted(frames, video), part, count):
        progress.advance()
        seen = number + 1
        small = _small(frame, ALIKE_SIDE)
        if last is not None and float(np.abs(small - last).mean()) < ALIKE:
            alike += 1
            continue
        target = folder / f"{path.stem}_{number:06}.jpg"
        write_image(frame, target)
        written.append(target)
        last = small
    if alike:
        progress.note(f"{path}: {alike} frames left out that show the same as those before them")
    if len(written) < 2:
        what = "no pictures" if seen == 0 else "only one picture" if seen == 1 else "nothing that moves"
        for file in written:
            file.unlink()
        raise InputError(f"{path}: the video has {what}", "film for some seconds while moving around the object")
    return written


def _opened(path: Path) -> tuple[Any, Video]:
    """The raw frames of a video and what it says of itself."""
    import imageio_ffmpeg

    logging.getLogger("imageio_ffmpeg").setLevel(logging.ERROR)  # it warns of every turned video
    if not path.is_file():
        raise InputError(f"{path}: no such file", "check the name")
    if path.stat().st_size == 0:
        raise InputError(f"{path}: the file is empty", "copy it again")
    if not _is_video(path):
        raise _not_a_video(path)
    name = str(path.resolve())
    frames: Any = imageio_ffmpeg.read_frames(name, pix_fmt="rgb24", input_params=["-protocol_whitelist", "file"])
    try:
        facts = next(frames)  # ffmpeg turns the frames as the video asks, and this size is that of the turned ones
        width, height = facts["size"]
        seconds, fps = float(facts["duration"]), float(facts["fps"])
        if width * height > MAX_PIXELS:
            raise InputError(f"{path}: frames of {width}x{height} pixels", "make the video smaller")
        if seconds <= 0:
            seconds = imageio_ffmpeg.count_frames_and_secs(name)[0] / fps
    except (OSError, RuntimeError, StopIteration, IndexError, ValueError, KeyError, AttributeError) as error:
        frames.close()
        raise _not_a_video(path) from error
    return frames, Video(width, height, seconds, fps)


def _is_video(path: Path) -> bool:
    """Whether a file starts as the formats of VIDEO_EXTENSIONS do; playlists, which name other files, do not."""
    with path.open("rb") as file:
        head = file.read(12)
    boxes = (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip")
    return head[4:8] in boxes or head[:4] == b"\x1a\x45\xdf\xa3" or (head[:4] == b"RIFF" and head[8:] == b"AVI ")


def _not_a_video(path: Path) -> InputError:
    return InputError(f"{path}: not a readable video", f"use {', '.join(VIDEO_EXTENSIONS)}, or copy it again")


def _counted(frames: Any, video: Video) -> Iterator[NDArray[np.uint8]]:
    """Frames [H, W, 3]; a damaged end is the end."""
    try:
        for raw in frames:
            yield np.frombuffer(raw, np.uint8).reshape(video.height, video.width, 3)
    except RuntimeError:
        return
    finally:
        frames.close()


def _sharpest(frames: Iterator[NDArray[np.uint8]], part: float, count: int) -> Iterator[tuple[int, NDArray[np.uint8]]]:
    """(number, frame) of the sharpest of each part of so many frames."""
    best: tuple[float, int, NDArray[np.uint8]] | None = None
    current = 0
    for number, frame in enumerate(frames):
        index = min(int(number / part), count - 1)
        if index != current and best is not None:
            yield best[1:]
            best = None
        current = index
        score = _sharpness(frame)
        if best is None or score > best[0]:
            best = (score, number, frame)
    if best is not None:
        yield best[1:]


def _sharpness(frame: NDArray[np.uint8]) -> float:
    """The variance of the Laplacian at a fixed size (Pech-Pacheco et al. 2000)."""
    return float(cv2.Laplacian(_small(frame, SHARPNESS_SIDE), cv2.CV_32F).var())


def _small(frame: NDArray[np.uint8], side: int) -> NDArray[np.float32]:
    """Grey levels at a small size."""
    ratio = min(1.0, side / max(frame.shape[:2]))
    size = max(1, round(frame.shape[1] * ratio)), max(1, round(frame.shape[0] * ratio))
    grey = cv2.cvtColor(cv2.resize(frame, size, interpolation=cv2.INTER_AREA), cv2.COLOR_RGB2GRAY)
    return np.asarray(grey, np.float32)

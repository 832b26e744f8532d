"""Films: .mp4 (H.264) and .gif."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mvgen.core.errors import CannotError

FPS = {".mp4": 24.0, ".gif": 12.5}


def write_video(frames: Iterable[NDArray[np.uint8]], path: Path) -> None:
    """Write frames [H, W, 3], all of one size, by the extension, at FPS pictures a second; a .gif plays for ever.

    An odd width or height is extended by one pixel for .mp4, whose chroma needs even ones. Raises CannotError.
    """
    if path.suffix.lower() == ".gif":
        _write_gif(frames, path)
        return
    import imageio.v2 as imageio  # its v3 interface has no writer that takes one frame after the other

    exact = ["-crf", "18", "-threads", "1", "-fflags", "+bitexact", "-flags:v", "+bitexact"]
    try:
        writer: Any = imageio.get_writer(
            path, format="FFMPEG", fps=FPS[".mp4"], codec="libx264", macro_block_size=2, output_params=exact
        )
        with writer:
            for frame in frames:
                odd_rows, odd_columns = frame.shape[0] % 2, frame.shape[1] % 2
                writer.append_data(np.pad(frame, ((0, odd_rows), (0, odd_columns), (0, 0)), mode="edge"))
    except (OSError, RuntimeError) as error:
        raise CannotError(
            f"{path.name}: ffmpeg could not write the film ({error})", "write a .gif or a folder"
        ) from error


def _write_gif(frames: Iterable[NDArray[np.uint8]], path: Path) -> None:
    from PIL import Image

    pictures = (Image.fromarray(f).quantize(256, Image.Quantize.MEDIANCUT) for f in frames)
    first = next(pictures)
    first.save(path, save_all=True, append_images=pictures, duration=round(1000 / FPS[".gif"]), loop=0, disposal=1)

"""The sharpest frames of small videos made here."""

from __future__ import annotations

import subprocess
from pathlib import Path

import cv2
import imageio_ffmpeg
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mvgen.core.errors import InputError
from mvgen.core.io.images import read_image
from mvgen.core.io.video import write_video
from mvgen.core.prepare import default_count, video_frames
from mvgen.core.prepare.frames import read_video_header
from mvgen.core.progress import Silent

ROWS, COLUMNS = 96, 128


class Notes(Silent):
    def __init__(self) -> None:
        self.lines: list[str] = []

    def note(self, text: str) -> None:
        self.lines.append(text)


def panorama(frames: int, sharp: set[int], step: int = 6) -> list[np.ndarray]:
    """A window that moves over a textured wall; all frames but some are blurred. A red mark is at the left top."""
    wall = np.random.default_rng(0).integers(0, 256, (ROWS // 4, (COLUMNS + step * frames) // 4 + 1, 3), dtype=np.uint8)
    wall = wall.repeat(4, 0).repeat(4, 1)
    out = []
    for k in range(frames):
        frame = np.ascontiguousarray(wall[:, step * k : step * k + COLUMNS])
        frame = frame if k in sharp else cv2.GaussianBlur(frame, (0, 0), 3)
        frame[:24, :24] = (255, 0, 0)
        out.append(frame)
    return out


def video(path: Path, frames: list[np.ndarray]) -> Path:
    write_video(frames, path)
    return path


def test_the_sharpest_frame_of_each_part_is_taken(tmp_path: Path) -> None:
    source = video(tmp_path / "walk.mp4", panorama(48, {5, 20, 30, 47}))
    notes = Notes()
    files = video_frames(source, 4, tmp_path / "out", notes)
    assert [f.name for f in files] == [f"walk_{k:06}.jpg" for k in (5, 20, 30, 47)]
    assert sorted((tmp_path / "out").iterdir()) == files and not notes.lines
    assert read_image(files[0]).shape == (ROWS, COLUMNS, 3)
    again = video_frames(source, 4, tmp_path / "again")
    assert [f.read_bytes() for f in again] == [f.read_bytes() for f in files]


def test_frames_that_show_the_same_are_left_out(tmp_path: Path) -> None:
    moving = panorama(24, set(range(24)))
    source = video(tmp_path / "a.mp4", [moving[0]] * 24 + moving)
    notes = Notes()
    files = video_frames(source, 8, tmp_path / "out", notes)
    assert len(files) in (4, 5)
    assert len(notes.lines) == 1 and "left out" in notes.lines[0]


@pytest.mark.parametrize("turn", [90, 180, 270])
def test_a_turned_video_is_upright(tmp_path: Path, turn: int) -> None:
    plain = video(tmp_path / "plain.mp4", panorama(12, set(range(12))))
    turned = tmp_path / "turned.mp4"
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-loglevel", "error", "-display_rotation", str(-turn), "-i", str(plain)]
    subprocess.run([*command, "-c", "copy", str(turned)], check=True)
    files = video_frames(turned, 2, tmp_path / "out")
    image = read_image(files[0]).astype(int)
    header = read_video_header(turned)
    assert image.shape[:2] == (header.height, header.width)
    assert image.shape[:2] == ((COLUMNS, ROWS) if turn != 180 else (ROWS, COLUMNS))
    corner = {90: image[:20, -20:], 180: image[-20:, -20:], 270: image[-20:, :20]}[turn]
    assert (corner[..., 0] - corner[..., 1]).mean() > 150


def test_what_is_no_video_is_named(tmp_path: Path) -> None:
    whole = video(tmp_path / "whole.mp4", panorama(12, set()))
    (tmp_path / "empty.mp4").touch()
    (tmp_path / "text.mp4").write_text("not a video")
    (tmp_path / "list.mp4").write_text("#EXTM3U\n#EXTINF:1\nwhole.mp4\n")
    (tmp_path / "cut.mp4").write_bytes(whole.read_bytes()[:200])
    video(tmp_path / "short.mp4", panorama(1, set()))
    video(tmp_path / "still.mp4", panorama(1, set()) * 12)
    for name in ("missing", "empty", "text", "list", "cut", "short", "still"):
        with pytest.raises(InputError, match=f"{name}.mp4") as caught:
            video_frames(tmp_path / f"{name}.mp4", 4, tmp_path / "out")
        assert caught.value.hint
        assert not list((tmp_path / "out").glob("*")) if (tmp_path / "out").exists() else True


@given(st.floats(0, 1e5))
def test_the_usual_count_is_two_a_second_within_bounds(seconds: float) -> None:
    count = default_count(seconds)
    assert 20 <= count <= 120
    assert count in (20, 120) or abs(count - 2 * seconds) <= 0.5

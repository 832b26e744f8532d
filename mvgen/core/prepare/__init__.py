"""What may be done to photos before anything is recovered from them: masks, enhancement, frames of a video."""

from mvgen.core.prepare.background import fixed_background, plain_background, static_backgrounds
from mvgen.core.prepare.enhance import EnhanceOptions, enhance
from mvgen.core.prepare.frames import VIDEO_EXTENSIONS, default_count, video_frames
from mvgen.core.prepare.masks import BACKGROUNDS, MaskOptions, PhotoMask, find_masks, photo_mask

__all__ = [
    "BACKGROUNDS",
    "VIDEO_EXTENSIONS",
    "EnhanceOptions",
    "MaskOptions",
    "PhotoMask",
    "default_count",
    "enhance",
    "find_masks",
    "fixed_background",
    "photo_mask",
    "plain_background",
    "static_backgrounds",
    "video_frames",
]

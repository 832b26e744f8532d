"""Pictures inside other files: textures as bytes of a PNG, JPEG or WebP file."""

from __future__ import annotations

import io
import warnings

import numpy as np
from numpy.typing import NDArray

from mvgen.core.errors import InputError

MOST_PIXELS = 150_000_000
_EXPORT_AGAIN = "the file looks cut short or damaged; export or download it again"


def decode_picture(data: bytes, name: str) -> NDArray[np.uint8]:
    """A PNG, JPEG or WebP picture as [H, W, 3] uint8 sRGB; transparency is dropped. Raises InputError."""
    from PIL import Image

    try:
        with (
            warnings.catch_warnings(action="ignore"),
            Image.open(io.BytesIO(data), formats=("PNG", "JPEG", "WEBP", "BMP", "TGA", "TIFF")) as image,
        ):
            if image.width * image.height > MOST_PIXELS:
                raise Image.DecompressionBombError
            return np.asarray(image.convert("RGBA" if image.mode == "P" else image.mode).convert("RGB"))
    except Image.DecompressionBombError:
        raise InputError(f"{name} has too many pixels", "reduce it to 8192 a side") from None
    except Exception as error:  # decoders raise many kinds on damaged data
        raise InputError(f"{name} cannot be decoded", _EXPORT_AGAIN) from error


def encode_picture(picture: NDArray[np.uint8], jpeg_quality: int | None) -> tuple[bytes, str]:
    """The bytes and media type of a picture [H, W, 3]: JPEG without chroma subsampling; PNG if it is small, or if
    ``jpeg_quality`` is None."""
    from PIL import Image

    out = io.BytesIO()
    image = Image.fromarray(np.ascontiguousarray(picture))
    if jpeg_quality is None or picture.shape[0] * picture.shape[1] <= 256 * 256:
        image.save(out, "PNG")
        return out.getvalue(), "image/png"
    image.save(out, "JPEG", quality=jpeg_quality, subsampling=0)
    return out.getvalue(), "image/jpeg"

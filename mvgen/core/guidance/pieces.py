"""T5's tokenizer from the files of a folder: tokenizer.json, or the model of sentencepiece, without that library.

Source of the second format: sentencepiece_model.proto of google/sentencepiece, in the wire format of protocol buffers.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mvgen.core.errors import WeightsError

LENGTH = 120  # tokens that PixArt-alpha reads
PAD, END, UNKNOWN = "<pad>", "</s>", "<unk>"
_PIECES, _NORMALIZER = 1, 3  # fields of a model
_TEXT, _SCORE = 1, 2  # of a piece
_CHARSMAP = 2  # of the normalizer


def piece_tokenizer(folder: Path) -> Any:
    """A `tokenizers.Tokenizer` that ends every text with </s> and cuts or fills it to LENGTH. Raises WeightsError."""
    from tokenizers import Tokenizer
    from tokenizers.processors import TemplateProcessing

    path = folder / "tokenizer.json"
    if not path.is_file():
        path = folder / "spiece.model"
    if not path.is_file():
        raise WeightsError(f"{folder}: has neither tokenizer.json nor spiece.model", "download it again")
    try:
        tokenizer = Tokenizer.from_file(str(path)) if path.suffix == ".json" else _of_pieces(path.read_bytes())
        pad, end = tokenizer.token_to_id(PAD), tokenizer.token_to_id(END)
        tokenizer.post_processor = TemplateProcessing(single=f"$A {END}", special_tokens=[(END, end)])
        tokenizer.enable_truncation(LENGTH)
        tokenizer.enable_padding(length=LENGTH, pad_id=pad, pad_token=PAD)
    except Exception as error:  # the library raises plain Exception, TypeError, ...
        raise WeightsError(f"{path}: is no tokenizer of T5 ({str(error)[:100]})", "download it again") from error
    return tokenizer


def _of_pieces(data: bytes) -> Any:
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers

    pieces, charsmap = [], b""
    for field, value in _fields(data):
        if field == _PIECES:
            inner = dict(_fields(value))
            (score,) = struct.unpack("<f", inner.get(_SCORE, b"\0\0\0\0"))
            pieces.append((inner[_TEXT].decode("utf-8"), score))
        elif field == _NORMALIZER:
            charsmap = dict(_fields(value)).get(_CHARSMAP, b"")
    names = [name for name, _ in pieces]
    tokenizer = Tokenizer(models.Unigram(pieces, unk_id=names.index(UNKNOWN), byte_fallback=False))
    if charsmap:
        tokenizer.normalizer = normalizers.Precompiled(charsmap)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace("▁", prepend_scheme="always")]
    )
    return tokenizer


def _fields(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Numbers and bytes of a message's fields; of whole numbers, none. Raises ValueError where it is cut short."""
    at = 0
    while at < len(data):
        key, at = _varint(data, at)
        kind = key & 7
        if kind == 0:
            _, at = _varint(data, at)
            continue
        if kind not in (1, 2, 5):
            raise ValueError("a field of an unknown kind")
        size, at = _varint(data, at) if kind == 2 else (8 if kind == 1 else 4, at)
        if at + size > len(data):
            raise ValueError("cut short")
        yield key >> 3, data[at : at + size]
        at += size


def _varint(data: bytes, at: int) -> tuple[int, int]:
    """A whole number in groups of 7 bits, and where it ends."""
    value = 0
    for shift in range(0, 70, 7):
        if at >= len(data):
            raise ValueError("cut short")
        value |= (data[at] & 127) << shift
        at += 1
        if data[at - 1] < 128:
            return value, at
    raise ValueError("a number is too long")

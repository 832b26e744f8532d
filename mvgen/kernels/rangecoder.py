"""An adaptive binary range coder with mixing of contexts, in integers only, so that every machine reads the same.

The functions below serve the encoder and the decoder alike: what `code_*` returns is what was given to it when a coder
writes, and what stands in the data when it reads. A format is therefore written down once, as one function.

A coder is an array of CODER_SIZE int64 (see `writer` and `reader`) beside the bytes it fills or reads. A reader never
looks beyond its bytes: what is missing reads as 0, and `ran_dry` tells. A model is one int64: the probability of a 1 in
units of 2^-32, times 256, plus how often it was seen. A probability that is coded has 16 bits.

Cost: 3 ns for a plain bit, 15 ns for one of an adaptive model and 30 to 60 ns for a mix of four, on one core.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mvgen.kernels.jit import exact_kernel

WHOLE = np.int64  # of constants that kernels pass on: they are compiled anew for each plain number
LOW, HIGH, CODE, POSITION, READING, OVERFLOW = range(6)
CODER_SIZE = 8
BITS = 56  # of the interval; its top byte is written as soon as it is known
TOP = BITS - 8
MASK = (1 << BITS) - 1
FRESH = 1 << 39  # a model that knows nothing: one half, never seen
LIMIT = 255  # largest count of a model
STRETCHED = 2047  # largest logit, in units of 1/256
MAX_CLASS = 40  # of an Elias-gamma integer: values below 2^40
GAMMA_MODELS = MAX_CLASS + 2 * MAX_CLASS  # of one context: class in unary, then the two bits below the leading one
EVEN = WHOLE(1 << 15)  # a chance of one half
LEAST = 24  # probabilities stay this far from 0 and 65536


def _squash_table() -> NDArray[np.int64]:
    """Probabilities (16 bits) of the logits -2047..2047 in units of 1/256. No entry is near a rounding boundary, so
    that any exponential good to 1e-9 gives the same table (there is a test)."""
    return np.rint(65536 / (1 + np.exp(-np.arange(-STRETCHED, STRETCHED + 1) / 256))).astype(np.int64)


def _stretch_table() -> NDArray[np.int64]:
    """The logit of each probability of 12 bits: the first whose probability is not smaller."""
    middle = (np.arange(4096, dtype=np.int64) * 16 + 8)[:, None]
    found = np.searchsorted(_squash_table(), middle[:, 0])
    return np.minimum(found, 2 * STRETCHED) - STRETCHED


SQUASH = _squash_table()
STRETCH = _stretch_table()
RATE = (65536 * 10) // (10 * np.arange(LIMIT + 1, dtype=np.int64) + 16)  # 1 / (count + 1.6)
TRUST = (256 * np.arange(LIMIT + 1, dtype=np.int64)) // np.arange(1, LIMIT + 2, dtype=np.int64)  # count / (count + 1)


def writer() -> NDArray[np.int64]:
    """A coder that writes."""
    coder = np.zeros(CODER_SIZE, np.int64)
    coder[HIGH] = MASK
    return coder


def reader(data: NDArray[np.uint8]) -> NDArray[np.int64]:
    """A coder that reads bytes written by another."""
    coder = writer()
    coder[READING] = 1
    for _ in range(BITS // 8):
        coder[CODE] = (int(coder[CODE]) << 8) | (int(data[coder[POSITION]]) if coder[POSITION] < len(data) else 0)
        coder[POSITION] += 1
    return coder


def bytes_to_read(data: bytes) -> NDArray[np.uint8]:
    """Bytes as the array that a reader takes."""
    return np.frombuffer(data, np.uint8).copy()


def fresh_models(count: int) -> NDArray[np.int64]:
    """Models [count] that know nothing."""
    return np.full(count, FRESH, np.int64)


@exact_kernel
def code_bit(coder, data, chance, bit):
    """One bit that is 1 with a chance of 0 < chance < 65536 in 65536."""
    low, high = coder[LOW], coder[HIGH]
    middle = low + ((high - low) >> 16) * chance
    if coder[READING]:
        bit = 1 if coder[CODE] <= middle else 0
    if bit:
        high = middle
    else:
        low = middle + 1
    while (low ^ high) >> TOP == 0:
        position = coder[POSITION]
        if coder[READING]:
            byte = np.int64(data[position]) if position < len(data) else 0
            coder[CODE] = ((coder[CODE] << 8) & MASK) | byte
        elif position < len(data):
            data[position] = low >> TOP
        else:
            coder[OVERFLOW] = 1
        coder[POSITION] = position + 1
        low = (low << 8) & MASK
        high = ((high << 8) & MASK) | 255
    coder[LOW], coder[HIGH] = low, high
    return bit


@exact_kernel
def finish(coder, data):
    """End writing with as few bytes as tell the interval from others; the length of the data in bytes."""
    if coder[OVERFLOW]:
        return -1
    low, high = coder[LOW], coder[HIGH]
    for count in range(BITS // 8 + 1):
        shift = BITS - 8 * count
        value = (high >> shift) << shift
        if value >= low:
            for k in range(count):
                if coder[POSITION] >= len(data):
                    return -1
                data[coder[POSITION]] = (value >> (TOP - 8 * k)) & 255
                coder[POSITION] += 1
            break
    return coder[POSITION]


@exact_kernel
def ran_dry(coder, data):
    """Whether a reader has used bits that its bytes do not hold: the data are cut short or damaged. (Damage need not
    show here: a file needs a checksum.)"""
    return coder[POSITION] > len(data) + BITS // 8


@exact_kernel
def code_raw(coder, data, value, bits):
    """An integer of so many bits, each 0 or 1 with equal chance."""
    result = 0
    for k in range(bits - 1, -1, -1):
        result = 2 * result + code_bit(coder, data, EVEN, (value >> k) & 1)
    return result


@exact_kernel
def adapt(models, index, bit, limit):
    """Let a model learn a bit: at first fast, later at a rate of 1 / limit."""
    model = models[index]
    count = model & 255
    chance = model >> 8
    chance += (((bit << 32) - chance) >> 16) * RATE[count]
    if count < limit:
        count += 1
    models[index] = (chance << 8) | count


@exact_kernel
def chance_of(models, index):
    """The 16-bit probability that a model gives to a 1."""
    return min(max(models[index] >> 24, LEAST), 65536 - LEAST)


@exact_kernel
def code_adaptive(coder, data, models, index, bit, limit=60):
    """A bit by one adaptive model."""
    bit = code_bit(coder, data, chance_of(models, index), bit)
    adapt(models, index, bit, limit)
    return bit


@exact_kernel
def code_tree(coder, data, models, base, value, bits):
    """An integer of so many bits by a tree of 2^bits - 1 models from base on, the highest bit first."""
    node = 1
    for k in range(bits - 1, -1, -1):
        node = 2 * node + code_adaptive(coder, data, models, base + node - 1, (value >> k) & 1)
    return node - (1 << bits)


@exact_kernel
def code_gamma(coder, data, models, base, value):
    """An integer from 0 on by GAMMA_MODELS models from base on: its class in unary (0, 1, 2-3, 4-7, ...), two bits
    below the leading one by models, the rest plain."""
    size = 0
    while size < MAX_CLASS - 1 and code_adaptive(coder, data, models, base + size, 1 if value >> size else 0):
        size += 1
    if size < 2:
        return size
    result = 1
    for k in range(size - 2, -1, -1):
        bit = (value >> k) & 1
        if k >= size - 3:
            node = base + MAX_CLASS + 2 * size + (size - 2 - k)
            bit = code_adaptive(coder, data, models, node, bit)
        else:
            bit = code_bit(coder, data, EVEN, bit)
        result = 2 * result + bit
    return result


@exact_kernel
def code_mixed(coder, data, models, slots, count, weights, chosen, bit):
    """A bit by several models, weighed by logistic mixing (Mahoney's PAQ) with the weights [sets, slots] chosen.

    slots[:count] index the models. A model counts the more the oftener it was seen. Weights are in units of 2^-16.
    """
    total = 0
    for k in range(count):
        model = models[slots[k]]
        total += weights[chosen, k] * ((STRETCH[model >> 28] * TRUST[model & 255]) >> 8)
    total = min(max(total >> 16, -STRETCHED), STRETCHED)
    chance = min(max(SQUASH[total + STRETCHED], LEAST), 65536 - LEAST)
    bit = code_bit(coder, data, chance, bit)
    error = (bit << 16) - chance
    for k in range(count):
        model = models[slots[k]]
        weights[chosen, k] += (error * ((STRETCH[model >> 28] * TRUST[model & 255]) >> 8) + (1 << 13)) >> 14
        adapt(models, slots[k], bit, LIMIT)
    return bit


def encode_ints(values: NDArray[np.integer], contexts: NDArray[np.integer] | None = None) -> bytes:
    """Integers, in any number and of either sign (below 2^38), by adaptive Elias-gamma codes.

    A context is the caller's class of the value [N] (0, 1, ...; the reader must know it too), together with the sizes
    of the two values before it. The count is not stored.
    """
    values = np.ascontiguousarray(values, np.int64).ravel()
    if len(values) and np.abs(values).max() >= 1 << 38:
        raise ValueError("an integer does not fit into 38 bits")
    return _run_ints(values, contexts, None)[1]


def decode_ints(data: bytes, count: int, contexts: NDArray[np.integer] | None = None) -> NDArray[np.int64]:
    """The integers [count] of `encode_ints`; ValueError where the data end too early."""
    return _run_ints(np.zeros(count, np.int64), contexts, data)[0]


def _run_ints(
    values: NDArray[np.int64], contexts: NDArray[np.integer] | None, data: bytes | None
) -> tuple[NDArray[np.int64], bytes]:
    if contexts is None:
        kinds = np.zeros(len(values), np.int64)
    else:
        kinds = np.ascontiguousarray(contexts, np.int64).ravel()
        if len(kinds) != len(values) or (len(kinds) and kinds.min() < 0):
            raise ValueError("one context from 0 on is needed for each value")
    models = fresh_models((int(kinds.max(initial=0)) + 1) * _INT_CONTEXTS * _INT_MODELS)
    if data is not None:
        read = bytes_to_read(data)
        coder = reader(read)
        _code_ints(coder, read, models, kinds, values)
        if ran_dry(coder, read):
            raise ValueError("the data end too early")
        return values, data
    room = np.zeros(16 + 12 * len(values), np.uint8)
    coder = writer()
    _code_ints(coder, room, models, kinds, values)
    return values, room[: finish(coder, room)].tobytes()


_INT_CONTEXTS = 6
_INT_MODELS = 1 + GAMMA_MODELS


@exact_kernel
def _code_ints(coder, data, models, kinds, values):
    before, earlier = 0, 0
    for i in range(len(values)):
        near = min(_size(before) + _size(earlier), 2 * _INT_CONTEXTS - 1) // 2
        base = (kinds[i] * _INT_CONTEXTS + near) * _INT_MODELS
        value = values[i]
        size = code_gamma(coder, data, models, base + 1, abs(value))
        if size and code_adaptive(coder, data, models, base, 1 if value < 0 else 0):
            size = -size
        values[i] = size
        earlier, before = before, size


@exact_kernel
def _size(value):
    value = abs(value)
    size = 0
    while value:
        value >>= 1
        size += 1
    return size


class ReferenceCoder:
    """The same code once more by whole fractions of unlimited length, plainly and slowly, for tests to compare with.

    Bytes are a number in [0, 1). The interval is kept as (low, width) with a common number of binary digits, and is
    narrowed by the rule of `code_bit`.
    """

    def __init__(self, data: bytes | None = None):
        self.digits = BITS  # binary digits of low and high
        self.low, self.high = 0, MASK
        self.data = data

    def bit(self, chance: int, bit: int = 0) -> int:
        middle = self.low + ((self.high - self.low) >> 16) * chance
        if self.data is not None:
            count = self.digits // 8
            value = int.from_bytes(self.data[:count].ljust(count, b"\0"), "big")
            bit = int(value <= middle)
        self.low, self.high = (self.low, middle) if bit else (middle + 1, self.high)
        while self.low >> (self.digits - 8 - self._settled()) == self.high >> (self.digits - 8 - self._settled()):
            self.low, self.high, self.digits = self.low << 8, (self.high << 8) | 255, self.digits + 8
        return bit

    def _settled(self) -> int:
        """Digits that both ends share for good."""
        return self.digits - BITS

    def finish(self) -> bytes:
        """The settled bytes and as few more as stay within the interval."""
        for count in range(self._settled() // 8, self.digits // 8 + 1):
            shift = self.digits - 8 * count
            value = (self.high >> shift) << shift
            if value >= self.low:
                return (value >> shift).to_bytes(count, "big")
        raise AssertionError("an interval holds its upper end")

"""The range coder against plain fractions, and what was written against what is read."""

from __future__ import annotations

import contextlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mvgen.kernels import rangecoder as rc

CHANCES = st.lists(st.tuples(st.integers(1, 65535), st.integers(0, 1)), max_size=300)


def written(steps, room=5000) -> bytes:
    data, coder = np.zeros(room, np.uint8), rc.writer()
    steps(coder, data)
    end = rc.finish(coder, data)
    assert end >= 0
    return data[:end].tobytes()


def opened(payload: bytes):
    data = rc.bytes_to_read(payload)
    return rc.reader(data), data


@settings(max_examples=60, deadline=None)
@given(CHANCES)
def test_bits_agree_with_the_reference(bits: list[tuple[int, int]]) -> None:
    reference = rc.ReferenceCoder()
    for chance, bit in bits:
        reference.bit(chance, bit)
    payload = written(lambda coder, data: [rc.code_bit(coder, data, c, b) for c, b in bits])
    assert payload == reference.finish()
    coder, data = opened(payload)
    reading = rc.ReferenceCoder(payload)
    for chance, bit in bits:
        assert rc.code_bit(coder, data, chance, 0) == bit == reading.bit(chance)
    assert not rc.ran_dry(coder, data)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(0, (1 << rc.MAX_CLASS - 1) - 1), max_size=80))
def test_gamma_codes_return(values: list[int]) -> None:
    models = rc.fresh_models(rc.GAMMA_MODELS)
    payload = written(lambda coder, data: [rc.code_gamma(coder, data, models, 0, v) for v in values])
    coder, data = opened(payload)
    models = rc.fresh_models(rc.GAMMA_MODELS)
    assert [rc.code_gamma(coder, data, models, 0, 0) for _ in values] == values


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 31), st.integers(0, 1 << 20)), max_size=60))
def test_trees_and_raw_bits_return(pairs: list[tuple[int, int]]) -> None:
    def run(coder, data, values):
        models = rc.fresh_models(31)
        out = []
        for small, large in values:
            tree = int(rc.code_tree(coder, data, models, 0, small, 5))
            out.append((tree, int(rc.code_raw(coder, data, large, 21))))
        return out

    coder, data = opened(written(lambda coder, data: run(coder, data, pairs)))
    assert run(coder, data, [(0, 0)] * len(pairs)) == pairs


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 1), st.integers(0, 3), st.integers(4, 7)), max_size=200))
def test_mixed_bits_return(steps: list[tuple[int, int, int]]) -> None:
    def run(coder, data, read):
        models, weights = rc.fresh_models(8), np.full((1, 2), 40000, np.int64)
        slots = np.zeros(2, np.int64)
        out = []
        for bit, first, second in steps:
            slots[:] = first, second
            out.append(int(rc.code_mixed(coder, data, models, slots, 2, weights, 0, 0 if read else bit)))
        return out

    coder, data = opened(written(lambda coder, data: run(coder, data, False)))
    assert run(coder, data, True) == [bit for bit, _, _ in steps]


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(-(1 << 38) + 1, (1 << 38) - 1), max_size=100), st.integers(0, 4))
def test_integers_return(values: list[int], kinds: int) -> None:
    contexts = np.arange(len(values)) % (kinds + 1)
    payload = rc.encode_ints(np.array(values, np.int64), contexts)
    assert rc.decode_ints(payload, len(values), contexts).tolist() == values


def test_size_is_near_the_entropy() -> None:
    rng = np.random.default_rng(0)
    bits = (rng.random(20_000) < 0.05).astype(np.int64)
    models = rc.fresh_models(1)
    payload = written(lambda coder, data: [rc.code_adaptive(coder, data, models, 0, b, 255) for b in bits])
    share = bits.mean()
    entropy = -len(bits) * (share * np.log2(share) + (1 - share) * np.log2(1 - share)) / 8
    assert entropy < len(payload) < 1.02 * entropy + 8
    laplace = np.rint(rng.laplace(0, 12, 20_000)).astype(np.int64)
    counts = np.unique(laplace, return_counts=True)[1] / len(laplace)
    assert len(rc.encode_ints(laplace)) < -1.03 * len(laplace) * (counts * np.log2(counts)).sum() / 8


def test_mixing_finds_the_model_that_knows() -> None:
    """One context tells the bit, the other is noise: the mix costs little more than the first alone."""
    rng = np.random.default_rng(0)
    known, noise = rng.integers(0, 2, 4000), rng.integers(0, 2, 4000)
    bits = np.where(rng.random(4000) < 0.05, 1 - known, known)

    def run(coder, data, use_noise):
        models, weights = rc.fresh_models(4), np.full((1, 2), 30000, np.int64)
        for k, n, b in zip(known, noise, bits):
            slots = np.array([k, 2 + n if use_noise else k], np.int64)
            rc.code_mixed(coder, data, models, slots, 2, weights, 0, b)

    alone = len(written(lambda coder, data: run(coder, data, False)))
    assert len(written(lambda coder, data: run(coder, data, True))) < 1.05 * alone


def test_damage_never_reads_beyond_the_data() -> None:
    rng = np.random.default_rng(0)
    values = rng.integers(-3000, 3000, 6000)
    payload = rc.encode_ints(values)
    assert (rc.decode_ints(payload, 6000) == values).all()
    with pytest.raises(ValueError, match="too early"):
        rc.decode_ints(b"", 6000)
    for cut in range(0, len(payload), 500):
        with contextlib.suppress(ValueError):
            assert len(rc.decode_ints(payload[:cut], 6000)) == 6000
    for _ in range(20):
        broken = bytearray(payload)
        broken[rng.integers(len(broken))] ^= 1 << rng.integers(8)
        assert len(rc.decode_ints(bytes(broken).ljust(len(payload) * 4, b"\1"), 6000)) == 6000


def test_too_little_room_is_reported() -> None:
    data, coder = np.zeros(3, np.uint8), rc.writer()
    for k in range(100):
        rc.code_raw(coder, data, k, 8)
    assert rc.finish(coder, data) == -1


def test_tables_do_not_hang_on_the_last_digit() -> None:
    exact = 65536 / (1 + np.exp(-np.arange(-rc.STRETCHED, rc.STRETCHED + 1) / 256))
    assert np.abs(exact - np.floor(exact) - 0.5).min() > 1e-6
    assert (np.diff(rc.STRETCH) >= 0).all() and rc.STRETCH[2048] + rc.STRETCH[2047] in (0, 1)

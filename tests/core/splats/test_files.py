"""Files of splats: each format there and back within its steps, frames, real files, and hostile ones."""

from __future__ import annotations

import gzip
import json
import os
import struct
import sys
import tracemalloc
import types
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from mvgen.core.errors import CannotError, InputError, UsageError
from mvgen.core.splats import compressed, spz
from mvgen.core.splats.files import WRITE_FORMATS, holds_splats, load_splats, not_kept, save_splats
from mvgen.core.splats.model import Splats
from mvgen.core.splats.splat import splat_order
from tests.core.splats import made

DATA = Path(os.environ.get("MVGEN_DATA", "/nowhere")) / "splats"
real = pytest.mark.skipif(not DATA.is_dir(), reason="needs MVGEN_DATA")
FLOAT = 1e-6


def written(splats: Splats, path: Path) -> Splats:
    save_splats(splats, path)
    return load_splats(path)


def angles(a: Splats, b: Splats) -> np.ndarray:
    """[N] between the axes, in radians."""
    return 2 * np.arccos(np.clip(np.abs((a.quaternions.astype(np.float64) * b.quaternions).sum(1)), 0, 1))


def ordered(splats: Splats, kind: str) -> Splats:
    """As a format orders them."""
    if kind == ".splat":
        return splats[splat_order(splats)]
    return splats[compressed.morton_order(splats.means)] if kind == ".compressed.ply" else splats


def check(kind: str, before: Splats, after: Splats) -> None:
    """That splats came back from a format within half a step of each of its numbers."""
    before = ordered(before, kind)
    assert after.frame == before.frame == "rdf" and len(after) == len(before)
    colour, opacity = after.colours - before.colours, after.opacities - before.opacities
    if kind == ".ply":
        for name in ("means", "log_scales", "logits", "harmonics"):
            assert np.array_equal(getattr(after, name), getattr(before, name)), name
        assert np.allclose(after.quaternions, before.quaternions, atol=FLOAT)
    elif kind == ".splat":
        assert np.array_equal(after.means, before.means) and after.degree == 0
        assert np.allclose(after.log_scales, before.log_scales, atol=2e-6)
        assert np.abs(colour).max() < 0.5 / 255 + FLOAT and angles(after, before).max() < 0.03
        assert np.abs(opacity).max() < 0.5 / 255 + FLOAT
    elif kind == ".spz":
        step = 2.0 ** -min(12, np.floor(np.log2((2**23 - 1) / np.abs(before.means).max())))
        assert np.abs(after.means - before.means).max() <= step / 2 + FLOAT
        assert np.abs(after.log_scales - np.clip(before.log_scales, -10, 5.9375)).max() <= 1 / 32 + FLOAT
        assert (
            np.abs(after.harmonics[:, 0] - np.clip(before.harmonics[:, 0], -10 / 3, 10 / 3)).max()
            < 0.5 / 255 / 0.15 + FLOAT
        )
        limited = np.clip(before.harmonics, -1, 127 / 128)
        assert np.abs(after.harmonics[:, 1:4] - limited[:, 1:4]).max(initial=0) <= 4 / 128 + FLOAT
        assert np.abs(after.harmonics[:, 4:] - limited[:, 4:]).max(initial=0) <= 8 / 128 + FLOAT
        assert angles(after, before).max() < 6e-3 and np.abs(opacity).max() < 0.5 / 255 + FLOAT
    else:
        for name, bits, reach in (("means", [11, 10, 11], 1e9), ("log_scales", [11, 10, 11], 20)):
            a, b = getattr(after, name), np.clip(getattr(before, name), -reach, reach)
            starts = np.arange(0, len(b), 256)
            size = np.maximum.reduceat(b, starts) - np.minimum.reduceat(b, starts)
            step = np.repeat(size, 256, axis=0)[: len(b)] / (2.0 ** np.array(bits) - 1)
            assert (np.abs(a - b) <= step / 2 + 1e-5 * (1 + np.abs(b))).all(), name
        assert np.abs(opacity).max() < 0.5 / 255 + FLOAT and angles(after, before).max() < 5e-3
        spread = np.ptp(before.harmonics[:, 0], axis=0).max()
        assert np.abs(after.harmonics[:, 0] - before.harmonics[:, 0]).max() <= 0.5 / 255 * spread + 1e-5
        limited = np.clip(before.harmonics[:, 1:], -4, 4)
        assert np.abs(after.harmonics[:, 1:] - limited).max(initial=0) <= 8 / 256 + FLOAT


@pytest.mark.parametrize("kind", WRITE_FORMATS)
@given(st.integers(1, 600), st.integers(0, 3), st.integers(0, 2**32 - 1), st.floats(0.01, 100))
@settings(max_examples=15, deadline=None)
def test_formats_hold_splats(
    tmp_path_factory: pytest.TempPathFactory, kind: str, number: int, degree: int, seed: int, size: float
) -> None:
    splats = made.splats(number, degree, seed, size)
    path = tmp_path_factory.getbasetemp() / f"a{kind}"
    check(kind, splats, written(splats, path))
    assert holds_splats(path)


@pytest.mark.parametrize("kind", WRITE_FORMATS)
def test_extreme_numbers_are_clipped(kind: str, tmp_path: Path) -> None:
    splats = made.splats(30, 2)
    splats.logits[:4] = [-40, 40, 1, 0]
    splats.log_scales[:2] = [[-30, 9, 1], [-3, 30, 2]]
    splats.harmonics[:5] *= 50
    if kind != ".splat":
        check(kind, splats, written(splats, tmp_path / f"a{kind}"))
    else:
        assert len(written(splats, tmp_path / "a.splat")) == 30


@pytest.mark.parametrize("kind", [".ply", ".compressed.ply", ".spz"])
def test_antialiasing_is_remembered(kind: str, tmp_path: Path) -> None:
    splats = made.splats()
    splats.metadata["antialiased"] = True
    assert written(splats, tmp_path / f"a{kind}").metadata["antialiased"] is True
    assert not_kept(splats, kind) == [] and len(not_kept(splats, ".splat")) == 2


def test_a_length_in_a_header_takes_no_memory(tmp_path: Path) -> None:
    path = tmp_path / "a.glb"
    path.write_bytes(struct.pack("<4sIIII", b"glTF", 2, 20, 0xFFFFFFF0, 0x4E4F534A))
    tracemalloc.start()
    assert not holds_splats(path)
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert most < 10_000_000


def test_the_same_splats_give_the_same_bytes(tmp_path: Path) -> None:
    for kind in WRITE_FORMATS:
        for name in ("a", "b"):
            save_splats(made.splats(), tmp_path / f"{name}{kind}")
        assert (tmp_path / f"a{kind}").read_bytes() == (tmp_path / f"b{kind}").read_bytes()


def test_what_cannot_be_written(tmp_path: Path) -> None:
    splats = made.splats()
    with pytest.raises(UsageError, match=r"\.ksplat"):
        save_splats(splats, tmp_path / "a.ksplat")
    with pytest.raises(CannotError, match="no splats"):
        save_splats(splats[np.zeros(0, int)], tmp_path / "a.ply")
    splats.means[0] = 1e8
    with pytest.raises(CannotError, match="SPZ"):
        save_splats(splats, tmp_path / "a.spz")
    splats.means[0] = np.nan
    with pytest.raises(CannotError, match="finite"):
        save_splats(splats, tmp_path / "a.ply")


# ---- formats that are read only


@pytest.mark.parametrize("degree", [0, 1, 2, 3])
@pytest.mark.parametrize("packed", [True, False])
def test_sog(degree: int, packed: bool, tmp_path: Path) -> None:
    before, path = made.splats(150, degree), tmp_path / "a.sog"
    files = made.sog(before, degree)
    if packed:
        path.write_bytes(made.zipped(files))
    else:
        path = tmp_path
        for name, data in files.items():
            (path / name).write_bytes(data)
    after = load_splats(path)
    assert holds_splats(path) and after.degree == degree and after.frame == "rdf"
    assert np.abs(after.means - before.means).max() < 1e-3
    assert angles(after, before).max() < 0.02
    assert np.abs(after.log_scales - before.log_scales).max() < 5 / 255 + FLOAT
    assert np.abs(after.harmonics - before.harmonics).max() < 4 / 255 + FLOAT
    assert np.abs(after.opacities - before.opacities).max() < 0.5 / 255 + FLOAT


@pytest.mark.parametrize("level", [0, 1, 2])
@pytest.mark.parametrize("degree", [0, 1, 2])
def test_ksplat(level: int, degree: int, tmp_path: Path) -> None:
    before = made.splats(40, degree)
    (tmp_path / "a.ksplat").write_bytes(made.ksplat(before, level))
    after = load_splats(tmp_path / "a.ksplat")
    coarse = [1e-6, 2e-3, 3 / 255][level]
    assert np.abs(after.means - before.means).max() < [1e-6, 8 / 32767][bool(level)]
    assert np.abs(after.log_scales - before.log_scales).max() < [1e-5, 2e-3][bool(level)]
    assert np.abs(after.harmonics[:, 1:] - before.harmonics[:, 1:]).max(initial=0) < coarse
    assert np.abs(after.colours - before.colours).max() < 0.5 / 255 + FLOAT and angles(after, before).max() < 0.01


@pytest.mark.parametrize("draft", [True, False])
def test_gltf_with_a_moved_node(draft: bool, tmp_path: Path) -> None:
    before = made.splats(20).in_frame("rub")
    matrix = np.eye(4)
    matrix[:3, :3], matrix[:3, 3] = 2 * Rotation.random(rng=4).as_matrix(), [1, 2, 3]
    (tmp_path / "a.glb").write_bytes(made.gltf(before, matrix, draft))
    after = load_splats(tmp_path / "a.glb", frame=None)
    assert after.frame == "rub" and holds_splats(tmp_path / "a.glb")
    assert np.allclose(after.means, before.means @ matrix[:3, :3].T + matrix[:3, 3], atol=1e-5)
    expected = matrix[:3, :3] @ made.covariances(before) @ matrix[:3, :3].T
    assert np.allclose(made.covariances(after), expected, atol=1e-6)
    assert np.allclose(after.logits, before.logits, atol=1e-4)
    matrix[0, 0] += 1
    (tmp_path / "a.glb").write_bytes(made.gltf(before, matrix))
    with pytest.raises(InputError, match="unevenly"):
        load_splats(tmp_path / "a.glb")


@pytest.mark.parametrize("whole", [True, False])
def test_gsgen(whole: bool, tmp_path: Path) -> None:
    before = made.splats(20, 0)
    (tmp_path / "a.pt").write_bytes(made.gsgen(before, whole))
    after = load_splats(tmp_path / "a.pt", frame=None)
    assert holds_splats(tmp_path / "a.pt") and after.frame == "rfu"
    assert np.allclose(after.means, before.means) and np.allclose(after.quaternions, before.quaternions, atol=1e-6)
    assert np.array_equal(after.logits, before.logits) and np.array_equal(after.log_scales, before.log_scales)
    assert np.allclose(after.colours, 1 / (1 + np.exp(-before.harmonics[:, 0])), atol=1e-6)
    assert after.metadata.get("prompt") == ("a bear" if whole else None)


@pytest.mark.parametrize(("version", "degree"), [(1, 0), (2, 0), (2, 1), (2, 3)])
@pytest.mark.parametrize("packed", [True, False])
def test_old_spz(version: int, degree: int, packed: bool, tmp_path: Path) -> None:
    before = made.splats(25, degree).in_frame("rub")
    data = made.spz(before, version, degree)
    (tmp_path / "a.spz").write_bytes(gzip.compress(data) if packed else data)
    after = load_splats(tmp_path / "a.spz", frame=None)
    assert after.frame == "rub" and after.degree == degree
    assert np.abs(after.means - before.means).max() < (2e-3 if version == 1 else 0.5 / 4096 + FLOAT)
    assert angles(after, before).max() < 0.2 and np.abs(after.log_scales - before.log_scales).max() < 1 / 32 + FLOAT
    assert np.abs(after.harmonics[:, 1:] - before.harmonics[:, 1:]).max(initial=0) < 0.5 / 128 + FLOAT


def test_spz_version_4(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a stand-in for the decoder, whose streams are those of zlib."""
    whole = zlib.decompress(spz.spz_bytes(made.splats(10, 2)), 31)
    head, columns = spz._one_stream(whole, "a")
    streams = [zlib.compress(column.tobytes()) for column in columns]
    raw = [column.size for column in columns]
    data = struct.pack(
        "<4sIIBBBBI12x", b"NGSP", 4, head.count, head.degree, head.fraction, 0, len(streams), 40
    ) + bytes(8)
    data += b"".join(struct.pack("<QQ", len(s), n) for s, n in zip(streams, raw)) + b"".join(streams)
    path = tmp_path / "a.spz"
    path.write_bytes(data)
    monkeypatch.setitem(sys.modules, "zstandard", None)
    with pytest.raises(InputError, match="Zstandard") as error:
        load_splats(path)
    assert error.value.hint and "zstandard" in error.value.hint

    class Decoder:
        def decompress(self, data: bytes, max_output_size: int) -> bytes:
            return zlib.decompress(data)

    decoder = types.SimpleNamespace(ZstdDecompressor=Decoder, ZstdError=zlib.error, frame_content_size=lambda data: -1)
    monkeypatch.setitem(sys.modules, "zstandard", decoder)
    path.write_bytes(whole)
    expected = load_splats(path)
    path.write_bytes(data)
    for name in ("means", "quaternions", "log_scales", "logits", "harmonics"):
        assert np.array_equal(getattr(load_splats(path), name), getattr(expected, name))
    path.write_bytes(data[:-3])
    with pytest.raises(InputError, match="ends before"):
        load_splats(path)


# ---- PLY in the wild


def ply(columns: dict[str, list[float]], comments: str = "") -> bytes:
    rows = len(next(iter(columns.values())))
    head = f"ply\nformat ascii 1.0\n{comments}element vertex {rows}\n"
    head += "".join(f"property float {name}\n" for name in columns) + "end_header\n"
    return (head + "".join(" ".join(map(str, row)) + "\n" for row in zip(*columns.values()))).encode()


USUAL: dict[str, list[float]] = {
    **{"rot_0": [2, 0], "rot_1": [0, 0], "rot_2": [0, 0], "rot_3": [0, 0]},  # any order, any length
    **{"x": [1, 4], "y": [2, 5], "z": [3, 6], "scale_0": [-1, -1], "scale_1": [-2, -2], "scale_2": [-3, -3]},
    **{"f_dc_0": [0.1, 0], "f_dc_1": [0.2, 0], "f_dc_2": [0.3, 0], "opacity": [1, 2]},
}


def test_ply_columns_in_any_order(tmp_path: Path) -> None:
    told: list[str] = []
    rest = {f"f_rest_{i}": [float(i), 0.0] for i in range(9)}
    (tmp_path / "a.ply").write_bytes(ply({**rest, **USUAL, "part": [1, 2]}, "comment antialiased 1\n"))
    got = load_splats(tmp_path / "a.ply", told.append)
    assert got.quaternions.tolist() == [[1, 0, 0, 0], [1, 0, 0, 0]] and got.degree == 1
    assert got.harmonics[0, 1:].tolist() == [[0, 3, 6], [1, 4, 7], [2, 5, 8]]
    assert told == [f"{tmp_path}/a.ply: left out: part"] and got.metadata == {"antialiased": True}


@pytest.mark.parametrize(("held", "degree"), [(0, 0), (6, 1), (9, 1), (12, 2), (24, 2), (45, 3), (72, 3)])
def test_ply_harmonics_of_any_number(held: int, degree: int, tmp_path: Path) -> None:
    rest = {f"f_rest_{i}": [float(i // (held // 3)), float(i)] for i in range(held)}
    (tmp_path / "a.ply").write_bytes(ply({**USUAL, **rest}))
    got = load_splats(tmp_path / "a.ply")
    kept = min(held // 3, 15)
    assert got.degree == degree
    assert (got.harmonics[0, 1 : 1 + kept] == [0, 1, 2]).all() and not got.harmonics[0, 1 + kept :].any()
    assert got.harmonics[1, 1 : 1 + kept, 0].tolist() == list(range(kept))


def test_flat_splats_get_a_third_scale(tmp_path: Path) -> None:
    (tmp_path / "a.ply").write_bytes(ply({k: v for k, v in USUAL.items() if k != "scale_2"}))
    assert np.allclose(load_splats(tmp_path / "a.ply").log_scales[0], [-1, -2, np.log(1e-6)])


def test_ply_of_gsgen(tmp_path: Path) -> None:
    raw = {"red": [255.0, -510], "green": [0, 0], "blue": [0, 0]}
    (tmp_path / "a.ply").write_bytes(ply({**{k: v for k, v in USUAL.items() if "f_dc" not in k}, **raw}))
    got = load_splats(tmp_path / "a.ply", frame=None)
    assert got.frame == "rfu" and np.allclose(got.colours[:, 0], 1 / (1 + np.exp([-1, 2])), atol=1e-6)
    assert np.allclose(got.colours[:, 1:], 0.5)
    assert load_splats(tmp_path / "a.ply").means[0].tolist() == [1, -3, 2]


def test_numbers_that_are_none(tmp_path: Path) -> None:
    told: list[str] = []
    columns = {key: [*values, values[0], values[1]] for key, values in USUAL.items()}
    columns["x"][2] = float("nan")
    columns["opacity"][3], columns["scale_0"][3] = float("inf"), float("-inf")
    (tmp_path / "a.ply").write_bytes(ply(columns))
    got = load_splats(tmp_path / "a.ply", told.append)
    assert len(got) == 3 and "1 splats with numbers that are not finite" in told[0]
    assert got.opacities[2] == 1 and got.log_scales[2, 0] == -40


# ---- frames


@pytest.mark.parametrize("kind", WRITE_FORMATS)
def test_a_splat_in_each_frame(kind: str, tmp_path: Path) -> None:
    """Right 1, down 2, forward 4, red from the right, green from below, blue from the front."""
    one = made.splats(1, 1)
    harmonics = np.zeros((1, 4, 3), np.float32)
    harmonics[0, 3, 0] = harmonics[0, 1, 1] = -0.5  # of -x and -y
    harmonics[0, 2, 2] = 0.5  # of z
    splat = Splats(np.array([[1, 2, 4]], np.float32), one.quaternions, one.log_scales, one.logits, harmonics)
    save_splats(splat, tmp_path / f"a{kind}")
    file = load_splats(tmp_path / f"a{kind}", frame=None)
    assert file.frame == ("rub" if kind == ".spz" else "rdf")
    assert np.allclose(file.means, [[1, -2, -4]] if kind == ".spz" else [[1, 2, 4]])
    if kind != ".splat":
        sign = -1 if kind == ".spz" else 1  # seen along y and z, which point elsewhere
        assert np.allclose(file.harmonics[0, 1:], [[0, -0.5 * sign, 0], [0, 0, 0.5 * sign], [-0.5, 0, 0]], atol=0.02)


# ---- hostile files


def refused(path: Path, data: bytes, words: str | None = None) -> None:
    path.write_bytes(data)
    with pytest.raises(InputError, match=words) as error:
        load_splats(path)
    assert str(path) in error.value.message


def test_claims_of_size_are_checked(tmp_path: Path) -> None:
    huge = 0xFFFFFFFF
    refused(tmp_path / "a.splat", bytes(33), "33 bytes")
    refused(tmp_path / "a.ply", ply(USUAL).replace(b"vertex 2", b"vertex 4000000000"))
    refused(tmp_path / "a.spz", gzip.compress(struct.pack("<4sIIBBBB", b"NGSP", 3, huge, 3, 12, 0, 0)), "claims")
    refused(tmp_path / "b.spz", gzip.compress(struct.pack("<4sIIBBBB", b"NGSP", 3, 10**7, 3, 12, 0, 0)), "ends before")
    refused(tmp_path / "c.spz", struct.pack("<4sIIBBBBI12x", b"NGSP", 4, 10**7, 3, 12, 0, 6, huge), "ends before")
    head = bytearray(made.ksplat(made.splats(40, 1)))
    for at in (4, 4096, 4100, 4108, 4128, 4132):
        refused(tmp_path / "a.ksplat", bytes(head[:at]) + struct.pack("<I", huge) + bytes(head[at + 4 :]))
    files = made.sog(made.splats(40, 1), 1)
    for key, value in (("count", 10**12), ("count", -1), ("count", "x"), ("version", 3), ("means", [])):
        meta = json.dumps({**json.loads(files["meta.json"]), key: value}).encode()
        refused(tmp_path / "a.sog", made.zipped({**files, "meta.json": meta}))
    packed = compressed.compressed_bytes(made.splats(300, 1))
    refused(tmp_path / "b.ply", packed.replace(b"element chunk 2", b"element chunk 1"))
    refused(tmp_path / "c.ply", packed.replace(b"element vertex 300", b"element vertex 9300000000"))


def test_a_bomb_is_not_unpacked(tmp_path: Path) -> None:
    bomb = struct.pack("<4sIIBBBB", b"NGSP", 3, 1, 0, 12, 0, 0) + bytes(1 << 26)
    refused(tmp_path / "a.spz", gzip.compress(bomb), "cannot be unpacked")


def test_a_checkpoint_does_not_run(tmp_path: Path) -> None:
    import pickle

    import torch

    class Evil:
        def __reduce__(self) -> object:
            return (Path.touch, (tmp_path / "ran",))

    torch.save({"mean": Evil()}, tmp_path / "a.pt")
    refused(tmp_path / "a.pt", (tmp_path / "a.pt").read_bytes(), "plain values")
    refused(tmp_path / "b.pt", pickle.dumps(Evil()), "plain values")
    torch.save({"mean": torch.zeros(1, 3).expand(10**9, 3)}, tmp_path / "c.pt")
    refused(tmp_path / "c.pt", (tmp_path / "c.pt").read_bytes(), "not a plain one")
    assert not (tmp_path / "ran").exists()


def test_other_things_are_named(tmp_path: Path) -> None:
    refused(tmp_path / "a.obj", b"v 0 0 0\n", "not a file of splats")
    refused(tmp_path / "a.ply", ply({"x": [0], "y": [0], "z": [0]}), "no splats")
    with pytest.raises(InputError, match="no such file"):
        load_splats(tmp_path / "gone.ply")
    (tmp_path / "empty.spz").touch()
    with pytest.raises(InputError, match="is empty"):
        load_splats(tmp_path / "empty.spz")
    assert not any(holds_splats(tmp_path / name) for name in ("", "a.obj", "a.ply", "gone.ply"))


# ---- real files


@real
@pytest.mark.parametrize("kind", WRITE_FORMATS)
@pytest.mark.parametrize("name", ["guitar/guitar_20k.ply", "train_1000/train-1000.ply"])
def test_real_splats_survive(name: str, kind: str, tmp_path: Path) -> None:
    before = load_splats(DATA / name)
    check(kind, before, written(before, tmp_path / f"a{kind}"))


@real
def test_a_real_compressed_file_agrees_with_its_plain_one() -> None:
    packed, plain = load_splats(DATA / "guitar/guitar.compressed.ply"), load_splats(DATA / "guitar/guitar_20k.ply")
    rows = {row.tobytes(): i for i, row in enumerate(packed.means)}
    picked = packed[np.array([rows[row.tobytes()] for row in plain.means])]
    assert np.allclose(picked.log_scales, plain.log_scales, atol=1e-5) and angles(picked, plain).max() < 2e-3
    assert np.allclose(picked.opacities, plain.opacities, atol=2e-3) and np.allclose(picked.harmonics, plain.harmonics)


@real
def test_small_files_of_others_hold_the_same_splats() -> None:
    found = [load_splats(DATA / "minimal_fixtures" / f"minimal{end}") for end in (".splat", ".ksplat", "-v3.spz")]
    for other in found[1:]:
        assert np.array_equal(other.means, found[0].means)
        assert np.allclose(other.log_scales, found[0].log_scales, atol=1 / 32)
        assert np.allclose(other.opacities, found[0].opacities, atol=1 / 255)
        assert np.allclose(other.colours, found[0].colours, atol=0.02)


@real
def test_real_sog_and_gltf() -> None:
    robot = load_splats(DATA / "playbot_sog_lod4")
    assert len(robot) == 8406 and robot.degree == 2
    assert robot.bounds[0, 1] < -1 and abs(robot.bounds[1, 1]) < 0.05  # it stands on the ground, and y is down
    told: list[str] = []
    matrix = load_splats(DATA / "khr_conformance/khr_conformance_matrix.glb", told.append, frame=None)
    assert len(matrix) == 15 and matrix.degree == 3 and "lin_rec709_display" in told[0]
    assert np.allclose(matrix.quaternions, [0, 1, 0, 0], atol=1e-6) and np.allclose(matrix.means, [1, 2, 3])
    assert np.allclose(matrix.log_scales[[0, 3, 4, 6]], [[0, 0.5, -0.5], [0.2, -0.1, 0.7], [1, -2, 3], [2, -3, 4]])
    assert np.allclose(matrix.opacities[8:11], [0.75, 64 / 255, 16384 / 65535])

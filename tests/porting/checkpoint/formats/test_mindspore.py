"""MindSpore's `.ckpt`: its very bytes, what training leaves in it, and everything that can be wrong with it."""

from __future__ import annotations

import contextlib
import os
import tracemalloc
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from porting.checkpoint import LazyTensor, open_checkpoint, write_checkpoint
from porting.checkpoint.dtypes import dtype
from porting.checkpoint.formats import mindspore
from porting.errors import CheckpointError, PortingError

SAVED = (
    b"\n,\n\x01w\x12'\x08\x02\x08\x03\x12\x07Float32\x1a\x18\x00\x00\x80?\x00\x00\x00@\x00\x00@@\x00\x00\x80@"
    b"\x00\x00\xa0@\x00\x00\xc0@\n\x19\n\x03a.b\x12\x12\x08\x02\x12\x08BFloat16\x1a\x04\xc0?\x00\xc0"
    b"\n\x16\n\x01n\x12\x11\x12\x05Int64\x1a\x08\x07\x00\x00\x00\x00\x00\x00\x00"
    b'crc_num\x00\x00\x00\x00\x00\x00"KGi'
)
"""What MindSpore 2.10 saved of `VALUES`, with `crc_check=True`."""
VALUES = {
    "w": np.arange(1, 7, dtype=np.float32).reshape(2, 3),
    "a.b": np.array([1.5, -2.0]).astype(dtype("bfloat16")),
    "n": np.array(7),
}
WITHOUT_TRAILER = SAVED[:-17]
UNCHECKED = "the file was written without a checksum, so that damage to it would not be noticed"


def varint(value: int) -> bytes:
    """Seven bits a byte, lowest first; a negative number as its 64-bit complement."""
    value %= 2**64
    return bytes([value]) if value < 0x80 else bytes([value & 0x7F | 0x80]) + varint(value >> 7)


def field(number: int, data: bytes) -> bytes:
    return varint(number << 3 | 2) + varint(len(data)) + data


def tensor(dims: bytes, kind: str, content: bytes) -> bytes:
    return field(2, dims + field(2, kind.encode()) + field(3, content))


def dims(*sizes: int) -> bytes:
    return b"".join(b"\x08" + varint(size) for size in sizes)


def value(tag: str, *parts: bytes) -> bytes:
    return field(1, field(1, tag.encode()) + b"".join(parts))


def of_array(tag: str, array: np.ndarray[Any, Any], kind: str = "Float32") -> bytes:
    return value(tag, tensor(dims(*array.shape), kind, array.tobytes()))


def sealed(content: bytes) -> bytes:
    """The content with its trailer."""
    return content + b"crc_num" + zlib.crc32(content).to_bytes(10, "big")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "model.ckpt"


def read_bytes(path: Path, content: bytes) -> dict[str, np.ndarray[Any, Any]]:
    path.write_bytes(content)
    with open_checkpoint(path) as checkpoint:
        assert checkpoint.format == "mindspore"
        return {name: np.array(tensor.load()) for name, tensor in checkpoint.tensors.items()}


def test_what_mindspore_saved_is_read_and_written_byte_by_byte(path: Path, same: Any) -> None:
    same(read_bytes(path, SAVED), VALUES)
    with open_checkpoint(path) as checkpoint:
        assert checkpoint.notes == ()
    again = path.with_name("again.ckpt")
    write_checkpoint(again, {name: LazyTensor.of(array) for name, array in VALUES.items()})
    assert again.read_bytes() == SAVED


def test_missing_checksum_is_noted(path: Path, same: Any) -> None:
    same(read_bytes(path, WITHOUT_TRAILER), VALUES)
    with open_checkpoint(path) as checkpoint:
        assert checkpoint.notes == (UNCHECKED,)


def test_packed_dims_and_fields_in_any_order_are_read(path: Path) -> None:
    packed = field(2, field(3, b"\0" * 12) + field(2, b"Int16") + field(1, varint(2) + varint(3)))
    assert read_bytes(path, value("w", packed))["w"].shape == (2, 3)
    swapped = field(1, field(1, b"x") + field(2, field(2, b"Bool") + field(3, b"\1")))
    assert read_bytes(path, of_array("w", np.ones(2, np.float32)) + swapped)["x"].tolist() is True


def test_scalars_of_mindspore_2_0_have_dims_of_zero(path: Path) -> None:
    content = value("old", tensor(dims(0), "Float32", np.float32(2.5).tobytes())) + of_array("none", np.zeros(0))
    arrays = read_bytes(path, content)
    assert (arrays["old"].shape, arrays["old"].item()) == ((), 2.5)
    assert arrays["none"].shape == (0,)


def test_every_name_of_a_dtype_is_read(path: Path) -> None:
    names = (
        "Bool UInt8 Int8 Int16 UInt16 Int32 UInt32 Int64 UInt64 Float16 BFloat16 Float32 Float64 Complex64 Complex128"
    )
    for name in names.split():
        kind = dtype(name.lower())
        assert read_bytes(path, of_array("w", np.ones((2, 3), kind), name))["w"].dtype == kind


def test_large_tensors_are_cut_where_mindspore_cuts_them(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert mindspore.SLICE == 512 * 1024 * 1024
    monkeypatch.setattr(mindspore, "SLICE", 40)
    array = np.arange(35, dtype=np.float32).reshape(5, 7)
    reported: list[tuple[str, int]] = []
    write_checkpoint(
        path,
        {"w": LazyTensor.of(array.T), "b": LazyTensor.of(array[0, :5]), "exact": LazyTensor.of(array.reshape(-1)[:10])},
        progress=lambda *what: reported.append(what),
    )
    content = np.ascontiguousarray(array.T).tobytes()
    slices = [tensor(dims(7, 5), "Float32", content[start : start + 40]) for start in (0, 40, 80, 120)]
    expected = b"".join(value("w", part) for part in slices) + of_array("b", array[0, :5])
    assert path.read_bytes() == sealed(expected + of_array("exact", array.reshape(-1)[:10]))
    assert sum(nbytes for name, nbytes in reported if name == "w") == array.nbytes
    with open_checkpoint(path) as checkpoint:
        np.testing.assert_array_equal(checkpoint.tensors["w"].load(), array.T)
        assert list(checkpoint.tensors) == ["w", "b", "exact"]


def test_large_tensor_of_another_shape_than_announced_is_refused(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mindspore, "SLICE", 4)
    wrong = LazyTensor((2, 3), np.dtype(np.float32), lambda: np.zeros((3, 2), np.float32))
    with pytest.raises(CheckpointError, match=r"w was announced as float32 \(2, 3\) and came as float32 \(3, 2\)"):
        write_checkpoint(path, {"w": wrong})
    assert not path.exists()


def test_parts_of_another_size_are_joined(path: Path) -> None:
    array = np.arange(10, dtype=np.float32)
    cut = [array.tobytes()[start:end] for start, end in ((0, 12), (12, 12), (12, 40))]
    joined = b"".join(value("w", tensor(dims(10), "Float32", part)) for part in cut)
    np.testing.assert_array_equal(read_bytes(path, joined + of_array("b", array))["w"], array)


def text(tag: str, content: str) -> bytes:
    return value(tag, tensor(dims(0), "str", content.encode("utf-32-le")))


def notes_of(path: Path) -> tuple[str, ...]:
    with open_checkpoint(path) as checkpoint:
        return checkpoint.notes


def test_training_state_is_left_out_and_noted(path: Path) -> None:
    weights = of_array("0.weight", np.ones((2, 2), np.float32))
    state = [
        value("epoch_num", tensor(b"", "Int64", np.int64(300).tobytes())),
        of_array("learning_rate", np.ones(5, np.float32)),
        of_array("moment1.0.weight", np.ones((2, 2), np.float32)),
        of_array("moment2.0.weight", np.ones((2, 2), np.float32)),
        text("author", "someone"),
    ]
    assert list(read_bytes(path, sealed(weights + b"".join(state)))) == ["0.weight"]
    assert notes_of(path) == (
        "epoch_num: left out, not weights (300)",
        "learning_rate: left out, not weights (5 numbers)",
        "author: left out, a text ('someone')",
        "moment1, moment2: left out, state of the optimizer (2 tensors)",
    )


def test_tensors_that_only_look_like_state_of_an_optimizer_stay(path: Path) -> None:
    names = ("moment1.other", "moment1.0.weight", "0.weight")
    content = b"".join(of_array(name, np.ones(index + 1, np.float32)) for index, name in enumerate(names))
    assert list(read_bytes(path, content)) == list(names)


def test_moving_averages_are_another_set_of_weights(path: Path) -> None:
    names = {"0.weight": 1.0, "0.bias": 2.0, "ema.0.weight": 3.0, "ema.0.bias": 4.0, "updates": 5.0}
    content = b"".join(of_array(name, np.full(2, number, np.float32)) for name, number in names.items())
    arrays = read_bytes(path, sealed(content))
    assert {name: array.tolist() for name, array in arrays.items()} == {"0.weight": [3, 3], "0.bias": [4, 4]}
    with open_checkpoint(path) as checkpoint:
        assert checkpoint.envelope == ("model_ema",)
        assert "model: left out, model_ema was read instead; --weights model reads it" in checkpoint.notes
    with open_checkpoint(path, weights="model") as checkpoint:
        assert checkpoint.tensors["0.bias"].load().tolist() == [2, 2]


def test_texts_from_a_file_are_few_and_printable(path: Path) -> None:
    weights = of_array("0.weight", np.ones(2, np.float32))
    texts = [text(f"\x1b[2J{index}", "\x1b[31mred\n") for index in range(60)]
    path.write_bytes(sealed(weights + b"".join(texts)))
    notes = notes_of(path)
    assert notes[0] == r"\x1b[2J0: left out, a text ('\x1b[31mred\n')"
    assert (len(notes), notes[-1]) == (51, "10 more entries: left out")
    path.write_bytes(of_array("a\nb", np.ones(2, np.float32)))
    with pytest.raises(CheckpointError, match=r"has a tensor under 'a\\nb', expected a name"):
        open_checkpoint(path)


def test_names_of_training_are_not_written(path: Path) -> None:
    with pytest.raises(CheckpointError, match="epoch_num is a name that MindSpore files keep for themselves"):
        write_checkpoint(path, {"epoch_num": LazyTensor.of(np.zeros(1))})


@pytest.mark.parametrize(("magic", "mode"), [("d8", "AES-GCM"), ("d9", "AES-CBC"), ("da", "SM4-CBC")])
def test_encrypted_files_are_refused_by_name(magic: str, mode: str, path: Path) -> None:
    path.write_bytes(bytes.fromhex(f"{magic}5e3a7f") + b"\x13\xf2" * 50)
    with pytest.raises(
        CheckpointError, match=rf"model\.ckpt: is encrypted by MindSpore \({mode}\); load it there with its"
    ):
        open_checkpoint(path)


@pytest.mark.parametrize("start", [0, 1, 2])
def test_changed_bit_in_any_byte_is_refused(start: int, path: Path) -> None:
    for at in range(start, len(SAVED), 3):
        damaged = bytearray(SAVED)
        damaged[at] ^= 1 << (0, 3, 7)[at // 3 % 3]
        path.write_bytes(damaged)
        with pytest.raises(CheckpointError) as caught:
            open_checkpoint(path)
        assert str(caught.value).startswith(f"{path}: ")


def test_damaged_file_reports_both_checksums(path: Path) -> None:
    damaged = bytearray(SAVED)
    damaged[30] ^= 1
    path.write_bytes(damaged)
    with pytest.raises(
        CheckpointError, match=r"is damaged: its CRC-32 is [0-9a-f]{8}, the file says 224b4769; fetch or save"
    ):
        open_checkpoint(path)


@pytest.mark.parametrize("content", [SAVED, WITHOUT_TRAILER])
def test_file_cut_anywhere_is_refused_or_noted_as_unchecked(content: bytes, path: Path) -> None:
    """Between two values a file without trailer may well end; whoever knows the model then finds tensors missing."""
    whole = [46, 73, len(WITHOUT_TRAILER)]
    for length in range(len(content)):
        path.write_bytes(content[:length])
        if length in whole:
            with open_checkpoint(path) as checkpoint:
                assert list(checkpoint.tensors) == list(VALUES)[: whole.index(length) + 1]
                assert checkpoint.notes == (UNCHECKED,)
            continue
        with pytest.raises(CheckpointError) as caught:
            open_checkpoint(path)
        assert str(caught.value).startswith(f"{path}: ")
        assert "\n" not in str(caught.value)


OTHER = of_array("other", np.ones(3, np.float32))
ONE = np.ones((2, 3), np.float32).tobytes()
DAMAGED: Mapping[str, tuple[bytes, str]] = {
    "too little data": (value("w", tensor(dims(2, 3), "Float32", ONE[:-4])), r"holds 20 bytes for w of shape \(2, 3\)"),
    "too much data": (value("w", tensor(dims(2, 3), "Float32", ONE + b"\0" * 4)), "holds 28 bytes for w .*expected 24"),
    "no data": (value("w", field(2, dims(2, 3) + field(2, b"Float32"))), "holds 0 bytes for w"),
    "negative dims": (value("w", tensor(dims(-2, -3), "Float32", ONE)), "which has a shape with other than sizes"),
    "huge dims": (value("w", tensor(dims(2**40, 2**40), "Float32", ONE)), "describes w, which has the impossible"),
    "largest dims": (value("w", tensor(dims(2**63 - 1), "Float32", ONE)), "describes w, which has a shape with other"),
    "many dims": (value("w", tensor(dims(*[1] * 33), "Float32", ONE)), "describes w with more than 32 dims"),
    "many packed dims": (value("w", tensor(field(1, b"\1" * 10**6), "Float32", ONE)), "has more than 32 numbers"),
    "a dtype that is none": (value("w", tensor(dims(2, 3), "Int4", ONE)), "holds w in the dtype 'Int4', expected"),
    "no dtype": (value("w", field(2, dims(2, 3) + field(3, ONE))), "describes w without a dtype"),
    "no tag": (OTHER + field(1, tensor(dims(2, 3), "Float32", ONE)), "has a value without a tag or a tensor"),
    "no tensor": (value("w"), "not a checkpoint|has a value without a tag or a tensor"),
    "two tensors": (value("w", *[tensor(dims(2, 3), "Float32", ONE)] * 2), "has a value with two fields 2"),
    "a map": (value("w", field(3, field(1, b"table")), b""), "holds w as a MapParameter, which is not read here"),
    "twice": (of_array("w", np.ones(2, np.float32)) + OTHER + of_array("w", np.ones(2, np.float32)), "holds w twice"),
    "twice in turn": (of_array("w", np.ones(2, np.float32)) + of_array("w", np.ones(3, np.float32)), "holds w twice"),
    "the same twice": (of_array("w", np.ones(2, np.float32)) * 2, "holds 16 bytes for w of shape"),
    "another field": (OTHER + field(2, b"abc"), "has a field 2 where a value is expected"),
    "a number": (OTHER + b"\x08\x05", "has a field 1 where a value is expected"),
    "a number for a tag": (OTHER + field(1, b"\x08\x05"), "has a field 1 where a tag or a tensor is expected"),
    "another field of a value": (OTHER + value("w", field(4, b"")), "has a field 4 where a tag or a tensor"),
    "another field of a tensor": (OTHER + value("w", field(2, field(4, b""))), "has a field 4 where the data"),
    "a group": (OTHER + b"\x0b", "has a field of an unknown kind"),
    "field 0": (OTHER + b"\x02\x00", "has no field number"),
    "an endless number": (OTHER + b"\x0a" + b"\xff" * 20, "has no number at byte"),
    "a number of 65 bits": (OTHER + b"\x0a" + b"\xff" * 9 + b"\x02", "has no number at byte"),
    "a lying length": (OTHER + b"\x0a" + varint(2**40) + b"abc", "3 bytes at byte .* there are 1099511627776"),
    "an inner lying length": (OTHER + field(1, field(1, b"w") + b"\x12\x7f"), "has 0 bytes .*says that there are 127"),
    "a tag that is no text": (OTHER + field(1, field(1, b"\xff") + tensor(b"", "Bool", b"\0")), "has no UTF-8 text"),
    "a fixed number": (OTHER + b"\x0d\0\0", "where it says that there are 4"),
    "only state": (value("epoch_num", tensor(b"", "Int64", b"\0" * 8)), "holds no state dict: it is empty"),
}  # fmt: skip


@pytest.mark.parametrize("case", DAMAGED)
@pytest.mark.parametrize("trailer", [True, False])
def test_damaged_mindspore_file_says_what_is_wrong(case: str, trailer: bool, path: Path) -> None:
    content, message = DAMAGED[case]
    path.write_bytes(sealed(content) if trailer else content)
    with pytest.raises(CheckpointError, match=rf"model\.ckpt: .*({message})") as caught:
        open_checkpoint(path)
    assert "\n" not in str(caught.value)


def test_too_many_tensors(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mindspore, "_MAX_VALUES", 3)
    path.write_bytes(b"".join(of_array(f"w{index}", np.ones(1, np.float32)) for index in range(4)))
    with pytest.raises(CheckpointError, match="holds more than 3 tensors"):
        open_checkpoint(path)


@given(data=st.data())
def test_damaged_at_random(data: st.DataObject, tmp_path: Path) -> None:
    content, path = bytearray(WITHOUT_TRAILER), tmp_path / "damaged"
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(content) - 1))
        content[at : at + data.draw(st.integers(0, 4))] = data.draw(st.binary(max_size=5))
    path.write_bytes(bytes(content) or b"\0")
    with contextlib.suppress(PortingError), open_checkpoint(path) as checkpoint:
        for lazy in checkpoint.tensors.values():
            assert lazy.load().nbytes == lazy.nbytes <= len(content)


def test_header_of_a_huge_shape_takes_no_memory(path: Path) -> None:
    path.write_bytes(value("w", tensor(dims(2**38), "Float32", b"\0" * 4096)))
    tracemalloc.start()
    try:
        with pytest.raises(CheckpointError, match="holds 4096 bytes for w"):
            open_checkpoint(path)
        assert tracemalloc.get_traced_memory()[1] < 2**20
    finally:
        tracemalloc.stop()


def test_read_only_target_is_replaced(path: Path, same: Any, read: Any) -> None:
    path.write_bytes(b"old")
    path.chmod(0o400)
    write_checkpoint(path, {name: LazyTensor.of(array) for name, array in VALUES.items()}, overwrite=True)
    same(read(path), VALUES)
    assert path.stat().st_mode & 0o777 == 0o400
    assert os.access(path, os.R_OK)


@pytest.mark.parametrize("length", range(1, 200, 7))
def test_mindspore_name_with_a_brace_is_not_taken_for_safetensors(length: int, path: Path) -> None:
    for name in ("abc{", "abcd{", "ab{", "a{", "{" * length):
        array = np.ones(length, np.float32)
        assert read_bytes(path, of_array(name, array))[name].tolist() == array.tolist()


def test_text_files_that_start_with_line_breaks_are_not_taken_for_it(path: Path) -> None:
    for content in (b"\n\n\n\n\n\n\n\n\n\n\n\n\n", b"\n\nhello\n\n", b"\n<html>", b"\n,\n"):
        path.write_bytes(content)
        with pytest.raises(CheckpointError, match=r"is not a checkpoint|is a web page"):
            open_checkpoint(path)


def test_mindspore_brace_at_byte_eight_is_not_taken_for_safetensors(tmp_path: Path) -> None:
    write_checkpoint(tmp_path / "a.ckpt", {"abcd{e": LazyTensor.of(np.ones(2, np.float32))})
    with open_checkpoint(tmp_path / "a.ckpt") as checkpoint:
        assert list(checkpoint.tensors) == ["abcd{e"]

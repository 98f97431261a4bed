"""What the safetensors package refuses is refused here too."""

from __future__ import annotations

import contextlib
import json
import struct
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from porting.checkpoint import open_checkpoint
from porting.errors import CheckpointError


def read_all(path: Path) -> None:
    with open_checkpoint(path) as checkpoint:
        for tensor in checkpoint.tensors.values():
            tensor.load()


def safetensors_file(path: Path, header: object, data: bytes = b"\0" * 24) -> Path:
    encoded = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(encoded)) + encoded + data)
    return path


def entry(start: int, end: int, shape: list[int], dtype: str = "F32", **more: object) -> dict[str, object]:
    return {"dtype": dtype, "shape": shape, "data_offsets": [start, end], **more}


SAFETENSORS: dict[str, tuple[object, str]] = {
    "a gap": ({"a": entry(0, 8, [2]), "b": entry(12, 24, [3])}, "places b .* at bytes 12 to 24, expected 8 to 20"),
    "an overlap": ({"a": entry(0, 16, [4]), "b": entry(8, 24, [4])}, "places b"),
    "too short": ({"a": entry(0, 8, [2])}, "has 16 bytes after its last tensor"),
    "too long": ({"a": entry(0, 32, [8])}, "truncated or damaged"),
    "size of the shape": ({"a": entry(0, 24, [5])}, "places a of shape"),
    "backwards": ({"a": entry(24, 0, [6])}, "places a"),
    "negative": ({"a": entry(-24, 0, [6])}, "places a"),
    "negative shape": ({"a": entry(0, 24, [-6])}, "describes a, which has a shape with other than"),
    "huge shape": ({"a": entry(0, 24, [2**40, 2**40])}, "impossible shape"),
    "dtype": ({"a": entry(0, 24, [48], "F4")}, "holds a in the dtype F4, expected one of BOOL.*cast it with its own"),
    "no dtype": ({"a": {"shape": [6], "data_offsets": [0, 24]}}, "describes a otherwise than by dtype"),
    "offsets": ({"a": {"dtype": "F32", "shape": [6], "data_offsets": [0]}}, "describes a otherwise"),
    "true for a number": (b'{"a":{"dtype":"U8","shape":[23],"data_offsets":[false,24]}}', "describes a otherwise"),
    "no object": ([1], "safetensors|not a checkpoint"),
    "no json": (b"{nonsense", "its header is no JSON"),
    "NaN": (b'{"a": NaN}', "its header is no JSON"),
    "nested": (b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}", "its header is no JSON"),
    "not UTF-8": (b'{"\xff": 1}', "its header is no JSON"),
    "UTF-16": ('{"a":{"dtype":"F32","shape":[6],"data_offsets":[0,24]}}'.encode("utf-16-le"), "its header is no JSON"),
    "duplicate": (b'{"a":{"dtype":"F32","shape":[3],"data_offsets":[0,12]},"a":{"dtype":"F32","shape":[3],'
                  b'"data_offsets":[12,24]}}', "its header names a twice"),
    "metadata": ({"__metadata__": {"a": 1}, "b": entry(0, 24, [6])}, "has metadata other than texts"),
    "no tensors": ({"__metadata__": {}}, "has 24 bytes after its last tensor"),
}  # fmt: skip


@pytest.mark.parametrize("case", SAFETENSORS)
def test_damaged_safetensors_are_refused_here_and_by_the_package(case: str, tmp_path: Path) -> None:
    from safetensors import SafetensorError, safe_open

    header, message = SAFETENSORS[case]
    path = safetensors_file(tmp_path / "a.safetensors", header)
    with pytest.raises(CheckpointError, match=message):
        open_checkpoint(path)
    if case not in ("duplicate", "dtype"):  # the package takes the last of the two, and knows this dtype
        with pytest.raises((SafetensorError, UnicodeDecodeError)):
            safe_open(path, "np")


def test_safetensors_without_tensors(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="holds no state dict: it is empty"):
        open_checkpoint(safetensors_file(tmp_path / "a.safetensors", {}, b""))


@given(data=st.data())
def test_what_the_safetensors_package_refuses_is_refused(data: st.DataObject, tmp_path: Path) -> None:
    from safetensors import SafetensorError, safe_open

    header = {"a": entry(0, 8, [2]), "b": entry(8, 24, [4]), "__metadata__": {"format": "pt"}}
    content = bytearray(json.dumps(header).encode())
    for _ in range(data.draw(st.integers(0, 2))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.sampled_from(b'0123456789"{}[],:FI U'))
    path = safetensors_file(tmp_path / "a.safetensors", bytes(content))
    try:
        with safe_open(path, "np"):
            pass
    except SafetensorError:
        with pytest.raises(CheckpointError):
            read_all(path)
    else:
        with contextlib.suppress(CheckpointError):
            read_all(path)


@pytest.mark.parametrize("length", [640, 896, 1152, 1408, 65_536 + 640])
def test_safetensors_length_that_starts_like_a_pickle_is_read(length: int, tmp_path: Path) -> None:
    header = json.dumps({"a": entry(0, 24, [6])}).ljust(length).encode()
    assert len(header).to_bytes(8, "little")[:2] in (b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05")
    with open_checkpoint(safetensors_file(tmp_path / "a.safetensors", header)) as checkpoint:
        assert (checkpoint.format, checkpoint.tensors["a"].load().tolist()) == ("safetensors", [0.0] * 6)

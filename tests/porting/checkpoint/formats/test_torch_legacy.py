"""torch's files of before 0.4, whose tensors lie in parts of a storage; no torch of today writes them.

Such a file is made by hand: the persistent id of a storage ends with `(key of the part, first element, number of
elements)`, the view metadata of `legacy_load` in `torch/serialization.py`.
"""

from __future__ import annotations

import pickle
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

from porting.checkpoint import open_checkpoint
from porting.errors import CheckpointError

STORAGES = {"float32": "FloatStorage", "int16": "ShortStorage", "float64": "DoubleStorage"}


class Part(NamedTuple):
    """A part of a storage, and a tensor in it: shape, strides and offset count elements."""

    key: str
    first: int
    numel: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]
    offset: int = 0


PARTS = {
    "matrix": Part("140", 4, 6, (2, 3), (3, 1)),
    "turned": Part("140", 4, 6, (3, 2), (1, 3)),
    "row": Part("141", 10, 3, (2,), (1,), offset=1),
    "last": Part("142", 13, 1, (), ()),
    "none": Part("143", 14, 0, (0, 4), (4, 1)),
}


def legacy_file(whole: np.ndarray[Any, Any], parts: Mapping[str, Part], *, little_endian: bool = True) -> bytes:
    """The file: three pickles of a header, the saved dict, the list of storages, and the elements of the only one."""
    header = (0x1950A86A20F9469CFC6C, 1001, {"protocol_version": 1001, "little_endian": little_endian})
    saved = b"".join(_tensor(name, whole, part) for name, part in parts.items())
    order = "<" if little_endian else ">"
    stored = struct.pack(f"{order}q", whole.size) + whole.astype(whole.dtype.newbyteorder(order)).tobytes()
    pickles = (*(pickle.dumps(value, 2) for value in header), b"\x80\x02}(" + saved + b"u.", pickle.dumps(["139"], 2))
    return b"".join(pickles) + stored


def _tensor(name: str, whole: np.ndarray[Any, Any], part: Part) -> bytes:
    """`_rebuild_tensor(storage, offset, size, stride)`, of which version 2 came with torch 0.4."""
    view = (part.key, part.first, part.numel)
    identity = _text("storage") + f"ctorch\n{STORAGES[whole.dtype.name]}\n".encode() + _text("139") + _text("cpu")
    storage = b"(" + identity + _value(whole.size) + _value(view) + b"tQ"
    layout = b"".join(map(_value, (part.offset, part.shape, part.strides)))
    return _text(name) + b"ctorch._utils\n_rebuild_tensor\n(" + storage + layout + b"tR"


def _text(value: str) -> bytes:
    return b"X" + struct.pack("<I", len(value)) + value.encode()


def _value(value: object) -> bytes:
    """The opcodes of a value, without a memo, which would clash with that of the pickle around it."""
    if isinstance(value, tuple):
        return b"(" + b"".join(map(_value, value)) + b"t"
    return _text(value) if isinstance(value, str) else pickle.dumps(value, 2)[2:-1]


@pytest.mark.parametrize("dtype", STORAGES)
@pytest.mark.parametrize("little_endian", [True, False])
def test_tensors_in_parts_of_a_storage_are_read(dtype: str, little_endian: bool, tmp_path: Path) -> None:
    whole = np.arange(100, 114).astype(dtype)
    (tmp_path / "a.pth").write_bytes(legacy_file(whole, PARTS, little_endian=little_endian))
    expected = {
        "matrix": whole[4:10].reshape(2, 3),
        "turned": whole[4:10].reshape(2, 3).T,
        "row": whole[11:13],
        "last": whole[13],
        "none": whole[:0].reshape(0, 4),
    }
    with open_checkpoint(tmp_path / "a.pth") as checkpoint:
        assert (checkpoint.format, list(checkpoint.tensors)) == ("torch-legacy", list(expected))
        for name, tensor in checkpoint.tensors.items():
            assert (tensor.dtype.name, tensor.shape) == (dtype, expected[name].shape)
            np.testing.assert_array_equal(tensor.load(), expected[name], err_msg=name)


@pytest.mark.parametrize(
    ("part", "message"),
    [
        (Part("140", 9, 6, (2, 3), (3, 1)), "a part of the storage 139 lies outside of it"),
        (Part("140", -1, 6, (2, 3), (3, 1)), "a part of the storage 139 lies outside of it"),
        (Part("140", 4, -6, (2, 3), (3, 1)), "a part of the storage 139 lies outside of it"),
        (Part("140", 4, 5, (2, 3), (3, 1)), "w is a view beyond its storage 140: it ends at byte 24 of 20"),
    ],
)
def test_part_beyond_its_storage_is_refused(part: Part, message: str, tmp_path: Path) -> None:
    (tmp_path / "a.pth").write_bytes(legacy_file(np.arange(14, dtype=np.float32), {"w": part}))
    with pytest.raises(CheckpointError, match=message):
        open_checkpoint(tmp_path / "a.pth")


def test_storage_of_two_sizes_is_refused(tmp_path: Path) -> None:
    content = legacy_file(np.arange(14, dtype=np.float32), {"v": PARTS["matrix"], "w": PARTS["row"]})
    size = _text("139") + _text("cpu") + _value(14)
    at = content.rindex(size) + len(size) - 1
    (tmp_path / "a.pth").write_bytes(content[:at] + b"\x0d" + content[at + 1 :])
    with pytest.raises(CheckpointError, match="the storage 139 is described in two ways"):
        open_checkpoint(tmp_path / "a.pth")


def test_list_of_other_storages_is_refused(tmp_path: Path) -> None:
    content = legacy_file(np.arange(14, dtype=np.float32), PARTS)
    (tmp_path / "a.pth").write_bytes(content.replace(pickle.dumps(["139"], 2), pickle.dumps(["138"], 2)))
    with pytest.raises(CheckpointError, match="lists other storages than its tensors refer to"):
        open_checkpoint(tmp_path / "a.pth")

"""Damaged files, and files that are no checkpoints: one line that names the file, what is wrong and what to do."""

from __future__ import annotations

import contextlib
import io
import os
import pickle
import struct
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from porting.checkpoint import open_checkpoint
from porting.errors import CheckpointError, PortingError

VALUES: dict[str, np.ndarray[Any, Any]] = {
    "w": np.arange(6, dtype=np.float32).reshape(2, 3),
    "b": np.arange(40, dtype=np.int64),
    "s": np.array(1.5),
}


def read_all(path: Path) -> dict[str, np.ndarray[Any, Any]]:
    with open_checkpoint(path) as checkpoint:
        return {name: np.array(tensor.load()) for name, tensor in checkpoint.tensors.items()}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", r"is empty \(0 bytes\), expected a checkpoint; fetch or save it again"),
        (
            b"<!DOCTYPE html><html><body>404</body></html>",
            "is a web page or XML, not a checkpoint; the download failed",
        ),
        (b"\xef\xbb\xbf\n <html>", "is a web page or XML"),
        (
            b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n",
            "Git LFS pointer; run git lfs pull",
        ),
        (b'{"error": "not found"}', "is JSON text, not a checkpoint"),
        (b"\x1f\x8b\x08" + b"\0" * 30, "is compressed by gzip; run gunzip"),
        (b"\x93NUMPY\x01\x00", r"single NumPy array \(\.npy\)"),
        (b"\x89HDF\r\n\x1a\n", "is an HDF5 file"),
        (b"\0" * 600, r"is not a checkpoint: it starts with b'\\x00\\x00"),
        (b"just some text", "is not a checkpoint: it starts with b'just som'; expected a file of torch"),
        (b"\x80", "is not a checkpoint"),
        (b"PK\x03\x04", "is a truncated zip archive"),
        (b"\x10\0\0\0\0\0\0\0{", "truncated or damaged"),
    ],
)
def test_other_files(content: bytes, message: str, tmp_path: Path) -> None:
    path = tmp_path / "pit_b_820.pth"
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match=message) as caught:
        open_checkpoint(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)


def test_no_file(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="there is no such file; check the path"):
        open_checkpoint(tmp_path / "a.pth")
    with pytest.raises(CheckpointError, match="is a folder, expected a checkpoint file"):
        open_checkpoint(tmp_path)
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(CheckpointError, match="is no regular file"):
        open_checkpoint(tmp_path / "pipe")


def test_no_read_permission(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.pth"
    path.write_bytes(b"x")
    path.chmod(0)
    if os.geteuid() == 0:  # root may read everything, so the system's answer is given in its place

        def refuse(*_: object, **__: object) -> None:
            raise PermissionError(13, "Permission denied")

        monkeypatch.setattr(os, "open", refuse)
    with pytest.raises(CheckpointError, match=r"may not be read; check its permissions \(chmod u\+r\)"):
        open_checkpoint(path)


def test_zip_of_something_else(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.pth", "w") as archive:
        archive.writestr("readme.txt", "hello")
    with pytest.raises(CheckpointError, match=r"is a zip archive, but neither of torch \(NAME/data.pkl\) nor of NumPy"):
        open_checkpoint(tmp_path / "a.pth")


@pytest.fixture
def files(write: Any, tmp_path: Path) -> dict[str, Path]:
    """A small file of each format."""
    paths = {name: write(VALUES, name) for name in ("torch-zip", "pdparams", "safetensors", "npz")}
    paths["torch-legacy"] = tmp_path / "legacy.pth"
    paths["torch-legacy"].write_bytes(legacy_file(VALUES))
    return paths


STORAGES = {"float32": b"FloatStorage", "int64": b"LongStorage", "float64": b"DoubleStorage"}


def legacy_file(values: dict[str, np.ndarray[Any, Any]]) -> bytes:
    """What torch wrote before 1.6, without torch; `test_frameworks.py` reads what torch itself writes."""
    sysinfo = {"protocol_version": 1001, "little_endian": True, "type_sizes": {"short": 2, "int": 4, "long": 4}}
    head = b"".join(pickle.dumps(value, 2) for value in (0x1950A86A20F9469CFC6C, 1001, sysinfo))
    saved = b"\x80\x02}("
    for key, array in values.items():
        strides = tuple(stride // array.itemsize for stride in array.strides)
        saved += text(key) + b"ctorch._utils\n_rebuild_tensor_v2\n((" + text("storage")
        saved += (
            b"ctorch\n" + STORAGES[array.dtype.name] + b"\n" + text(key) + text("cpu") + number(array.size) + b"NtQ"
        )
        saved += b"K\x00" + numbers(array.shape) + numbers(strides) + b"\x89ccollections\nOrderedDict\n)RtR"
    storages = b"".join(struct.pack("<q", array.size) + array.tobytes() for array in values.values())
    return head + saved + b"u." + pickle.dumps(list(values), 2) + storages


def text(value: str) -> bytes:
    return b"X" + struct.pack("<I", len(value)) + value.encode()


def number(value: int) -> bytes:
    return b"\x8a\x08" + struct.pack("<q", value)


def numbers(values: tuple[int, ...]) -> bytes:
    return b"(" + b"".join(map(number, values)) + b"t"


def places(size: int) -> Iterator[int]:
    """Places in a file: all of its first and last 64 bytes, and every 13th between, which hits every record and field.

    The step is no divisor of an alignment, so that over all records each byte of a header has its turn.
    """
    yield from sorted({*range(min(64, size)), *range(64, size - 64, 13), *range(max(0, size - 64), size)})


def test_places_are_in_every_region() -> None:
    assert list(places(100)) == list(range(100))
    assert list(places(170)) == [*range(64), 64, 77, 90, 103, *range(106, 170)]


@pytest.mark.parametrize("name", ["torch-zip", "torch-legacy", "pdparams", "safetensors", "npz"])
def test_file_cut_in_any_region_is_refused(name: str, files: dict[str, Path], tmp_path: Path) -> None:
    data, path = files[name].read_bytes(), tmp_path / "cut"
    for length in places(len(data)):
        path.write_bytes(data[:length])
        with pytest.raises(CheckpointError) as caught:
            read_all(path)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["torch-zip", "torch-legacy", "pdparams", "safetensors", "npz"])
def test_file_with_bytes_after_its_end_is_refused(name: str, files: dict[str, Path]) -> None:
    with files[name].open("ab") as file:
        file.write(b"\0" * 7)
    with pytest.raises(CheckpointError, match=r"inconsistent|after its"):
        read_all(files[name])


@pytest.mark.parametrize("name", ["torch-zip", "npz"])
def test_flipped_bit_in_any_region_is_noticed_by_checksums(name: str, files: dict[str, Path], tmp_path: Path) -> None:
    data, path = files[name].read_bytes(), tmp_path / "flipped"
    values = {key: array.tobytes() for key, array in VALUES.items()}
    tensors = (data.index(content) + len(content) // 2 for content in values.values())
    for index in (*places(len(data)), *tensors):
        flipped = bytearray(data)
        flipped[index] ^= 1 << index % 8
        path.write_bytes(flipped)
        with contextlib.suppress(CheckpointError):
            assert {key: array.tobytes() for key, array in read_all(path).items()} == values, index


@pytest.mark.parametrize("name", ["torch-zip", "torch-legacy", "pdparams", "safetensors", "npz"])
@given(data=st.data())
def test_any_damage_is_a_porting_error(name: str, data: st.DataObject, files: dict[str, Path], tmp_path: Path) -> None:
    content, path = bytearray(files[name].read_bytes()), tmp_path / "damaged"
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(content) - 1))
        content[at : at + data.draw(st.integers(1, 4))] = data.draw(st.binary(max_size=5))
    path.write_bytes(content)
    with contextlib.suppress(PortingError):
        read_all(path)


def test_damaged_record_is_named(files: dict[str, Path]) -> None:
    data = bytearray(files["torch-zip"].read_bytes())
    data[data.index(VALUES["b"].tobytes()) + 9] ^= 4
    files["torch-zip"].write_bytes(data)
    message = r"the record archive/data/1 is damaged: its CRC-32 is [0-9a-f]{8}, the archive says [0-9a-f]{8}; fetch or"
    with pytest.raises(CheckpointError, match=message):
        read_all(files["torch-zip"])


def rewritten(path: Path, **changed: bytes) -> Path:
    """A torch archive with some records replaced, checksums and all."""
    with zipfile.ZipFile(path) as archive:
        records = {name: archive.read(name) for name in archive.namelist()}
    records |= {f"archive/{name}": content for name, content in changed.items()}
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in records.items():
            archive.writestr(name, content)
    return path


def torch_pickle(shape: tuple[int, ...], strides: tuple[int, ...], *, offset: int = 0, numel: int = 6) -> bytes:
    """The pickle of `{"w": a view of storage 0}`."""
    storage = b"(" + text("storage") + b"ctorch\nFloatStorage\n" + text("0") + text("cpu") + number(numel) + b"tQ"
    view = number(offset) + numbers(shape) + numbers(strides) + b"\x89ccollections\nOrderedDict\n)R"
    return b"\x80\x02}" + text("w") + b"ctorch._utils\n_rebuild_tensor_v2\n(" + storage + view + b"tRs."


@pytest.mark.parametrize(
    ("shape", "strides", "offset", "message"),
    [
        ((2, 3), (3, 1), 1, r"w is a view beyond its storage 0: it ends at byte 28 of 24"),
        ((2, 4), (3, 1), 0, r"w is a view beyond its storage 0: it ends at byte 28 of 24"),
        ((2, 3), (4, 1), 0, r"w is a view beyond its storage"),
        ((1,), (1,), 6, r"w is a view beyond its storage"),
        ((), (), 6, r"w is a view beyond its storage"),
        ((2, 3), (-3, 1), 3, r"w is a view whose offset and strides"),
        ((2, 3), (3, 1), -1, r"w is a view whose offset and strides"),
        ((2, 3), (1,), 0, r"w is a view whose offset and strides"),
        ((-2, 3), (3, 1), 0, r"w has a shape with other than sizes of 0 or more"),
        ((2**40, 2**40), (1, 1), 0, r"w has the impossible shape"),
        ((2**40,), (0,), 0, r"w of shape \(1099511627776,\) repeats the 24 bytes of its storage"),
        ((1,) * 40, (1,) * 40, 0, r"w has a shape that is no tuple of up to 32 sizes"),
    ],
)
def test_views_beyond_their_storage(
    shape: tuple[int, ...], strides: tuple[int, ...], offset: int, message: str, files: dict[str, Path]
) -> None:
    path = rewritten(files["torch-zip"], **{"data.pkl": torch_pickle(shape, strides, offset=offset)})
    with pytest.raises(CheckpointError, match=message):
        open_checkpoint(path)


def test_views_within_their_storage(files: dict[str, Path]) -> None:
    path = rewritten(files["torch-zip"], **{"data.pkl": torch_pickle((3, 2), (1, 3))})
    assert read_all(path)["w"].tolist() == [[0, 3], [1, 4], [2, 5]]
    path = rewritten(files["torch-zip"], **{"data.pkl": torch_pickle((0, 2**30), (1, 1), offset=2**40)})
    assert read_all(path)["w"].shape == (0, 2**30)


def test_views_that_add_up_to_far_more_than_the_file(files: dict[str, Path]) -> None:
    one = torch_pickle((2**25,), (0,))
    many = b"\x80\x02}(" + b"".join(
        one[3:-2].replace(b"X\x01\x00\x00\x00w", b"X\x03\x00\x00\x00%03d" % index, 1) for index in range(20)
    )
    with pytest.raises(CheckpointError, match="that its tensors repeat to 2684354560"):
        open_checkpoint(rewritten(files["torch-zip"], **{"data.pkl": many + b"u."}))


def test_storage_of_another_size(files: dict[str, Path]) -> None:
    path = rewritten(files["torch-zip"], **{"data.pkl": torch_pickle((2, 3), (3, 1), numel=7)})
    with pytest.raises(CheckpointError, match="the storage 0 takes 28 bytes, its record has 24"):
        open_checkpoint(path)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", torch_pickle((2, 3), (3, 1)))
    with pytest.raises(CheckpointError, match="the storage 0 has no record in the archive"):
        open_checkpoint(path)


def test_compressed_torch_archive(files: dict[str, Path]) -> None:
    with zipfile.ZipFile(files["torch-zip"]) as archive:
        records = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(files["torch-zip"], "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in records.items():
            archive.writestr(name, content)
    assert read_all(files["torch-zip"])["w"].tolist() == VALUES["w"].tolist()


def test_big_endian_torch_archive(files: dict[str, Path]) -> None:
    swapped = {f"data/{index}": array.byteswap().tobytes() for index, array in enumerate(VALUES.values())}
    tensors = read_all(rewritten(files["torch-zip"], byteorder=b"big", **swapped))
    assert tensors["w"].tolist() == VALUES["w"].tolist()
    assert tensors["b"].dtype == np.dtype("=i8")


def npy(header: str, data: bytes = b"\0" * 24) -> bytes:
    encoded = header.encode()
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(encoded)) + encoded + data


@pytest.mark.parametrize(
    ("header", "message"),
    [
        ("{'descr': '<f4', 'fortran_order': False, 'shape': (5,), }", "takes other than 24 bytes"),
        ("{'descr': '<f4', 'fortran_order': False, 'shape': (-6,), }", "has a header of another form"),
        ("{'descr': '|O', 'fortran_order': False, 'shape': (6,), }", "is an array of Python objects"),
        ("{'descr': '|S4', 'fortran_order': False, 'shape': (6,), }", "is an array of dtype 'S4', expected one of b1"),
        ("{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (6,), }", "has a header of another form"),
        ("{'descr': __import__('os'), 'fortran_order': False, 'shape': (6,), }", "has a header of another form"),
        ("{'descr': '<f4', 'fortran_order': False, 'shape': (" + "9" * 30 + ",), }", "impossible|0 or more"),
    ],
)
def test_damaged_npy_records(header: str, message: str, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        archive.writestr("w.npy", npy(header))
    with pytest.raises(CheckpointError, match=rf"the record w\.npy .*{message}"):
        open_checkpoint(tmp_path / "a.npz")


def test_arrays_of_objects_in_npz(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", w=np.array([{}], dtype=object), allow_pickle=True)
    with pytest.raises(CheckpointError, match=r"the record w\.npy is an array of Python objects"):
        open_checkpoint(tmp_path / "a.npz")


def test_pdparams_slices_that_are_missing(tmp_path: Path) -> None:
    def saved(**changed: object) -> Path:
        value = {
            "w@@.0": np.arange(3.0), "w@@.1": np.arange(3.0),
            "UnpackBigParamInfor@@": {"w": {"OriginShape": (2, 3), "slices": ["w@@.0", "w@@.1"]}},
        } | changed  # fmt: skip
        (tmp_path / "a.pdparams").write_bytes(pickle.dumps(value, 2))
        return tmp_path / "a.pdparams"

    assert read_all(saved())["w"].tolist() == [[0, 1, 2], [0, 1, 2]]
    with pytest.raises(CheckpointError, match="w is stored in slices, and they are not all there"):
        open_checkpoint(saved(**{"w@@.1": 3}))
    with pytest.raises(CheckpointError, match=r"w of shape \(2, 3\) has slices of 7 elements"):
        open_checkpoint(saved(**{"w@@.1": np.arange(4.0)}))
    with pytest.raises(CheckpointError, match="w of shape"):
        open_checkpoint(saved(**{"w@@.1": np.arange(3)}))
    with pytest.raises(CheckpointError, match="w is stored in slices"):
        open_checkpoint(saved(w=1))


def test_pickle_of_something_else(tmp_path: Path) -> None:
    path = tmp_path / "a.pdparams"
    for value, message in (
        ([1, 2], "holds a list, expected a state dict"),
        ({}, "holds no state dict: it is empty"),
        ({"epoch": 3, "lr": 0.1}, "holds no state dict: its keys are epoch, lr; expected tensors by name"),
        ({"w": np.array(["text"])}, "w has the NumPy dtype 'U4', expected one of bool"),
        ({3: np.zeros(2)}, "has a tensor under 3, expected a name"),
    ):
        path.write_bytes(pickle.dumps(value))
        with pytest.raises(CheckpointError, match=message):
            open_checkpoint(path)


def test_legacy_storages_that_do_not_fit(files: dict[str, Path]) -> None:
    data = files["torch-legacy"].read_bytes()
    at = data.index(struct.pack("<q", 6) + VALUES["w"].tobytes())
    files["torch-legacy"].write_bytes(data[:at] + struct.pack("<q", 7) + data[at + 8 :])
    with pytest.raises(CheckpointError, match="has 7 elements, 6 are expected"):
        open_checkpoint(files["torch-legacy"])


def test_array_of_a_closed_checkpoint_is_still_readable(files: dict[str, Path]) -> None:
    with open_checkpoint(files["safetensors"]) as checkpoint:
        array = checkpoint.tensors["w"].load()
    assert array.tolist() == VALUES["w"].tolist()
    assert isinstance(io.BytesIO(array.tobytes()).read(), bytes)

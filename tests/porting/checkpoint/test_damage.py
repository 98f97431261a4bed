"""Damaged files, and files that are no checkpoints: one line that names the file, what is wrong and what to do."""

from __future__ import annotations

import contextlib
import io
import json
import os
import pickle
import struct
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from porting.checkpoint import open_checkpoint
from porting.errors import CheckpointError, PortingError

VALUES = {"w": np.arange(6, dtype=np.float32).reshape(2, 3), "b": np.arange(40, dtype=np.int64), "s": np.array(1.5)}


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

        monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(CheckpointError, match=r"may not be read; check its permissions \(chmod u\+r\)"):
        open_checkpoint(path)


def test_zip_of_something_else(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.pth", "w") as archive:
        archive.writestr("readme.txt", "hello")
    with pytest.raises(CheckpointError, match=r"is a zip archive, but neither of torch \(NAME/data.pkl\) nor of NumPy"):
        open_checkpoint(tmp_path / "a.pth")


@pytest.fixture
def files(write: Any, torch: Any, tmp_path: Path) -> dict[str, Path]:
    """A small file of each format."""
    paths = {name: write(VALUES, name) for name in ("torch-zip", "pdparams", "safetensors", "npz")}
    paths["torch-legacy"] = tmp_path / "legacy.pth"
    state = {name: torch.from_numpy(np.array(array)) for name, array in VALUES.items()}
    torch.save(state, paths["torch-legacy"], _use_new_zipfile_serialization=False)
    return paths


@pytest.mark.parametrize("name", ["torch-zip", "torch-legacy", "pdparams", "safetensors", "npz"])
def test_truncated_anywhere(name: str, files: dict[str, Path], tmp_path: Path) -> None:
    data, path = files[name].read_bytes(), tmp_path / "cut"
    for length in range(len(data)):
        path.write_bytes(data[:length])
        with pytest.raises(CheckpointError) as caught:
            read_all(path)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["torch-zip", "torch-legacy", "pdparams", "safetensors", "npz"])
def test_continued(name: str, files: dict[str, Path]) -> None:
    with files[name].open("ab") as file:
        file.write(b"\0" * 7)
    with pytest.raises(CheckpointError, match=r"inconsistent|after its"):
        read_all(files[name])


@pytest.mark.parametrize("name", ["torch-zip", "npz"])
def test_any_flipped_bit_is_noticed_where_there_are_checksums(
    name: str, files: dict[str, Path], tmp_path: Path
) -> None:
    data, path = files[name].read_bytes(), tmp_path / "flipped"
    for index in range(len(data)):
        flipped = bytearray(data)
        flipped[index] ^= 1 << index % 8
        path.write_bytes(flipped)
        with contextlib.suppress(CheckpointError):
            found = read_all(path)
            assert {key: array.tobytes() for key, array in found.items()} == {
                key: array.tobytes() for key, array in VALUES.items()
            }, index


@pytest.mark.parametrize("name", ["torch-zip", "torch-legacy", "pdparams", "safetensors", "npz"])
@given(data=st.data())
def test_any_damage_is_an_error_of_ours(name: str, data: st.DataObject, files: dict[str, Path], tmp_path: Path) -> None:
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

    def numbers(values: tuple[int, ...]) -> bytes:
        return b"(" + b"".join(b"\x8a\x08" + struct.pack("<q", value) for value in values) + b"t"

    return (
        b"\x80\x02}X\x01\x00\x00\x00wctorch._utils\n_rebuild_tensor_v2\n((X\x07\x00\x00\x00storagectorch\n"
        b"FloatStorage\n"
        b"X\x01\x00\x00\x000X\x03\x00\x00\x00cpuJ" + struct.pack("<i", numel) + b"tQ\x8a\x08"
        + struct.pack("<q", offset)
        + numbers(shape) + numbers(strides) + b"\x89ccollections\nOrderedDict\n)RtRs."
    )  # fmt: skip


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
    found = read_all(rewritten(files["torch-zip"], byteorder=b"big", **swapped))
    assert found["w"].tolist() == VALUES["w"].tolist()
    assert found["b"].dtype == np.dtype("=i8")


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
    "dtype": ({"a": entry(0, 24, [24], "F8_E4M3")}, "holds a in the dtype F8_E4M3, expected one of BOOL"),
    "no dtype": ({"a": {"shape": [6], "data_offsets": [0, 24]}}, "describes a otherwise than by dtype"),
    "offsets": ({"a": {"dtype": "F32", "shape": [6], "data_offsets": [0]}}, "describes a otherwise"),
    "no object": ([1], "safetensors|not a checkpoint"),
    "no json": (b"{nonsense", "its header is no JSON"),
    "NaN": (b'{"a": NaN}', "its header is no JSON"),
    "nested": (b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}", "its header is no JSON"),
    "not UTF-8": (b'{"\xff": 1}', "its header is no JSON"),
    "duplicate": (b'{"a":{"dtype":"F32","shape":[3],"data_offsets":[0,12]},"a":{"dtype":"F32","shape":[3],'
                  b'"data_offsets":[12,24]}}', "names a twice in its header"),
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


def npy(header: str, data: bytes = b"\0" * 24) -> bytes:
    encoded = header.encode()
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(encoded)) + encoded + data


@pytest.mark.parametrize(
    ("header", "message"),
    [
        ("{'descr': '<f4', 'fortran_order': False, 'shape': (5,), }", "takes other than 24 bytes"),
        ("{'descr': '<f4', 'fortran_order': False, 'shape': (-6,), }", "has a header of another form"),
        ("{'descr': '|O', 'fortran_order': False, 'shape': (6,), }", "has a header of another form"),
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
    with pytest.raises(CheckpointError, match=r"the record w\.npy has a header of another form"):
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


def test_pages_of_a_closed_file(files: dict[str, Path]) -> None:
    with open_checkpoint(files["safetensors"]) as checkpoint:
        array = checkpoint.tensors["w"].load()
    assert array.tolist() == VALUES["w"].tolist()
    assert isinstance(io.BytesIO(array.tobytes()).read(), bytes)

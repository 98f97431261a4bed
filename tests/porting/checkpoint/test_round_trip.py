"""Every dtype that a format has survives it bit by bit, from any format to any other."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from porting.checkpoint import FORMATS, LazyTensor, format_of, open_checkpoint, write_checkpoint, writing
from porting.checkpoint.dtypes import DTYPES, dtype
from porting.errors import CheckpointError, UnknownNameError

HELD = {
    "torch-zip": set(DTYPES),
    "pdparams": set(DTYPES) - {"uint16", "uint32", "uint64"},
    "safetensors": set(DTYPES) - {"complex128"},
    "npz": set(DTYPES),
    "mindspore": set(DTYPES) - {"complex64", "complex128"},
}
WRITTEN = tuple(HELD)


@pytest.mark.parametrize("name", DTYPES)
def test_dtypes_survive(name: str, written_format: str, arrays: Any, write: Any, read: Any, same: Any) -> None:
    if name not in HELD[written_format]:
        with pytest.raises(CheckpointError, match=rf"a\.weight .*is {name}, which .* do not hold; cast it"):
            write(arrays(name), written_format)
        return
    same(read(write(arrays(name), written_format)), arrays(name))


@pytest.mark.parametrize("target", WRITTEN)
@pytest.mark.parametrize("source", WRITTEN)
def test_any_format_to_any_other(source: str, target: str, arrays: Any, write: Any, read: Any, same: Any) -> None:
    values = {
        f"{name}.{key}": array for name in sorted(HELD[source] & HELD[target]) for key, array in arrays(name).items()
    }
    path = write(values, source, "first")
    with open_checkpoint(path) as checkpoint:
        assert checkpoint.format == source
        again = path.with_name(f"second.{target}")
        written = write_checkpoint(again, checkpoint.tensors, format=target)
    assert written.nbytes == again.stat().st_size
    same(read(again), values)


@pytest.mark.parametrize("name", WRITTEN)
@settings(max_examples=20)
@given(
    values=st.dictionaries(
        st.text("aZ09._-/{'é中٣𝔸", min_size=1, max_size=8),  # of one to four bytes each
        hnp.arrays(
            st.sampled_from([np.float32, np.float16, np.int64, np.uint8, np.bool_, np.float64]),
            hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=5),
        ),
        min_size=1,
        max_size=5,
    ),
    transpose=st.booleans(),
)
def test_any_names_and_shapes(
    name: str, values: dict[str, np.ndarray[Any, Any]], transpose: bool, tmp_path: Path, read: Any, same: Any
) -> None:
    assume(not set(values) & set(writing.writer_of(name).RESERVED))
    views = {key: array.T if transpose else array for key, array in values.items()}
    path = tmp_path / "file"
    tensors = {key: LazyTensor.of(array) for key, array in views.items()}
    write_checkpoint(path, tensors, format=name, overwrite=True)
    same(read(path), {key: np.ascontiguousarray(array).reshape(array.shape) for key, array in views.items()})


def test_order_is_kept(written_format: str, write: Any, read: Any) -> None:
    values = {name: np.zeros(2, np.float32) for name in ("z", "a", "m", "10", "9")}
    assert list(read(write(values, written_format))) == list(values)


@pytest.mark.parametrize("view", ["transposed", "sliced", "reversed", "expanded", "three axes"])
def test_views_are_packed(view: str, written_format: str, write: Any, read: Any, same: Any) -> None:
    base = np.arange(600 * 700, dtype=np.float32).reshape(600, 700)
    made = {
        "transposed": base.T,
        "sliced": base[::2, 3:-5],
        "reversed": base[::-1, ::-1],
        "expanded": np.broadcast_to(base[:, :1], (600, 40)),
        "three axes": base.reshape(60, 10, 700).transpose(2, 0, 1),
    }[view]
    same(read(write({"w": made}, written_format)), {"w": np.ascontiguousarray(made)})


def test_tensors_larger_than_a_block(written_format: str, write: Any, read: Any, same: Any) -> None:
    large = np.arange(3 * 700_001, dtype=np.float32).reshape(3, 700_001)
    values = {"rows": large, "columns": large.T, "row": large[:1], "wide": large.reshape(1, 3, -1).transpose(0, 2, 1)}
    same(read(write(values, written_format)), {key: np.ascontiguousarray(value) for key, value in values.items()})


def test_big_endian_arrays_are_read(tmp_path: Path, read: Any) -> None:
    np.savez(
        tmp_path / "file.npz", a=np.arange(5, dtype=">f4"), b=np.asfortranarray(np.arange(6, dtype=">i8").reshape(2, 3))
    )
    arrays = read(tmp_path / "file.npz")
    assert arrays["a"].dtype == np.dtype("=f4")
    assert arrays["a"].tolist() == [0, 1, 2, 3, 4]
    assert arrays["b"].tolist() == [[0, 1, 2], [3, 4, 5]]


def test_formats_by_suffix() -> None:
    assert format_of("a/b.PTH") == format_of("b.pt") == format_of(Path("x.bin")) == "torch-zip"
    assert format_of("m.pdparams") == "pdparams"
    with pytest.raises(UnknownNameError, match=r"unknown suffix '\.pdparam'; did you mean \.pdparams\?"):
        format_of("m.pdparam")
    with pytest.raises(UnknownNameError, match=r"unknown suffix ''; known: \.pth, \.pt"):
        format_of("m")


def test_the_suffix_does_not_matter_for_reading(written_format: str, write: Any) -> None:
    path = write({"a": np.zeros(3)}, written_format)
    other = path.rename(path.with_name("misnamed.txt"))
    with open_checkpoint(other) as checkpoint:
        assert checkpoint.format == written_format


def test_format_that_is_only_read_cannot_be_written(tmp_path: Path) -> None:
    assert "torch-legacy" in FORMATS
    with pytest.raises(UnknownNameError, match="unknown format 'torch-legacy'"):
        write_checkpoint(tmp_path / "a", {"a": LazyTensor.of(np.zeros(1))}, format="torch-legacy")


def test_dtype_that_a_format_lacks_names_all_its_tensors(tmp_path: Path) -> None:
    tensors = {f"w{index}": LazyTensor.of(np.zeros(2, np.uint32)) for index in range(3)}
    with pytest.raises(CheckpointError, match=r"w0 \(and 2 more tensors\) is uint32") as caught:
        write_checkpoint(tmp_path / "a.pdparams", tensors)
    assert caught.value.details == ("w0: uint32", "w1: uint32", "w2: uint32")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("suffix", "name"),
    [
        (".pdparams", "StructuredToParameterName@@"),
        (".safetensors", "__metadata__"),
        (".pth", "a\nb"),
        (".npz", "\ud800"),
        (".pth", "n" * 1001),
    ],
)
def test_names_that_no_file_can_hold(suffix: str, name: str, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"keep for themselves|cannot be printed"):
        write_checkpoint(tmp_path / f"a{suffix}", {name: LazyTensor.of(np.zeros(1))})
    assert not list(tmp_path.iterdir())


def test_nothing_to_write(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="there are no tensors to write"):
        write_checkpoint(tmp_path / "a.pth", {})


def test_tensor_of_another_shape_than_announced_is_refused(tmp_path: Path) -> None:
    wrong = LazyTensor((2, 3), np.dtype(np.float32), lambda: np.zeros((3, 2), np.float32))
    with pytest.raises(CheckpointError, match=r"w was announced as float32 \(2, 3\) and came as float32 \(3, 2\)"):
        write_checkpoint(tmp_path / "a.pth", {"w": wrong})
    assert not list(tmp_path.iterdir())


def test_progress_names_each_tensor(written_format: str, write: Any) -> None:
    seen: list[tuple[str, int]] = []
    write(
        {"a": np.zeros(3, np.float32), "b": np.zeros((2, 2), np.float32)},
        written_format,
        progress=lambda *reported: seen.append(reported),
    )
    assert seen == [("a", 12), ("b", 16)]


def test_metadata_of_safetensors(write: Any) -> None:
    with open_checkpoint(write({"a": np.zeros(3)}, "safetensors", metadata={"layout": "timm"})) as checkpoint:
        assert checkpoint.metadata == {"format": "pt", "layout": "timm"}


def test_tensors_are_aligned(written_format: str, write: Any, arrays: Any) -> None:
    path = write(arrays("bool") | {"b": np.arange(3.0), "c": np.arange(5.0, dtype=np.float32)}, written_format)
    data = path.read_bytes()
    for values, width in ((np.arange(3.0), 8), (np.arange(5.0, dtype=np.float32), 4)):
        assert written_format in ("pdparams", "mindspore") or data.index(values.tobytes()) % width == 0


def test_layout_of_a_torch_archive(write: Any) -> None:
    path = write({"a": np.arange(3.0), "e": np.zeros((0, 2)), "b": np.arange(5, dtype=np.int8)}, "torch-zip")
    with zipfile.ZipFile(path) as archive:
        assert archive.testzip() is None
        assert archive.namelist() == [
            "archive/data.pkl", "archive/.format_version", "archive/.storage_alignment", "archive/byteorder",
            "archive/data/0", "archive/data/1", "archive/data/2", "archive/version", "archive/.data/serialization_id",
        ]  # fmt: skip
        assert archive.read("archive/byteorder") == b"little"
        assert archive.read("archive/version") == b"3\n"
        assert len(archive.read("archive/.data/serialization_id")) == 40
        data = path.read_bytes()
        for entry in archive.infolist():
            assert (entry.compress_type, entry.flag_bits) == (zipfile.ZIP_STORED, 0x808)
            name, extra = (int.from_bytes(data[entry.header_offset + at :][:2], "little") for at in (26, 28))
            assert (entry.header_offset + 30 + name + extra) % 64 == 0


def test_the_same_tensors_make_the_same_file(written_format: str, arrays: Any, write: Any) -> None:
    first, second = (write(arrays("float32"), written_format, stem) for stem in ("first", "second"))
    assert first.read_bytes() == second.read_bytes()


def test_safetensors_header(write: Any) -> None:
    data = write({"flag": np.ones(3, bool), "w": np.ones((2, 2), np.float32)}, "safetensors").read_bytes()
    length = int.from_bytes(data[:8], "little")
    assert length % 8 == 0
    assert json.loads(data[8 : 8 + length]) == {
        "__metadata__": {"format": "pt"},
        "w": {"dtype": "F32", "shape": [2, 2], "data_offsets": [0, 16]},
        "flag": {"dtype": "BOOL", "shape": [3], "data_offsets": [16, 19]},
    }


def test_npz_without_pickles(write: Callable[..., Path]) -> None:
    bfloat16 = np.arange(4).astype(dtype("bfloat16"))
    with np.load(write({"a.b": np.arange(3), "h": bfloat16}, "npz"), allow_pickle=False) as loaded:
        assert loaded["a.b"].tolist() == [0, 1, 2]
        assert loaded["h"].dtype == np.dtype("V2")
        assert loaded["h"].view(dtype("bfloat16")).tolist() == [0, 1, 2, 3]


def test_numpy_writes_bfloat16_the_same_way(tmp_path: Path, read: Any) -> None:
    np.savez(tmp_path / "a.npz", h=np.arange(4).astype(dtype("bfloat16")))
    assert read(tmp_path / "a.npz")["h"].dtype == dtype("bfloat16")


def test_compressed_npz(tmp_path: Path, arrays: Any, read: Any, same: Any) -> None:
    np.savez_compressed(tmp_path / "a.npz", **arrays("float32"))
    same(read(tmp_path / "a.npz"), arrays("float32"))


def test_framing_larger_than_a_block(written_format: str, write: Any, read: Any, same: Any) -> None:
    values = {f"{index}.{'n' * 990}": np.full(3, index, np.float32) for index in range(2500)}
    same(read(write(values, written_format)), values)


def test_names_that_no_reader_would_take_are_not_written(tmp_path: Path) -> None:
    tensors = {f"{index}.{'n' * 990}": LazyTensor.of(np.zeros(1, np.float32)) for index in range(4500)}
    with pytest.raises(CheckpointError, match=r"the header for 4500 tensors takes .* expected 4194304 at most"):
        write_checkpoint(tmp_path / "a.safetensors", tensors)
    assert not list(tmp_path.iterdir())

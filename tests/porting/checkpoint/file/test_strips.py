"""Large tensors are moved strip by strip: the same bytes, whatever the strips, in memory of a fixed size."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from porting.checkpoint import LazyTensor, open_checkpoint, write_checkpoint
from porting.checkpoint.file import copying, strips
from porting.checkpoint.file.copying import Packer
from porting.checkpoint.file.source import Source, crc_of, extent, release_pages
from porting.checkpoint.file.strips import loaded
from porting.checkpoint.formats import mindspore
from porting.checkpoint.tensor import Array, Elementwise, Pieces, in_rows
from porting.errors import CheckpointError
from porting.operations.casting import cast


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tensors of a few bytes are huge."""
    for module in (copying, strips):
        monkeypatch.setattr(module, "HUGE", 200)
        monkeypatch.setattr(module, "STRIP", 100)
    monkeypatch.setattr(copying, "BLOCK", 64)
    monkeypatch.setattr(copying, "_PANEL", 48)
    monkeypatch.setattr(copying, "_RELEASED", 32)


SHAPES = [(40,), (9, 7), (3, 90), (1, 5, 30), (4, 5, 6), (6, 2, 3, 5), (50, 3, 1, 1)]


@pytest.mark.parametrize("suffix", [".pdparams", ".bin", ".safetensors", ".npz", ".ckpt"])
@pytest.mark.parametrize("shape", SHAPES)
def test_any_axes_order_is_written_in_strips(
    shape: tuple[int, ...], suffix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, read: Any, same: Any
) -> None:
    monkeypatch.setattr("porting.checkpoint.file.writer._SMALL", 1)
    monkeypatch.setattr(mindspore, "SLICE", 70)
    array = np.arange(np.prod(shape), dtype=np.float32).reshape(shape)
    views = {"c": array, "f": array.T, "turned": np.moveaxis(array, 0, -1), "half": array[::-2]}
    tensors = {name: LazyTensor.of(view) for name, view in views.items()}
    write_checkpoint(tmp_path / f"whole{suffix}", tensors)
    for module in (copying, strips):
        monkeypatch.setattr(module, "HUGE", 200)
        monkeypatch.setattr(module, "STRIP", 100)
    monkeypatch.setattr(copying, "BLOCK", 64)
    monkeypatch.setattr(copying, "_PANEL", 48)
    written = write_checkpoint(tmp_path / f"strips{suffix}", tensors)
    assert written.path.read_bytes() == (tmp_path / f"whole{suffix}").read_bytes()
    same(read(written.path), {name: np.ascontiguousarray(view).reshape(view.shape) for name, view in views.items()})


@given(
    array=hnp.arrays(np.int16, hnp.array_shapes(min_dims=1, max_dims=4, max_side=9), elements=st.integers(0, 99)),
    data=st.data(),
)
@pytest.mark.usefixtures("small")
def test_any_view_is_packed_in_strips(array: Array, data: st.DataObject) -> None:
    view = array.transpose(data.draw(st.permutations(range(array.ndim))))
    view = view[tuple(slice(None, None, data.draw(st.sampled_from([1, 2, -1]))) for _ in range(view.ndim))]
    assert b"".join(map(bytes, Packer().blocks(view))) == view.tobytes()
    axis = data.draw(st.integers(0, view.ndim - 1))
    joined = Packer().joined(Pieces((view, view, view), axis))
    assert b"".join(map(bytes, joined)) == np.concatenate([view] * 3, axis).tobytes()


@given(data=st.data(), axis=st.integers(0, 2), count=st.integers(1, 4))
def test_rows_of_pieces_are_those_of_the_joined_array(data: st.DataObject, axis: int, count: int) -> None:
    sizes = [data.draw(st.integers(0, 4)) for _ in range(count)]
    parts = [
        np.random.default_rng(size).integers(0, 99, (*(3, 3, 3)[:axis], size, *(3, 3, 3)[axis + 1 :])) for size in sizes
    ]
    pieces, whole = Pieces(tuple(parts), axis), np.concatenate(parts, axis)
    assert pieces.shape == whole.shape
    start = data.draw(st.integers(0, len(whole)))
    stop = data.draw(st.integers(start, len(whole)))
    rows = pieces.rows(start, stop)
    assert not rows.arrays or (np.concatenate(rows.arrays, axis) == whole[start:stop]).all()


def test_pieces_that_do_not_fit_have_no_shape() -> None:
    assert Pieces((np.zeros((2, 3)), np.zeros((2, 4))), 0).shape is None
    assert Pieces((np.zeros(()), np.zeros(())), 0).shape is None
    with pytest.raises(ValueError, match="do not fit along axis 1"):
        list(Packer().joined(Pieces((np.zeros((2, 3)), np.zeros((3, 3))), 1)))


@given(data=st.data(), shape=hnp.array_shapes(min_dims=1, max_dims=3, max_side=6))
def test_bytes_in_stretches_are_rows(data: st.DataObject, shape: tuple[int, ...]) -> None:
    array = np.random.default_rng(0).standard_normal(shape).astype(np.float32)
    content = array.reshape(-1).view(np.uint8)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(content)), max_size=3)))
    stretches = np.split(content, cuts)
    pieces = in_rows(stretches, shape, array.dtype)
    row = array[0].nbytes
    assert (pieces is None) == any(len(stretch) < row for stretch in stretches)
    if pieces is not None:
        assert (np.concatenate(pieces.arrays) == array).all()


def test_cast_is_done_block_by_block(tmp_path: Path, small: None, read: Any) -> None:
    array = np.linspace(-4, 4, 600, dtype=np.float32).reshape(20, 30)
    tensor = cast("w", LazyTensor.of(array.T), "bfloat16")
    assert tensor.elementwise is not None
    lengths = [len(block) for block in loaded(tmp_path, "w", tensor).blocks(Packer())]
    assert max(lengths) <= 64
    back = cast("w", tensor, "float64")
    write_checkpoint(tmp_path / "a.safetensors", {"w": back})
    assert read(tmp_path / "a.safetensors")["w"].tobytes() == back.load().tobytes()


def test_elementwise_tensor_of_another_dtype_than_announced_is_refused(tmp_path: Path) -> None:
    before = LazyTensor((2,), np.dtype("f4"), lambda: np.zeros(2, np.float64))
    tensor = LazyTensor((2,), np.dtype("f4"), before.load, elementwise=Elementwise(before, lambda values: values))
    with pytest.raises(CheckpointError, match=r"w was announced as float32 \(2,\) and came as float64 \(2,\)"):
        loaded(tmp_path, "w", tensor)


def test_pages_between_the_elements_of_a_view_are_counted_and_released(tmp_path: Path) -> None:
    array = np.arange(12, dtype=np.int32).reshape(3, 4)
    assert [extent(view) for view in (array, array.T, array[:, :1], array[::-1], array[:0])] == [48, 48, 36, 48, 0]
    path = tmp_path / "data"
    path.write_bytes(bytes(range(256)) * 4096)
    with Source.open(path) as source:
        mapped = source.array(0, source.size).reshape(1024, 1024)
        for view in (mapped, mapped[::-1].T, mapped[5:9, 3:4], array):
            before = view.copy()
            release_pages(view)
            assert (view == before).all()


def test_checksum_of_mapped_bytes_is_that_of_zlib(tmp_path: Path) -> None:
    import zlib

    path = tmp_path / "data"
    path.write_bytes(np.random.default_rng(0).bytes(40_000_000))
    with Source.open(path) as source:
        assert crc_of(source.array(0, source.size)) == zlib.crc32(path.read_bytes())


_SCRIPT = """
import resource, sys
import numpy as np
from porting.checkpoint import open_checkpoint, write_checkpoint, LazyTensor
from porting.checkpoint.tensor import Pieces
from porting.operations.casting import cast
with open_checkpoint(sys.argv[1]) as checkpoint:
    source = checkpoint.tensors["w"]
    base = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    turned = lambda: Pieces(tuple(part.T for part in source.pieces().arrays), 1)
    twice = (source.shape[0], 2 * source.shape[1])
    tensor = {
        "plain": source,
        "turned": LazyTensor(source.shape[::-1], source.dtype, lambda: source.load().T, source.pieces and turned),
        "cast": cast("w", source, "float32"),
        "joined": LazyTensor(twice, source.dtype, source.load, lambda: Pieces((source.load(),) * 2, 1)),
    }[sys.argv[3]]
    few = LazyTensor.of(np.zeros(3, np.float32))
    write_checkpoint(sys.argv[2], {"w": tensor, "few": few}, check=checkpoint.check)
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - base) // 1000)
"""


@pytest.mark.parametrize(
    ("source", "target", "way"),
    [
        ("safetensors", "pdparams", "plain"),
        ("safetensors", "pdparams", "turned"),
        ("safetensors", "bin", "joined"),
        ("bin", "safetensors", "turned"),
        ("pdparams", "bin", "cast"),
        ("ckpt", "pdparams", "turned"),
        ("npz", "ckpt", "plain"),
    ],
)
def test_memory_does_not_grow_with_the_tensor(
    source: str, target: str, way: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A tensor of 205 MB takes less than 110 MB beyond what a process has anyway, on two threads."""
    monkeypatch.setattr(mindspore, "SLICE", 50 << 20)
    row = np.arange(2 * 1024, dtype=np.float16)
    array = np.broadcast_to(row, (50_000, 2048))
    path = tmp_path / f"source.{source}"
    write_checkpoint(path, {"w": LazyTensor.of(array)})
    done = subprocess.run(
        [sys.executable, "-c", _SCRIPT, str(path), str(tmp_path / f"target.{target}"), way],
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert int(done.stdout) < 110
    with open_checkpoint(tmp_path / f"target.{target}") as checkpoint:
        values = checkpoint.tensors["w"].load()
    last = {"turned": values[:, -1], "joined": values[-1, 2048:]}.get(way, values[-1])
    assert (last == row).all()

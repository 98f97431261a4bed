"""Any strides become packed bytes, block by block, in a fixed amount of memory."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from porting.checkpoint.dtypes import DTYPES, dtype
from porting.checkpoint.file import copying
from porting.checkpoint.file.copying import Packer, equal_arrays, equal_bytes
from porting.checkpoint.tensor import Pieces


def packed(array: np.ndarray[Any, Any]) -> bytes:
    parts = []
    for block in Packer().blocks(array):
        parts.append(bytes(block))
        assert len(parts[-1]) <= copying.BLOCK
    return b"".join(parts)


@given(
    array=hnp.arrays(
        np.int16, hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=12), elements=st.integers(0, 99)
    ),
    data=st.data(),
    block=st.sampled_from([16, 64, 4096]),
)
def test_any_view(
    array: np.ndarray[Any, Any], data: st.DataObject, block: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(copying, "BLOCK", block)
    view = array.transpose(data.draw(st.permutations(range(array.ndim))))
    view = view[tuple(slice(None, None, data.draw(st.sampled_from([1, 2, -1]))) for _ in range(view.ndim))]
    assert packed(view) == view.tobytes()


@pytest.mark.parametrize("name", DTYPES)
@pytest.mark.parametrize("shape", [(), (0,), (7,), (3, 0), (33, 65), (5, 6, 7)])
def test_any_dtype(name: str, shape: tuple[int, ...]) -> None:
    array = np.arange(np.prod(shape, dtype=int)).astype(dtype(name)).reshape(shape)
    assert packed(array) == array.tobytes()
    assert packed(array.T) == array.T.tobytes()


@pytest.mark.parametrize("shape", [(37, 53), (64, 1024), (65, 1025), (600, 2100), (1, 3000), (3000, 1)])
def test_tiles(shape: tuple[int, int]) -> None:
    source = np.arange(np.prod(shape, dtype=float)).reshape(shape)
    target = np.empty(shape[::-1])
    Packer().copy(source.T, target)
    assert (target == source.T).all()


@given(
    arrays=hnp.array_shapes(min_dims=1, max_dims=3, min_side=1, max_side=9).flatmap(
        lambda shape: st.lists(hnp.arrays(np.int16, shape, elements=st.integers(0, 99)), min_size=1, max_size=4)
    ),
    data=st.data(),
    block=st.sampled_from([16, 64, 4096]),
)
def test_pieces_are_joined_along_an_axis(
    arrays: list[np.ndarray[Any, Any]], data: st.DataObject, block: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(copying, "BLOCK", block)
    axis = data.draw(st.integers(0, arrays[0].ndim - 1))
    if data.draw(st.booleans()):
        arrays, axis = [array.T for array in arrays], arrays[0].ndim - 1 - axis
    parts = [bytes(part) for part in Packer().joined(Pieces(tuple(arrays), axis))]
    assert max(map(len, parts)) <= block
    assert b"".join(parts) == np.concatenate(arrays, axis).tobytes()


def test_packer_reuses_its_buffer() -> None:
    packer, array = Packer(), np.arange(600_000.0).reshape(600, 1000)
    first, *_ = packer.blocks(array.T)
    second, *_ = packer.blocks(array[:, ::2])
    addresses = {np.frombuffer(block, np.uint8).ctypes.data for block in (first, second)}
    assert len(addresses) == 1


def test_contiguous_arrays_are_not_copied() -> None:
    array = np.arange(100)
    (block,) = Packer().blocks(array)
    assert np.shares_memory(np.frombuffer(block, np.uint8), array)


@pytest.mark.parametrize("turned", [(False, False), (True, False), (False, True), (True, True)])
@pytest.mark.parametrize("shape", [(3, 5), (700, 801), (1, 9)])
def test_equal_arrays(shape: tuple[int, int], turned: tuple[bool, bool]) -> None:
    """Whatever their strides; NaNs of the same bits are equal, zeros of different signs are not."""
    values = np.arange(np.prod(shape), dtype=np.float32).reshape(shape)
    values[0, 1] = np.nan
    one, other = (np.array(values, order="F" if transposed else "C") for transposed in turned)
    assert equal_arrays(one, other, Packer())
    other[-1, -1] += 1
    assert not equal_arrays(one, other, Packer())
    other[-1, -1], other[0, 0] = one[-1, -1], -0.0
    assert not equal_arrays(one, other, Packer())


@pytest.mark.parametrize("array", [np.float64(3), np.zeros((0, 3)), np.arange(9, dtype=np.int8)[::2]])
def test_equal_arrays_of_few_elements(array: np.ndarray[Any, Any]) -> None:
    assert equal_arrays(np.asarray(array), np.array(array), Packer())


@pytest.mark.parametrize("length", [0, 1, 7, 8, 9, 1000])
def test_equal_bytes(length: int) -> None:
    one = np.arange(length, dtype=np.uint8)
    assert equal_bytes(one, one.copy())
    assert not equal_bytes(one, np.arange(length + 1, dtype=np.uint8))
    for place in {0, length // 2, length - 1} & set(range(length)):
        other = one.copy()
        other[place] ^= 1
        assert not equal_bytes(one, other)

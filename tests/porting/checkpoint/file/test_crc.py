"""The fast CRC-32 is zlib's, for any data, length, alignment and start."""

from __future__ import annotations

import zlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from porting.checkpoint.file import crc
from porting.checkpoint.file.crc import Crc32, combined, crc32

DATA = np.random.default_rng(0).bytes(3_000_000)


def test_three_terms_are_a_multiple_of_the_polynomial() -> None:
    remainder, powers = 1, {}
    for exponent in range(91640):
        powers[exponent] = remainder
        remainder <<= 1
        remainder ^= 0x104C11DB7 if remainder >> 32 else 0
    assert powers[91639] ^ powers[41678] ^ powers[0] == 0


@pytest.mark.parametrize("offset", range(9))
@pytest.mark.parametrize(
    "length", [0, 1, 2**20 - 1, 2**20, 2**20 + 1, *(12 * 91639 + odd for odd in range(5)), 2_500_001]
)
def test_lengths_and_alignments(offset: int, length: int) -> None:
    view = memoryview(DATA)[offset : offset + length]
    assert crc32(view) == zlib.crc32(view)


@given(offset=st.integers(0, 9), length=st.integers(2**20, 2_900_000), start=st.integers(0, 2**32 - 1))
def test_any_start(offset: int, length: int, start: int) -> None:
    view = memoryview(DATA)[offset : offset + length]
    assert crc32(view, start) == zlib.crc32(view, start)


@given(cuts=st.lists(st.integers(0, len(DATA)), max_size=6).map(sorted))
def test_checksum_of_pieces_is_that_of_the_whole(cuts: list[int]) -> None:
    pieced, whole = 0, Crc32()
    for start, end in zip([0, *cuts], [*cuts, len(DATA)], strict=True):
        pieced = crc32(memoryview(DATA)[start:end], pieced)
        whole.update(memoryview(DATA)[start:end])
        assert pieced == whole.value == zlib.crc32(DATA[:end])


@pytest.mark.parametrize("fill", [0, 255])
def test_constant_data(fill: int) -> None:
    data = memoryview(bytes([fill]) * (crc._LARGE + 5))
    assert crc32(data) == zlib.crc32(data)


def test_checksum_changes_no_data() -> None:
    data = bytearray(DATA)
    crc32(memoryview(data))
    assert data == DATA


@given(cut=st.integers(0, len(DATA)), start=st.integers(0, 2**32 - 1))
def test_two_stretches_together(cut: int, start: int) -> None:
    first, second = zlib.crc32(DATA[:cut], start), zlib.crc32(DATA[cut:])
    assert combined(first, second, len(DATA) - cut) == zlib.crc32(DATA, start)


def test_stretches_of_any_size_together() -> None:
    """Zeros double a file in size, up to more bytes than a disk has."""
    crc = zlib.crc32(b"a")
    zeros, length = zlib.crc32(b"\0"), 1
    for _ in range(60):
        crc, zeros, length = combined(crc, zeros, length), combined(zeros, zeros, length), 2 * length
        if length < 1 << 20:
            assert crc == zlib.crc32(b"a" + bytes(length - 1))
    assert 0 <= crc < 1 << 32

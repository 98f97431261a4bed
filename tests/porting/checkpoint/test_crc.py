"""The fast CRC-32 is zlib's, for any data, length, alignment and start."""

from __future__ import annotations

import zlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from porting.checkpoint import crc
from porting.checkpoint.crc import crc32

DATA = np.random.default_rng(0).bytes(3_000_000)


def test_the_multiple_of_three_terms_is_one() -> None:
    remainder, powers = 1, {}
    for exponent in range(91640):
        powers[exponent] = remainder
        remainder <<= 1
        remainder ^= 0x104C11DB7 if remainder >> 32 else 0
    assert powers[91639] ^ powers[41678] ^ powers[0] == 0


@pytest.mark.parametrize("offset", range(9))
@pytest.mark.parametrize("length", [0, 1, 2**19 - 1, 2**19, 2**19 + 1, 4 * 91639, 8 * 91639 + 3, 2_500_001])
def test_lengths_and_alignments(offset: int, length: int) -> None:
    view = memoryview(DATA)[offset : offset + length]
    assert crc32(view) == zlib.crc32(view)


@given(offset=st.integers(0, 9), length=st.integers(2**19, 2_900_000), start=st.integers(0, 2**32 - 1))
def test_any_start(offset: int, length: int, start: int) -> None:
    view = memoryview(DATA)[offset : offset + length]
    assert crc32(view, start) == zlib.crc32(view, start)


@given(cuts=st.lists(st.integers(0, len(DATA)), max_size=6).map(sorted))
def test_pieces(cuts: list[int]) -> None:
    found = 0
    for start, end in zip([0, *cuts], [*cuts, len(DATA)], strict=True):
        found = crc32(memoryview(DATA)[start:end], found)
    assert found == zlib.crc32(DATA)


@pytest.mark.parametrize("fill", [0, 255])
def test_constant_data(fill: int) -> None:
    data = memoryview(bytes([fill]) * (crc._LARGE + 5))
    assert crc32(data) == zlib.crc32(data)


def test_nothing_is_changed() -> None:
    data = bytearray(DATA)
    crc32(memoryview(data))
    assert data == DATA

"""The CRC-32 of zip and zlib, two to four times as fast as zlib's where there is much data.

A CRC is the remainder of the data, as a polynomial over GF(2), modulo a fixed P. It stays the same when the data is
first reduced modulo a multiple of P. This P has a multiple of only three terms, x^91639 + x^41678 + 1; none is of lower
degree, which is the known limit up to which CRC-32 finds any two flipped bits (Koopman, "32-Bit Cyclic Redundancy Codes
for Internet Applications", DSN 2002). Squaring a polynomial over GF(2) doubles its exponents, so there is a multiple
whose exponents count words of 32 bits instead of bits. Modulo it a word is carried 49961 words and 91639 words further
by two exclusive ors, which NumPy does at the speed of memory. The window of 91639 words that is left in the end is for
zlib.
"""

from __future__ import annotations

import threading
import zlib
from functools import cache, lru_cache
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt

_HIGH, _LOW = 91639, 41678
"""The exponents of the multiple: in words of a window that carries words, in bytes of one that carries bytes."""
_WORD = 4
_WINDOW = _HIGH * _WORD
_LARGE = 1 << 20
"""Bytes from which on this is faster than zlib alone."""

_Bytes: TypeAlias = "npt.NDArray[np.uint8]"


class Crc32:
    """The CRC-32 of bytes that come in pieces, of any length and alignment; `start` is the CRC-32 of those before."""

    def __init__(self, start: int = 0) -> None:
        self._memory = np.empty(0, np.uint8)
        self.restart(start)

    def restart(self, start: int = 0) -> None:
        """Begin anew, in the same memory."""
        self._start = start
        self._window: _Window | None = None
        self._length = 0

    def update(self, data: memoryview) -> None:
        """Take the next bytes."""
        if self._window is None and data.nbytes < _LARGE:
            self._start = zlib.crc32(data, self._start)
            return
        new = np.frombuffer(data, np.uint8)
        if self._window is None:
            odd = len(new) % _WINDOW
            if odd < _WORD:
                self._start = zlib.crc32(new[:odd].data, self._start)
                new = new[odd:]
            at = _WINDOW if odd < _WORD else odd
            self._window = _Window(self._first(new[:at]), _WORD)
        else:
            at = min(_WINDOW - self._length, len(new)) if self._length else 0
            self._keep(self._window, new[:at])
        whole = at + (len(new) - at) // _WINDOW * _WINDOW
        for start in range(at, whole, _WINDOW):
            self._window.carry(new[start : start + _WINDOW])
        self._keep(self._window, new[whole:])

    @property
    def value(self) -> int:
        """The CRC-32 so far, as `zlib.crc32`."""
        if self._window is None:
            return self._start
        carried = self._window.content
        folded = _Window(carried[:_HIGH].copy(), 1)
        for start in range(_HIGH, _WINDOW, _HIGH):
            folded.carry(carried[start : start + _HIGH])
        return zlib.crc32(self._memory[1][: self._length].data, zlib.crc32(folded.content.data, 0xFFFFFFFF))

    def _first(self, new: _Bytes) -> _Bytes:
        """Return the window that ends with the first bytes, after zeros, which change no remainder."""
        if len(self._memory) == 0:
            self._memory = np.empty((2, _WINDOW), np.uint8)
        window: _Bytes = self._memory[0]
        before = _WINDOW - len(new)
        window[:before], window[before:] = 0, new
        # The CRC-32 before acts as an exclusive or with the first four bytes; zlib's value is its complement.
        state = (self._start ^ 0xFFFFFFFF).to_bytes(_WORD, "little")
        window[before : before + _WORD] ^= np.frombuffer(state, np.uint8)
        return window

    def _keep(self, window: _Window, new: _Bytes) -> None:
        """Keep bytes until there are enough to carry the window on by its own length."""
        rest = self._memory[1]
        rest[self._length : self._length + len(new)] = new
        self._length += len(new)
        if self._length == _WINDOW:
            window.carry(rest)
            self._length = 0


class _Window:
    """The remainder of the bytes so far, modulo the multiple of three terms.

    Args:
        content: Its bytes, changed in place.
        unit: Bytes that the exponents of the multiple count.
    """

    def __init__(self, content: _Bytes, unit: int) -> None:
        high, low = _HIGH * unit, _LOW * unit
        self.content = content
        self._steps = (content[high - low :], content[:low]), (content[: high - low], content[low:])

    def carry(self, new: _Bytes) -> None:
        """Carry the window on by its own length: fold its content into as many new bytes.

        Since x^high = x^low + 1, a word at place i is added to places i + high and i + high - low. The latter is still
        in the window for i < low, which is the first step, and in the new bytes for the others, which is the second.
        """
        for target, carried in self._steps:
            np.bitwise_xor(target, carried, out=target)
        np.bitwise_xor(self.content, new, out=self.content)


_OWN = threading.local()
"""Each thread's `Crc32`, for its memory."""


def crc32(data: memoryview, start: int = 0) -> int:
    """Return the CRC-32 of bytes, continuing from that of the bytes before them, as `zlib.crc32`."""
    crc: Crc32 | None = getattr(_OWN, "crc", None)
    if crc is None:
        crc = _OWN.crc = Crc32()
    crc.restart(start)
    crc.update(data)
    return crc.value


def combined(first: int, second: int, length: int) -> int:
    """Return the CRC-32 of two stretches together, from that of each and the length of the second in bytes.

    This is zlib's `crc32_combine`, which Python lacks: the bytes that follow multiply the first by x^(8 length).
    """
    return _product(first, _power(8 * length)) ^ second


class Parts:
    """The CRC-32 of bytes whose parts become known in any order, in any thread."""

    def __init__(self) -> None:
        self._parts: dict[int, tuple[int, int]] = {}

    def has(self, offset: int) -> bool:
        """Return True if the part that starts there is known."""
        return offset in self._parts

    def add(self, offset: int, length: int, crc: int) -> None:
        """Add a part: where it starts, its length and its CRC-32."""
        if length:
            self._parts[offset] = length, crc

    def gaps(self, end: int) -> list[tuple[int, int]]:
        """Return start and end of the stretches before `end` that are not known."""
        known = sorted((offset, offset + length) for offset, (length, _) in self._parts.items())
        starts, ends = [0, *(stop for _, stop in known)], [*(start for start, _ in known), end]
        return [gap for gap in zip(starts, ends, strict=True) if gap[0] < gap[1]]

    def value(self, end: int) -> int:
        """Return the CRC-32 of the parts before `end`, one after the other."""
        crc = 0
        for offset, (length, part) in sorted(self._parts.items()):
            if offset < end:
                crc = combined(crc, part, length)
        return crc


_POLYNOMIAL, _ONE, _X = 0xEDB88320, 1 << 31, 1 << 30
"""P without x^32, 1 and x. Bits are reversed, as in all of CRC-32: bit 31 belongs to x^0, bit 0 to x^31."""


def _product(one: int, other: int) -> int:
    """Return the product of two polynomials modulo P."""
    product = 0
    while one:
        if one & _ONE:
            product ^= other
        one = one << 1 & 0xFFFFFFFF
        other = other >> 1 ^ (_POLYNOMIAL if other & 1 else 0)
    return product


@lru_cache(maxsize=256)
def _power(exponent: int) -> int:
    """Return x to this power modulo P, from its repeated squares."""
    power = _ONE
    for place in range(exponent.bit_length()):
        if exponent >> place & 1:
            power = _product(power, _squared(place))
    return power


@cache
def _squared(times: int) -> int:
    """Return x squared so many times, modulo P."""
    return _X if times == 0 else _product(_squared(times - 1), _squared(times - 1))

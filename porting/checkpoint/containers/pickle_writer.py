"""Writes pickles opcode by opcode, so that their large parts can be streamed."""

from __future__ import annotations

import struct
from collections.abc import Sequence


class PickleWriter:
    """Collects the opcodes of one pickle; `take` hands over what is there so far.

    Args:
        protocol: 2 or 4.
    """

    def __init__(self, protocol: int) -> None:
        self._bytes = bytearray((0x80, protocol))
        self._memo: dict[str, int] = {}

    def take(self) -> bytes:
        """The opcodes since the last call."""
        taken, self._bytes = bytes(self._bytes), bytearray()
        return taken

    def opcode(self, code: bytes) -> None:
        """Adds an opcode without arguments."""
        self._bytes += code

    def text(self, text: str) -> None:
        """Pushes a text."""
        data = text.encode()
        self._bytes += b"X" + struct.pack("<I", len(data)) + data

    def integer(self, value: int) -> None:
        """Pushes an integer of up to 64 bits."""
        if 0 <= value < 256:
            self._bytes += b"K" + bytes((value,))
        elif -(2**31) <= value < 2**31:
            self._bytes += b"J" + struct.pack("<i", value)
        else:
            self._bytes += b"\x8a\x08" + struct.pack("<q", value)

    def integers(self, values: Sequence[int]) -> None:
        """Pushes a tuple of integers."""
        self.opcode(b"(")
        for value in values:
            self.integer(value)
        self.opcode(b"t")

    def bytes_header(self, length: int) -> None:
        """Announces bytes, which are to follow directly (protocol 4)."""
        wide = length >= 2**32
        self._bytes += (b"\x8e" if wide else b"B") + length.to_bytes(8 if wide else 4, "little")

    def once(self, name: str) -> bool:
        """Whether a value has to be pushed and then `remember`ed: False means that it was, and is pushed again."""
        if name not in self._memo:
            return True
        index = self._memo[name]
        self._bytes += b"h" + bytes((index,)) if index < 256 else b"j" + struct.pack("<I", index)
        return False

    def remember(self, name: str) -> None:
        """Keeps the value on top for `once`."""
        index = self._memo.setdefault(name, len(self._memo))
        self._bytes += b"q" + bytes((index,)) if index < 256 else b"r" + struct.pack("<I", index)

    def global_name(self, module: str, name: str) -> None:
        """Pushes a global."""
        if self.once(f"{module}.{name}"):
            self._bytes += f"c{module}\n{name}\n".encode()
            self.remember(f"{module}.{name}")

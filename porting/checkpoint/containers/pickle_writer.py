"""Pickles written opcode by opcode, so that their large parts can be streamed.

The opcodes are described in CPython's `pickletools`; numbers in them are little-endian.
"""

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
        """Return the opcodes since the last call."""
        taken, self._bytes = bytes(self._bytes), bytearray()
        return taken

    def opcode(self, code: bytes) -> None:
        """Add the bytes of opcodes."""
        self._bytes += code

    def text(self, text: str) -> None:
        """Push a text (BINUNICODE)."""
        data = text.encode()
        self._bytes += b"X" + struct.pack("<I", len(data)) + data

    def integer(self, value: int) -> None:
        """Push an integer of up to 64 bits (BININT1, BININT or LONG1 of eight bytes)."""
        if 0 <= value < 256:
            self._bytes += b"K" + bytes((value,))
        elif -(2**31) <= value < 2**31:
            self._bytes += b"J" + struct.pack("<i", value)
        else:
            self._bytes += b"\x8a\x08" + struct.pack("<q", value)

    def integers(self, values: Sequence[int]) -> None:
        """Push a tuple of integers (MARK, TUPLE)."""
        self._bytes += b"("
        for value in values:
            self.integer(value)
        self._bytes += b"t"

    def bytes_header(self, length: int) -> None:
        """Announce bytes, which have to follow directly (BINBYTES, or BINBYTES8 of protocol 4)."""
        wide = length >= 2**32
        self._bytes += (b"\x8e" if wide else b"B") + length.to_bytes(8 if wide else 4, "little")

    def once(self, name: str) -> bool:
        """Push a remembered value (BINGET) and return False; return True if the caller has to push and remember it."""
        if name in self._memo:
            self._with_index(b"h", b"j", self._memo[name])
        return name not in self._memo

    def remember(self, name: str) -> None:
        """Remember the value on top of the stack (BINPUT) for `once`."""
        self._with_index(b"q", b"r", self._memo.setdefault(name, len(self._memo)))

    def _with_index(self, short: bytes, long: bytes, index: int) -> None:
        self._bytes += short + bytes((index,)) if index < 256 else long + struct.pack("<I", index)

    def global_name(self, module: str, name: str) -> None:
        """Push a global (GLOBAL)."""
        if self.once(f"{module}.{name}"):
            self._bytes += f"c{module}\n{name}\n".encode()
            self.remember(f"{module}.{name}")

    def plain(self, value: object) -> None:
        """Push a text, an integer of up to 64 bits, a float, a boolean or None.

        Raises:
            TypeError: It is something else.
        """
        match value:
            case None:
                self.opcode(b"N")
            case bool():
                self.opcode(b"\x88" if value else b"\x89")  # NEWTRUE, NEWFALSE
            case str():
                self.text(value)
            case int():
                self.integer(value)
            case float():
                self.opcode(b"G" + struct.pack(">d", value))  # BINFLOAT, the one big-endian number of pickles
            case _:
                raise TypeError(f"a checkpoint cannot hold a {type(value).__name__}")

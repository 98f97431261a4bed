"""Writes zip archives as torch lays them out: stored records whose data starts at multiples of 64 bytes."""

from __future__ import annotations

import struct
import zlib
from typing import NamedTuple

from porting.checkpoint.output import Output
from porting.checkpoint.tensor import LazyTensor

ALIGNMENT = 64
_STREAMED_UTF8 = 0x808
_MAX32 = 0xFFFFFFFF
_LIMIT = _MAX32
"""Sizes and offsets from here on are written in the 64-bit fields."""
_LOCAL_SIZE, _EXTRA_SIZE = 30, 4


class _Entry(NamedTuple):
    name: bytes
    offset: int
    size: int
    crc: int


class ZipWriter:
    """Writes records one after the other; `finish` adds the directory.

    The local headers leave sizes and CRC-32 to the descriptors that follow the data, since the CRC-32 of a tensor is
    known only when it has passed.
    """

    def __init__(self, output: Output) -> None:
        self._output = output
        self._entries: list[_Entry] = []

    def add(self, name: str, content: bytes) -> None:
        """Writes a small record."""
        offset = self._start(name, len(content))
        self._output.write(content)
        self._end(name, offset, len(content), zlib.crc32(content))

    def add_tensor(self, record: str, name: str, tensor: LazyTensor, head: bytes = b"") -> None:
        """Writes a record of a tensor's bytes.

        Args:
            record: The record's name.
            name: The tensor's name, for errors.
            tensor: The tensor.
            head: What comes before its bytes.
        """
        size = len(head) + tensor.nbytes
        offset = self._start(record, size)
        self._output.write(head)
        crc = self._output.write_tensor(name, tensor, crc=zlib.crc32(head))
        self._end(record, offset, size, crc)

    def identity(self) -> bytes:
        """Forty digits that depend on the names and contents of the records so far."""
        names = zlib.crc32(b"\0".join(entry.name for entry in self._entries))
        contents = zlib.crc32(b"".join(struct.pack("<LQ", entry.crc, entry.size) for entry in self._entries))
        return f"{names:020d}{contents:020d}".encode()

    def finish(self) -> None:
        """Writes the directory."""
        start = self._output.position
        directory = b"".join(map(_central_header, self._entries))
        self._output.write(directory)
        self._output.write(_end_records(len(self._entries), start, len(directory)))

    def _start(self, name: str, size: int) -> int:
        """Writes the local header; returns where it is."""
        offset, encoded = self._output.position, name.encode()
        wide = struct.pack("<2H2Q", 1, 16, size, size) if size >= _LIMIT else b""
        padding = -(offset + _LOCAL_SIZE + len(encoded) + len(wide) + _EXTRA_SIZE) % ALIGNMENT
        extra = wide + struct.pack("<2s H", b"FB", padding) + b"Z" * padding
        sizes = (_MAX32, _MAX32) if wide else (0, 0)
        fields = (b"PK\x03\x04", 0, _STREAMED_UTF8, 0, 0, 0, 0, *sizes, len(encoded), len(extra))
        self._output.write(struct.pack("<4s5H3L2H", *fields) + encoded + extra)
        return offset

    def _end(self, name: str, offset: int, size: int, crc: int) -> None:
        self._output.write(struct.pack("<4sL2Q" if size >= _LIMIT else "<4s3L", b"PK\x07\x08", crc, size, size))
        self._entries.append(_Entry(name.encode(), offset, size, crc))


def _central_header(entry: _Entry) -> bytes:
    values = [entry.size, entry.size, entry.offset]
    wide = b"".join(struct.pack("<Q", value) for value in values if value >= _LIMIT)
    extra = struct.pack("<2H", 1, len(wide)) + wide if wide else b""
    size, stored_size, offset = (_MAX32 if value >= _LIMIT else value for value in values)
    lengths = (len(entry.name), len(extra), 0)
    fields = (b"PK\x01\x02", 0, 0, _STREAMED_UTF8, 0, 0, 0, entry.crc, stored_size, size, *lengths, 0, 0, 0, offset)
    return struct.pack("<4s6H3L5H2L", *fields) + entry.name + extra


def _end_records(count: int, start: int, size: int) -> bytes:
    """The 64-bit end record, its locator, and the end record."""
    end = start + size
    wide = struct.pack("<4sQ2H2L4Q", b"PK\x06\x06", 44, 0x031E, 45, 0, 0, count, count, size, start)
    locator = struct.pack("<4sLQL", b"PK\x06\x07", 0, end, 1)
    short_count = min(count, 0xFFFF)
    values = (0, 0, short_count, short_count, min(size, _MAX32), min(start, _MAX32), 0)
    return wide + locator + struct.pack("<4s4H2LH", b"PK\x05\x06", *values)

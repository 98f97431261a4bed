"""Writes zip archives as torch lays them out: stored records whose data starts at multiples of 64 bytes."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable
from functools import cache
from typing import NamedTuple

from porting.checkpoint.file.crc import combined
from porting.checkpoint.file.writer import Checksum, Output
from porting.checkpoint.tensor import LazyTensor

ALIGNMENT = 64
_STREAMED_UTF8 = 0x808
_MAX32 = 0xFFFFFFFF
_LIMIT = _MAX32
"""Sizes and offsets from here on are written in the 64-bit fields."""
_LOCAL_SIZE, _EXTRA_SIZE, _CENTRAL_SIZE = 30, 4, 46
_DESCRIPTOR, _WIDE_DESCRIPTOR = 16, 24
_IDENTITY = 40


class _Entry(NamedTuple):
    """What the directory says of a record; its CRC-32 is known once the record has been read back, or before."""

    name: bytes
    offset: int
    size: int
    crc: int | Callable[[], int]

    @property
    def known_crc(self) -> int:
        return self.crc if isinstance(self.crc, int) else self.crc()

    def descriptor(self) -> bytes:
        """What follows the data."""
        layout = "<4sL2Q" if self.size >= _LIMIT else "<4s3L"
        return struct.pack(layout, b"PK\x07\x08", self.known_crc, self.size, self.size)


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
        checksum = Checksum()
        self._output.write_tensor(name, tensor, checksum)

        def crc() -> int:
            return combined(zlib.crc32(head), checksum.value, tensor.nbytes)

        self._end(record, offset, size, crc() if checksum.known else crc)

    def add_identity(self, name: str) -> None:
        """Writes a record of forty digits that depend on the names and contents of the records so far."""
        entries = tuple(self._entries)

        @cache
        def content() -> bytes:
            names = zlib.crc32(b"\0".join(entry.name for entry in entries))
            contents = zlib.crc32(b"".join(struct.pack("<LQ", entry.known_crc, entry.size) for entry in entries))
            return f"{names:020d}{contents:020d}".encode()

        offset = self._start(name, _IDENTITY)
        self._output.write_late(_IDENTITY, content)
        self._end(name, offset, _IDENTITY, lambda: zlib.crc32(content()))

    def finish(self) -> None:
        """Writes the directory."""
        start = self._output.position
        size = sum(_central_size(entry) for entry in self._entries)
        self._output.write_late(size, cache(lambda: b"".join(map(_central_header, self._entries))))
        self._output.write(_end_records(len(self._entries), start, size))

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

    def _end(self, name: str, offset: int, size: int, crc: int | Callable[[], int]) -> None:
        entry = _Entry(name.encode(), offset, size, crc)
        self._entries.append(entry)
        if isinstance(crc, int):
            self._output.write(entry.descriptor())
        else:
            self._output.write_late(_WIDE_DESCRIPTOR if size >= _LIMIT else _DESCRIPTOR, entry.descriptor)


def _central_extra(entry: _Entry) -> bytes:
    values = (entry.size, entry.size, entry.offset)
    wide = b"".join(struct.pack("<Q", value) for value in values if value >= _LIMIT)
    return struct.pack("<2H", 1, len(wide)) + wide if wide else b""


def _central_size(entry: _Entry) -> int:
    return _CENTRAL_SIZE + len(entry.name) + len(_central_extra(entry))


def _central_header(entry: _Entry) -> bytes:
    values = (entry.size, entry.size, entry.offset)
    extra = _central_extra(entry)
    size, stored_size, offset = (_MAX32 if value >= _LIMIT else value for value in values)
    lengths = (len(entry.name), len(extra), 0)
    fields = (
        b"PK\x01\x02",
        0,
        0,
        _STREAMED_UTF8,
        0,
        0,
        0,
        entry.known_crc,
        stored_size,
        size,
        *lengths,
        0,
        0,
        0,
        offset,
    )
    return struct.pack("<4s6H3L5H2L", *fields) + entry.name + extra


def _end_records(count: int, start: int, size: int) -> bytes:
    """The 64-bit end record, its locator, and the end record."""
    end = start + size
    wide = struct.pack("<4sQ2H2L4Q", b"PK\x06\x06", 44, 0x031E, 45, 0, 0, count, count, size, start)
    locator = struct.pack("<4sLQL", b"PK\x06\x07", 0, end, 1)
    short_count = min(count, 0xFFFF)
    values = (0, 0, short_count, short_count, min(size, _MAX32), min(start, _MAX32), 0)
    return wide + locator + struct.pack("<4s4H2LH", b"PK\x05\x06", *values)

"""Zip archives, read strictly and without copying, and written as a stream.

Only what the formats built on zip need: one volume, no encryption, records stored or deflated. What two readers could
understand differently (duplicate names, overlapping records, headers that disagree) is refused.
Source: APPNOTE.TXT of PKWARE, sections 4.3 and 4.5.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from porting.checkpoint.file.crc import crc32
from porting.checkpoint.file.source import Bytes, Source
from porting.errors import CheckpointError

SIGNATURES = (b"PK\x03\x04", b"PK\x05\x06")
_MAX32, _MAX16 = 0xFFFFFFFF, 0xFFFF
_STORED, _DEFLATED = 0, 8
_ENCRYPTED, _STREAMED = 0x1, 0x8
_MAX_RATIO = 1100
"""Deflate cannot shrink data more than 1032 times."""
_MAX_INFLATED = 2**26
"""Bytes beyond eight times its archive that a compressed record may take, since it has to be held in memory; weights
hardly shrink at all, and a stored record may have any size."""
_MAX_RECORDS = 100_000

_END = struct.Struct("<4s4H2LH")
_END64_LOCATOR = struct.Struct("<4sLQL")
_END64 = struct.Struct("<4sQ2H2L4Q")
_CENTRAL = struct.Struct("<4s4B4H3L5H2L")
_LOCAL = struct.Struct("<4s2B4H3L2H")


class _Directory(NamedTuple):
    records: int
    size: int
    offset: int


@dataclass(slots=True)
class Record:
    """One file of an archive.

    Attributes:
        source: The archive.
        name: The record's name.
        offset: Where its data starts in the archive.
        stored_size: Bytes that it takes in the archive.
        size: Bytes of its content.
        crc: CRC-32 of its content.
        method: 0 stored, 8 deflated.
        verified: Its content is known to have this CRC-32, or the archive was written without any.
    """

    source: Source
    name: str
    offset: int
    stored_size: int
    size: int
    crc: int
    method: int
    verified: bool = False

    def array(self) -> Bytes:
        """Its content; the CRC-32 is checked at the first call.

        Raises:
            CheckpointError: The content is damaged.
        """
        data = self.source.array(self.offset, self.stored_size)
        if self.method == _DEFLATED:
            data = self._inflated(data)
        if not self.verified:
            found = crc32(data.data)
            if found != self.crc:
                raise self._damaged(f"its CRC-32 is {found:08x}, the archive says {self.crc:08x}")
            self.verified = True
        return data

    def head(self, length: int) -> bytes:
        """Up to this many bytes from the start of its content, not checked against the CRC-32."""
        if self.method == _STORED:
            return self.source.read(self.offset, min(length, self.size))
        try:
            return zlib.decompressobj(-15).decompress(self.source.view(self.offset, self.stored_size), length)
        except zlib.error as error:
            raise self._damaged(str(error)) from None

    def _damaged(self, problem: str) -> CheckpointError:
        return self.source.error(f"the record {self.name} is damaged: {problem}; fetch or save the file again")

    def _inflated(self, data: Bytes) -> Bytes:
        inflater = zlib.decompressobj(-15)
        try:
            content = inflater.decompress(data.data, self.size + 1)
        except zlib.error as error:
            raise self._damaged(str(error)) from None
        if len(content) != self.size or not inflater.eof:
            raise self._damaged(f"it does not inflate to the {self.size} bytes that it declares")
        return np.frombuffer(content, np.uint8)


def read_zip(source: Source) -> dict[str, Record]:
    """The records of an archive by name, in the order of its directory.

    Raises:
        CheckpointError: The archive is truncated, or two readers could understand it differently.
    """
    directory, end = _find_directory(source)
    if directory.offset + directory.size > end or directory.records * _CENTRAL.size > directory.size:
        raise source.error("is a damaged zip archive: its directory lies outside of it; fetch or save it again")
    records: dict[str, Record] = {}
    headers: list[tuple[int, Record]] = []
    for header, record in _central_records(source, directory):
        if record.name in records:
            raise source.error(f"has two records of the name {record.name}; save it again")
        records[record.name] = record
        headers.append((header, record))
    _locate(source, headers, directory.offset)
    if not any(record.crc for record in records.values()):
        for record in records.values():
            record.verified = True
    source.release()
    return records


def _find_directory(source: Source) -> tuple[_Directory, int]:
    tail_at = max(0, source.size - _END.size - _MAX16)
    tail = source.read(tail_at, source.size - tail_at)
    found = tail.rfind(b"PK\x05\x06")
    if found < 0 or len(tail) - found < _END.size:
        raise source.error("is a truncated zip archive: it has no directory at its end; fetch or save it again")
    _, disk, first_disk, _, count, size, offset, comment = _END.unpack_from(tail, found)
    if found + _END.size + comment != len(tail) or disk != first_disk or disk not in (0, _MAX16):
        raise source.error("is a damaged zip archive: its end record is inconsistent; fetch or save it again")
    end = tail_at + found
    if _MAX16 in (count, disk) or _MAX32 in (size, offset):
        return _find_directory64(source, end)
    return _Directory(count, size, offset), end


def _find_directory64(source: Source, end: int) -> tuple[_Directory, int]:
    at = max(0, end - _END64_LOCATOR.size)
    signature, _, end64, _ = _END64_LOCATOR.unpack(source.view(at, _END64_LOCATOR.size))
    if signature == b"PK\x06\x07":
        signature, _, _, _, _, _, _, count, size, offset = _END64.unpack(source.view(end64, _END64.size))
        if signature == b"PK\x06\x06" and end64 < end:
            return _Directory(count, size, offset), end64
    raise source.error("is a damaged zip archive: its 64-bit end record is missing; fetch or save it again")


def _central_records(source: Source, directory: _Directory) -> Iterator[tuple[int, Record]]:
    at, end = directory.offset, directory.offset + directory.size
    if directory.records > _MAX_RECORDS:
        raise source.error(f"has {directory.records} records, more than any checkpoint needs")
    for _ in range(directory.records):
        fields = _CENTRAL.unpack(source.view(at, _CENTRAL.size))
        flags, method, crc, stored_size, size = fields[5], fields[6], fields[9], fields[10], fields[11]
        name_length, extra_length, comment_length, header = fields[12], fields[13], fields[14], fields[18]
        name_at = at + _CENTRAL.size
        at = name_at + name_length + extra_length + comment_length
        if fields[0] != b"PK\x01\x02" or at > end:
            raise source.error("is a damaged zip archive: its directory is inconsistent; fetch or save it again")
        name = source.read(name_at, name_length).decode("utf-8", "backslashreplace")
        extra = source.read(name_at + name_length, extra_length)
        size, stored_size, header = _extended(source, name, extra, size, stored_size, header)
        _require_plain(source, name, flags, method, stored_size, size)
        yield header, Record(source, name, header, stored_size, size, crc, method)
    if at != end:
        raise source.error("is a damaged zip archive: its directory is inconsistent; fetch or save it again")


def _extended(source: Source, name: str, extra: bytes, *values: int) -> list[int]:
    """The 64-bit values of a central header, for those whose 32-bit field says that they are elsewhere."""
    wide = _extra_field(extra, 1)
    found = []
    for value in values:
        if value == _MAX32:
            if len(wide) < 8:
                raise source.error(f"the record {name} lacks its 64-bit sizes; fetch or save the file again")
            value = int.from_bytes(wide[:8], "little")
            wide = wide[8:]
        found.append(value)
    return found


def _extra_field(extra: bytes, wanted: int) -> bytes:
    while len(extra) >= 4:
        kind, length = struct.unpack_from("<2H", extra)
        if kind == wanted:
            return extra[4 : 4 + length]
        extra = extra[4 + length :]
    return b""


def _require_plain(source: Source, name: str, flags: int, method: int, stored_size: int, size: int) -> None:
    if flags & _ENCRYPTED:
        raise source.error(f"the record {name} is encrypted; save the file without encryption")
    if method not in (_STORED, _DEFLATED):
        raise source.error(f"the record {name} is compressed by method {method}, expected none or deflate")
    if method == _DEFLATED and size > 8 * source.size + _MAX_INFLATED:
        raise source.error(f"the record {name} inflates to {size} bytes; save the file without compression")
    if (size != stored_size) if method == _STORED else (size > stored_size * _MAX_RATIO):
        raise source.error(f"the record {name} declares {size} bytes for {stored_size} stored ones; it is damaged")


def _locate(source: Source, headers: list[tuple[int, Record]], end: int) -> None:
    """Sets each record's offset from its local header, which has to agree with the directory."""
    free_from = 0
    for header, record in sorted(headers, key=lambda item: item[0]):
        if header < free_from:
            raise source.error(f"the record {record.name} overlaps the one before it; fetch or save the file again")
        signature, _, _, flags, method, _, _, crc, stored_size, size, name_length, extra_length = _LOCAL.unpack(
            source.view(header, _LOCAL.size)
        )
        name = source.read(header + _LOCAL.size, name_length).decode("utf-8", "backslashreplace")
        sizes = (crc, stored_size, size)
        agrees = flags & _STREAMED or _MAX32 in sizes or sizes == (record.crc, record.stored_size, record.size)
        if (signature, name, method) != (b"PK\x03\x04", record.name, record.method) or not agrees:
            raise source.error(f"the record {record.name} is not what the archive's directory says; fetch it again")
        record.offset = header + _LOCAL.size + name_length + extra_length
        free_from = record.offset + record.stored_size
        if free_from > end:
            raise source.error(f"the record {record.name} reaches beyond the archive's records; it is damaged")

"""Zip archives, read strictly and without copying, and written as a stream as torch lays them out.

Only what the formats built on zip need: one volume, no encryption, records stored or deflated. What two readers could
understand differently (duplicate names, overlapping records, headers that disagree) is refused.
Source: APPNOTE.TXT of PKWARE, sections 4.3 and 4.5; for the order and alignment of records, PyTorchStreamWriter in
`caffe2/serialize/inline_container.cc` of torch.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from typing import NamedTuple

import numpy as np

from porting.checkpoint.file.crc import combined
from porting.checkpoint.file.source import Bytes, Source, crc_of
from porting.checkpoint.file.strips import Checksum
from porting.checkpoint.file.writer import Output
from porting.checkpoint.tensor import LazyTensor
from porting.errors import CheckpointError

_LOCAL_SIGNATURE, _CENTRAL_SIGNATURE, _END_SIGNATURE = b"PK\x03\x04", b"PK\x01\x02", b"PK\x05\x06"
_END64_SIGNATURE, _LOCATOR_SIGNATURE, _DESCRIPTOR_SIGNATURE = b"PK\x06\x06", b"PK\x06\x07", b"PK\x07\x08"
SIGNATURES = (_LOCAL_SIGNATURE, _END_SIGNATURE)
"""What an archive starts with; one without records is its end record alone."""
_MAX32, _MAX16 = 0xFFFFFFFF, 0xFFFF
"""Values of a 32-bit or 16-bit field that say that the real one is in a 64-bit field."""
_EXTRA64 = 1
"""The extra field that holds 64-bit sizes and the offset (section 4.5.3)."""
_PADDING = int.from_bytes(b"FB", "little")
"""The extra field that torch pads the local header with."""
_STORED, _DEFLATED = 0, 8
_ENCRYPTED, _STREAMED, _UTF8 = 0x1, 0x8, 0x800
"""Flags; a streamed record has its sizes and CRC-32 in a descriptor after its data."""
_RAW_DEFLATE = -15
"""zlib's window bits for deflate data without zlib's own header, as archives have it."""
_MAX_RATIO = 1100
"""Deflate cannot shrink data more than 1032 times."""
_MAX_INFLATED = 2**26
"""Bytes beyond eight times its archive that a compressed record may take, since it has to be held in memory; weights
hardly shrink at all, and a stored record may have any size."""
_MAX_RECORDS = 100_000

_LOCAL = struct.Struct("<4s5H3L2H")
"""Section 4.3.7: signature, version, flags, method, time, date, CRC-32, stored size, size, lengths of name, extra."""
_CENTRAL = struct.Struct("<4s6H3L5H2L")
"""Section 4.3.12: signature, two versions, then as in the local header; length of the comment, volume, internal and
external attributes, offset of the local header."""
_EXTRA_HEAD = struct.Struct("<2H")
"""Kind and length of an extra field."""
_END = struct.Struct("<4s4H2LH")
"""Section 4.3.16: signature, volume, volume of the directory, records here and in all, size and offset of the
directory, length of the comment."""
_LOCATOR = struct.Struct("<4sLQL")
"""Section 4.3.15: signature, volume and offset of the 64-bit end record, number of volumes."""
_END64 = struct.Struct("<4sQ2H2L4Q")
"""Section 4.3.14: signature, bytes that follow, two versions, then as in the end record."""


class _Directory(NamedTuple):
    """Number of records, and where the central directory is."""

    records: int
    size: int
    offset: int


@dataclass(slots=True, eq=False, repr=False)
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
        verified: True once the content is known to have this CRC-32, or if the archive was written without any.
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
        """Return the content; the CRC-32 is checked at the first call.

        Raises:
            CheckpointError: The content is damaged.
        """
        data = self.source.array(self.offset, self.stored_size)
        if self.method == _DEFLATED:
            data = self._inflated(data)
        if not self.verified:
            crc = crc_of(data)
            if crc != self.crc:
                raise self._damaged(f"its CRC-32 is {crc:08x}, the archive says {self.crc:08x}")
            self.verified = True
        return data

    def head(self, length: int) -> bytes:
        """Return up to `length` bytes from the start of the content, not checked against the CRC-32."""
        if self.method == _STORED:
            return self.source.read(self.offset, min(length, self.size))
        try:
            inflater = zlib.decompressobj(_RAW_DEFLATE)
            return inflater.decompress(self.source.view(self.offset, self.stored_size), length)
        except zlib.error as error:
            raise self._damaged(str(error)) from None

    def _damaged(self, problem: str) -> CheckpointError:
        return self.source.error(f"the record {self.name} is damaged: {problem}; fetch or save the file again")

    def _inflated(self, data: Bytes) -> Bytes:
        inflater = zlib.decompressobj(_RAW_DEFLATE)
        try:
            content = inflater.decompress(data.data, self.size + 1)
        except zlib.error as error:
            raise self._damaged(str(error)) from None
        if len(content) != self.size or not inflater.eof:
            raise self._damaged(f"it does not inflate to the {self.size} bytes that it declares")
        return np.frombuffer(content, np.uint8)


def read_zip(source: Source) -> dict[str, Record]:
    """Return the records of an archive by name, in the order of its directory.

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
    if not any(record.crc for record in records.values()):  # torch can leave all of them out
        for record in records.values():
            record.verified = True
    source.release()
    return records


def _find_directory(source: Source) -> tuple[_Directory, int]:
    tail_at = max(0, source.size - _END.size - _MAX16)
    tail = source.read(tail_at, source.size - tail_at)
    place = tail.rfind(_END_SIGNATURE)  # from the end, since a comment of up to 65,535 bytes may follow the record
    if place < 0 or len(tail) - place < _END.size:
        raise source.error("is a truncated zip archive: it has no directory at its end; fetch or save it again")
    _, disk, first_disk, _, count, size, offset, comment = _END.unpack_from(tail, place)
    if place + _END.size + comment != len(tail) or disk != first_disk or disk not in (0, _MAX16):
        raise source.error("is a damaged zip archive: its end record is inconsistent; fetch or save it again")
    end = tail_at + place
    if _MAX16 in (count, disk) or _MAX32 in (size, offset):
        return _find_directory64(source, end)
    return _Directory(count, size, offset), end


def _find_directory64(source: Source, end: int) -> tuple[_Directory, int]:
    at = max(0, end - _LOCATOR.size)
    signature, _, end64, _ = _LOCATOR.unpack(source.view(at, _LOCATOR.size))
    if signature == _LOCATOR_SIGNATURE:
        signature, _, _, _, _, _, _, count, size, offset = _END64.unpack(source.view(end64, _END64.size))
        if signature == _END64_SIGNATURE and end64 < end:
            return _Directory(count, size, offset), end64
    raise source.error("is a damaged zip archive: its 64-bit end record is missing; fetch or save it again")


def _central_records(source: Source, directory: _Directory) -> Iterator[tuple[int, Record]]:
    at, end = directory.offset, directory.offset + directory.size
    if directory.records > _MAX_RECORDS:
        raise source.error(f"has {directory.records} records, more than any checkpoint needs")
    for _ in range(directory.records):
        fields = _CENTRAL.unpack(source.view(at, _CENTRAL.size))
        flags, method, (crc, stored_size, size) = fields[3], fields[4], fields[7:10]
        (name_length, extra_length, comment_length), header = fields[10:13], fields[16]
        name_at = at + _CENTRAL.size
        at = name_at + name_length + extra_length + comment_length
        if fields[0] != _CENTRAL_SIGNATURE or at > end:
            raise source.error("is a damaged zip archive: its directory is inconsistent; fetch or save it again")
        name = source.read(name_at, name_length).decode("utf-8", "backslashreplace")
        extra = source.read(name_at + name_length, extra_length)
        size, stored_size, header = _extended(source, name, extra, size, stored_size, header)
        _require_plain(source, name, flags, method, stored_size, size)
        yield header, Record(source, name, header, stored_size, size, crc, method)
    if at != end:
        raise source.error("is a damaged zip archive: its directory is inconsistent; fetch or save it again")


def _extended(source: Source, name: str, extra: bytes, *values: int) -> list[int]:
    """Replace the values of a central header whose 32-bit field says that they are in the 64-bit extra field.

    That field holds only these, in the order of the header.
    """
    wide = _extra_field(extra, _EXTRA64)
    extended = []
    for value in values:
        if value == _MAX32:
            if len(wide) < 8:
                raise source.error(f"the record {name} lacks its 64-bit sizes; fetch or save the file again")
            value = int.from_bytes(wide[:8], "little")
            wide = wide[8:]
        extended.append(value)
    return extended


def _extra_field(extra: bytes, wanted: int) -> bytes:
    while len(extra) >= _EXTRA_HEAD.size:
        kind, length = _EXTRA_HEAD.unpack_from(extra)
        data, extra = extra[_EXTRA_HEAD.size :][:length], extra[_EXTRA_HEAD.size + length :]
        if kind == wanted:
            return data
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
    """Set each record's offset from its local header, which has to agree with the directory."""
    free_from = 0
    for header, record in sorted(headers, key=lambda item: item[0]):
        if header < free_from:
            raise source.error(f"the record {record.name} overlaps the one before it; fetch or save the file again")
        fields = _LOCAL.unpack(source.view(header, _LOCAL.size))
        (signature, _, flags, method), sizes, (name_length, extra_length) = fields[:4], fields[6:9], fields[9:]
        name = source.read(header + _LOCAL.size, name_length).decode("utf-8", "backslashreplace")
        agrees = flags & _STREAMED or _MAX32 in sizes or sizes == (record.crc, record.stored_size, record.size)
        if (signature, name, method) != (_LOCAL_SIGNATURE, record.name, record.method) or not agrees:
            raise source.error(f"the record {record.name} is not what the archive's directory says; fetch it again")
        record.offset = header + _LOCAL.size + name_length + extra_length
        free_from = record.offset + record.stored_size
        if free_from > end:
            raise source.error(f"the record {record.name} reaches beyond the archive's records; it is damaged")


ALIGNMENT = 64
"""Bytes of which every record's data starts at a multiple, so that torch can map it."""
_LIMIT = _MAX32
"""Sizes and offsets from here on are written in the 64-bit fields."""
_IDENTITY = 40
"""Digits of torch's `.data/serialization_id`."""


class _Entry(NamedTuple):
    """What the directory says of a record; its CRC-32 is known once the record has been read back, or before."""

    name: bytes
    offset: int
    size: int
    crc: int | Callable[[], int]

    @property
    def known_crc(self) -> int:
        return self.crc if isinstance(self.crc, int) else self.crc()

    @property
    def descriptor_layout(self) -> str:
        """Section 4.3.9: signature, CRC-32, stored size and size, of 64 bits where the local header has such."""
        return "<4sL2Q" if self.size >= _LIMIT else "<4s3L"

    def descriptor(self) -> bytes:
        """Return what follows the data."""
        return struct.pack(self.descriptor_layout, _DESCRIPTOR_SIGNATURE, self.known_crc, self.size, self.size)

    @property
    def extra(self) -> bytes:
        """The 64-bit extra field of the directory; empty where nothing needs it."""
        values = (self.size, self.size, self.offset)
        wide = b"".join(struct.pack("<Q", value) for value in values if value >= _LIMIT)
        return _EXTRA_HEAD.pack(_EXTRA64, len(wide)) + wide if wide else b""

    @property
    def directory_size(self) -> int:
        """Bytes that it takes in the directory."""
        return _CENTRAL.size + len(self.name) + len(self.extra)

    def central_header(self) -> bytes:
        """Return what the directory holds of the record."""
        size, offset = (_MAX32 if value >= _LIMIT else value for value in (self.size, self.offset))
        extra = self.extra
        versions_to_date = (0, 0, _STREAMED | _UTF8, _STORED, 0, 0)
        lengths_to_attributes = (len(self.name), len(extra), 0, 0, 0, 0)
        return (
            _CENTRAL.pack(
                _CENTRAL_SIGNATURE, *versions_to_date, self.known_crc, size, size, *lengths_to_attributes, offset
            )
            + self.name
            + extra
        )


class ZipWriter:
    """Writes stored records one after the other; `finish` adds the directory.

    The local headers leave sizes and CRC-32 to the descriptors that follow the data, since the CRC-32 of a tensor is
    known only when it has passed.
    """

    def __init__(self, output: Output) -> None:
        self._output = output
        self._entries: list[_Entry] = []

    def add(self, name: str, content: bytes) -> None:
        """Write a small record."""
        offset = self._start(name, len(content))
        self._output.write(content)
        self._end(name, offset, len(content), zlib.crc32(content))

    def add_tensor(self, record: str, name: str, tensor: LazyTensor, head: bytes = b"") -> None:
        """Write a record of a tensor's bytes after `head`; the tensor's name is for errors."""
        size = len(head) + tensor.nbytes
        offset = self._start(record, size)
        self._output.write(head)
        checksum = Checksum()
        self._output.write_tensor(name, tensor, checksum)

        def crc() -> int:
            return combined(zlib.crc32(head), checksum.value, tensor.nbytes)

        self._end(record, offset, size, crc() if checksum.known else crc)

    def add_identity(self, name: str) -> None:
        """Write a record of forty digits that depend on the names and contents of the records so far."""
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
        """Write the central directory, which ends the archive."""
        start = self._output.position
        size = sum(entry.directory_size for entry in self._entries)
        self._output.write_late(size, lambda: b"".join(entry.central_header() for entry in self._entries))
        self._output.write(_end_records(len(self._entries), start, size))

    def _start(self, name: str, size: int) -> int:
        """Write the local header; return where it is."""
        offset, encoded = self._output.position, name.encode()
        wide = _EXTRA_HEAD.pack(_EXTRA64, 16) + struct.pack("<2Q", size, size) if size >= _LIMIT else b""
        padding = -(offset + _LOCAL.size + len(encoded) + len(wide) + _EXTRA_HEAD.size) % ALIGNMENT
        extra = wide + _EXTRA_HEAD.pack(_PADDING, padding) + b"Z" * padding
        crc_and_sizes = (0, _MAX32, _MAX32) if wide else (0, 0, 0)
        version_to_date = (0, _STREAMED | _UTF8, _STORED, 0, 0)
        lengths = (len(encoded), len(extra))
        self._output.write(_LOCAL.pack(_LOCAL_SIGNATURE, *version_to_date, *crc_and_sizes, *lengths) + encoded + extra)
        return offset

    def _end(self, name: str, offset: int, size: int, crc: int | Callable[[], int]) -> None:
        entry = _Entry(name.encode(), offset, size, crc)
        self._entries.append(entry)
        if isinstance(crc, int):
            self._output.write(entry.descriptor())
        else:
            self._output.write_late(struct.calcsize(entry.descriptor_layout), entry.descriptor)


def _end_records(count: int, start: int, size: int) -> bytes:
    """Return the 64-bit end record, its locator and the end record, which torch writes at any size.

    The versions are torch's: made by 3.0 on Unix, 4.5 needed, the first that knows 64-bit sizes. The length leaves out
    the signature and itself, 12 bytes.
    """
    wide = _END64.pack(_END64_SIGNATURE, _END64.size - 12, 0x031E, 45, 0, 0, count, count, size, start)
    locator = _LOCATOR.pack(_LOCATOR_SIGNATURE, 0, start + size, 1)
    short = (min(count, _MAX16), min(count, _MAX16), min(size, _MAX32), min(start, _MAX32))
    return wide + locator + _END.pack(_END_SIGNATURE, 0, 0, *short, 0)

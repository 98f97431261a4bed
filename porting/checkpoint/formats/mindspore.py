"""MindSpore's checkpoints (`.ckpt`): messages of Protocol Buffers, one a tensor, and at times a CRC-32 of them all.

Source: `mindspore/train/serialization.py` and `checkpoint.proto` of MindSpore 2.0 and 2.10. A file is a `Checkpoint` of
`Value value = 1`, each `{tag = 1, tensor = 2, maptensor = 3}`, a tensor `{dims = 1, tensor_type = 2,
tensor_content = 3}`; the numbers are those of protobuf's fields. A trailer of 17 bytes may follow: `crc_num` and the
CRC-32 as ten bytes, big-endian. What is written here is byte by byte what MindSpore 2.10 writes with `crc_check=True`.

Three oddities. MindSpore pads or cuts data that does not fit its dims; here it is an error. It takes dims of `[0]` for
a scalar, as version 2.0 wrote them; here only where there is data, so that an empty vector survives. And when it saves,
it leaves out tensors without elements.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from math import prod
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from porting.checkpoint import dtypes
from porting.checkpoint.containers.protobuf import field, fields, head, integers, number_field
from porting.checkpoint.file.crc import Parts, crc32
from porting.checkpoint.file.source import Bytes, Source, Span, crc_of
from porting.checkpoint.file.writer import Output
from porting.checkpoint.formats import mindspore_training
from porting.checkpoint.tensor import LazyTensor, Malformed, Pieces, Shape, checked_shape, in_rows

SIGNATURE = re.compile(
    rb"\n(?:[\x0b-\x7f]|[\x80-\xff]{1,9}[\x01-\x7f])\n(?:[\x01-\x7f]|[\x80-\xff]{1,4}[\x01-\x7f])[^\n]"
)
"""The key of field 1 and the length of a value, at least 11 bytes; the key of field 1 and the length of a tag; and a
tag that starts with no line break. The fourth byte is never zero, as it is in safetensors files with headers below
16 MiB."""
ENCRYPTED: Mapping[bytes, str] = {
    b"\xd8\x5e\x3a\x7f": "AES-GCM",
    b"\xd9\x5e\x3a\x7f": "AES-CBC",
    b"\xda\x5e\x3a\x7f": "SM4-CBC",
}
"""What encrypted files start with, and the mode."""
_DTYPES = {name: name.lower() for name in (
    "Bool", "UInt8", "Int8", "Int16", "UInt16", "Int32", "UInt32", "Int64", "UInt64", "Float16", "BFloat16", "Float32",
    "Float64", "Complex64", "Complex128",
)}  # fmt: skip
"""Dtypes by MindSpore's names for them."""
_TEXT = "str"
_TRAILER = b"crc_num"
_CRC_BYTES = 10
_MAX_DIMS = 32
_MAX_VALUES = 20_000
"""So many values take little memory and time, and no model has more tensors."""
_MAX_TEXT = 10_000
_STEP = 1 << 23
"""Bytes that are read at a time to complete a checksum."""
_LEAST = 1 << 16
"""Bytes from which on the CRC-32 of a stretch that was read is kept; shorter ones are read again, all together."""

_ReadCallback: TypeAlias = "Callable[[int, Bytes], None]"
"""Called with the offset and the bytes of a stretch that was read."""


class Content(NamedTuple):
    """What is in a file.

    Attributes:
        saved: The tensors by name.
        notes: What else the file holds.
        check: Raises `CheckpointError` if the checksum is not that of the content; reads only what was not read yet.
    """

    saved: Mapping[str, object]
    notes: tuple[str, ...]
    check: Callable[[], None]


def everything(source: Source) -> dict[str, LazyTensor | str]:
    """Return all entries of a file by name: weights, state of training, and texts as strings.

    Raises:
        CheckpointError: The file is damaged.
    """
    try:
        return {entry.tag: entry.item(source, lambda offset, data: None) for entry in _entries(source, _values(source))}
    except Malformed as problem:
        raise source.error(f"{problem}; fetch or save it again") from None


def _values(source: Source) -> Span:
    """Where the values of a file are: all of it but for the trailer."""
    return Span(0, RunningChecksum(source).end)


def read(source: Source, *, check: bool = True) -> Content:
    """Return the content of a file; with `check`, its checksum is compared before anything else."""
    checksum = RunningChecksum(source)
    if check:
        checksum.check()
    try:
        items = {entry.tag: entry.item(source, checksum.add) for entry in _entries(source, Span(0, checksum.end))}
    except Malformed as problem:
        checksum.check()  # a wrong checksum says more about a damaged file
        raise source.error(f"{problem}; fetch or save it again") from None
    saved, notes = mindspore_training.sorted_out(items)
    if checksum.end == source.size:
        notes = (*notes, "the file was written without a checksum, so that damage to it would not be noticed")
    return Content(saved, notes, checksum.check)


class RunningChecksum:
    """The CRC-32 of a file's values, from what is read of them anyway, in any order and in any thread.

    Attributes:
        end: Where the values end: before the trailer, or at the end of a file without one.
    """

    def __init__(self, source: Source) -> None:
        self._source = source
        self.end = source.size - len(_TRAILER) - _CRC_BYTES
        if self.end < 0 or source.read(self.end, len(_TRAILER)) != _TRAILER:
            self.end = source.size
        self._parts = Parts()
        self._value: int | None = None
        self._lock = threading.Lock()
        """Guards `_value`, and `_parts` against additions while the value is computed."""

    def add(self, offset: int, data: Bytes) -> None:
        """Add a stretch that was read. Two stretches never overlap, unless they are the same."""
        if len(data) < _LEAST or self._value is not None or self.end == self._source.size or self._parts.has(offset):
            return
        crc = crc_of(data)
        with self._lock:
            if self._value is None:
                self._parts.add(offset, len(data), crc)

    def check(self) -> None:
        """Compare the checksum with the trailer's, if there is one; what was not read before is read now, once."""
        if self.end == self._source.size:
            return
        with self._lock:
            if self._value is None:
                for start, end in self._parts.gaps(self.end):
                    self._parts.add(start, end - start, self._read(start, end))
                self._value = self._parts.value(self.end)
        expected = int.from_bytes(self._source.view(self._source.size - _CRC_BYTES, _CRC_BYTES), "big")
        if self._value != expected:
            raise self._source.error(
                f"is damaged: its CRC-32 is {self._value:08x}, the file says {expected:08x}; fetch or save it again"
            )

    def _read(self, start: int, end: int) -> int:
        """Return the CRC-32 of a stretch."""
        crc = 0
        for at in range(start, end, _STEP):
            crc = crc32(self._source.array(at, min(_STEP, end - at)).data, crc)
        return crc


@dataclass(slots=True)
class _Entry:
    """One name, with the values that hold its data.

    Attributes:
        tag: The name.
        kind: MindSpore's name of the dtype.
        dims: The shape; empty for a scalar.
        parts: Where its data is in the file, in order.
    """

    tag: str
    kind: str
    dims: tuple[int, ...]
    parts: list[Span]

    def item(self, source: Source, on_read: _ReadCallback) -> LazyTensor | str:
        """Return the tensor, if its dims and data agree, or the text."""
        if self.kind == _TEXT:
            return _text(source, self.parts)
        if self.kind not in _DTYPES:
            known = ", ".join(_DTYPES)
            raise Malformed(f"holds {self.tag:.100} in the dtype {self.kind!r:.40}, expected one of {known}")
        dtype, nbytes = dtypes.dtype(_DTYPES[self.kind]), sum(part.length for part in self.parts)
        try:
            shape = () if self.dims == (0,) and nbytes else checked_shape(self.dims)
        except Malformed as problem:
            raise Malformed(f"describes {self.tag:.100}, which {problem}") from None
        if nbytes != prod(shape) * dtype.itemsize:
            raise Malformed(
                f"holds {nbytes} bytes for {self.tag:.100} of shape {shape} and dtype {dtype.name}, "
                f"expected {prod(shape) * dtype.itemsize}"
            )
        read = _reader(source, on_read)
        return LazyTensor(
            shape,
            dtype,
            lambda: np.ndarray(shape, dtype, _joined(read, self.parts)),
            (lambda: _in_pieces(read, self.parts, shape, dtype)) if len(self.parts) > 1 else None,
        )


def _text(source: Source, parts: list[Span]) -> str:
    """Return a text, of which MindSpore stores a NumPy array: four bytes a character."""
    start = b"".join(source.read(part.offset, min(part.length, 400)) for part in parts[:1])
    return start.decode("utf-32-le", "replace")


def _reader(source: Source, on_read: _ReadCallback) -> Callable[[Span], Bytes]:
    def read(part: Span) -> Bytes:
        data = source.array(part.offset, part.length)
        on_read(part.offset, data)
        return data

    return read


def _in_pieces(read: Callable[[Span], Bytes], parts: list[Span], shape: Shape, dtype: np.dtype[Any]) -> Pieces:
    """Return a tensor of several parts in pieces of whole rows, all of them mapped; joined where rows are too long."""
    pieces = in_rows([read(part) for part in parts], shape, dtype)
    return pieces or Pieces((np.ndarray(shape, dtype, _joined(read, parts)),), 0)


def _joined(read: Callable[[Span], Bytes], parts: list[Span]) -> Bytes:
    """Return the bytes of a tensor; of several parts, only one is mapped at a time."""
    if len(parts) == 1:
        return read(parts[0])
    joined, at = np.empty(sum(part.length for part in parts), np.uint8), 0
    for part in parts:
        joined[at : at + part.length] = read(part)
        at += part.length
    return joined


def _entries(source: Source, content: Span) -> Iterator[_Entry]:
    """Yield the entries, those of one tag that follow each other as one."""
    tags: set[str] = set()
    last: _Entry | None = None
    for count, value in enumerate(fields(source, content)):
        if count == _MAX_VALUES:
            raise Malformed(f"holds more than {_MAX_VALUES} tensors")
        entry = _entry(source, _span(value.number, value.value, "a value", {1}))
        if last is not None and last.tag == entry.tag:
            if (last.kind, last.dims) != (entry.kind, entry.dims):
                raise Malformed(f"holds {entry.tag:.100} twice")
            last.parts += entry.parts
            continue
        if entry.tag in tags:
            raise Malformed(f"holds {entry.tag:.100} twice")
        if last is not None:
            yield last
        tags.add(entry.tag)
        last = entry
    if last is not None:
        yield last


def _entry(source: Source, value: Span) -> _Entry:
    spans: dict[int, Span] = {}
    for number, data in fields(source, value):
        if number in spans:
            raise Malformed(f"has a value with two fields {number} at byte {value.offset}")
        spans[number] = _span(number, data, "a tag or a tensor", {1, 2, 3})
    if 1 not in spans or not {2, 3} & set(spans):
        raise Malformed(f"has a value without a tag or a tensor at byte {value.offset}")
    tag = _string(source, spans[1])
    if 3 in spans:
        raise Malformed(f"holds {tag:.100} as a MapParameter, which is not read here; leave it out")
    return _described(source, tag, spans[2])


def _described(source: Source, tag: str, tensor: Span) -> _Entry:
    """Return the entry of a tensor's message."""
    dims: list[int] = []
    kind: str | None = None
    content = Span(tensor.end, 0)
    for number, data in fields(source, tensor):
        if number == 1:
            dims += integers(source, data, _MAX_DIMS)
            if len(dims) > _MAX_DIMS:
                raise Malformed(f"describes {tag:.100} with more than {_MAX_DIMS} dims")
        elif number == 2:
            kind = _string(source, _span(number, data, "a dtype", {2}))
        else:
            content = _span(number, data, "the data of a tensor", {3})
    if kind is None:
        raise Malformed(f"describes {tag:.100} without a dtype")
    return _Entry(tag, kind, tuple(dims), [content])


def _span(number: int, value: int | Span, expected: str, numbers: set[int]) -> Span:
    if number not in numbers or isinstance(value, int):
        raise Malformed(f"has a field {number} where {expected} is expected")
    return value


def _string(source: Source, span: Span) -> str:
    if span.length > _MAX_TEXT:
        raise Malformed(f"has a text of {span.length} bytes at byte {span.offset}, where a name is expected")
    try:
        return str(source.view(span.offset, span.length), "utf-8")
    except UnicodeDecodeError:
        raise Malformed(f"has no UTF-8 text at byte {span.offset}") from None


WRITTEN: Mapping[str, str] = {name: code for code, name in _DTYPES.items() if not name.startswith("complex")}
"""The dtypes that MindSpore loads, and its name of each."""
RESERVED: tuple[str, ...] = tuple(mindspore_training.STATE)
SLICE = 512 << 20
"""Bytes of data that one value holds."""


def write(output: Output, tensors: Mapping[str, LazyTensor], metadata: Mapping[str, str]) -> None:
    """Write one value a tensor, several for a large one, and the CRC-32, which MindSpore reads from 2.3 onwards."""
    for name, tensor in tensors.items():
        starts = range(0, tensor.nbytes, SLICE) or range(1)
        heads = {start: _value_head(name, tensor, min(SLICE, tensor.nbytes - start)) for start in starts}
        output.write(heads.pop(0))
        output.write_tensor(name, tensor, between=heads)
    output.write_late(len(_TRAILER) + _CRC_BYTES, lambda: _TRAILER + output.crc.to_bytes(_CRC_BYTES, "big"))


def _value_head(name: str, tensor: LazyTensor, nbytes: int) -> bytes:
    """Return what precedes a value's data."""
    dims = b"".join(number_field(1, size) for size in tensor.shape)
    described = dims + field(2, WRITTEN[tensor.dtype.name].encode()) + head(3, nbytes)
    value = field(1, name.encode()) + head(2, len(described) + nbytes) + described
    return head(1, len(value) + nbytes) + value

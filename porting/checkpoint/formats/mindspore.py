"""MindSpore's checkpoints (`.ckpt`): messages of Protocol Buffers, one a tensor, and at times a CRC-32 of them all.

Source: `mindspore/train/serialization.py` and `checkpoint.proto` of MindSpore 2.0 and 2.10. A file is a `Checkpoint` of
`Value value = 1`, each `{tag = 1, tensor = 2, maptensor = 3}`, a tensor `{dims = 1, tensor_type = 2,
tensor_content = 3}`. What is written here is byte by byte what MindSpore 2.10 writes with `crc_check=True`.

Three oddities. MindSpore pads or cuts data that does not fit its dims; here it is an error. It takes dims of `[0]` for
a scalar, as version 2.0 wrote them; here only where there is data, so that an empty vector survives. And when it saves,
it leaves out tensors without elements.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from math import prod
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from porting.checkpoint import dtypes
from porting.checkpoint.containers.numpy_arrays import checked_shape
from porting.checkpoint.containers.pickle_machine import Malformed
from porting.checkpoint.containers.protobuf import Span, field, fields, head, integers, number_field
from porting.checkpoint.file.running_checksum import RunningChecksum
from porting.checkpoint.file.source import Bytes, Source
from porting.checkpoint.file.writer import Output
from porting.checkpoint.formats import mindspore_training
from porting.checkpoint.tensor import Array, LazyTensor, Shape

SIGNATURE = re.compile(
    rb"\n(?:[\x0b-\x7f]|[\x80-\xff]{1,9}[\x01-\x7f])\n(?:[\x01-\x7f]|[\x80-\xff]{1,4}[\x01-\x7f])[^\n]"
)
"""A value, which takes 11 bytes at least, that starts with a tag, which no line break starts. The fourth byte is never
zero, as it is in every safetensors file whose header is below 16 MiB."""
ENCRYPTED: Mapping[bytes, str] = {
    b"\xd8\x5e\x3a\x7f": "AES-GCM",
    b"\xd9\x5e\x3a\x7f": "AES-CBC",
    b"\xda\x5e\x3a\x7f": "SM4-CBC",
}
"""What encrypted files start with, and the mode."""
_DTYPES = {
    "Bool": "bool",
    "UInt8": "uint8",
    "Int8": "int8",
    "Int16": "int16",
    "UInt16": "uint16",
    "Int32": "int32",
    "UInt32": "uint32",
    "Int64": "int64",
    "UInt64": "uint64",
    "Float16": "float16",
    "BFloat16": "bfloat16",
    "Float32": "float32",
    "Float64": "float64",
    "Complex64": "complex64",
    "Complex128": "complex128",
}
_TEXT = "str"
_TRAILER = b"crc_num"
_CRC_BYTES = 10
_MAX_DIMS = 32
_MAX_VALUES = 20_000
"""So many values take little memory and time, and no model has more tensors."""
_MAX_TEXT = 10_000

_Item: TypeAlias = "LazyTensor | str"
_Seen: TypeAlias = "Callable[[int, Bytes], None]"
"""Told the offset of a stretch that was read, and its bytes."""


class Content(NamedTuple):
    """What is in a file.

    Attributes:
        saved: The tensors by name.
        notes: What else there was.
        check: Raises `CheckpointError` for a file whose checksum is not that of its content; without a second reading
            for what of it has been read.
    """

    saved: Mapping[str, object]
    notes: tuple[str, ...]
    check: Callable[[], None]


def read(source: Source, *, check: bool = True) -> Content:
    """The content of a file.

    Args:
        source: The file.
        check: Whether its checksum is held against its content before anything else.
    """
    whole = _Whole(source)
    if check:
        whole.check()
    try:
        items = {entry.tag: entry.item(source, whole.seen) for entry in _entries(source, Span(0, whole.end))}
    except Malformed as problem:
        whole.check()  # which says more, where it is wrong
        raise source.error(f"{problem}; fetch or save it again") from None
    saved, notes = mindspore_training.sorted_out(items)
    if whole.end == source.size:
        notes = (*notes, "the file was written without a checksum, so that damage to it would not be noticed")
    return Content(saved, notes, whole.check)


class _Whole:
    """A file's checksum and its content.

    Attributes:
        end: Where the values end: before the trailer, whose CRC-32 has to be theirs, or at the end of the file.
    """

    def __init__(self, source: Source) -> None:
        self._source = source
        self.end = source.size - len(_TRAILER) - _CRC_BYTES
        self._running: RunningChecksum | None = RunningChecksum(source, self.end)
        if self.end < 0 or source.read(self.end, len(_TRAILER)) != _TRAILER:
            self.end, self._running = source.size, None

    def seen(self, offset: int, data: Bytes) -> None:
        """Takes up what was read."""
        if self._running is not None:
            self._running.passed(offset, data)

    def check(self) -> None:
        """Holds the checksum against all of the content."""
        if self._running is None:
            return
        expected = int.from_bytes(self._source.view(self._source.size - _CRC_BYTES, _CRC_BYTES), "big")
        if self._running.value != expected:
            raise self._source.error(
                f"is damaged: its CRC-32 is {self._running.value:08x}, the file says {expected:08x}; "
                "fetch or save it again"
            )


@dataclass(slots=True)
class _Entry:
    """One name, with the values that hold its data.

    Attributes:
        tag: The name.
        kind: MindSpore's name of the dtype.
        dims: The shape; empty for a scalar.
        parts: Where the data is, in order.
    """

    tag: str
    kind: str
    dims: tuple[int, ...]
    parts: list[Span]

    def item(self, source: Source, seen: _Seen) -> _Item:
        """The tensor, once its dims and data agree; a text as it is."""
        if self.kind == _TEXT:
            return _text(source, self.parts)
        if self.kind not in _DTYPES:
            known = ", ".join(_DTYPES)
            raise Malformed(f"holds {self.tag:.100} in the dtype {self.kind!r:.40}, expected one of {known}")
        dtype, found = dtypes.dtype(_DTYPES[self.kind]), sum(part.length for part in self.parts)
        try:
            shape = () if self.dims == (0,) and found else checked_shape(self.dims)
        except Malformed as problem:
            raise Malformed(f"describes {self.tag:.100}, which {problem}") from None
        if found != prod(shape) * dtype.itemsize:
            raise Malformed(
                f"holds {found} bytes for {self.tag:.100} of shape {shape} and dtype {dtype.name}, "
                f"expected {prod(shape) * dtype.itemsize}"
            )
        return LazyTensor(shape, dtype, _loader(source, self.parts, shape, dtype, seen))


def _text(source: Source, parts: list[Span]) -> str:
    """What MindSpore stores for a str: the data of a NumPy array of one."""
    start = b"".join(source.read(part.start, min(part.length, 400)) for part in parts[:1])
    return start.decode("utf-32-le", "replace")


def _loader(source: Source, parts: list[Span], shape: Shape, dtype: np.dtype[Any], seen: _Seen) -> Callable[[], Array]:
    def read(part: Span) -> Bytes:
        data = source.array(part.start, part.length)
        seen(part.start, data)
        return data

    def load() -> Array:
        array: Array = np.ndarray(shape, dtype, _joined(read, parts))
        return array

    return load


def _joined(read: Callable[[Span], Bytes], parts: list[Span]) -> Bytes:
    """The bytes of a tensor; of several parts, only one is mapped at a time."""
    if len(parts) == 1:
        return read(parts[0])
    joined, at = np.empty(sum(part.length for part in parts), np.uint8), 0
    for part in parts:
        joined[at : at + part.length] = read(part)
        at += part.length
    return joined


def _entries(source: Source, content: Span) -> Iterator[_Entry]:
    """The entries, those of one tag that follow each other as one."""
    seen: set[str] = set()
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
        if entry.tag in seen:
            raise Malformed(f"holds {entry.tag:.100} twice")
        if last is not None:
            yield last
        seen.add(entry.tag)
        last = entry
    if last is not None:
        yield last


def _entry(source: Source, value: Span) -> _Entry:
    found: dict[int, Span] = {}
    for number, data in fields(source, value):
        if number in found:
            raise Malformed(f"has a value with two fields {number} at byte {value.start}")
        found[number] = _span(number, data, "a tag or a tensor", {1, 2, 3})
    if 1 not in found or not {2, 3} & set(found):
        raise Malformed(f"has a value without a tag or a tensor at byte {value.start}")
    tag = _string(source, found[1])
    if 3 in found:
        raise Malformed(f"holds {tag:.100} as a MapParameter, which is not read here; leave it out")
    return _described(source, tag, found[2])


def _described(source: Source, tag: str, tensor: Span) -> _Entry:
    """The entry of a tensor's message."""
    dims: list[int] = []
    kind: str | None = None
    content = Span(tensor.end, tensor.end)
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
        raise Malformed(f"has a text of {span.length} bytes at byte {span.start}, where a name is expected")
    try:
        return str(source.view(span.start, span.length), "utf-8")
    except UnicodeDecodeError:
        raise Malformed(f"has no UTF-8 text at byte {span.start}") from None


WRITTEN: Mapping[str, str] = {name: code for code, name in _DTYPES.items() if not name.startswith("complex")}
"""The dtypes that MindSpore loads, and its name of each."""
RESERVED: tuple[str, ...] = tuple(mindspore_training.STATE)
SLICE = 512 << 20
"""Bytes of data that one value holds."""


def write(output: Output, tensors: Mapping[str, LazyTensor], metadata: Mapping[str, str]) -> None:
    """Writes one value a tensor, several for a large one, and the CRC-32, which MindSpore reads from 2.3 onwards."""
    for name, tensor in tensors.items():
        starts = range(0, tensor.nbytes, SLICE) or range(1)
        heads = {start: _value_head(name, tensor, min(SLICE, tensor.nbytes - start)) for start in starts}
        output.write(heads.pop(0))
        output.write_tensor(name, tensor, between=heads)
    output.write_late(len(_TRAILER) + _CRC_BYTES, lambda: _TRAILER + output.crc.to_bytes(_CRC_BYTES, "big"))


def _value_head(name: str, tensor: LazyTensor, nbytes: int) -> bytes:
    """What precedes a value's data."""
    dims = b"".join(number_field(1, size) for size in tensor.shape)
    described = dims + field(2, WRITTEN[tensor.dtype.name].encode()) + head(3, nbytes)
    value = field(1, name.encode()) + head(2, len(described) + nbytes) + described
    return head(1, len(value) + nbytes) + value

"""Messages of Protocol Buffers, read from a file field by field, and the pieces to write them.

Source: the encoding page of protobuf.dev. A field is a key, `number << 3 | wire type`, and a value: a varint, 8 or 4
bytes, or a length and so many bytes. Groups, wire types 3 and 4, have not been written for many years and are refused.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from porting.checkpoint.file.source import Source, Span
from porting.checkpoint.tensor import Malformed

_VARINT, _FIXED64, _LENGTH, _FIXED32 = 0, 1, 2, 5
"""Wire types."""
_FIXED = {_FIXED64: 8, _FIXED32: 4}
_MAX_VARINT = 10
"""Bytes that a number of 64 bits takes, seven bits a byte."""


class Field(NamedTuple):
    """One field of a message.

    Attributes:
        number: Which field.
        value: A number, or where its bytes are.
    """

    number: int
    value: int | Span


def fields(source: Source, message: Span) -> Iterator[Field]:
    """Yield the fields of a message, in the order of the file.

    Raises:
        Malformed: They do not fill the message exactly.
    """
    at = message.offset
    while at < message.end:
        key, at = _varint(source, at, message.end)
        number, wire = key >> 3, key & 7
        if not 0 < number < 2**29:
            raise Malformed(f"has no field number at byte {at}")
        if wire == _VARINT:
            value, at = _varint(source, at, message.end)
            yield Field(number, value)
            continue
        if wire == _LENGTH:
            length, at = _varint(source, at, message.end)
        elif wire in _FIXED:
            length = _FIXED[wire]
        else:
            raise Malformed(f"has a field of an unknown kind at byte {at}")
        if length > message.end - at:
            raise Malformed(f"has {message.end - at} bytes at byte {at}, where it says that there are {length}")
        yield Field(number, Span(at, length))
        at += length


def integers(source: Source, value: int | Span, limit: int) -> list[int]:
    """Return the signed numbers of a repeated int64 field, one alone or several packed.

    Raises:
        Malformed: There are more than `limit`.
    """
    if isinstance(value, int):
        return [_signed(value)]
    numbers: list[int] = []
    at = value.offset
    while at < value.end:
        if len(numbers) == limit:
            raise Malformed(f"has more than {limit} numbers at byte {value.offset}")
        number, at = _varint(source, at, value.end)
        numbers.append(_signed(number))
    return numbers


def _signed(value: int) -> int:
    """Return the int64 that a varint stands for: a negative number is written as its complement of 64 bits."""
    return value - 2**64 if value >= 2**63 else value


def _varint(source: Source, at: int, end: int) -> tuple[int, int]:
    """Return a number and where it ends: seven bits a byte, the lowest first; the last byte has no high bit."""
    value = 0
    for place, byte in enumerate(source.view(at, min(_MAX_VARINT, end - at))):
        value |= (byte & 0x7F) << (7 * place)
        if byte < 0x80:
            if value >= 2**64:
                break
            return value, at + place + 1
    raise Malformed(f"has no number at byte {at}")


def varint(value: int) -> bytes:
    """Encode a number of 0 or more."""
    encoded = bytearray()
    while value >= 0x80:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)


def number_field(number: int, value: int) -> bytes:
    """Encode a field that is a number of 0 or more."""
    return varint(number << 3 | _VARINT) + varint(value)


def head(number: int, length: int) -> bytes:
    """Encode what precedes the bytes of a length-delimited field."""
    return varint(number << 3 | _LENGTH) + varint(length)


def field(number: int, data: bytes) -> bytes:
    """Encode a length-delimited field."""
    return head(number, len(data)) + data

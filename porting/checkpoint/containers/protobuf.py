"""Messages of Protocol Buffers, read from a file field by field, and the pieces to write them.

Source: the encoding page of protobuf.dev. Read are fields of a number and a length-delimited, varint or fixed-size
value; groups, which nothing has written for many years, are refused.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from porting.checkpoint.containers.pickle_machine import Malformed
from porting.checkpoint.file.source import Source

_VARINT, _FIXED64, _LENGTH, _FIXED32 = 0, 1, 2, 5
_FIXED = {_FIXED64: 8, _FIXED32: 4}
_MAX_VARINT = 10
"""Bytes that a number of 64 bits takes, seven bits a byte."""


class Span(NamedTuple):
    """A stretch of the file."""

    start: int
    end: int

    @property
    def length(self) -> int:
        """Number of bytes."""
        return self.end - self.start


class Field(NamedTuple):
    """One field of a message.

    Attributes:
        number: Which field.
        value: A number, or where its bytes are.
    """

    number: int
    value: int | Span


def fields(source: Source, message: Span) -> Iterator[Field]:
    """The fields of a message, in the order of the file.

    Raises:
        Malformed: They do not fill the message exactly.
    """
    at = message.start
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
        yield Field(number, Span(at, at + length))
        at += length


def integers(source: Source, value: int | Span, limit: int) -> list[int]:
    """The signed numbers of a repeated int64 field, one alone or several packed.

    Raises:
        Malformed: There are more than `limit`.
    """
    if isinstance(value, int):
        return [_signed(value)]
    found: list[int] = []
    at = value.start
    while at < value.end:
        if len(found) == limit:
            raise Malformed(f"has more than {limit} numbers at byte {value.start}")
        number, at = _varint(source, at, value.end)
        found.append(_signed(number))
    return found


def _signed(value: int) -> int:
    return value - 2**64 if value >= 2**63 else value


def _varint(source: Source, at: int, end: int) -> tuple[int, int]:
    """A number, and where it ends."""
    value = 0
    for place, byte in enumerate(source.view(at, min(_MAX_VARINT, end - at))):
        value |= (byte & 0x7F) << (7 * place)
        if byte < 0x80:
            if value >= 2**64:
                break
            return value, at + place + 1
    raise Malformed(f"has no number at byte {at}")


def varint(value: int) -> bytes:
    """A number of 0 or more."""
    encoded = bytearray()
    while value >= 0x80:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)


def number_field(number: int, value: int) -> bytes:
    """A field that is a number of 0 or more."""
    return varint(number << 3 | _VARINT) + varint(value)


def head(number: int, length: int) -> bytes:
    """What precedes the bytes of a length-delimited field."""
    return varint(number << 3 | _LENGTH) + varint(length)


def field(number: int, data: bytes) -> bytes:
    """A length-delimited field."""
    return head(number, len(data)) + data

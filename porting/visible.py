"""Strings of strangers where people and machines read them: nothing in them controls a terminal or a CI's log.

A report's names and reasons come from files. A newline in one would begin a line of its own, which GitHub takes for a
command if it begins with `::`; an escape sequence would colour, move or clear what a terminal shows; a lone surrogate
cannot be written at all.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from typing import Any, TypeVar

T = TypeVar("T")

_HIDDEN = (
    "[\x00-\x1f\x7f-\x9f"  # C0 and C1 controls: newline, ESC, ...
    "\u061c\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufeff"  # without a width, or turning the direction of text around
    "\u2028\u2029"  # ends of lines
    "\ud800-\udfff]"  # halves of characters
)
_COMMAND = r":(?=:)|##(?=\[)"
"""How GitHub's two kinds of workflow command begin; one of them counts anywhere in a line."""


def visible(text: str) -> str:
    r"""The text with a visible escape for every character that shows nothing, or ends a line: `\n`, `\x1b`."""
    if text.isprintable():  # so that the pattern is compiled, in half a millisecond, for few texts
        return text
    return re.sub(_HIDDEN, _escape, text)


def lines_of(*lines: str) -> str:
    """Return lines as one text; what a name in them holds begins no line of its own."""
    return "\n".join(map(visible, lines))


def hexadecimal(char: str) -> str:
    r"""The escape of a character below U+0100: `\x3a` for a colon."""
    return f"\\x{ord(char):02x}"


def printable(value: T) -> T:
    """A value whose strings may be printed line by line: visible, and no part of them a command to GitHub.

    Args:
        value: A string, or a tuple, mapping or dataclass of these; whatever else is in it stays as it is.
    """
    return _printable(value)  # type: ignore[no-any-return] # a plain value of any kind


def harmless(json_text: str) -> str:
    r"""JSON text of the same value in which nothing is a command to GitHub: `##[`, which only strings hold, escaped."""
    return json_text.replace("##[", r"##\u005b")


def _printable(value: Any) -> Any:
    if isinstance(value, str):
        return re.sub(_COMMAND, lambda match: f"{match[0][:-1]}{hexadecimal(match[0][-1])}", visible(value))
    if isinstance(value, tuple):
        return tuple(_printable(item) for item in value)
    if isinstance(value, Mapping):
        return {_printable(key): _printable(item) for key, item in value.items()}
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        changed = {field.name: _printable(getattr(value, field.name)) for field in dataclasses.fields(value)}
        return dataclasses.replace(value, **changed)
    return value


def _escape(match: re.Match[str]) -> str:
    return ascii(match[0])[1:-1]  # a codec would be imported on first use, which no file of a stranger should cause

"""Tensor names with typed placeholders, that match and format both ways.

`{stage}` stands for an index (`0`, `12`; never `01`), `{stage+1}` for that index plus one, `{part:weight|bias}` for one
of the listed words, which other patterns of the same rule name as `{part}`. A placeholder that appears twice stands for
the same value twice. Everything else stands for itself, and a pattern matches whole names only.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TypeAlias

Bindings: TypeAlias = Mapping[str, "int | str"]

_PLACEHOLDER = re.compile(r"\{([^{}]*)\}")
_TYPED = re.compile(r"(?P<name>[a-z_]+)(?:(?P<offset>[+-]\d+)|:(?P<words>\w+(?:\|\w+)*))?")


class PatternError(ValueError):
    """A pattern or a rule that is written wrongly; raised when the table is imported, not when a user runs it."""


@dataclass(frozen=True)
class _Slot:
    name: str
    offset: int
    words: tuple[str, ...]

    @property
    def regex(self) -> str:
        return "|".join(map(re.escape, self.words)) if self.words else r"0|[1-9]\d{0,8}"


@dataclass(frozen=True)
class Pattern:
    """A name with placeholders.

    Args:
        text: `"transformers.{stage+1}.pool.fc.{part:weight|bias}"`

    Raises:
        PatternError: A placeholder is malformed.
    """

    text: str

    def __post_init__(self) -> None:
        self.slots  # noqa: B018 - parses them, so that a malformed one is found where it is written
        if re.search(r"[{}]", _PLACEHOLDER.sub("", self.text)):
            raise PatternError(f"pattern {self.text!r}: unbalanced braces")

    def __str__(self) -> str:
        return self.text

    @cached_property
    def slots(self) -> tuple[_Slot, ...]:
        """The placeholders, from left to right."""
        return tuple(self._slot(inside) for inside in _PLACEHOLDER.findall(self.text))

    def match(self, name: str) -> dict[str, int | str] | None:
        """The placeholders' values in this name, or None where the name is another."""
        found = self._regex.fullmatch(name)
        if found is None:
            return None
        bindings: dict[str, int | str] = {}
        for slot, text in zip(self.slots, found.groups(), strict=True):
            value: int | str = text if slot.words else int(text) - slot.offset
            if bindings.setdefault(slot.name, value) != value or (isinstance(value, int) and value < 0):
                return None
        return bindings

    def format(self, bindings: Bindings) -> str:
        """The name that these values give."""
        slots = iter(self.slots)

        def fill(_: re.Match[str]) -> str:
            slot = next(slots)
            value = bindings[slot.name]
            return str(value + slot.offset) if isinstance(value, int) else value

        return _PLACEHOLDER.sub(fill, self.text)

    def bind(self, words: Mapping[str, tuple[str, ...]]) -> Pattern:
        """This pattern with the words of the rule's other patterns written into its plain placeholders."""

        def typed(found: re.Match[str]) -> str:
            inside = found[1]
            return f"{{{inside}:{'|'.join(words[inside])}}}" if words.get(inside) else found[0]

        return Pattern(_PLACEHOLDER.sub(typed, self.text))

    @cached_property
    def _regex(self) -> re.Pattern[str]:
        slots = iter(self.slots)
        pieces = re.split(r"\{[^{}]*\}", self.text)
        body = re.escape(pieces[0])
        for piece in pieces[1:]:
            body += f"({next(slots).regex}){re.escape(piece)}"
        return re.compile(body)

    def _slot(self, inside: str) -> _Slot:
        found = _TYPED.fullmatch(inside)
        if found is None:
            raise PatternError(
                f"pattern {self.text!r}: {{{inside}}} is no placeholder; "
                "write {index}, {index+1} or {part:weight|bias}"
            )
        words = tuple(found["words"].split("|")) if found["words"] else ()
        return _Slot(found["name"], int(found["offset"] or 0), words)

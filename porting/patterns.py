"""Tensor names with typed placeholders, that match and format both ways.

`{stage}` stands for an index (`0`, `12`; never `01`), `{stage+1}` for that index plus one, `{part:weight|bias}` for one
of the listed words, which other patterns of the same rule name as `{part}`. A placeholder that appears twice stands for
the same value twice. Everything else stands for itself, and a pattern matches whole names only.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Generic, NamedTuple, TypeAlias, TypeVar

Key = TypeVar("Key")
Bindings: TypeAlias = Mapping[str, "int | str"]

_PLACEHOLDER = re.compile(r"\{([^{}]*)\}")
_TYPED = re.compile(r"(?P<name>[a-z_]+)(?:(?P<offset>[+-]\d+)|:(?P<words>\w+(?:\|\w+)*))?")


class PatternError(ValueError):
    """A pattern or a rule that is written wrongly; raised when the table is imported, not when a user runs it."""


class _Slot(NamedTuple):
    name: str
    offset: int
    words: tuple[str, ...]

    @property
    def regex(self) -> str:
        return "|".join(map(re.escape, self.words)) if self.words else r"0|[1-9][0-9]{0,8}"


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
        if any("{" in piece or "}" in piece for piece in self._pieces):
            raise PatternError(f"pattern {self.text!r}: unbalanced braces")

    def __str__(self) -> str:
        return self.text

    @cached_property
    def slots(self) -> tuple[_Slot, ...]:
        """The placeholders, from left to right."""
        return tuple(self._slot(inside) for inside in self._parts[1::2])

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
        name = self._pieces[0]
        for slot, piece in zip(self.slots, self._pieces[1:], strict=True):
            value = bindings[slot.name]
            name += f"{value + slot.offset if isinstance(value, int) else value}{piece}"
        return name

    def bind(self, words: Mapping[str, tuple[str, ...]]) -> Pattern:
        """This pattern with the words of the rule's other patterns written into its plain placeholders."""
        if not any(words.get(slot.name) and not slot.words for slot in self.slots):
            return self

        def typed(found: re.Match[str]) -> str:
            inside = found[1]
            return f"{{{inside}:{'|'.join(words[inside])}}}" if words.get(inside) else found[0]

        return Pattern(_PLACEHOLDER.sub(typed, self.text))

    @cached_property
    def _regex(self) -> re.Pattern[str]:
        body = re.escape(self._pieces[0])
        for slot, piece in zip(self.slots, self._pieces[1:], strict=True):
            body += f"({slot.regex}){re.escape(piece)}"
        return re.compile(body)

    @cached_property
    def _parts(self) -> list[str]:
        """What stands around the placeholders, and between it what stands inside of them."""
        return _PLACEHOLDER.split(self.text)

    @property
    def _pieces(self) -> list[str]:
        return self._parts[::2]

    def _slot(self, inside: str) -> _Slot:
        slot = _parsed(inside)
        if slot is None:
            raise PatternError(
                f"pattern {self.text!r}: {{{inside}}} is no placeholder; "
                "write {index}, {index+1} or {part:weight|bias}"
            )
        return slot


@lru_cache(maxsize=256)
def _parsed(inside: str) -> _Slot | None:
    """A placeholder; None for text that is none. Tables hold few different ones, each many times."""
    found = _TYPED.fullmatch(inside)
    if found is None:
        return None
    words = tuple(found["words"].split("|")) if found["words"] else ()
    return _Slot(found["name"], int(found["offset"] or 0), words)


class Patterns(Generic[Key]):
    """Patterns to look names up in.

    Args:
        patterns: Each with what to call it.
    """

    def __init__(self, patterns: Iterable[tuple[Key, Pattern]]) -> None:
        self._by_dots: dict[int, list[tuple[Key, Pattern]]] = {}
        for key, pattern in patterns:  # no placeholder stands for a dot: only those with as many can match
            self._by_dots.setdefault(pattern.text.count("."), []).append((key, pattern))

    def find(self, name: str) -> list[tuple[Key, dict[str, int | str]]]:
        """The patterns that match a name, with the placeholders' values, in the order that they were given in."""
        return [
            (key, bindings)
            for key, pattern in self._by_dots.get(name.count("."), ())
            if (bindings := pattern.match(name)) is not None
        ]

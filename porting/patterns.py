"""Tensor names with typed placeholders, that match and format both ways.

`{stage}` stands for an index (`0`, `12`; never `01`), `{stage+1}` for that index plus one, `{part:weight|bias}` for one
of the listed words, which other patterns of the same rule name as `{part}`. A placeholder that appears twice stands for
the same value twice. Everything else stands for itself, and a pattern matches whole names only.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from operator import itemgetter
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

    def takes(self, text: str) -> bool:
        if self.words:
            return text in self.words
        return text.isascii() and text.isdigit() and len(text) <= 9 and (text == "0" or text[0] != "0")


class _ByParts:
    """A pattern whose placeholders stand for whole parts of a name, from dot to dot.

    Args:
        parts: The pattern's.
        slots: Place and kind of those that are placeholders.
    """

    def __init__(self, parts: Sequence[str], slots: tuple[tuple[int, _Slot], ...]) -> None:
        self._slots = slots
        self._count = len(parts)
        fixed = sorted(set(range(len(parts))) - {place for place, _ in slots})
        self._pick = itemgetter(*fixed) if fixed else lambda _: None
        self._fixed = self._pick(parts)

    def texts(self, parts: Sequence[str]) -> list[str] | None:
        """What stands in the placeholders' places; None for another name."""
        if len(parts) != self._count or self._pick(parts) != self._fixed:
            return None
        texts = [parts[place] for place, _ in self._slots]
        return texts if all(slot.takes(text) for (_, slot), text in zip(self._slots, texts, strict=True)) else None


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
        return self.match_parts(name, name.split("."))

    def match_parts(self, name: str, parts: Sequence[str]) -> dict[str, int | str] | None:
        """As `match`, for who has cut the name at its dots."""
        texts: Sequence[str] | None
        if self._by_parts is not None:
            texts = self._by_parts.texts(parts)
        else:
            found = self._regex.fullmatch(name)
            texts = None if found is None else found.groups()
        return None if texts is None else self._bindings(texts)

    def _bindings(self, texts: Sequence[str]) -> dict[str, int | str] | None:
        bindings: dict[str, int | str] = {}
        for slot, text in zip(self.slots, texts, strict=True):
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
    def _by_parts(self) -> _ByParts | None:
        """The way to match that needs no regular expression, whose compiling takes longer than all else here.

        None where a placeholder stands for less than all that is between two dots.
        """
        parts = self.text.split(".")
        places = [place for place, part in enumerate(parts) if "{" in part]
        if any(_PLACEHOLDER.fullmatch(parts[place]) is None for place in places):
            return None
        return _ByParts(parts, tuple(zip(places, self.slots, strict=True)))

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
        parts = name.split(".")
        return [
            (key, bindings)
            for key, pattern in self._by_dots.get(len(parts) - 1, ())
            if (bindings := pattern.match_parts(name, parts)) is not None
        ]

"""Tensor names with typed placeholders, which match names and format them.

`{stage}` stands for an index (`0`, `12`; never `01`), `{stage+1}` for that index plus one, `{part:weight|bias}` for one
of the listed words, which other patterns of the same rule name as `{part}`. A placeholder that appears twice stands for
the same value twice. Everything else stands for itself, and a pattern matches whole names only.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from operator import itemgetter
from typing import Generic, NamedTuple, TypeAlias, TypeVar

from porting.frozen import Frozen

Key = TypeVar("Key")
Bindings: TypeAlias = Mapping[str, "int | str"]

_PLACEHOLDER = re.compile(r"\{([^{}]*)\}")
_TYPED = re.compile(r"(?P<name>[a-z_]+)(?:(?P<offset>[+-]\d+)|:(?P<words>\w+(?:\|\w+)*))?")


class PatternError(ValueError):
    """A pattern or a rule that is written wrongly; raised when the table is imported."""


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


class _Part(NamedTuple):
    """A part of a name, from dot to dot, with one placeholder."""

    place: int
    before: str
    slot: _Slot
    after: str

    def text(self, parts: Sequence[str]) -> str | None:
        """The text in the place of the placeholder; None where it does not fit."""
        part = parts[self.place]
        text = part[len(self.before) : len(part) - len(self.after)]
        return text if self.before + text + self.after == part and self.slot.takes(text) else None


class _ByParts:
    """Matching part by part, since compiling a regular expression takes longer than everything else here.

    Attributes:
        count: Number of parts.
        places: Indices of the parts without a placeholder.
        pick: Returns these parts of a name.
        fixed: These parts of the pattern.
    """

    def __init__(self, parts: Sequence[str], variable: Sequence[_Part]) -> None:
        self.count = len(parts)
        self.places = tuple(sorted(set(range(len(parts))) - {part.place for part in variable}))
        self.pick: Callable[[Sequence[str]], object] = itemgetter(*self.places) if self.places else lambda _: None
        self.fixed = self.pick(parts)
        self._variable = variable

    def texts(self, parts: Sequence[str]) -> list[str] | None:
        """The texts in the places of the placeholders of a name whose fixed parts match; None for another name."""
        texts = []
        for part in self._variable:
            text = part.text(parts)
            if text is None:
                return None
            texts.append(text)
        return texts


@dataclass(eq=False, repr=False)
class Pattern(Frozen):
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
        """Return the values of the placeholders in this name, or None where the pattern does not match."""
        how, parts = self.by_parts, name.split(".")
        if how is None:
            return self.match_expression(name)
        texts = how.texts(parts) if len(parts) == how.count and how.pick(parts) == how.fixed else None
        return None if texts is None else self.bindings(texts)

    def match_expression(self, name: str) -> dict[str, int | str] | None:
        """Do the same as `match` with a regular expression."""
        match = self._regex.fullmatch(name)
        return None if match is None else self.bindings(match.groups())

    def bindings(self, texts: Sequence[str]) -> dict[str, int | str] | None:
        """Return the values of the placeholders for these texts, or None where they are not possible."""
        bindings: dict[str, int | str] = {}
        for slot, text in zip(self.slots, texts, strict=True):
            value: int | str = text if slot.words else int(text) - slot.offset
            if bindings.setdefault(slot.name, value) != value or (isinstance(value, int) and value < 0):
                return None
        return bindings

    def format(self, bindings: Bindings) -> str:
        """Return the name with these values of the placeholders."""
        name = self._pieces[0]
        for slot, piece in zip(self.slots, self._pieces[1:], strict=True):
            value = bindings[slot.name]
            name += f"{value + slot.offset if isinstance(value, int) else value}{piece}"
        return name

    def bind(self, words: Mapping[str, tuple[str, ...]]) -> Pattern:
        """Return the pattern with the words of the rule's other patterns in its plain placeholders."""
        if not any(words.get(slot.name) and not slot.words for slot in self.slots):
            return self

        def typed(placeholder: re.Match[str]) -> str:
            inside = placeholder[1]
            return f"{{{inside}:{'|'.join(words[inside])}}}" if words.get(inside) else placeholder[0]

        return Pattern(_PLACEHOLDER.sub(typed, self.text))

    @cached_property
    def by_parts(self) -> _ByParts | None:
        """Matching part by part; None where two placeholders are in one part."""
        parts, slots, variable = self.text.split("."), iter(self.slots), []
        for place, part in enumerate(parts):
            before, *inside = _PLACEHOLDER.split(part)
            if len(inside) > 2:
                return None
            if inside:
                variable.append(_Part(place, before, next(slots), inside[1]))
        return _ByParts(parts, variable)

    @cached_property
    def _regex(self) -> re.Pattern[str]:
        body = re.escape(self._pieces[0])
        for slot, piece in zip(self.slots, self._pieces[1:], strict=True):
            body += f"({slot.regex}){re.escape(piece)}"
        return re.compile(body)

    @cached_property
    def _parts(self) -> list[str]:
        """The text around the placeholders, alternating with the text inside them."""
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
    """The placeholder of this text; None for any other text. Tables repeat few placeholders many times."""
    match = _TYPED.fullmatch(inside)
    if match is None:
        return None
    words = tuple(match["words"].split("|")) if match["words"] else ()
    return _Slot(match["name"], int(match["offset"] or 0), words)


class Patterns(Generic[Key]):
    """Patterns to look names up in.

    Args:
        patterns: Pairs of a key and a pattern.
    """

    def __init__(self, patterns: Iterable[tuple[Key, Pattern]]) -> None:
        self._kinds: dict[tuple[int, tuple[int, ...]], _ByParts] = {}
        """One pattern of each kind, by the number of parts and the indices of the fixed ones."""
        self._alike: dict[tuple[int, tuple[int, ...], object], list[tuple[int, Key, Pattern, _ByParts]]] = {}
        """Patterns of one kind with the same fixed parts, with their place in the order."""
        self._others: list[tuple[int, Key, Pattern]] = []
        for order, (key, pattern) in enumerate(patterns):
            how = pattern.by_parts
            if how is None:
                self._others.append((order, key, pattern))
            else:
                self._kinds.setdefault((how.count, how.places), how)
                self._alike.setdefault((how.count, how.places, how.fixed), []).append((order, key, pattern, how))

    def find(self, name: str) -> list[tuple[Key, dict[str, int | str]]]:
        """Return the keys of the patterns that match a name, in their order, with the values of the placeholders."""
        matches = [*self._found_by_parts(name.split(".")), *self._found_by_expression(name)]
        matches.sort(key=itemgetter(0))
        return [(key, bindings) for _, key, bindings in matches]

    def _found_by_parts(self, parts: Sequence[str]) -> Iterator[tuple[int, Key, dict[str, int | str]]]:
        for (count, places), kind in self._kinds.items():
            if count == len(parts):
                for order, key, pattern, how in self._alike.get((count, places, kind.pick(parts)), ()):
                    texts = how.texts(parts)
                    if texts is not None and (bindings := pattern.bindings(texts)) is not None:
                        yield order, key, bindings

    def _found_by_expression(self, name: str) -> Iterator[tuple[int, Key, dict[str, int | str]]]:
        for order, key, pattern in self._others:
            if (bindings := pattern.match_expression(name)) is not None:
                yield order, key, bindings

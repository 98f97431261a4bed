"""Where the weights of a model are within a checkpoint, as a user says it: a key, a prefix, names to leave out."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Literal, TypeAlias, TypeVar

from porting.frozen import Frozen
from porting.names import nearest

Kind: TypeAlias = Literal["model", "ema"]
"""Whose weights: those that are trained, or their moving average."""
Value = TypeVar("Value")
_MAX_PREFIXES = 100


@dataclass(eq=False, repr=False)
class Selection(Frozen):
    """Which of the tensors in a file are meant.

    Attributes:
        weights: Whose weights; by default the average, where a file holds both.
        key: The keys that lead to the state dict, joined by dots, such as `state_dict.generator`.
        prefix: Only tensors whose names begin so, and without it, such as `Student.`.
        ignore: Patterns of tensors to leave out: names, or whole parts of names, in which `*` stands for any text.
    """

    weights: Kind | None = None
    key: str | None = None
    prefix: str | None = None
    ignore: tuple[str, ...] = ()


def at_key(saved: object, key: str) -> Iterator[tuple[tuple[str, ...], object]]:
    """Yield the values that a key leads to, with its parts; keys of a file may hold dots themselves.

    A whole number counts the items of a list from 0.
    """
    if isinstance(saved, list | tuple):
        head, _, rest = key.partition(".")
        items = [(head, saved[int(head)])] if head.isdecimal() and len(head) < 6 and int(head) < len(saved) else []
    elif isinstance(saved, dict):
        items = [(name, saved[name]) for name in _starts(key) if name in saved]
    else:
        items = []
    for name, value in items:
        rest = key[len(name) + 1 :]
        if not rest:
            yield (name,), value
        else:
            yield from (((name, *path), entry) for path, entry in at_key(value, rest))


def _starts(key: str) -> Iterator[str]:
    """Yield the key, and its beginnings up to each dot, the longest first."""
    yield key
    at = key.rfind(".")
    while at > 0:
        yield key[:at]
        at = key.rfind(".", 0, at)


def with_prefix(tensors: Mapping[str, Value], prefix: str) -> tuple[str, dict[str, Value]]:
    """Return the tensors whose names begin with a prefix, without it; the prefix may lack its dot."""
    for start in dict.fromkeys((f"{prefix.removesuffix('.')}.", prefix)):
        chosen = {name.removeprefix(start): value for name, value in tensors.items() if name.startswith(start)}
        chosen.pop("", None)
        if chosen:
            return start, chosen
    return prefix, {}


def is_ignored(name: str, pattern: str) -> bool:
    """Return True if a pattern is a name, or a run of whole parts of it between dots: `loss` is in `model.loss.w`."""
    return fnmatchcase(f".{name}.", f"*.{pattern.strip('.')}.*")


def starts_of(names: Iterable[str]) -> list[str]:
    """Return the prefixes that names have, up to each dot, each once; the first thousand."""
    starts: dict[str, None] = {}
    for name in names:
        parts = name.split(".")
        for count in range(1, min(len(parts), 6)):
            starts[".".join(parts[:count]) + "."] = None
        if len(starts) > 1000:
            break
    return list(starts)


def parted(tensors: Mapping[str, Value]) -> Iterator[tuple[str, dict[str, Value]]]:
    """Yield each prefix that some of the names have, the shortest first, with the tensors that `--prefix` would take.

    A prefix of fewer than two tensors, or of all, is left out; so is every one after the first hundred.
    """
    starts = sorted(starts_of(tensors), key=lambda start: start.count("."))
    for start in starts[:_MAX_PREFIXES]:
        _, chosen = with_prefix(tensors, start)
        if 1 < len(chosen) < len(tensors):
            yield start, chosen


def near(wanted: str, known: Collection[str]) -> str:
    """Return the end of an error: the nearest known names, or the first of them, or that there are none."""
    if not known:
        return "there are none"
    close = nearest(wanted, known, 3)
    return f"nearest: {', '.join(close)}" if close else f"there are {', '.join(list(known)[:8])}"

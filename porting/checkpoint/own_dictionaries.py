"""Dictionaries of a class of their own around tensors, such as EasyDict, addict and Box are, read as plain ones."""

from __future__ import annotations

from porting.checkpoint.containers.stand_ins import Inert
from porting.checkpoint.searching import Leaf

_MAX_DEPTH, _MAX_ENTRIES = 8, 200_000


def plain(saved: object) -> tuple[object, list[str]]:
    """Return what a file holds with such dictionaries as dicts, and a note on each class.

    Only a dictionary that has tensors in it, at any depth, is replaced; settings keep the name of their class.

    Args:
        saved: What was read, with `Inert` for objects of unknown classes.
    """
    reading = _Reading()
    return reading.plain(saved, _MAX_DEPTH), reading.notes


class _Reading:
    """One walk through a file; a dictionary that the file refers to many times is made once."""

    def __init__(self) -> None:
        self.notes: list[str] = []
        self._done: dict[int, tuple[object, object]] = {}
        self._left = _MAX_ENTRIES

    def plain(self, value: object, depth: int) -> object:
        """Return a value with its dictionaries replaced, at most so many levels down."""
        items = value.items if isinstance(value, Inert) else value
        if not isinstance(items, dict) or depth < 0 or self._left < 0:
            return value
        if id(value) not in self._done:
            self._done[id(value)] = value, value  # the value too, so that no other one gets its id; and against loops
            self._done[id(value)] = value, self._dictionary(value, items, depth)
        return self._done[id(value)][1]

    def _dictionary(self, value: object, items: dict[object, object], depth: int) -> object:
        self._left -= 1 + len(items)
        entries = {key: self.plain(item, depth - 1) for key, item in items.items()}
        changed = any(entry is not items[key] for key, entry in entries.items())
        if not isinstance(value, Inert):
            return entries if changed else value
        if not (changed or any(isinstance(entry, Leaf) or _holds_tensors(entry) for entry in entries.values())):
            return value
        note = f"a dictionary of the class {value.name} was read as a plain one"
        if note not in self.notes:
            self.notes.append(note)
        return entries


def _holds_tensors(value: object) -> bool:
    return isinstance(value, dict) and any(isinstance(item, Leaf) for item in value.values())

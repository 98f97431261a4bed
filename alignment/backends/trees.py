"""What a model gives, flattened to names: tensors, tuples, lists, dictionaries and dataclasses in each other."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping
from typing import Any

_PLAIN = (str, bytes, bool, int, float, complex, type(None))


def inside_of(value: Any) -> dict[Any, Any]:
    """What a value holds, by place, key or field; empty for a value that is not looked into.

    A class that is both a mapping and a dataclass, such as transformers' `ModelOutput`, holds what it has as a mapping,
    which leaves out fields that are None.
    """
    if isinstance(value, tuple | list):
        return dict(enumerate(value))
    if isinstance(value, Mapping):
        return dict(value)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    return {}


def named_leaves(value: Any, wanted: Callable[[Any], bool]) -> tuple[dict[str, Any], dict[str, str]]:
    """The wanted leaves of a value by name, in order, and what else it holds.

    A name is the keys, fields and places on the way, joined by dots: `hidden_states.0`. None is a lack, and left out.

    Args:
        value: What a model returned; a value that is itself wanted has the empty name.
        wanted: Whether a value is a tensor.

    Returns:
        Name to leaf; and name to class of whatever is neither wanted nor looked into, plain Python values left out.
    """
    leaves: dict[str, Any] = {}
    others: dict[str, str] = {}
    for path, leaf in _walk(value, wanted, ()):
        name = ".".join(path)
        if wanted(leaf):
            while name in leaves:  # a key with a dot in it, beside a nested one
                name += "#"
            leaves[name] = leaf
        elif not isinstance(leaf, _PLAIN):
            others[name] = type(leaf).__name__
    return leaves, others


def _walk(value: Any, wanted: Callable[[Any], bool], path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Any]]:
    if wanted(value) or not _is_container(value):
        yield path, value
        return
    names = getattr(value, "_fields", ()) if isinstance(value, tuple) else ()
    for key, item in inside_of(value).items():
        yield from _walk(item, wanted, (*path, str(names[key] if names else key)))


def _is_container(value: Any) -> bool:
    if isinstance(value, type):
        return False
    return isinstance(value, tuple | list | Mapping) or dataclasses.is_dataclass(value)

"""Frozen dataclasses to and from JSON or TOML values, strictly.

Every field must be there unless it has a default, none may be unknown, and each must have its declared type: a file
that was edited by hand, cut short or written by another version is refused instead of half understood.
"""

from __future__ import annotations

import dataclasses
import json
import math
import sys
import types
from collections.abc import Mapping
from datetime import date
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from alignment.errors import FieldError
from alignment.visible import printable
from porting.names import nearest

T = TypeVar("T")
_LARGEST = sys.float_info.max
_LONGEST = 60
_NON_FINITE = {"nan": math.nan, "inf": math.inf, "-inf": -math.inf}
_WORDS = {
    str: "a string",
    int: "an integer",
    float: "a number",
    bool: "true or false",
    types.NoneType: "null",
    date: "a date",
}


def parse_json(text: str) -> Any:
    """The value of a JSON text.

    Raises:
        ValueError: It is no JSON, has a field twice in one table, or nests too deep to be read.
    """
    try:
        return json.loads(text, object_pairs_hook=_unique)
    except RecursionError:
        raise ValueError("nested too deep") from None


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"field {_describe(twice)} stands twice in one table")
    return found


def decode(cls: type[T], value: object, where: str = "") -> T:
    """Build a dataclass from the plain value that `encode` made of it, or that a person wrote.

    Supported field types: `str`, `int`, `float`, `bool`, `date`, `None`, `Literal`, a union of plain types,
    `tuple[X, ...]`, `Mapping[str, X]` and other dataclasses. A float that is not finite is the string `nan`, `inf` or
    `-inf`.

    Args:
        cls: The dataclass.
        value: What `json.load` or `tomllib.load` returned.
        where: The place of the value, for messages: `rows[3]`.

    Raises:
        FieldError: a missing, unknown or wrongly typed field, named with its place and the nearest known name.
    """
    if not isinstance(value, Mapping):
        raise FieldError(where, f"expected a table, found {_describe(value)}")
    known = {field.name: field for field in dataclasses.fields(cls)}  # type: ignore[arg-type]
    for name in value:
        if name not in known:
            raise FieldError(_join(where, str(name)), f"unknown field; {_hint(str(name), list(known))}")
    hints = get_type_hints(cls)
    given = {name: _decode(hints[name], item, _join(where, name)) for name, item in value.items()}
    for name, field in known.items():
        if name not in given and field.default is field.default_factory is dataclasses.MISSING:
            raise FieldError(where, f"field {name!r} is missing")
    return cls(**given)


def encode(value: object) -> Any:
    """The plain value of a dataclass, ready for `json.dump(allow_nan=False)`: mappings, lists, strings, numbers."""
    if dataclasses.is_dataclass(value):
        return {field.name: encode(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(key): encode(item) for key, item in value.items()}
    if isinstance(value, tuple | list):
        return [encode(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return str(float(value))
    return value


def _decode(hint: Any, value: object, where: str) -> Any:
    origin = get_origin(hint)
    if origin in (Union, types.UnionType):
        return _decode_union(get_args(hint), value, where)
    if origin is Literal:
        return _decode_literal(get_args(hint), value, where)
    if origin is tuple:
        return _decode_tuple(get_args(hint)[0], value, where)
    if origin is not None:
        return _decode_mapping(get_args(hint)[1], value, where)
    if isinstance(hint, type) and dataclasses.is_dataclass(hint):
        return decode(hint, value, where)
    return _decode_plain(hint, value, where)


def _decode_plain(hint: Any, value: object, where: str) -> Any:
    if hint is float:
        if isinstance(value, str) and value in _NON_FINITE:
            return _NON_FINITE[value]
        if isinstance(value, float) or (type(value) is int and abs(value) <= _LARGEST):
            return float(value)
    elif hint is int:
        if isinstance(value, int) and not isinstance(value, bool):
            return value
    elif hint is date:
        if type(value) is date:
            return value
    elif isinstance(value, hint):
        return value
    raise FieldError(where, f"expected {_WORDS[hint]}, found {_describe(value)}")


def _decode_union(hints: tuple[Any, ...], value: object, where: str) -> Any:
    if value is None and types.NoneType in hints:
        return None
    alternatives = [hint for hint in hints if hint is not types.NoneType]
    if len(alternatives) == 1:
        return _decode(alternatives[0], value, where)
    if type(value) in alternatives:
        return value
    raise FieldError(where, f"expected {' or '.join(_WORDS[hint] for hint in hints)}, found {_describe(value)}")


def _decode_literal(options: tuple[Any, ...], value: object, where: str) -> Any:
    if value in options:
        return value
    raise FieldError(where, f"{_describe(value)} is not known here; {_hint(str(value), [str(o) for o in options])}")


def _decode_tuple(hint: Any, value: object, where: str) -> tuple[Any, ...]:
    if not isinstance(value, list | tuple):
        raise FieldError(where, f"expected a list, found {_describe(value)}")
    return tuple(_decode(hint, item, f"{where}[{index}]") for index, item in enumerate(value))


def _decode_mapping(hint: Any, value: object, where: str) -> dict[str, Any]:
    if not isinstance(value, Mapping):
        raise FieldError(where, f"expected a table, found {_describe(value)}")
    return {str(key): _decode(hint, item, _join(where, str(key))) for key, item in value.items()}


def _join(where: str, name: str) -> str:
    shown = printable(_short(name))
    return f"{where}.{shown}" if where else shown


def _hint(name: str, known: list[str]) -> str:
    close = nearest(name, known)
    return f"did you mean {close[0]!r}?" if close else f"known: {', '.join(known)}"


def _describe(value: object) -> str:
    if isinstance(value, Mapping):
        return "a table"
    if isinstance(value, list | tuple):
        return "a list"
    if isinstance(value, int) and abs(value) > _LARGEST:
        return "an integer that is larger than any number"
    return printable(_short(repr(value)))


def _short(text: str) -> str:
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 3]}..."

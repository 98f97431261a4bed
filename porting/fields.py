"""Frozen dataclasses to and from the plain values of JSON, TOML or YAML, strictly.

Every field must be there unless it has a default, none may be unknown, and each must have its declared type: a file
that was edited by hand, cut short or written by another version is refused instead of half understood.

No library does this: msgspec and cattrs name neither the value that was found nor the nearest known field, msgspec
ignores unknown fields, and cattrs takes no union of plain types.
"""

from __future__ import annotations

import dataclasses
import json
import math
import re
import sys
import types
from collections.abc import Mapping
from datetime import date
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from porting.errors import FieldError
from porting.names import nearest
from porting.visible import printable

T = TypeVar("T")
_LARGEST = sys.float_info.max
_LONGEST = 60
_NON_FINITE = {"nan": math.nan, "inf": math.inf, "-inf": -math.inf}
_NUMBER = re.compile(r"[-+]?(\d[\d_]*\.?[\d_]*|\.\d[\d_]*)([eE][-+]?\d+)?")
_WORDS = {
    str: "a string",
    int: "an integer",
    float: "a number",
    bool: "true or false",
    types.NoneType: "null",
    date: "a date",
}


def parse_json(text: str) -> Any:
    """Return the value of a JSON text.

    Raises:
        ValueError: The text is no JSON, has a field twice in one table, or nests too deep to be read.
    """
    try:
        return json.loads(text, object_pairs_hook=_unique)
    except RecursionError:
        raise ValueError("nested too deep") from None


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    table = dict(pairs)
    if len(table) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"field {_describe(twice)} stands twice in one table")
    return table


def decode(cls: type[T], value: object, where: str = "") -> T:
    """Build a dataclass from the plain value that `encode` made of it, or that a person wrote.

    Supported field types are those of `decode_value`.

    Args:
        cls: The dataclass.
        value: What `json.load` or `tomllib.load` returned.
        where: The place of the value, for messages: `rows[3]`.

    Raises:
        FieldError: A field is missing, unknown or of another type; the message has its place and the nearest known
            name.
    """
    if not isinstance(value, Mapping):
        raise FieldError(where, f"expected a table, found {_describe(value)}")
    # The caller passes dataclasses only.
    known = {field.name: field for field in dataclasses.fields(cls)}  # type: ignore[arg-type]
    for name in value:
        if name not in known:
            raise FieldError(_join(where, str(name)), f"unknown field; {_hint(str(name), list(known))}")
    hints = get_type_hints(cls)
    values = {name: decode_value(hints[name], item, _join(where, name)) for name, item in value.items()}
    for name, field in known.items():
        if name not in values and field.default is field.default_factory is dataclasses.MISSING:
            raise FieldError(where, f"field {name!r} is missing")
    return cls(**values)


def encode(value: object) -> Any:
    """Return the plain value of a dataclass, ready for `json.dump(allow_nan=False)`: dicts, lists, strings, numbers."""
    if dataclasses.is_dataclass(value):
        return {field.name: encode(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(key): encode(item) for key, item in value.items()}
    if isinstance(value, tuple | list):
        return [encode(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return str(float(value))
    return value


def decode_value(hint: Any, value: object, where: str, *, yaml: bool = False) -> Any:
    """Return a plain value as the declared type of its field.

    Args:
        hint: `str`, `int`, `float`, `bool`, `date`, `None`, `Literal`, a union of plain types, `tuple[X, ...]`,
            `tuple[X, X]`, `Mapping[str, X]`, a dataclass, or `Any` for a value that is kept as it is. A float that is
            not finite is the string `nan`, `inf` or `-inf`.
        value: The plain value.
        where: Its place, for messages.
        yaml: Read numbers as people write them in YAML: `5e-4`, which YAML 1.1 takes for text, is a number, `1e3` is an
            integer too, and every number is finite.

    Raises:
        FieldError: The value is of another type.
    """
    if hint is Any:
        return value
    origin = get_origin(hint)
    if origin in (Union, types.UnionType):
        return _decode_union(get_args(hint), value, where, yaml)
    if origin is Literal:
        return _decode_literal(get_args(hint), value, where)
    if origin is tuple:
        return _decode_tuple(hint, value, where, yaml)
    if origin is not None:
        if not isinstance(value, Mapping):
            raise FieldError(where, f"expected a table, found {_describe(value)}")
        of = get_args(hint)[1]
        return {str(key): decode_value(of, item, _join(where, str(key))) for key, item in value.items()}
    if isinstance(hint, type) and dataclasses.is_dataclass(hint):
        return decode(hint, value, where)
    return _decode_plain(hint, _number(hint, value) if yaml and hint in (int, float) else value, where)


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
    raise FieldError(where, f"expected {expected(hint)}, found {_describe(value)}")


def _number(hint: type, value: object) -> object:
    """The finite number that a value of YAML stands for; None for a text that is no number."""
    if isinstance(value, str):
        value = float(value) if _NUMBER.fullmatch(value) else None
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return int(value) if hint is int and isinstance(value, float) and value.is_integer() else value


def _decode_union(hints: tuple[Any, ...], value: object, where: str, yaml: bool) -> Any:
    if value is None and types.NoneType in hints:
        return None
    alternatives = [hint for hint in hints if hint is not types.NoneType]
    if len(alternatives) == 1:
        return decode_value(alternatives[0], value, where, yaml=yaml)
    if type(value) in alternatives:
        return value
    raise FieldError(where, f"expected {' or '.join(map(expected, hints))}, found {_describe(value)}")


def _decode_literal(options: tuple[Any, ...], value: object, where: str) -> Any:
    if value in options:
        return value
    raise FieldError(where, f"{_describe(value)} is not known here; {_hint(str(value), [str(o) for o in options])}")


def _decode_tuple(hint: Any, value: object, where: str, yaml: bool) -> tuple[Any, ...]:
    hints = get_args(hint)
    if not isinstance(value, list | tuple) or (hints[-1] is not ... and len(value) != len(hints)):
        raise FieldError(where, f"expected {expected(hint)}, found {_describe(value)}")
    return tuple(decode_value(hints[0], item, f"{where}[{at}]", yaml=yaml) for at, item in enumerate(value))


def expected(hint: Any) -> str:
    """Return the words for a type of plain values in error messages: `a number or null`."""
    origin, arguments = get_origin(hint), get_args(hint)
    if origin in (Union, types.UnionType):
        return " or ".join(map(expected, arguments))
    if origin is tuple:
        return "a list" if arguments[-1] is ... else f"a list of {len(arguments)} numbers"
    return _WORDS[hint]


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
    return shown(value)


def shown(value: object) -> str:
    """Return a value for an error message: its `repr`, printable and at most 60 characters long."""
    return printable(_short(repr(value)))


def _short(text: str) -> str:
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 3]}..."

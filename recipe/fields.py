"""The fields of a configuration by dotted name: their types, and values checked and brought to them."""

from __future__ import annotations

import dataclasses
import math
import re
import types
from collections.abc import Iterator, Mapping
from contextlib import suppress
from functools import cache
from typing import Any, Union, get_args, get_origin, get_type_hints

from porting.names import nearest
from recipe.config import Config
from recipe.yaml_text import Setting

_NUMBER = re.compile(r"[-+]?(\d[\d_]*\.?[\d_]*|\.\d[\d_]*)([eE][-+]?\d+)?")
_WORDS: Mapping[Any, str] = {
    str: "a text",
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    types.NoneType: "null",
}


class _WrongTypeError(Exception):
    """A value that its field cannot take."""


@cache
def sections() -> Mapping[str, type]:
    """The sections of a configuration, by name."""
    return dict(get_type_hints(Config))


@cache
def fields() -> Mapping[str, Any]:
    """The type of every setting, by dotted name, in the order of the classes."""
    return {
        f"{section}.{name}": hint for section, cls in sections().items() for name, hint in get_type_hints(cls).items()
    }


def flatten(config: Config) -> dict[str, Any]:
    """The value of every setting, by dotted name."""
    return {name: getattr(getattr(config, name.split(".")[0]), name.split(".")[1]) for name in fields()}


def apply(base: Config, settings: Mapping[str, Setting]) -> tuple[Config, list[str]]:
    """A configuration with some settings replaced, and what is wrong with the others.

    Args:
        base: Where every setting that is not given comes from.
        settings: By dotted name.

    Returns:
        The configuration with the settings that could be understood, and one line for each that could not.
    """
    values: dict[str, dict[str, Any]] = {}
    problems: list[str] = []
    for name, setting in settings.items():
        hint = fields().get(name)
        section, _, field = name.partition(".")
        if hint is None:
            problems += [f"{setting.where}: {problem}" for problem in _unknown(name, setting.value)]
            continue
        try:
            values.setdefault(section, {})[field] = _decode(hint, setting.value)
        except _WrongTypeError:
            problems.append(f"{setting.where}: {name} is {_shown(setting.value)}, expected {_expected(hint)}")
    changed = {section: dataclasses.replace(getattr(base, section), **given) for section, given in values.items()}
    return dataclasses.replace(base, **changed), problems


def takes_text(name: str) -> bool:
    """Whether a setting of this name is a text."""
    hint = fields().get(name)
    return hint is str or str in get_args(hint)


def _unknown(name: str, value: object) -> Iterator[str]:
    section, _, field = name.partition(".")
    if section in sections():
        if not field:
            if value not in (None, {}):
                yield f"{section} is {_shown(value)}, expected a mapping of settings"
            return
        known = [key for key in fields() if key.startswith(f"{section}.")]
        close = nearest(name, known) or nearest(field, [key.partition(".")[2] for key in known])
        hint = f"did you mean {close[0]}?" if close else f"known: {', '.join(known)}"
    else:
        close = nearest(name, fields()) or _same_field(field or section) or nearest(section, sections())
        hint = f"did you mean {close[0]}?" if close else f"known sections: {', '.join(sections())}"
    yield f"unknown setting {name}; {hint}"


def _same_field(field: str) -> list[str]:
    """The settings that have this name in some section: `batch_size` stands in `data`."""
    return [name for name in fields() if name.partition(".")[2] == field]


def _decode(hint: Any, value: Any) -> Any:
    if get_origin(hint) in (Union, types.UnionType):
        if value is None:
            return None
        return _decode(next(each for each in get_args(hint) if each is not types.NoneType), value)
    if get_origin(hint) is tuple:
        if not isinstance(value, list | tuple) or len(value) != len(get_args(hint)):
            raise _WrongTypeError
        return tuple(_decode(each, item) for each, item in zip(get_args(hint), value, strict=True))
    return _decode_plain(hint, value)


def _decode_plain(hint: Any, value: Any) -> Any:
    if hint is float:
        return _number(value)
    if hint is int and isinstance(value, float | str):
        return _whole(_number(value))
    if isinstance(value, hint) and not (hint is int and isinstance(value, bool)):
        return value
    raise _WrongTypeError


def _number(value: Any) -> float:
    """A finite number; YAML 1.1 takes `5e-4`, which has no point, for text."""
    if isinstance(value, str) and _NUMBER.fullmatch(value):
        value = float(value)
    if isinstance(value, int | float) and not isinstance(value, bool):
        with suppress(OverflowError):
            if math.isfinite(number := float(value)):
                return number
    raise _WrongTypeError


def _whole(value: float) -> int:
    if value != int(value):
        raise _WrongTypeError
    return int(value)


def _expected(hint: Any) -> str:
    if get_origin(hint) in (Union, types.UnionType):
        return " or ".join(_expected(each) for each in get_args(hint))
    if get_origin(hint) is tuple:
        return f"a list of {len(get_args(hint))} numbers"
    return _WORDS[hint]


def _shown(value: object) -> str:
    if value is None:
        return "null"
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."

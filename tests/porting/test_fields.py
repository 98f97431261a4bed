"""Strict decoding of what a person or another version may have written."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import pytest

from porting.errors import FieldError
from porting.fields import decode, encode


@dataclass(frozen=True)
class Inner:
    name: str
    value: float | None = None


@dataclass(frozen=True)
class Outer:
    mode: Literal["on", "off"]
    items: tuple[Inner, ...] = ()
    table: Mapping[str, int] = field(default_factory=dict)
    flag: bool | int | str = False


@dataclass(frozen=True)
class Free:
    arguments: Mapping[str, Any]


def test_values_of_any_type_are_kept_as_they_are() -> None:
    assert decode(Free, {"arguments": {"a": [1, None], "b": "x"}}) == Free({"a": [1, None], "b": "x"})


def test_round_trip() -> None:
    value = Outer("on", (Inner("a", 1.5), Inner("b"), Inner("c", math.inf)), {"x": 1}, True)
    plain = encode(value)
    assert plain["items"][2] == {"name": "c", "value": "inf"}
    assert decode(Outer, plain) == value
    nan = decode(Inner, encode(Inner("n", math.nan))).value
    assert nan is not None
    assert math.isnan(nan)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ([], "expected a table, found a list"),
        ({}, "field 'mode' is missing"),
        ({"mode": "onn"}, "mode: 'onn' is not known here; did you mean 'on'?"),
        ({"mode": "on", "itemz": []}, "itemz: unknown field; did you mean 'items'?"),
        ({"mode": "on", "zzz": []}, "zzz: unknown field; known: mode, items, table, flag"),
        ({"mode": "on", "items": {}}, "items: expected a list, found a table"),
        ({"mode": "on", "items": [{"name": 1}]}, r"items\[0\].name: expected a string, found 1"),
        ({"mode": "on", "items": [{"name": "a", "value": True}]}, r"items\[0\].value: expected a number, found True"),
        ({"mode": "on", "items": [{"name": "a", "value": "1"}]}, r"items\[0\].value: expected a number, found '1'"),
        ({"mode": "on", "table": {"x": 1.0}}, "table.x: expected an integer, found 1.0"),
        ({"mode": "on", "table": 3}, "table: expected a table, found 3"),
        ({"mode": "on", "flag": 1.5}, "flag: expected true or false or an integer or a string, found 1.5"),
    ],
)
def test_wrong_value_is_refused_with_its_place(value: Any, message: str) -> None:
    with pytest.raises(FieldError, match=message):
        decode(Outer, value)

"""Outputs of any form as tensors by name."""

from __future__ import annotations

from collections import OrderedDict, namedtuple
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import pytest

from alignment.backends.trees import named_leaves

Named = namedtuple("Named", "a b")


class ModelOutput(OrderedDict[str, Any]):
    """As transformers' models return it."""


class Cache:
    """A class that is not looked into."""


@dataclass(frozen=True)
class Fields:
    a: Any
    b: Any = None


def _names(value: Any) -> tuple[dict[str, Any], dict[str, str]]:
    return named_leaves(value, lambda leaf: isinstance(leaf, float))


@pytest.mark.parametrize(
    ("value", "names"),
    [
        (1.0, {"": 1.0}),
        ((1.0, 2.0), {"0": 1.0, "1": 2.0}),
        ([1.0, (2.0, [3.0])], {"0": 1.0, "1.0": 2.0, "1.1.0": 3.0}),
        (ModelOutput(last=1.0, states=(2.0, 3.0)), {"last": 1.0, "states.0": 2.0, "states.1": 3.0}),
        (Fields(1.0, {"c": 2.0}), {"a": 1.0, "b.c": 2.0}),
        (Named(1.0, 2.0), {"a": 1.0, "b": 2.0}),
        (MappingProxyType({"a": 1.0}), {"a": 1.0}),
        ({0: 1.0, "a.b": 2.0, "a": {"b": 3.0}}, {"0": 1.0, "a.b": 2.0, "a.b#": 3.0}),
        ((None, 1.0, "text", 3, True), {"1": 1.0}),
        ({}, {}),
        (Fields, {}),
    ],
)
def test_every_container_gives_names_in_its_order(value: Any, names: dict[str, float]) -> None:
    found, _ = _names(value)
    assert found == names
    assert list(found) == list(names)


def test_objects_that_are_not_looked_into_are_told_with_their_class() -> None:
    assert _names({"a": 1.0, "past": Cache(), "none": None}) == ({"a": 1.0}, {"past": "Cache"})

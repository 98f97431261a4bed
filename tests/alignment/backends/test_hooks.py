"""What goes through a module stays what it is while it is watched: only the tensors in it are changed."""

from __future__ import annotations

from collections import OrderedDict, namedtuple
from dataclasses import dataclass
from typing import Any

import pytest

from alignment.backends.hooks import _leaves, _map

Named = namedtuple("Named", "a b")


class Output(OrderedDict[str, Any]):
    """As transformers' models return it."""


@dataclass(frozen=True)
class Fields:
    a: Any
    b: Any = None


def _is_float(value: Any) -> bool:
    return isinstance(value, float)


def _more(value: Any) -> Any:
    return _map(value, _is_float, lambda number: number + 1)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (Named(1.0, "x"), Named(2.0, "x")),
        (Output(a=1.0, b=[2.0]), Output(a=2.0, b=[3.0])),
        (Fields(1.0, {"c": (2.0, 3)}), Fields(2.0, {"c": (3.0, 3)})),
        ([(1.0,), None], [(2.0,), None]),
    ],
)
def test_map_changes_tensors_and_keeps_their_containers(value: Any, expected: Any) -> None:
    before = repr(value)
    changed = _more(value)
    assert changed == expected
    assert type(changed) is type(value)
    assert repr(value) == before
    assert list(_leaves(changed, _is_float)) == [number + 1 for number in _leaves(value, _is_float)]


@pytest.mark.parametrize("value", [Named(1, 2), Output(a=1), Fields(1), [1, "x"], {"a": {1}}, Fields])
def test_map_returns_an_object_without_tensors_itself(value: Any) -> None:
    assert _more(value) is value

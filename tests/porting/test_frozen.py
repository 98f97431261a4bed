"""Frozen values do what a frozen dataclass does: set once, equal, hashed and printed by their fields."""

from __future__ import annotations

import copy
import pickle
from dataclasses import FrozenInstanceError, dataclass, field, replace
from functools import cached_property

import pytest

from porting.frozen import Frozen


@dataclass(eq=False, repr=False)
class _Point(Frozen):
    x: int
    y: int = 0
    note: str = field(default="", compare=False)
    hidden: str = field(default="", repr=False)

    @cached_property
    def sum(self) -> int:
        return self.x + self.y


@dataclass(eq=False, repr=False)
class _Other(Frozen):
    x: int
    y: int = 0


def test_values_of_one_class_are_equal_by_the_fields_that_are_compared() -> None:
    point = _Point(1, 2, note="a")
    assert point.sum == 3  # what is computed once is no field
    assert point == _Point(1, 2, note="b")
    assert hash(point) == hash(_Point(1, 2))
    assert point != _Point(1, 2, hidden="b")
    assert _Point(1) != _Other(1)
    assert _Point(1) != (1, 0)


def test_a_field_is_neither_set_again_nor_deleted() -> None:
    point = _Point(1)
    for change in (lambda: setattr(point, "x", 1), lambda: setattr(point, "z", 1), lambda: delattr(point, "x")):
        with pytest.raises(FrozenInstanceError):
            change()
    assert replace(point, x=5) == _Point(5)


def test_it_shows_the_fields_that_are_to_be_shown() -> None:
    assert repr(_Point(1, note="a", hidden="b")) == "_Point(x=1, y=0, note='a')"


def test_it_is_copied_and_pickled_as_any_value() -> None:
    point = _Point(1, 2)
    assert [copy.deepcopy(point), pickle.loads(pickle.dumps(point))] == [point, point]

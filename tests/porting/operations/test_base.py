"""Operations of the toolkit are values: their fields are set once, and those with the same fields are equal."""

from __future__ import annotations

from dataclasses import FrozenInstanceError, replace

import pytest

from porting.operations import Build, Drop, Each, Op, Permute, Reshape, Split, Tie, Transpose

OPERATIONS = [
    (Transpose(), Transpose()),
    (Permute((1, 0)), Permute((0, 1))),
    (Reshape((4,), (2, 2)), Reshape((4,), (4, 1))),
    (Split(3), Split(3, axis=1)),
    (Each((Transpose(), None)), Each((None, Transpose()))),
    (Tie(2, Transpose()), Tie(2)),
    (Drop("a"), Build("a")),
]


@pytest.mark.parametrize(("op", "other"), OPERATIONS)
def test_operations_are_equal_by_their_class_and_fields(op: Op, other: Op) -> None:
    again = replace(op)  # type: ignore[type-var] # each is a dataclass
    assert op == again
    assert hash(op) == hash(again)
    assert (op == other) is (repr(op) == repr(other))


@pytest.mark.parametrize(("op", "_"), OPERATIONS)
def test_no_field_of_an_operation_can_be_changed(op: Op, _: Op) -> None:
    for name in ("inputs", "anything", *vars(op)):
        with pytest.raises(FrozenInstanceError, match=name):
            setattr(op, name, 7)
    for name in vars(op):
        with pytest.raises(FrozenInstanceError, match=name):
            delattr(op, name)


def test_an_operation_shows_its_fields() -> None:
    assert repr(Reshape((4,), (2, 2))) == "Reshape(before=(4,), after=(2, 2))"

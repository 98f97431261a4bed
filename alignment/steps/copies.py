"""Tensors that a side keeps several times, where the other has one: copies that an optimizer moves apart."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import ClassVar

from alignment.arrays import Array
from porting.expressions import Applied, Expression, sources_in, uses
from porting.operations import Op, Untie
from porting.plan import Plan


@dataclass(eq=False, repr=False)
class Added(Untie):
    """The sum of copies of a tensor in the place of the first one, as its gradient is the sum of theirs.

    Nothing undoes it.
    """

    undone_by: ClassVar[type[Op] | None] = None

    def apply(self, *arrays: Array) -> tuple[Array, ...]:
        """Return the sum."""
        return super().apply(sum(arrays[1:], arrays[0]))


def adding_copies(plan: Plan, first_names: Mapping[str, str]) -> Plan:
    """Return a plan for gradients, which adds those of copies up.

    Args:
        plan: Makes one tensor of copies that are the same.
        first_names: Name of a tensor that has another name first, to that one: these are no copies.
    """
    return replace(plan, outputs={name: _added(made, first_names) for name, made in plan.outputs.items()})


def copies_in(adding: Plan, first_names: Mapping[str, str]) -> dict[str, tuple[str, ...]]:
    """Return the targets of a plan by `adding_copies` that are made of copies, with the names of these."""
    return {
        name: tuple(dict.fromkeys(first_names.get(source, source) for source in sources_in(made)))
        for name, made in adding.outputs.items()
        if uses(made, Added)
    }


def _added(expression: Expression, first_names: Mapping[str, str]) -> Expression:
    if not isinstance(expression, Applied):
        return expression
    args = tuple(_added(argument, first_names) for argument in expression.args)
    if isinstance(expression.op, Untie):
        by_tensors = {
            frozenset(first_names.get(name, name) for name in sources_in(argument)): argument for argument in args[::-1]
        }
        if len(by_tensors) > 1:
            return Applied(Added(len(by_tensors), expression.op.op), tuple(by_tensors.values())[::-1])
    return Applied(expression.op, args, expression.output)

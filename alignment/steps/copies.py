"""Tensors that a side keeps several times, where the other has one: copies that an optimizer moves apart."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from alignment.arrays import Array
from porting.checkpoint.tensor import Shape
from porting.expressions import Applied, Expression, sources_in
from porting.operations import Op, Untie
from porting.operations.base import FrozenOp
from porting.plan import Plan


@dataclass(eq=False, repr=False)
class Added(FrozenOp):
    """The sum of tensors of one shape, as the gradient of one tensor is that of the gradients of its copies.

    Args:
        inputs: Number of copies.
        op: What happens to the sum afterwards; None passes it as it is.
    """

    inputs: int
    op: Op | None = None

    def shapes(self, *shapes: Shape) -> tuple[Shape, ...]:
        """The one shape that all have."""
        return self.op.shapes(shapes[0]) if self.op else shapes[:1]

    def apply(self, *arrays: Array) -> tuple[Array, ...]:
        """Return the sum."""
        total = sum(arrays[1:], arrays[0])
        return self.op.apply(total) if self.op else (total,)


def adding_copies(plan: Plan, first_names: Mapping[str, str]) -> Plan:
    """Return a plan for gradients, which adds those of copies up.

    Args:
        plan: Makes one tensor of copies that are the same.
        first_names: Name of a tensor that has another name first, to that one: these are no copies.
    """
    return replace(plan, outputs={name: _added(made, first_names) for name, made in plan.outputs.items()})


def copies_in(plan: Plan, first_names: Mapping[str, str]) -> dict[str, tuple[str, ...]]:
    """Return the targets of a plan that are made of copies, with the names of these; arguments as `adding_copies`."""
    added = adding_copies(plan, first_names).outputs
    return {
        name: tuple(dict.fromkeys(first_names.get(source, source) for source in sources_in(made)))
        for name, made in added.items()
        if _adds(made)
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


def _adds(expression: Expression) -> bool:
    return isinstance(expression, Applied) and (isinstance(expression.op, Added) or any(map(_adds, expression.args)))

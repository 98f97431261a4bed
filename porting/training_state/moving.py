"""Moments moved as their weights are: by the same plan, where it only rearranges elements."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import prod
from types import MappingProxyType

import numpy as np

from porting.checkpoint.tensor import LazyTensor, Shape
from porting.errors import PlanError
from porting.expressions import Applied, Expression, Source, evaluate, operations_in, sources_in
from porting.names import fold
from porting.operations import (
    Concat,
    Interleave,
    Op,
    Permute,
    Reorder,
    Reshape,
    Split,
    Squeeze,
    Stack,
    Transpose,
    Unsqueeze,
    Unstack,
)
from porting.plan import Plan
from porting.training_state.state import Group, OptimizerState

_REARRANGING: tuple[type[Op], ...] = (
    Concat, Interleave, Permute, Reorder, Reshape, Split, Squeeze, Stack, Transpose, Unsqueeze, Unstack,
)  # fmt: skip
"""Operations that put every element somewhere and change none; of others this is tried on numbered elements."""


def moved(
    state: OptimizerState,
    plan: Plan,
    tensors: Mapping[str, LazyTensor],
    order: Sequence[str] = (),
    tied: Mapping[str, str] = MappingProxyType({}),
) -> OptimizerState:
    """Return the state of an optimizer over the targets of a plan.

    Args:
        state: The state over the plan's sources.
        plan: What every target is made of.
        tensors: The sources.
        order: Names of the targets that an optimizer has, in the order of the model; by default all of the plan.
        tied: Further name of a source to its first name, under which the optimizer has it.

    Raises:
        PlanError: A target's values are changed and not only rearranged on the way, or its parts were not updated
            alike; the details have all of these.
    """
    state = _with_further_names(state, tied)
    moving = _Moving(state, {name: tensor.shape for name, tensor in tensors.items()}, tied)
    outputs = {name: plan.outputs[name] for name in order if name in plan.outputs} or dict(plan.outputs)
    for name, expression in outputs.items():
        moving.add(name, expression)
    if moving.problems:
        raise PlanError(
            f"the optimizer's state cannot be carried ({len(moving.problems)} weights)", fold_lines(moving.problems)
        )
    kinds = {kind for moments in state.moments.values() for kind in moments}
    moments: dict[str, dict[str, LazyTensor]] = {name: {} for name in moving.steps}
    for kind in sorted(kinds):
        sources = {name: kinds_of[kind] for name, kinds_of in state.moments.items() if kind in kinds_of}
        having = [name for name in moving.steps if set(sources_in(plan.outputs[name])) <= sources.keys()]
        part = replace(plan, outputs={name: plan.outputs[name] for name in having}, groups=())
        for name, tensor in part.apply(sources).items():
            moments[name][kind] = tensor
    groups = [Group(tuple(names), group.settings) for names, group in zip(moving.groups, state.groups, strict=True)]
    lost = sorted(name for name in state.moments if name in plan.dropped)
    notes = (f"moments of what the target does not have were left out: {', '.join(fold(lost))}",) if lost else ()
    return replace(state, moments=moments, steps=moving.steps, groups=tuple(groups), notes=(*state.notes, *notes))


def _with_further_names(state: OptimizerState, tied: Mapping[str, str]) -> OptimizerState:
    """The state, in which a further name of a weight has what its first name has."""
    moments = {name: state.moments[first] for name, first in tied.items() if first in state.moments}
    steps = {name: state.steps[first] for name, first in tied.items() if first in state.steps}
    groups = tuple(
        Group((*group.names, *(name for name, first in tied.items() if first in group.names)), group.settings)
        for group in state.groups
    )
    return replace(state, moments={**state.moments, **moments}, steps={**state.steps, **steps}, groups=groups)


@dataclass
class _Moving:
    """Steps and groups of the targets, and what stands against carrying them.

    Attributes:
        state: The state over the sources.
        shapes: Shape of each source.
        tied: Further name of a source to its first name.
        steps: Target to its number of updates.
        groups: Of each group the targets that are in it.
        problems: Target to the reason why its state cannot be carried.
    """

    state: OptimizerState
    shapes: Mapping[str, Shape]
    tied: Mapping[str, str]
    steps: dict[str, int] = field(default_factory=dict)
    groups: list[list[str]] = field(default_factory=list)
    problems: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.groups = [[] for _ in self.state.groups]
        self._group_of = {name: number for number, group in enumerate(self.state.groups) for name in group.names}

    def add(self, name: str, expression: Expression) -> None:
        """Take up a target."""
        sources = list(dict.fromkeys(sources_in(expression)))
        steps = {source: self.state.steps.get(source, 0) for source in sources}
        groups = {self._group_of.get(source) for source in sources}
        if not any(steps.values()) and groups <= {None}:
            return
        if len(set(steps.values())) > 1:
            counts = ", ".join(f"{source} {step}" for source, step in steps.items())
            self.problems[name] = f"its parts have different numbers of updates: {counts}"
        elif self._settings(groups) > 1:
            self.problems[name] = f"its parts are in different groups: {', '.join(sources)}"
        elif any(steps.values()) and not rearranges(expression, self.shapes, self.tied):
            way = ", ".join(operations_in(expression))
            self.problems[name] = f"its values are changed on the way ({way}), and the optimizer's would be other ones"
        else:
            if steps[sources[0]]:
                self.steps[name] = steps[sources[0]]
            number = self._group_of.get(sources[0])
            if number is not None:
                self.groups[number].append(name)

    def _settings(self, groups: set[int | None]) -> int:
        """Number of different settings among groups."""
        settings = [None if number is None else self.state.groups[number].settings for number in groups]
        return len([one for at, one in enumerate(settings) if one not in settings[:at]])


def rearranges(
    expression: Expression, shapes: Mapping[str, Shape], tied: Mapping[str, str] = MappingProxyType({})
) -> bool:
    """Return True if a tensor consists of elements of its sources, each once at most and unchanged.

    Args:
        expression: What the tensor is made of.
        shapes: Shape of each source.
        tied: Further name of a source to its first name; both are the same tensor.
    """
    if isinstance(expression, Source):
        return True
    if not isinstance(expression, Applied):
        return False
    if all(isinstance(op, _REARRANGING) for op in _operations(expression)):
        return True
    starts, at = {}, 1
    for name in dict.fromkeys(tied.get(name, name) for name in sources_in(expression)):
        starts[name], at = at, at + prod(shapes[name])
    starts |= {name: starts[tied[name]] for name in sources_in(expression) if name in tied}
    numbered = {
        name: np.arange(start, start + prod(shapes[name]), dtype=np.float64).reshape(shapes[name])
        for name, start in starts.items()
    }
    result = evaluate(expression, lambda name: numbered[name], np.dtype(np.float64)).reshape(-1)
    inside = bool(((result >= 1) & (result < at) & (result == np.floor(result))).all())
    return inside and len(np.unique(result)) == result.size


def _operations(expression: Expression) -> Iterator[Op]:
    if isinstance(expression, Applied):
        yield expression.op
        for argument in expression.args:
            yield from _operations(argument)


def fold_lines(problems: Mapping[str, str]) -> list[str]:
    """Return a line for each reason, with the names that it holds for, indices folded."""
    by_reason: dict[str, list[str]] = {}
    for name, reason in problems.items():
        by_reason.setdefault(reason, []).append(name)
    return [f"{name}: {reason}" for reason, names in by_reason.items() for name in fold(names)]

"""Larger values: inputs and weights of a pair multiplied, so that what a model computes reaches bounds such as ReLU6's.

Activations of order 1 never reach the 6 of a ReLU6: on these it is a ReLU. Both sides are multiplied alike, by a power
of two, which rounds nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from alignment.arrays import Array, Batch, is_floating
from alignment.pair.feeds import Feed, Floats
from alignment.pair.inputs import Inputs
from alignment.pair.layouts import inward
from alignment.pair.pair import ROLES, Pair, Role
from porting.expressions import Applied, Expression
from porting.operations.own import own_operations
from porting.plan import Plan

FACTOR = 16.0
"""What unbounded inputs and all parameters are multiplied by."""


def larger_batch(pair: Pair, inputs: Inputs) -> Batch:
    """One input of a batch, its numbers multiplied; ids, masks and numbers with declared bounds stay as they are.

    Args:
        pair: What is aligned.
        inputs: The batch that every step is fed with, in the precision of the run.
    """
    arrays = dict(inputs.named) if inputs.named else {"": inputs.images}
    large = {name: array[:1] * (FACTOR if _is_unbounded(pair.feeds[name]) else 1) for name, array in arrays.items()}
    large = {name: array.astype(arrays[name].dtype, copy=False) for name, array in large.items()}
    return large.get("", large)


def larger_weights(pair: Pair, role: Role, arrays: Mapping[str, Array]) -> dict[str, Array]:
    """Weights of a side with every parameter multiplied that both sides have; buffers and constants stay as they are.

    Args:
        pair: What is aligned, its rules settled.
        role: The side.
        arrays: The side's state dict.
    """
    names = _own_names(pair, role, _parameters(pair))
    return {
        name: array * array.dtype.type(FACTOR) if name in names and is_floating(array) else array
        for name, array in arrays.items()
    }


def _is_unbounded(feed: Feed) -> bool:
    return isinstance(feed, Floats) and feed.low is None


def _parameters(pair: Pair) -> set[str]:
    """Canonical names of what is a parameter and shares no tensor of a side with what is none."""
    architecture, contract = pair.architecture, pair.contract
    apart = {*architecture.buffers, *((*contract.constants, *contract.empty, *contract.dropped) if contract else ())}
    plans = [inward(pair, role) for role in ROLES]
    names = {name for name in architecture.tensors if name not in apart}
    names = {name for name in names if all(name in plan.outputs and not _is_own(plan.outputs[name]) for plan in plans)}
    while True:
        kept = [_sources(plan, plan.outputs.keys() - names) for plan in plans]
        sharing = {
            name
            for name in names
            if any(used & {*plan.sources_of(name)} for plan, used in zip(plans, kept, strict=True))
        }
        if not sharing:
            return names
        names -= sharing


def _own_names(pair: Pair, role: Role, names: Iterable[str]) -> set[str]:
    """The side's own names of canonical ones, those of the same tensor under another name among them."""
    own = _sources(inward(pair, role), names)
    if pair.contract is None:
        return own
    model = pair.contract.reference if role == "reference" else pair.contract.candidate
    return own | {name for name, info in model.tensors.items() if info.same_as in own}


def _sources(plan: Plan, names: Iterable[str]) -> set[str]:
    return {source for name in names for source in plan.sources_of(name)}


def _is_own(expression: Expression) -> bool:
    """Whether an operation of the user's own is in an expression: it may do more than move numbers."""
    return isinstance(expression, Applied) and (
        bool(own_operations(expression.op)) or any(map(_is_own, expression.args))
    )

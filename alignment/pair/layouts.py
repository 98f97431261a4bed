"""From the names of a side's state dict to the canonical ones and back, for published pairs and for users' own."""

from __future__ import annotations

from collections.abc import Mapping

from alignment.pair import Pair, Role
from porting import converters
from porting.architectures import TensorSpec
from porting.checkpoint.tensor import LazyTensor
from porting.errors import PlanError
from porting.plan import Plan, mismatches

CANONICAL = converters.CANONICAL


def inward(pair: Pair, role: Role) -> Plan:
    """The plan from the state dict of a side to the canonical tensors."""
    if pair.contract is not None:
        return pair.contract.inward(role)
    return converters.inward(pair.architecture, pair.side(role).layout)


def outward(pair: Pair, role: Role) -> Plan:
    """The plan from the canonical tensors to the state dict of a side."""
    if pair.contract is not None:
        return pair.contract.outward(role)
    return converters.outward(pair.architecture, pair.side(role).layout)


def specs(pair: Pair, role: Role) -> Mapping[str, TensorSpec]:
    """Names, shapes and kinds of a side's state dict."""
    if pair.contract is not None:
        return pair.contract.specs(role)
    return converters.specs_in(pair.architecture, pair.side(role).layout)


def to_side(pair: Pair, role: Role, tensors: Mapping[str, LazyTensor]) -> dict[str, LazyTensor]:
    """Canonical tensors, all of them, as a side's state dict has them.

    Raises:
        PlanError: They are not exactly the model's.
    """
    problems = mismatches(pair.architecture.tensors, {name: tensor.shape for name, tensor in tensors.items()})
    if problems:
        raise PlanError(f"the tensors are not {pair.name}'s canonical ones", problems)
    return outward(pair, role).apply(tensors)

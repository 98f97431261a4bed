"""One side's tensors under the names of both: as they are, and as gradients."""

from __future__ import annotations

from collections.abc import Callable, Collection, Container, Mapping
from functools import cached_property

import numpy as np

from alignment.arrays import Array, is_floating
from alignment.pair import Pair, Role, Side
from alignment.pair.layouts import inward
from alignment.steps.copies import adding_copies, copies_in
from porting.checkpoint.tensor import LazyTensor
from porting.expressions import evaluate, uses
from porting.operations import Scale
from porting.plan import Plan


class SideTrial:
    """One side of a pair, and the state dict that every step starts from; `Trial` and `TrainingTrial` add the rest."""

    pair: Pair
    role: Role
    weights: Mapping[str, Array]

    @property
    def side(self) -> Side:
        """The side of the pair that this is."""
        return self.pair.side(self.role)

    @cached_property
    def _plan(self) -> Plan:
        return inward(self.pair, self.role)

    def canonical(self, arrays: Mapping[str, Array], only: Container[str] | None = None) -> dict[str, Array]:
        """Arrays of the state dict's names and shapes, named and oriented as in the canonical layout.

        Counters are left out: a layout that does not keep them has nothing to compare, and none takes part in the
        function.

        Args:
            arrays: All of the state dict.
            only: The canonical names that are wanted; all by default.
        """
        return self._canonical(self._plan, arrays, only)

    def _canonical(self, plan: Plan, arrays: Mapping[str, Array], only: Container[str] | None) -> dict[str, Array]:
        lazy = {name: LazyTensor.of(array) for name, array in arrays.items()}
        counters = self.pair.architecture.counters
        return {
            name: np.asarray(tensor.load())
            for name, tensor in plan.apply(lazy).items()
            if name not in counters and (only is None or name in only)
        }

    @cached_property
    def _first_names(self) -> Mapping[str, str]:
        """The side's own name of each tensor that has another one first, to that one."""
        contract = self.pair.contract
        model = None if contract is None else contract.reference if self.role == "reference" else contract.candidate
        return {name: info.same_as for name, info in model.tensors.items() if info.same_as} if model else {}

    @cached_property
    def _adjoint(self) -> Plan:
        return adding_copies(self._plan, self._first_names)

    @cached_property
    def copies(self) -> Mapping[str, tuple[str, ...]]:
        """Canonical names of the tensors that the side keeps as several, to the side's own names of these."""
        return copies_in(self._adjoint, self._first_names)

    @cached_property
    def scales(self) -> Mapping[str, Array]:
        """Canonical names of the tensors that the side keeps multiplied, to what each element is multiplied by."""

        def ones(source: str) -> Array:
            return np.ones(self.weights[source].shape)

        return {
            name: 1 / evaluate(self._plan.outputs[name], ones, np.dtype(np.float64)) for name in scaled_in(self._plan)
        }

    def gradients(self, arrays: Mapping[str, Array], only: Container[str] | None = None) -> dict[str, Array]:
        """Gradients of the state dict's tensors as those of the canonical ones.

        Where a side keeps `w` as `2 * w`, the gradient of `w` is twice its own, and not half of it; where it keeps `w`
        as several tensors, the gradient of `w` is the sum of theirs.

        Args:
            arrays: A gradient for each tensor of the state dict.
            only: The canonical names that are wanted; all by default.
        """
        scaled = [name for name in scaled_in(self._plan) if only is None or name in only]
        named = self._canonical(self._adjoint, _wide(arrays) if scaled else arrays, only)
        for name in scaled:
            named[name] = named[name] * np.square(self.scales[name])
        dtypes = {name: arrays[next(iter(self._plan.sources_of(name)))].dtype for name in named if scaled}
        return {name: array.astype(dtypes.get(name, array.dtype), copy=False) for name, array in named.items()}

    def some(self, read: Callable[[Container[str]], Mapping[str, Array]], names: Collection[str]) -> dict[str, Array]:
        """Arrays of a few canonical names, without reading those of the rest of a large model.

        Args:
            read: Reads arrays of the side's own names, such as `state` of its backend.
            names: The canonical names.
        """
        return self.canonical({**self.weights, **read(self._own(names))}, names)

    def some_gradients(
        self, read: Callable[[Container[str]], Mapping[str, Array]], names: Collection[str]
    ) -> dict[str, Array]:
        """The same of gradients."""
        return self.gradients({**self.weights, **read(self._own(names))}, names)

    def _own(self, names: Collection[str]) -> set[str]:
        return {source for name in names if name in self._plan.outputs for source in self._plan.sources_of(name)}


def scaled_in(plan: Plan) -> list[str]:
    """Names of the targets of a plan that are multiplied by a number on the way."""
    return [name for name, expression in plan.outputs.items() if uses(expression, Scale)]


def _wide(arrays: Mapping[str, Array]) -> dict[str, Array]:
    """Arrays in float64, in which no gradient is too small to be halved."""
    return {name: array.astype(np.float64) if is_floating(array) else array for name, array in arrays.items()}

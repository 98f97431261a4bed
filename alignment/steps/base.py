"""What a step is given, and what it gives back."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TypeAlias

import numpy as np

from alignment.arrays import Array
from alignment.backends.base import Backend, Outputs
from alignment.pair import Pair, Role, Side
from alignment.pair.constants import recordable
from alignment.pair.inputs import Inputs
from alignment.pair.layouts import inward
from alignment.recordings.recording import Entry
from porting.checkpoint.tensor import LazyTensor
from porting.plan import Plan


@dataclass(frozen=True, slots=True)
class Quantity:
    """One array of a step, under the key of the recording."""

    key: str
    array: Array
    entry: Entry


@dataclass(frozen=True)
class Trial:
    """One model with one set of weights, fed with one set of inputs, in one precision.

    Attributes:
        backend: The framework, its model built.
        pair: What is aligned.
        role: The side of the pair that this is.
        inputs: Images, labels and targets, in the precision of the trial.
        weights: The state dict that every step starts from.
        record_parameters: Whether the step `forward` records the weights themselves.
        built: What the model was built with, where that says more of its constants than `weights`.
    """

    backend: Backend
    pair: Pair
    role: Role
    inputs: Inputs
    weights: Mapping[str, Array]
    record_parameters: bool = True
    built: Mapping[str, Array] = field(default_factory=dict)

    @property
    def side(self) -> Side:
        """The side of the pair that this is."""
        return self.pair.side(self.role)

    @cached_property
    def constants(self) -> Mapping[str, Array]:
        """Canonical name to the side's own constants, as recordings have them; see `alignment.pair.constants`."""
        contract = self.pair.contract
        if contract is None or not contract.constants:
            return {}
        there = {name: array for name, array in contract.constants.items() if self._plan.sources_of(name)}
        found = self.canonical({**self.weights, **self.built}, there)
        return {name: recordable(found[name], there[name]) for name in there if found[name].size}

    @cached_property
    def outputs(self) -> Outputs:
        """Logits and feature maps of the images; computed once, shared by the steps."""
        self.reset()
        return self.backend.forward(self.inputs.images, self.pair.intermediates)

    def reset(self) -> None:
        """Give the model the weights that every step starts from."""
        self.backend.set_state(self.weights)

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
        lazy = {name: LazyTensor.of(array) for name, array in arrays.items()}
        architecture = self.pair.architecture
        kept = {
            name: tensor
            for name, tensor in self._plan.apply(lazy).items()
            if name not in architecture.counters and (only is None or name in only)
        }
        return {name: np.asarray(tensor.load()) for name, tensor in kept.items()}


Step: TypeAlias = Callable[[Trial], Iterator[Quantity]]

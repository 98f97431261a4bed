"""What a check point of training is given."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TypeAlias

import numpy as np

from alignment.arrays import Array
from alignment.backends.trainers.base import Trainer
from alignment.pair import Pair, Role, Side
from alignment.pair.layouts import inward, to_side
from alignment.steps.base import Quantity
from porting.checkpoint.tensor import LazyTensor
from porting.plan import Plan
from recipe.config import Config


@dataclass(frozen=True)
class Lesson:
    """One side's training code with one configuration, in one precision.

    Attributes:
        trainer: The training code, its model built.
        pair: What is aligned.
        role: The role of this side.
        config: The configuration; its `data.path` holds the images.
        weights: The state dict that every step starts from.
        weights_file: The same as a file.
        updates: Updates to compare; None for as many as a step has by default.
    """

    trainer: Trainer
    pair: Pair
    role: Role
    config: Config
    weights: Mapping[str, Array]
    weights_file: Path
    updates: int | None = None

    @property
    def side(self) -> Side:
        """The side of the pair that this is."""
        return self.pair.side(self.role)

    @property
    def seed(self) -> int:
        """Of everything random."""
        return self.config.run.seed

    @cached_property
    def _plan(self) -> Plan:
        return inward(self.pair, self.role)

    def canonical(self, arrays: Mapping[str, Array]) -> dict[str, Array]:
        """Arrays of the state dict, or of its parameters, under canonical names; buffers are left out of the latter.

        Counters are left out of both, as in `alignment.steps.base.Trial.canonical`.
        """
        architecture = self.pair.architecture
        left_out = {*architecture.counters, *(architecture.buffers if self.weights.keys() - arrays.keys() else ())}
        lazy = {name: LazyTensor.of(array) for name, array in {**self.weights, **arrays}.items()}
        named = self._plan.apply(lazy)
        return {name: np.asarray(tensor.load()) for name, tensor in named.items() if name not in left_out}

    def in_layout(self, arrays: Mapping[str, Array]) -> dict[str, Array]:
        """Arrays of the canonical names and shapes, all of them, as this side's state dict has them."""
        lazy = {name: LazyTensor.of(array) for name, array in arrays.items()}
        translated = to_side(self.pair, self.role, lazy)
        return {name: np.asarray(tensor.load()) for name, tensor in translated.items()}


TrainingStep: TypeAlias = Callable[[Lesson], Iterator[Quantity]]

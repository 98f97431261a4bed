"""What a step is given, and what it gives back."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from math import prod
from pathlib import Path
from typing import Any, Generic, TypeVar

import numpy as np

from alignment.arrays import Array, is_floating
from alignment.backends.base import Backend, Outputs
from alignment.backends.trainers.base import Trainer
from alignment.backends.trainers.plain import PlainTrainer
from alignment.frameworks import FRAMEWORKS
from alignment.pair import ROLES, Pair, Role
from alignment.pair.constants import recordable
from alignment.pair.inputs import Inputs, perturb
from alignment.pair.layouts import inward, to_side
from alignment.recordings.recording import Entry
from alignment.steps.side_trial import SideTrial
from porting.checkpoint.tensor import LazyTensor
from recipe.config import Config

T = TypeVar("T", bound="SideTrial")
MOST_OF_PADDLE = 64.0
"""The largest cross entropy of Paddle: logits further below the largest one count as that far."""
_FAR_APART = 60.0
_FIXED = 1e-3
"""The relative L2 between two passes that no rounding of sums in another order reaches."""


@dataclass(frozen=True, slots=True)
class Quantity:
    """One array of a step, under the key of the recording."""

    key: str
    array: Array
    entry: Entry


@dataclass(frozen=True)
class Trial(SideTrial):
    """One model with one set of weights, fed with one set of inputs, in one precision.

    Attributes:
        backend: The framework, its model built.
        pair: What is aligned.
        role: The side of the pair that this is.
        inputs: Images, labels and targets, in the precision of the trial.
        weights: The state dict that every step starts from.
        record_parameters: Whether the step `forward` records the weights themselves.
        built: What the model was built with, where that says more of its constants than `weights`.
        computed: Outputs to use instead of running the model; None runs it.
        once: Whether this is the precision in which the step `other_inputs` records.
    """

    backend: Backend
    pair: Pair
    role: Role
    inputs: Inputs
    weights: Mapping[str, Array]
    record_parameters: bool = True
    built: Mapping[str, Array] = field(default_factory=dict)
    computed: Outputs | None = None
    once: bool = False

    @cached_property
    def constants(self) -> Mapping[str, Array]:
        """Canonical name to the side's own constants, as recordings have them; see `alignment.pair.constants`.

        One that the candidate does not have as a tensor, such as a factor that it writes as a number, is left out: what
        it does shows in the outputs.
        """
        contract = self.pair.contract
        if contract is None or not contract.constants:
            return {}
        both = contract.constants.keys() - contract.dropped
        expected = {name: contract.constants[name] for name in sorted(both) if self._plan.sources_of(name)}
        own = self.canonical({**self.weights, **self.built}, expected)
        return {name: recordable(own[name], expected[name]) for name in expected if own[name].size}

    @cached_property
    def outputs(self) -> Outputs:
        """Logits and feature maps of the images; computed once, shared by the steps."""
        if self.computed is not None:
            return self.computed
        self.reset()
        return self.backend.forward(self.inputs.batch, self.pair.intermediates)

    def moved(self, generator: np.random.Generator) -> Trial:
        """The same with inputs and weights moved by one unit in the last place of the precision of the trial.

        Args:
            generator: Decides the directions.
        """
        dtype = np.dtype(self.inputs.dtype)
        inputs = self.inputs.moved(self.pair.continuous, generator)
        weights = {
            name: perturb(array.astype(dtype), generator) if array.dtype == np.float32 else array
            for name, array in self.weights.items()
        }
        return replace(self, inputs=inputs, weights=weights, record_parameters=False, once=False)

    @cached_property
    def one_to_one(self) -> Mapping[str, str]:
        """Canonical name to the side's own of what is one whole tensor on either side, counters left out."""
        plans = [inward(self.pair, role) for role in ROLES]
        counters = self.pair.architecture.counters
        shapes = {name: spec.shape for name, spec in self.pair.architecture.tensors.items() if name not in counters}
        own = {}
        for name, shape in shapes.items():
            sources = [plan.sources_of(name) for plan in plans]
            if prod(shape) and all(len({*one}) == 1 for one in sources):
                own[name] = str(self._plan.sources_of(name)[0])
        sizes = {name: array.size for name, array in self.weights.items()}
        return {name: source for name, source in own.items() if sizes.get(source) == prod(shapes[name])}

    def reset(self) -> None:
        """Give the model the weights that every step starts from."""
        self.backend.set_state(self.weights)

    def forward(self) -> Outputs:
        """What the model gives for the inputs, with the weights and in the mode that it has now."""
        return self.backend.forward(self.inputs.batch, None)

    def backward(self) -> Array:
        """The loss of the inputs, shape `()`; its gradients can be had from the backend then."""
        return self.backend.backward(self.inputs.batch, self.inputs.targets, self.loss)

    @cached_property
    def untaken(self) -> str:
        """Why the losses of a classifier cannot be taken of what the model gives; empty where they can.

        A cross entropy of infinite logits is infinite, or what a framework makes of it. That of logits far apart is
        `MOST_OF_PADDLE` in Paddle, whatever it is elsewhere.
        """
        if not self.pair.classifies:
            return ""
        logits = self.outputs.logits.astype(np.float64)
        if not np.isfinite(logits).all():
            return "logits are not finite"
        apart = float(np.ptp(logits, axis=-1).max(initial=0.0))
        if apart < _FAR_APART or all(self.pair.side(role).framework != "paddle" for role in ROLES):
            return ""
        return f"logits are far apart, and Paddle's cross entropy is never above {MOST_OF_PADDLE:g}"

    @property
    def loss(self) -> str:
        """The loss whose gradient is taken: the pair's, or a weighted sum of logits whose losses cannot be taken."""
        return "projection" if self.untaken else self.pair.loss

    def input_gradients(self, step: str) -> Iterator[tuple[str, Array]]:
        """Key and gradient of every floating-point input from the last `backward`: `bp/gradient/input`.

        A model may have a parameter of that name; the key of its one input ends in its place then, `input/0`.
        """
        alone = "0" if "input" in self.pair.architecture.tensors else ""
        for name, gradient in self.backend.input_gradients().items():
            if name in self.pair.continuous:
                yield f"{step}/gradient/input" + (f"/{name or alone}" if name or alone else ""), gradient


def differs(first: Array, second: Array) -> bool:
    """Whether two passes of one model on the same input give what no rounding of sums in another order explains."""
    if not is_floating(first) or first.shape != second.shape:
        return not np.array_equal(first, second)
    first, second = (array.astype(np.float64) for array in (first, second))
    known = np.isfinite(first) & np.isfinite(second)
    return bool(np.linalg.norm((first - second)[known]) > _FIXED * np.linalg.norm(first[known]))


def remark(key: str, text: str = "") -> Quantity:
    """A quantity that says something of a side, in words."""
    words = np.frombuffer(text.encode() or b"-", np.uint8).copy()
    return Quantity(key, words, Entry("remark", key.partition("/")[0]))


class WeightsTrial(SideTrial):
    """One side's training: what it gives are state dicts, or arrays of the parameters alone."""

    def canonical(self, arrays: Mapping[str, Array], only: Container[str] | None = None) -> dict[str, Array]:
        """Arrays of the state dict, or of its parameters, under canonical names; buffers are left out of the latter."""
        buffers = self.pair.architecture.buffers if self.weights.keys() - arrays.keys() else ()
        named = super().canonical({**self.weights, **arrays}, only)
        return {name: array for name, array in named.items() if name not in buffers}

    def in_layout(self, arrays: Mapping[str, Array]) -> dict[str, Array]:
        """Arrays of the canonical names and shapes, all of them, as this side's state dict has them."""
        lazy = {name: LazyTensor.of(array) for name, array in arrays.items()}
        return {name: np.asarray(tensor.load()) for name, tensor in to_side(self.pair, self.role, lazy).items()}


@dataclass(frozen=True)
class TrainingTrial(WeightsTrial):
    """One side's training code with one configuration, in one precision.

    Attributes:
        trainer: The training code, its model built.
        pair: What is aligned.
        role: The side of the pair that this is.
        config: The configuration; its `data.path` holds the images.
        weights: The state dict that every step starts from.
        weights_file: The file of `weights`.
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
    def seed(self) -> int:
        """Seed of every random generator of the run."""
        return self.config.run.seed

    @property
    def precision(self) -> str:
        """The precision of the run."""
        return self.config.run.precision

    @property
    def of_settings(self) -> np.dtype[Any]:
        """The dtype that the side keeps rates and decays in."""
        return np.dtype("float64" if "float64" in FRAMEWORKS[self.side.framework].dtypes else "float32")


@dataclass(frozen=True)
class PlainTrial(WeightsTrial):
    """One side's `alignment.pair.Training`, in one precision.

    Attributes:
        trainer: The training.
        pair: What is aligned.
        role: The side of the pair that this is.
        weights: The state dict that every step starts from.
        batches: What each update is given, in turn.
        seed: Seed of every random generator of the run.
        precision: `float32` or `float64`.
        updates: Updates to compare; None for as many as a step has by default.
    """

    trainer: PlainTrainer
    pair: Pair
    role: Role
    weights: Mapping[str, Array]
    batches: Sequence[Inputs]
    seed: int
    precision: str
    updates: int | None = None

    @property
    def of_settings(self) -> np.dtype[Any]:
        """The dtype that the side keeps rates and decays in."""
        return np.dtype(self.trainer.finest)

    @cached_property
    def parameters(self) -> tuple[str, ...]:
        """Canonical names of what both sides may train."""
        architecture, contract = self.pair.architecture, self.pair.contract
        apart = {*contract.constants, *contract.empty, *contract.dropped} if contract else set[str]()
        return tuple(name for name in architecture.tensors if name not in architecture.buffers | apart)

    @cached_property
    def canonical_all(self) -> Mapping[str, Array]:
        """All weights under canonical names, counters too; zeros for what this side does not have."""
        dtypes = {"int": np.int64, "float": np.float32}
        none = {name: np.zeros(spec.shape, dtypes[spec.kind]) for name, spec in self.pair.architecture.tensors.items()}
        lazy = {name: LazyTensor.of(array) for name, array in self.weights.items()}
        return none | {name: np.asarray(tensor.load()) for name, tensor in self._plan.apply(lazy).items()}

    def numbers(self, values: Mapping[str, float]) -> dict[str, float]:
        """One number for each parameter of the side, under canonical names; NaN for one that has none."""
        arrays = {
            name: np.full(array.shape, values.get(name, np.nan))
            for name, array in self.weights.items()
            if np.issubdtype(array.dtype, np.floating)
        }
        named = self.canonical({**self.weights, **arrays}, self.parameters)
        return {name: float(named[name].flat[0]) for name in self.parameters if name in named}


def _applies(_: Pair) -> str | None:
    return None


@dataclass(frozen=True, slots=True)
class Step(Generic[T]):
    """A check point, with the kind of trial that it needs.

    Attributes:
        run: Records it.
        hindrance: Why the step does not apply to a pair; None where it does.
    """

    run: Callable[[T], Iterator[Quantity]]
    hindrance: Callable[[Pair], str | None] = _applies


def hindrances(table: Mapping[str, Step[Any]], steps: Iterable[str], pair: Pair) -> dict[str, str]:
    """The steps among these that do not apply to a pair, with the reason.

    Args:
        table: `alignment.steps.STEPS` or `alignment.steps.training.TRAINING_STEPS`.
        steps: Names in the table.
        pair: What is aligned.
    """
    return {step: reason for step in steps if (reason := table[step].hindrance(pair)) is not None}

"""Plain training of a pair of one's own: what the check points ask of a `Training`, and what the frameworks share.

`torch_plain`, `paddle_plain` and `mindspore_plain` add what differs. A plain trainer is the backend of its framework
with an optimizer: models are built, called, read and written by the backend's own methods.
"""

from __future__ import annotations

import importlib
import inspect
import random
from abc import abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import count
from typing import Any, ClassVar, Protocol, cast

import numpy as np

from alignment.arrays import Array, Batch
from alignment.backends.base import Runtime, Taps
from alignment.backends.calling import Interface
from alignment.backends.common import ModelBackend, named
from alignment.backends.measured_rates import drawn, modules_of
from alignment.backends.randomness import rates as rates_told
from alignment.backends.trainers.base import Updated
from alignment.errors import AlignmentError
from alignment.pair import Side, Training, targets

_PLAIN = "alignment.backends.trainers.{}_plain"
_RETURNS = "Training(model, optimizer, loss) of alignment.pair"


@dataclass(frozen=True)
class OptimizerSettings:
    """What an optimizer says of itself; the check points measure what it does.

    Attributes:
        kind: `AdamW`, `Adam`, `SGD`, `RMSProp` or `Lamb`; empty for another one.
        values: `rate`, `decay`, `beta1`, `beta2`, `epsilon`, `momentum`, `dampening`, `nesterov`, `alpha`, `centered`
            to the value of each parameter, by its name.
    """

    kind: str = ""
    values: Mapping[str, Mapping[str, float]] = field(default_factory=dict)


class PlainTrainer(Protocol):
    """A `Training` of one framework, with its model in the dtype in use.

    Attributes:
        finest: The most exact precision that the framework runs models, and keeps rates, in.
    """

    finest: str

    def use(self, dtype: str) -> None:
        """Convert the model, and what it creates, to `float32` or `float64`."""

    def start(self, weights: Mapping[str, Array]) -> None:
        """Call the user's function again, check what it returns, and load a state dict.

        Raises:
            AlignmentError: It fails, or returns what cannot be trained.
        """

    def weights(self) -> dict[str, Array]:
        """The state dict as it is now."""

    def average(self) -> dict[str, Array]:
        """A moving average; a plain training has none."""

    def nudge(self, generator: np.random.Generator | None) -> None:
        """At each later start, move coefficients such as betas by one float32 unit in the last place; None: no more.

        Paddle's kernels hold them in float32, which leaves five digits of 1 - 0.999.
        """

    def initial(self, seed: int) -> dict[str, Array]:
        """The state dict of a freshly built model, all generators seeded with this."""

    def rates(self) -> dict[str, float]:
        """Learning rate of every trained parameter at the next update, by its name."""

    def scale(self, factor: float) -> None:
        """Multiply the rates of all parameter groups."""

    def advance(self, metric: float) -> None:
        """Step the scheduler, if there is one; the metric is for those that watch one."""

    def apply(self, gradients: Mapping[str, Array]) -> None:
        """One step of the optimizer with these gradients, at the rates that it has."""

    def loss_of(self, batch: Batch, target: Batch) -> Array:
        """The user's loss of a batch in training mode with everything random off; gradients are there afterwards.

        Raises:
            AlignmentError: The loss fails, or gives no single number.
        """

    def update(self, batch: Batch, target: Batch) -> Updated:
        """One update: loss, gradients, the optimizer's step, and then the scheduler's."""

    def settings(self) -> OptimizerSettings:
        """What the optimizer says of itself."""

    def taps(self) -> Taps:
        """The modules of the model."""

    def measured_rates(self) -> set[float]:
        """Rates of dropouts and drop paths of classes whose rate no known attribute tells, measured."""


def create_plain(side: Side, runtime: Runtime, names: Mapping[str, str]) -> PlainTrainer:
    """The plain trainer of a side; its function is called when it starts.

    Args:
        side: The side, which names a training.
        runtime: How the framework is to run.
        names: Own name of an output to the name that both sides use, where they differ.
    """
    trainer = importlib.import_module(_PLAIN.format(side.framework)).create(runtime)
    trainer.prepare(side, Interface(side.takes, side.call, side.gives, names))
    return cast(PlainTrainer, trainer)


class Plain(ModelBackend):
    """The methods of `PlainTrainer` that need little of a framework; mixed into its backend.

    Attributes:
        optimizer_type: Class of the framework's optimizers.
        scheduler_types: Classes of its schedulers.
        word: Name of a package in messages: `torch.optim`.
    """

    optimizer_type: ClassVar[type | tuple[type, ...]]
    scheduler_types: ClassVar[tuple[type, ...]]
    word: ClassVar[str]
    _dtype: Any
    _side: Side
    _training: Training
    _trains: bool
    _nudges: np.random.Generator | None = None
    _calls: ClassVar[Iterator[int]] = count()
    """Seeds of calls that are measured, each another one."""

    def measured_rates(self) -> set[float]:
        """Rates of dropouts and drop paths of classes whose rate no known attribute tells, measured."""
        told = {id(one) for one in self._modules_with_rates()}
        found = drawn(self._training.model, self._given, lambda module: id(module) in told)
        return {one.rate for one in found.values()}

    def _modules_with_rates(self) -> Iterator[Any]:
        package = self.model_type.__module__.partition(".")[0]
        for _, module in modules_of(self._training.model):
            bases = [base.__name__ for base in type(module).__mro__ if base.__module__.partition(".")[0] == package]
            if rates_told(type(module).__name__, bases, vars(module)):
                yield module

    @abstractmethod
    def _given(self, module: Any, ones: Array) -> Array:
        """What a module gives for an array of ones; generators of the framework are given back."""

    def prepare(self, side: Side, interface: Interface) -> None:
        """Say whose training it is; nothing is built yet."""
        self._side = side
        self.connect(interface)

    def start(self, weights: Mapping[str, Array]) -> None:
        """Call the user's function again, check what it returns, and load a state dict."""
        dtype = "float64" if "float64" in str(self._dtype) else "float32"
        self._build(dtype)
        shapes = {name: array.shape for name, array in self.state().items()}
        problems = _differing({name: array.shape for name, array in weights.items()}, shapes)
        if problems:
            raise AlignmentError(
                f"the model of {self._side.training} is not the one that {self._side.build} makes: their tensors "
                "differ",
                problems,
            )
        self.set_state(weights)
        if self._nudges is not None:
            self._move(self._nudges)

    def nudge(self, generator: np.random.Generator | None) -> None:
        """At each later start, move coefficients such as betas by one float32 unit in the last place; None: no more."""
        self._nudges = generator

    def _move(self, generator: np.random.Generator) -> None:
        """Move the coefficients; nothing where the framework does not hand them over."""

    def _build(self, dtype: str) -> None:
        self.use(dtype)
        training = _made(self._side)
        expected = f"{self.model_type.__module__.partition('.')[0]}.nn.{self.model_type.__name__}"
        if not isinstance(training.model, self.model_type):
            raise AlignmentError(
                f"{self._side.training}: the model is a {_kind(training.model)}, expected a {expected}"
            )
        self.build(lambda: training.model, {})
        self.use(dtype)
        self._training, self._trains = training, False
        self._check_training(self._side.training)
        self._settle(training)

    def _settle(self, training: Training) -> None:
        """What is left to do once the model has its precision."""

    def _check_training(self, place: str) -> None:
        """Refuse what cannot be trained."""
        training = self._training
        if not isinstance(training.optimizer, self.optimizer_type):
            raise AlignmentError(
                f"{place}: the optimizer is a {_kind(training.optimizer)}, expected one of {self.word}, or a subclass "
                f"of {self.word}.Optimizer"
            )
        if not callable(training.loss):
            raise AlignmentError(
                f"{place}: the loss is a {_kind(training.loss)}, expected a function of outputs and target"
            )
        if training.scheduler is not None and not isinstance(training.scheduler, self.scheduler_types):
            raise AlignmentError(
                f"{place}: the scheduler is a {_kind(training.scheduler)}, expected one of {self.word}'s learning-rate "
                "schedulers, or none"
            )
        self._check_parameters(place)

    def _check_parameters(self, place: str) -> None:
        known = {id(parameter) for _, parameter in self._parameters()}
        held = [id(parameter) for parameter in self._held()]
        if self._differentiable() and not self._trained():
            raise AlignmentError(
                f"{place}: the optimizer holds none of the model's parameters; it was made for another model: give it "
                "the parameters of the very model that is returned"
            )
        foreign = sum(key not in known for key in held)
        if foreign:
            raise AlignmentError(
                f"{place}: the optimizer holds {foreign} parameters that the model does not have; give it "
                "the model's only"
            )

    def _parameters(self) -> Iterable[tuple[str, Any]]:
        """Name and tensor of every parameter of the model, each once."""
        return cast(Iterable[tuple[str, Any]], self._model.named_parameters())

    def _trained(self) -> dict[str, Any]:
        """The parameters that the optimizer updates, by name; one that it is not given stays as it is."""
        held = {id(parameter) for parameter in self._held()}
        return {name: parameter for name, parameter in self._differentiable().items() if id(parameter) in held}

    def _differentiable(self) -> dict[str, Any]:
        """The parameters that have gradients, by name."""
        raise NotImplementedError

    def _held(self) -> list[Any]:
        """The parameters that the optimizer updates."""
        raise NotImplementedError

    def weights(self) -> dict[str, Array]:
        """The state dict as it is now."""
        return self.state()

    def average(self) -> dict[str, Array]:
        """A moving average; a plain training has none."""
        return {}

    def initial(self, seed: int) -> dict[str, Array]:
        """The state dict of a freshly built model, all generators seeded with this."""
        random.seed(seed)
        np.random.seed(seed)  # the generator that a user's initialiser may draw from
        self._seed(seed)
        self._build("float32")
        return self.state()

    def _seed(self, seed: int) -> None:
        raise NotImplementedError

    def rates(self) -> dict[str, float]:
        """Learning rate of every trained parameter at the next update."""
        values = self.settings().values["rate"]
        return {name: values[name] for name in self._trained()}

    def settings(self) -> OptimizerSettings:
        """What the optimizer says of itself."""
        raise NotImplementedError

    def loss_of(self, batch: Batch, target: Batch) -> Array:
        """The user's loss of a batch in training mode; gradients are there afterwards."""
        if not self._trains:
            self.train(True)
            self._trains = True
        loss, arrays = self._training.loss, named(batch)
        tensors = {name: self._tensor(array) for name, array in arrays.items()}
        wanted = (
            self._wanted(target)
            if not isinstance(target, Mapping)
            else {name: self._wanted(array) for name, array in target.items()}
        )
        further = [wanted, next(iter(tensors.values())) if list(tensors) == [""] else tensors]
        arguments = further[: _arity(loss) - 1]

        def criterion(outputs: Any) -> Any:
            with targets.user_code(f"the loss of {self._side.training} fails"):
                value = loss(outputs, *arguments)
            if not self._is_tensor(value) or int(np.prod(value.shape)) != 1:
                what = f"a tensor of shape {tuple(value.shape)}" if self._is_tensor(value) else f"a {_kind(value)}"
                raise AlignmentError(
                    f"the loss of {self._side.training} gives {what}, expected one number: a mean or a sum over the "
                    "batch"
                )
            return value.reshape(())

        return self.differentiate(batch, criterion)

    def _wanted(self, target: Array) -> Any:
        """The tensor of a target that the user's loss is given."""
        return self._tensor(target)

    def update(self, batch: Batch, target: Batch) -> Updated:
        """One update: loss, gradients, the optimizer's step, and then the scheduler's."""
        loss = float(self.loss_of(batch, target))
        gradients = [self._gradient(parameter) for parameter in self._trained().values()]
        norm = float(np.sqrt(sum(float((gradient.astype(np.float64) ** 2).sum()) for gradient in gradients)))
        rate = usual(self.rates().values())
        self._training.optimizer.step()
        self.advance(loss)
        return Updated(loss, rate, norm)

    def advance(self, metric: float) -> None:
        """Step the scheduler, if there is one."""
        raise NotImplementedError


def usual(values: Iterable[float]) -> float:
    """The number that most of some are; the first of several."""
    counts: dict[float, int] = {}
    for value in values:
        counts[value] = counts.get(value, 0) + 1
    return max(counts, key=lambda value: counts[value], default=0.0)


def _made(side: Side) -> Training:
    """What the user's function returns, called without arguments or with the options of the side."""
    function = targets.resolve(side.training)
    arguments = next((options for options in (dict(side.options), {}) if _binds(function, options)), None)
    if arguments is None:
        raise AlignmentError(
            f"{side.training} takes arguments; in a pair with rules it is a function without any that returns a "
            f"{_RETURNS}"
        )
    with targets.user_code(f"{side.training} fails"):
        training = function(**arguments)
    if not isinstance(training, Training):
        raise AlignmentError(f"{side.training} returned a {_kind(training)}, expected a {_RETURNS}")
    return training


def _binds(function: Callable[..., Any], arguments: Mapping[str, Any]) -> bool:
    try:
        inspect.signature(function).bind(**arguments)
    except (TypeError, ValueError):
        return False
    return True


def _arity(loss: Callable[..., Any]) -> int:
    """The number of arguments that a loss has to be given, from 1 to 3; 2 where it does not say."""
    try:
        parameters = inspect.signature(getattr(loss, "forward", loss)).parameters.values()
    except (TypeError, ValueError):  # a builtin
        return 2
    places = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    required = [one for one in parameters if one.kind in places and one.default is inspect.Parameter.empty]
    return len(required) if 1 <= len(required) <= 3 else 2


def _kind(value: object) -> str:
    kind = type(value)
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"


def _differing(given: Mapping[str, tuple[int, ...]], own: Mapping[str, tuple[int, ...]]) -> list[str]:
    lines = [f"{name}: only in that of training" for name in own if name not in given]
    lines += [f"{name}: not in that of training" for name in given if name not in own]
    return lines + [
        f"{name}: shape {own[name]} in that of training, {shape} in the other"
        for name, shape in given.items()
        if name in own and tuple(own[name]) != tuple(shape)
    ]

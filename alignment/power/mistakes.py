"""What a planted mistake is, what it is planted into, and how the attribute of a module is changed and given back."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property
from types import new_class
from typing import Any, TypeAlias

from alignment.arrays import Array
from alignment.backends.base import Module, Taps
from alignment.running.worker import Job
from alignment.steps import Trial

_ABSENT = object()


class Witness:
    """Whether the model came by what was changed while it ran."""

    def __init__(self) -> None:
        self.reached = False

    def see(self) -> None:
        """Note that it did."""
        self.reached = True


Plant: TypeAlias = Callable[[Trial, ExitStack, Witness], Trial]
"""Plants a mistake: what it changes is given back when the stack is left. Returns the trial to run."""


@dataclass(frozen=True)
class Mistake:
    """A mistake that can be planted into a candidate.

    Attributes:
        kind: Its kind; one of each kind is planted into a module.
        path: The candidate's module or tensor, the input or the function; empty for the whole model.
        says: What is wrong, in words.
        plant: Plants it.
        of: Class of the module; empty where it is in none.
        needs: What the inputs would have to hold for it to be noticed; empty where that is not known.
        first: The step to run first, since it is the one that notices such a mistake, if any does.
    """

    kind: str
    path: str
    says: str
    plant: Plant = field(repr=False)
    of: str = ""
    needs: str = ""
    first: str = ""


@dataclass(frozen=True, slots=True)
class Passed:
    """What was seen of a module in one forward pass.

    Attributes:
        same_shape: Whether it takes one floating-point tensor and returns one of the same shape.
        identity: Whether that is the very same numbers.
    """

    same_shape: bool
    identity: bool


@dataclass(frozen=True)
class Subject:
    """The candidate that mistakes are planted into.

    Attributes:
        job: The candidate, its model built and loaded.
        trial: The trial of the proof, in the precision that is judged.
        taps: The modules, as objects and to change what they return.
        modules: What they are, by path; that of the model itself is empty.
        passed: What was seen of the modules that one forward pass called, by path.
        tied: First name of every tensor of the state dict to all of its names.
    """

    job: Job
    trial: Trial
    taps: Taps
    modules: Mapping[str, Module]
    passed: Mapping[str, Passed]
    tied: Mapping[str, tuple[str, ...]]

    @cached_property
    def parameterised(self) -> tuple[str, ...]:
        """Paths of the modules that hold a parameter themselves."""
        buffers = self.job.backend.buffers()
        return tuple(path for path, module in self.modules.items() if {*module.parameters} - buffers)

    @property
    def training(self) -> str:
        """The step that runs the model in training mode."""
        return "batchnorm" if self.job.pair.architecture.statistics else "train_mode"

    def with_weight(self, name: str, make: Callable[[], Array]) -> Plant:
        """Plant what `make` returns for a tensor of the state dict, under all of its names."""

        def plant(trial: Trial, _: ExitStack, witness: Witness) -> Trial:
            witness.see()
            return replace(trial, weights={**trial.weights, **dict.fromkeys(self.tied.get(name, (name,)), make())})

        return plant

    def with_attributes(self, path: str, values: Mapping[str, Any], *, watched: bool = True) -> Plant:
        """Plant other values of attributes of a module, by their own names.

        Args:
            path: The module.
            values: Attribute to its wrong value.
            watched: Whether the mistake counts only if the first attribute is read while the model runs.
        """

        def plant(trial: Trial, stack: ExitStack, witness: Witness) -> Trial:
            module = self.taps.objects[path]
            stack.enter_context(_attributes(module, values))
            if watched:
                stack.enter_context(_read(module, next(iter(values)), witness))
            else:
                witness.see()
            return trial

        return plant

    def with_output(self, path: str, change: Callable[[Any, Any], Any], *, of_input: bool = False) -> Plant:
        """Plant another output of a module.

        Args:
            path: The module.
            change: Given the tensors that go in by position and one that comes out, returns what takes its place.
            of_input: Whether it needs a tensor that goes in; the output stays as it is where there is none.
        """

        def plant(trial: Trial, stack: ExitStack, witness: Witness) -> Trial:
            def changed(given: Any, output: Any) -> Any:
                if of_input and not given:
                    return output
                witness.see()
                return change(given, output)

            stack.enter_context(self.taps.changed(path, changed))
            return trial

        return plant


@contextmanager
def _attributes(module: Any, values: Mapping[str, Any]) -> Iterator[None]:
    """Give attributes of an object other values."""
    before = {name: vars(module).get(name, _ABSENT) for name in values}
    try:
        for name, value in values.items():
            setattr(module, name, value)
        yield
    finally:
        for name, value in before.items():
            if value is _ABSENT:
                delattr(module, name)
            else:
                setattr(module, name, value)


@contextmanager
def _read(module: Any, name: str, witness: Witness) -> Iterator[None]:
    """Watch whether an attribute is read: the object is of a class in between, in which it is a property."""
    own = type(module)

    def get(self: Any) -> Any:
        witness.see()
        return vars(self)[name]

    def put(self: Any, value: Any) -> None:
        vars(self)[name] = value

    namespace = {name: property(get, put), "__module__": own.__module__, "__qualname__": own.__qualname__}
    try:
        module.__class__ = new_class(own.__name__, (own,), exec_body=lambda body: body.update(namespace))
    except TypeError:  # a class of another layout: whether it is read is not known
        witness.see()
        yield
        return
    try:
        yield
    finally:
        module.__class__ = own

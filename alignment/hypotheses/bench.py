"""What hypotheses about functions are given: a module of the candidate that can be run with something changed."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeAlias, runtime_checkable

from alignment.arrays import Array
from alignment.backends.functions.calls import Answer, Arrays, FunctionCall

Answers: TypeAlias = Callable[[FunctionCall, Arrays], Answer]


class OutOfTimeError(Exception):
    """The time for trials on one module is over."""


@dataclass(frozen=True, slots=True)
class Result:
    """What a module gave.

    Attributes:
        outputs: The tensors that it returned.
        extra: Its gradients, as in `Case.extra`, where these differ.
    """

    outputs: tuple[Array, ...]
    extra: Mapping[str, Array] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Weight:
    """A tensor of a Linear of the candidate.

    Attributes:
        path: The Linear.
        array: Its values.
        axis: The axis that the outputs have.
    """

    path: str
    array: Array
    axis: int


class Bench(Protocol):
    """A module of the candidate, run alone on the reference's inputs and weights."""

    @property
    def calls(self) -> Sequence[FunctionCall]:
        """The calls of functions in one run, in order."""

    @property
    def weights(self) -> Mapping[str, Weight]:
        """The tensors of the Linears within the module, by name."""

    @property
    def tensors(self) -> Mapping[str, Array]:
        """All floating-point tensors within the module, by name; none where it is not known which of them matter."""

    def run(self, answers: Answers | None = None, weights: Mapping[str, Array] | None = None) -> Result:
        """What the module gives with other answers of functions, or with other weights.

        Raises:
            OutOfTimeError: The time for trials is over.
        """


@runtime_checkable
class Adjustable(Protocol):
    """A module of the candidate whose plain attributes and whose calls of modules can be changed for a run."""

    def run_with(self, settings: Mapping[str, Any]) -> Result:
        """What the module gives with other values of these attributes.

        Args:
            settings: Name of each, without the underscore that it may start with, to its value.

        Raises:
            OutOfTimeError: The time for trials is over.
        """

    def run_instead(self, path: str, call: int, other: str) -> Result:
        """What the module gives if another module in it takes a call of one.

        Args:
            path: The module that is called, by its path within this one.
            call: Number of its calls before this one, in a run.
            other: The module that is called instead.

        Raises:
            OutOfTimeError: The time for trials is over.
        """


@runtime_checkable
class Nested(Protocol):
    """A module of the candidate with modules in it that are right by themselves."""

    @property
    def ends(self) -> Sequence[FunctionCall]:
        """The last call of a function within each module that is right by itself: what that module gives."""


def ends(bench: object) -> Sequence[FunctionCall]:
    """The calls that make what the modules give which are right by themselves; none where it is not known."""
    return bench.ends if isinstance(bench, Nested) else ()

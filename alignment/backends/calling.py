"""How a model is called with named arrays, what its outputs are called, and what is said where a call fails."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Container, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from alignment.arrays import Array, Batch
from alignment.errors import AlignmentError
from alignment.pair.outputs import LOGITS, nameless
from alignment.user_code import message_of, place_of
from porting.names import did_you_mean, nearest

ONLY = ""
"""Name of the input of a model that is given one array."""
_BY_NAME = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
_OF_INDICES = re.compile(
    r"\b(indices|embedding|index_select|lookup_table\w*|gather|scalar types: Long)\b", re.IGNORECASE
)
"""What frameworks say of floating-point numbers where a table is looked up."""
_OF_SHAPES = (RuntimeError, ValueError, IndexError, AssertionError)
"""Errors that frameworks and models raise for an input of a wrong shape."""
_ALIKE = 0.85
"""Similarity of two names, from 0 to 1, above which one is taken for a misspelling of the other."""


@dataclass(frozen=True)
class Interface:
    """How one side's model is called, and which of its outputs count; see the attributes of `alignment.pair.Side`.

    Attributes:
        takes: Argument of the model to input of the pair, where the names differ; None for one that is left out.
        call: Further keyword arguments of every call.
        gives: The outputs that count: their names, or own name to common name; empty for all.
        names: Own name of an output to the name that both sides use, where they were found to differ; a name that is
            not there is no error.
        single: Whether the model has to give one tensor and nothing else.
        declared: Whether a pair says what the inputs are; False where they were given without one.
    """

    takes: Mapping[str, str | None] = field(default_factory=dict)
    call: Mapping[str, Any] = field(default_factory=dict)
    gives: Sequence[str] | Mapping[str, str] = ()
    names: Mapping[str, str] = field(default_factory=dict)
    single: bool = False
    declared: bool = True

    def arguments(self, tensors: Mapping[str, Any], function: Callable[..., Any]) -> tuple[list[Any], dict[str, Any]]:
        """Positional and keyword arguments of a call.

        Args:
            tensors: Input of the pair to tensor; one of the name `ONLY` is the first positional argument.
            function: What is called, for its argument names.

        Raises:
            AlignmentError: It takes no argument of some name, or `takes` names no input.
        """
        if ONLY in tensors:
            _check_names(self.call, function, ())
            return [tensors[ONLY]], dict(self.call)
        renamed = {argument: name for argument, name in self.takes.items() if name is not None}
        for argument, name in renamed.items():
            if name not in tensors:
                raise AlignmentError(
                    f"takes={{{argument!r}: {name!r}}} names no input of the pair{did_you_mean(name, tensors)}",
                    [f"the pair's inputs: {', '.join(tensors)}"],
                )
        left_out = {*renamed.values(), *self.takes.keys() - renamed.keys()}
        every = [*renamed.items(), *((name, name) for name in tensors if name not in left_out)]
        places = list(tensors)  # the order is the pair's on both sides, so that taps of the models match
        own = dict(sorted(every, key=lambda item: places.index(item[1])))
        _check_names(own, function, self.call)
        _check_names(self.call, function, own)
        return [], {**{argument: tensors[name] for argument, name in own.items()}, **self.call}

    def outputs(self, leaves: Mapping[str, Any]) -> dict[str, Any]:
        """The outputs that count, by the names that both sides use.

        Args:
            leaves: Own name to tensor; the empty name for a model that gives one tensor.

        Raises:
            AlignmentError: `gives` names an output that is not there.
        """
        leaves = {LOGITS: leaves[""]} if "" in leaves else dict(leaves)
        chosen = {name: leaves[own] for own, name in self._chosen(leaves).items()}
        return {self.names.get(name, name): leaf for name, leaf in chosen.items()}

    def _chosen(self, leaves: Mapping[str, Any]) -> Mapping[str, str]:
        """Own name to name of the outputs that `gives` chooses."""
        if not self.gives:
            return {name: name for name in leaves}
        if isinstance(self.gives, Mapping):
            chosen = dict(self.gives)
        elif nameless(leaves) and not set(self.gives) <= set(leaves):  # names for what has only places
            chosen = dict(zip(leaves, self.gives, strict=False))
            chosen |= {name: name for name in self.gives[len(leaves) :]}
        else:
            chosen = {name: name for name in self.gives}
        for own in chosen:
            if own not in leaves:
                there = ", ".join(leaves)
                raise AlignmentError(
                    f"gives names the output {own!r}, which the model does not give{did_you_mean(own, leaves)}",
                    [f"it gives: {there}"],
                )
        return chosen


def failed(
    error: Exception,
    what: str,
    given: Mapping[str, Array],
    function: Callable[..., Any],
    *,
    declared: bool = True,
) -> AlignmentError:
    """The error of a model that raised one: its own message, what it was given, and the line of the user's code.

    Args:
        error: What was raised.
        what: What failed, with the side's framework: `the torch model fails in forward`.
        given: The arrays of the call, by input; none for a builder.
        function: What was called, for the names of its arguments.
        declared: Whether a pair says what shape the input has.
    """
    details = [f"given {form(given)}"] if given else []
    half = any(array.dtype.itemsize == 2 for array in given.values())  # which few kernels of a CPU have
    if declared and set(given) == {ONLY} and isinstance(error, _OF_SHAPES) and not half:
        shape = given[ONLY].shape[1:]
        details[0] += f", as input_shape={shape} of the pair says: " + (
            "it wants whole numbers; say below which: tokens=30522"
            if given[ONLY].dtype.kind == "f" and _OF_INDICES.search(str(error))
            else "if the model refuses this shape, change it there"
        )
    arguments = names_of(function)[0]
    if arguments:
        details.append(f"it takes: {', '.join(arguments)}")
    return AlignmentError(f"{what}: {message_of(error)}", [*details, *place_of(error)])


def form(batch: Batch) -> str:
    """Names, dtypes and shapes of a batch in words: `input_ids int64 (4, 128), pixel_values float32 (4, 3, 8, 8)`."""
    arrays = batch if isinstance(batch, Mapping) else {ONLY: batch}
    return ", ".join(f"{name} {array.dtype.name} {array.shape}".strip() for name, array in arrays.items())


def names_of(function: Callable[..., Any]) -> tuple[list[str], bool]:
    """Names of the arguments that a function takes by name, and whether it takes any others; ([], True) if unknown."""
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):  # a builtin that does not say what it takes
        return [], True
    by_name = [parameter.name for parameter in parameters if parameter.kind in _BY_NAME]
    return by_name, any(parameter.kind is inspect.Parameter.VAR_KEYWORD for parameter in parameters)


def _check_names(wanted: Mapping[str, Any], function: Callable[..., Any], others: Container[str]) -> None:
    """Refuse an argument that a function does not take.

    A function that takes any keyword, as many models do to pass them on, is refused only one that looks like an
    argument of its own that is not given otherwise: it would be swallowed without a word.
    """
    known, anything = names_of(function)
    free = [name for name in known if name not in wanted and name not in others]
    for name in wanted:
        close = nearest(name, free) if anything else []
        if name in known or (anything and not (close and alike(name, close[0]))):
            continue
        raise AlignmentError(
            f"forward takes no argument {name!r}{did_you_mean(name, free)}",
            [f"it takes: {', '.join(known)}", f"a side that calls an input otherwise says so: takes={{'x': {name!r}}}"],
        )


def alike(name: str, other: str) -> bool:
    """Whether two names are so similar that one looks like a misspelling of the other."""
    from difflib import SequenceMatcher  # needed for errors only

    return SequenceMatcher(None, name, other).ratio() > _ALIKE

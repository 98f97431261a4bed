"""Checks the types of what a user passes to `Side` and `Pair`, so that a wrong one is told as such."""

from __future__ import annotations

from collections.abc import Mapping
from numbers import Integral
from typing import Any

from alignment.errors import AlignmentError

_EXAMPLES: Mapping[str, tuple[tuple[type, ...], str]] = {
    "framework": ((str,), '"torch"'),
    "build": ((str,), '"my_model.py:create"'),
    "function": ((str,), '"my_functions.py:attention"'),
    "training": ((str,), '"my_pair.py:train_reference"'),
    "layout": ((str,), '"canonical"'),
    "options": ((Mapping,), '{"depth": 12}'),
    "takes": ((Mapping,), '{"x": "input_ids"}'),
    "call": ((Mapping,), '{"use_cache": False}'),
    "gives": ((str, list, tuple, Mapping), '("logits",)'),
    "name": ((str,), '"my_model"'),
    "input_shape": ((list, tuple), "(3, 64, 64)"),
    "tokens": ((Integral,), "30522"),
    "paths": ((Mapping,), '{"layer1": "stage1"}'),
    "inputs": ((Mapping,), '{"input_ids": Tokens(30522, (128,))}'),
    "rules": ((str, list, tuple), '"auto"'),
    "weights": ((str,), '"my_model.pth"'),
}
"""Argument to the types that it may have, and an example."""


def require_types(owner: str, values: Mapping[str, Any]) -> None:
    """Check the types of arguments.

    Args:
        owner: What they describe, the beginning of the message: `the torch side`.
        values: The arguments by name; those that have no expected type are left out.

    Raises:
        AlignmentError: One has a type that it cannot have; the message has an example.
    """
    for name, (types, example) in _EXAMPLES.items():
        if name in values and not isinstance(values[name], types):
            raise AlignmentError(f"{owner}: {name} is {_shown(values[name])}, expected such as {name}={example}")
    for length in values.get("input_shape", ()):
        if not isinstance(length, Integral):
            raise AlignmentError(f"{owner}: input_shape holds {_shown(length)}, expected integers: (3, 64, 64)")


def _shown(value: Any) -> str:
    """A value in an error; a function or class is one, since it has to be named for the process that runs it."""
    if callable(value):
        return f"the {type(value).__name__} {getattr(value, '__name__', '')} itself and not its name in a text"
    return f"{value!r:.60}"

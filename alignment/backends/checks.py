"""Checks and small changes of what backends are given: weight files, outputs, precisions, modules that draw."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from alignment.arrays import Array, is_floating
from alignment.errors import AlignmentError

_RANDOM = re.compile(r"Drop|StochasticDepth")


def draws_at_random(module: object) -> bool:
    """Whether a module without children draws in training mode: a dropout or drop path, by its class's name."""
    return is_random(type(module).__name__)


def is_random(kind: str) -> bool:
    """Whether a class of this name is a dropout or drop path."""
    return _RANDOM.search(kind) is not None


def check_state(file: Path, shapes: Mapping[str, tuple[int, ...]], expected: Mapping[str, tuple[int, ...]]) -> None:
    """Refuse a weight file that is not exactly the model's.

    Args:
        file: For the message.
        shapes: Names and shapes in the file.
        expected: Names and shapes of the model.

    Raises:
        AlignmentError: With every mismatch.
    """
    details = [f"{name}: missing in the file" for name in expected if name not in shapes]
    details += [f"{name}: not in the model" for name in shapes if name not in expected]
    details += [
        f"{name}: shape {shapes[name]} in the file, {shape} in the model"
        for name, shape in expected.items()
        if name in shapes and tuple(shapes[name]) != tuple(shape)
    ]
    if details:
        raise AlignmentError(f"{file}: the weights do not fit the model that was built", details)


def one_output(logits: object, expected: type) -> None:
    """Refuse a model whose output is not one tensor.

    Raises:
        AlignmentError: With what came instead.
    """
    if not isinstance(logits, expected):
        raise AlignmentError(
            f"the model returned a {type(logits).__name__} in evaluation mode, expected one tensor of logits; "
            "wrap it in a builder that returns them"
        )


def widen(values: Mapping[str, Array], dtype: str) -> dict[str, Array]:
    """The arrays with every floating-point one in this dtype."""
    return {name: array.astype(dtype, copy=False) if is_floating(array) else array for name, array in values.items()}

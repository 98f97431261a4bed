"""Scores of an attention: their scale, and the mask that keeps tokens from seeing later ones."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from alignment.arrays import Array
from alignment.backends.functions.calls import FunctionCall
from alignment.hypotheses.arithmetic import softmax
from alignment.hypotheses.calls.sites import Alternative, Table


def _scales(call: FunctionCall) -> Iterator[Alternative]:
    """Predict a product of queries and keys that is scaled otherwise."""
    if len(call.takes) != 2 or min(len(shape) for shape in call.takes) < 3 or len(call.gives[0]) < 3:
        return
    size = call.takes[0][-1]
    sizes = list(dict.fromkeys((size, *call.takes[0][1:], *(size * heads for heads in call.takes[0][1:-1]))))
    factors = dict(_powers(size))
    for first in sizes:
        for second in sizes:
            words = f"it is scaled by 1 / sqrt({first}), not 1 / sqrt({second}): multiply by {second} ** -0.5 instead"
            factors.setdefault((first / second) ** 0.5, words)
    for number in sizes:
        for factor, words in _powers(number):
            factors.setdefault(factor, words)
    factors.pop(1.0, None)
    for factor, words in factors.items():
        says = f"of its products (queries with keys), {words}"
        yield Alternative("attention scale", says, lambda _, returned, factor=factor: [returned[0] * factor])


def _powers(number: int) -> Iterator[tuple[float, str]]:
    """Yield powers of a number, and which mistake has to be multiplied by one to be undone."""
    root = f"sqrt({number})"
    yield number**-0.5, f"it lacks the scale 1 / {root}: multiply the product by {number} ** -0.5"
    yield number**0.5, f"it is divided by {root} once too often: leave one of them out"
    yield 1 / number, f"it lacks the scale 1 / {number}: divide the product by {number}"
    yield float(number), f"it is divided by {number} too much: leave that out"
    yield number**-0.25, f"it lacks the scale 1 / sqrt({root})"


def _lost_mask(call: FunctionCall) -> Iterator[Alternative]:
    """Predict scores of which those of later tokens are not masked."""
    if len(call.takes[0]) < 3 or call.takes[0][-1] != call.takes[0][-2]:
        return

    def masked(given: Sequence[Array], _: Sequence[Array]) -> list[Array]:
        return [softmax(np.where(np.tri(given[0].shape[-1], dtype=bool), given[0], -np.inf))]

    says = "no causal mask is applied: tokens see those after them"
    yield Alternative("causal mask", says, masked)


SCORES: Table = {"softmax": (_lost_mask,), **dict.fromkeys(("matmul", "bmm", "einsum"), (_scales,))}
"""Name of a function to its calls with scores that are scaled or masked otherwise."""

"""Scores of an attention: their scale, and the mask that keeps tokens from seeing later ones."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from alignment.arrays import Array
from alignment.backends.functions.calls import FunctionCall
from alignment.hypotheses.arithmetic import softmax
from alignment.hypotheses.calls.sites import Alternative, Table
from alignment.hypotheses.calls.windows import OUT, missing_windows, other_windows, unmasked


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

    says = "no causal mask is applied, or one that is too weak: tokens see those after them"
    yield Alternative("causal mask", says, masked)


def _raw_mask(call: FunctionCall) -> Iterator[Alternative]:
    """Predict scores of which a mask of ones and zeros takes some out, which is added or multiplied as it is."""
    if len(call.takes) != 2 or len(call.gives[0]) < 3 or call.takes[0] != call.gives[0]:
        return
    done = "added to" if call.name == "add" else "multiplied with"
    for kept, words in ((1, "zero"), (0, "one")):

        def out(given: Sequence[Array], returned: Sequence[Array], kept: int = kept) -> list[Array]:
            scores, mask = given
            if not np.isin(mask, (0, 1)).all():
                return [*returned]
            return [np.where(mask == kept, scores, scores + OUT)]

        says = f"its mask of ones and zeros is {done} the scores as it is: take out the scores where it is {words}, "
        yield Alternative("mask of ones and zeros", f"{says}by masked_fill or by adding -1e9 there", out)


def _turned_mask(call: FunctionCall) -> Iterator[Alternative]:
    """Predict scores from which the others are taken out than those that a sum or a choice takes out."""
    if not call.takes or len(call.gives[0]) < 3:
        return

    def turned(given: Sequence[Array], returned: Sequence[Array]) -> list[Array]:
        scores, out = unmasked(given, returned)
        return [np.where(out, scores, scores + OUT)] if out.any() else [*returned]

    says = "its mask takes out the scores that are to be kept, and keeps the others: turn the mask around"
    yield Alternative("turned mask", says, turned)


SCORES: Table = {
    "softmax": (_lost_mask, missing_windows),
    "add": (_raw_mask, _turned_mask, other_windows),
    "multiply": (_raw_mask,),
    **dict.fromkeys(("where", "masked_fill"), (_turned_mask, other_windows)),
    **dict.fromkeys(("matmul", "bmm", "einsum"), (_scales,)),
}
"""Name of a function to its calls with scores that are scaled or masked otherwise."""

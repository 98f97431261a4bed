"""A factor of a loss, or of another output of few numbers, that is left out, is another one, or is one too many.

So few numbers are explained by some factor at any place. A factor counts only where somebody may have written it: one
of two digits, or the number of elements that a function puts together.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from alignment.arrays import Array
from alignment.backends.functions.calls import FunctionCall
from alignment.hypotheses.base import FITTED, Case, Prediction, distance
from alignment.hypotheses.bench import Bench, Result
from alignment.hypotheses.calls.sites import Alternative, attempted, groups, where

_SITES = frozenset(
    (
        *("sum", "mean", "max", "min", "amax", "amin", "norm", "var", "std", "logsumexp", "cosine_similarity"),
        *("add", "subtract", "multiply", "divide", "exp", "log", "square", "pow", "sqrt", "matmul", "log_softmax"),
        *("cross_entropy", "mse_loss", "l1_loss", "smooth_l1_loss", "kl_div", "ctc_loss", "binary_cross_entropy"),
        *("binary_cross_entropy_with_logits", "triplet_margin_loss", "cosine_embedding_loss", "margin_ranking_loss"),
    )
)
_SUMS = {"add": "+", "subtract": "-"}
_EXACT = 1e-9
"""Relative distance of a fitted factor from the one that somebody wrote, and of each output from the reference's."""
_LARGEST = 100
"""Whole numbers up to this one are factors that somebody may have written."""
_MOST = 64
"""Places that are tried."""


@dataclass(frozen=True)
class _Site:
    """Something that a factor may belong to.

    Attributes:
        what: Its name, in a sentence.
        scaled: What a call returns with a factor there, of what it was given and what it returned.
    """

    what: str
    scaled: Callable[[Sequence[Array], Array, float], Array]


def scaled_numbers(case: Case, bench: Bench) -> Iterator[Prediction]:
    """Yield what a module gives with a factor somewhere before outputs that differ in few numbers.

    Raises:
        OutOfTimeError: The time for trials is over.
    """
    places = _differing(case)
    if not places:
        return
    alike = groups([call for call in bench.calls if call.name in _SITES and len(call.gives) == 1])
    sites = [calls for calls in alike if len({(call.place, call.span) for call in calls}) == 1]
    for calls in sites[: -_MOST - 1 : -1]:  # the last one first: of a chain of products each has the same factor
        for site in _sites(calls[0]):
            fit = _factor(case, bench, calls, site, places)
            if fit is not None and _is_written(fit[0], calls[0]):
                says = f"{site.what} is to be {_words(fit[0])}"
                yield Prediction("factor", says, where(case, calls), fit[1].outputs, case.found, case.expected)


def _differing(case: Case) -> list[int]:
    """The outputs that differ; none where they differ in many numbers, or in one whose digits do not tell a factor."""
    pairs = list(zip(case.expected, case.found, strict=False))
    if len(case.expected) != len(case.found) or any(a.shape != b.shape for a, b in pairs):
        return []
    if any(array.dtype != np.float64 or not np.isfinite(array).all() for pair in pairs for array in pair):
        return []
    places = [at for at, (a, b) in enumerate(pairs) if distance([b], [a]) > _EXACT]
    return places if 0 < sum(pairs[at][0].size for at in places) < 2 * FITTED else []


def _sites(call: FunctionCall) -> Iterator[_Site]:
    yield _Site(f"what its {call.name} gives", lambda _, returned, factor: returned * factor)
    if call.name in _SUMS and len(call.takes) == 2:
        for at, side in enumerate(("left", "right")):
            sign = -1.0 if (call.name, at) == ("subtract", 1) else 1.0

            def scaled(
                given: Sequence[Array], returned: Array, factor: float, at: int = at, sign: float = sign
            ) -> Array:
                return returned + sign * (factor - 1) * given[at]

            yield _Site(f"the {side} side of its '{_SUMS[call.name]}'", scaled)


def _factor(
    case: Case, bench: Bench, calls: Sequence[FunctionCall], site: _Site, places: Sequence[int]
) -> tuple[float, Result] | None:
    """The factor with which the module gives what the reference's gives, where its outputs are linear in that."""

    def run(factor: float) -> Result | None:
        def answer(given: Sequence[Array], returned: Sequence[Array]) -> list[Array]:
            return [site.scaled(given, returned[0], factor).astype(returned[0].dtype)]

        result = attempted(bench, calls, Alternative("", "", answer))
        same = result is not None and [array.shape for array in result.outputs] == [a.shape for a in case.expected]
        return result if same else None

    def flat(arrays: Sequence[Array]) -> Array:
        return np.concatenate([np.ravel(arrays[at]) for at in places])

    probe = run(2.0)
    if probe is None:
        return None
    start = flat(case.found)
    slope = flat(probe.outputs) - start
    power = float(slope @ slope)
    factor = 1 + float(slope @ (flat(case.expected) - start)) / power if power and math.isfinite(power) else 1.0
    result = run(factor) if abs(factor - 1) > _EXACT else None
    if result is None:
        return None
    near = all(distance([own], [right]) <= _EXACT for own, right in zip(result.outputs, case.expected, strict=True))
    return (factor, result) if near else None


def _is_written(factor: float, call: FunctionCall) -> bool:
    """True for a factor of two digits or one over such a one, and for the number of elements of a mean, or over it."""
    if abs(factor) < _EXACT:
        return True
    sizes = {math.prod(shape) for shape in (*call.takes, *call.gives)} | {n for shape in call.takes for n in shape}
    ratios = {a / b for a in sizes for b in sizes if b}
    numbers = (factor, 1 / factor)
    return any(
        _is(value, float(f"{value:.2g}")) or (abs(value) <= _LARGEST and _is(value, round(value))) for value in numbers
    ) or any(_is(abs(value), ratio) for value in numbers for ratio in ratios)


def _is(value: float, other: float) -> bool:
    return abs(value - other) <= _EXACT * abs(value)


def _words(factor: float) -> str:
    if abs(factor) < _EXACT:
        return "left out"
    as_factor, as_divisor = f"{factor:.10g}", f"{1 / factor:.10g}"
    return f"divided by {as_divisor}" if len(as_divisor) < len(as_factor) else f"multiplied by {as_factor}"

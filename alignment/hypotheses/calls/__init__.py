"""Mistakes that sit in functions which a module calls: it is run again with one call answered as it should be.

What the module gives then becomes what the reference's gives, down to rounding, or the hypothesis is wrong. The answer
is computed with NumPy from what the function was given, so that it is the same for all frameworks.
"""

from __future__ import annotations

from collections.abc import Iterator

from alignment.hypotheses.base import Case, Prediction
from alignment.hypotheses.bench import OutOfTimeError, ends
from alignment.hypotheses.calls.again import other_arguments
from alignment.hypotheses.calls.arguments import ARGUMENTS
from alignment.hypotheses.calls.attention import SCORES
from alignment.hypotheses.calls.few_numbers import scaled_numbers
from alignment.hypotheses.calls.fitted import fitted
from alignment.hypotheses.calls.fourier import FOURIERS
from alignment.hypotheses.calls.gradients import stopped
from alignment.hypotheses.calls.idle import idle_parts
from alignment.hypotheses.calls.loops import in_another_order
from alignment.hypotheses.calls.losses import LOSSES
from alignment.hypotheses.calls.operations import AFTER, MISSING, OPERATIONS
from alignment.hypotheses.calls.orders import ORDERS
from alignment.hypotheses.calls.pooling import POOLINGS
from alignment.hypotheses.calls.reductions import REDUCTIONS
from alignment.hypotheses.calls.regrouping import regrouped
from alignment.hypotheses.calls.resizing import RESIZES
from alignment.hypotheses.calls.sites import tried
from alignment.hypotheses.calls.slices import SLICES
from alignment.hypotheses.calls.weights import reordered

__all__ = ["trials"]

_TABLES = (ARGUMENTS, POOLINGS, RESIZES, SCORES, LOSSES, ORDERS, SLICES, FOURIERS)
_SMOOTH = (REDUCTIONS, OPERATIONS)


def trials(case: Case) -> Iterator[Prediction]:
    """Yield what the module gives with each of its functions answered in another way."""
    bench = case.bench() if case.bench is not None and case.expected else None
    if bench is None:
        return
    try:
        if case.finding.direction == "backward":
            yield from stopped(case, bench)
            return
        for table in _TABLES:
            yield from tried(case, bench, table)
        yield from other_arguments(case, bench)
        yield from in_another_order(case, bench)
        for table in _SMOOTH:
            yield from tried(case, bench, table, smooth=True)
        yield from regrouped(case, bench)
        yield from reordered(case, bench)
        yield from idle_parts(case, bench)
        yield from fitted(case, bench)
        yield from scaled_numbers(case, bench)
        yield from tried(case, bench, MISSING, smooth=True)
        within = dict.fromkeys([call.name for call in ends(bench)], AFTER)
        yield from tried(case, bench, within, smooth=True, calls=ends(bench))
    except OutOfTimeError:
        return

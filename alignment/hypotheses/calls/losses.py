"""Losses within a model: which elements count."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from alignment.arrays import Array
from alignment.backends.functions.calls import FunctionCall
from alignment.hypotheses.calls.sites import Alternative, Table

_MOST = 40


def _entropy(call: FunctionCall) -> Iterator[Alternative]:
    """Predict a cross entropy of integer labels that leaves out another label, or divides by another number."""
    if len(call.takes) != 2 or call.setting("reduction", "mean") != "mean":
        return
    own = int(call.number("ignore_index", -100))

    def mean(given: Sequence[Array], left_out: int, *, all_count: bool) -> list[Array]:
        logits, labels = given[0].reshape(-1, given[0].shape[-1]), given[1].reshape(-1)
        counts = labels != left_out
        logs = logits - logits.max(-1, keepdims=True)
        logs = logs - np.log(np.exp(logs).sum(-1, keepdims=True))
        losses = -np.take_along_axis(logs, np.where(counts, labels, 0)[:, None], -1)[:, 0]
        return [np.asarray((losses * counts).sum() / (counts.size if all_count else max(1, counts.sum())))]

    says = (
        f"its mean divides by all labels, also those that are left out (ignore_index={own}; Paddle does so where that "
    )
    says += "is negative): divide the sum by the number of the others"
    yield Alternative("ignored labels in the mean", says, lambda given, _: mean(given, own, all_count=False))
    for label in (-100, -1, *range(_MOST)):
        if label != own:
            says = f"its ignore_index is {own}, not {label}: pass ignore_index={label}"
            yield Alternative("ignore index", says, lambda given, _, label=label: mean(given, label, all_count=False))
    says = f"it divides by the number of labels that are not {own}, where all labels count"
    yield Alternative("ignored labels in the mean", says, lambda given, _: mean(given, own, all_count=True))


LOSSES: Table = {"cross_entropy": (_entropy,)}
"""Name of a function to its calls in which other elements count."""

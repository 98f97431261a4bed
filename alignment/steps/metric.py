"""Metric: top-1 and top-5 accuracy, on planted scores whose answer is known and on what the model gives."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from alignment.arrays import Array
from alignment.recordings.recording import Entry
from alignment.steps.base import Quantity, Trial

_METRIC = Entry("metric", "metric")
_BEST = 5


def run(trial: Trial) -> Iterator[Quantity]:
    """Record the logits, their top classes, and the accuracies of the batch and of the planted scores."""
    logits, planted = trial.outputs.logits, trial.inputs.planted
    best = min(_BEST, logits.shape[1])
    yield Quantity("metric/logits", logits, Entry("output", "metric"))
    yield Quantity(
        "metric/top5_classes",
        trial.backend.top_classes(logits, best),
        Entry("ranking", "metric", scores="metric/logits"),
    )
    for k in (1, _BEST):
        yield _accuracy(trial, f"metric/acc_top{k}", logits, trial.inputs.labels, k)
    for k in (1, _BEST):
        yield _accuracy(trial, f"metric/planted_acc_top{k}", planted.scores, planted.labels, k)


def _accuracy(trial: Trial, key: str, scores: Array, labels: Array, k: int) -> Quantity:
    """The accuracy as an exact count of images over their number: frameworks round the quotient in their own ways."""
    fraction = trial.backend.accuracy(scores, labels, min(k, scores.shape[1]))
    return Quantity(key, np.asarray(round(fraction * len(labels)) / len(labels)), _METRIC)

"""Mistakes in losses and metrics, predicted from the logits that both sides were given."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np

from alignment.arrays import Array
from alignment.hypotheses.arithmetic import softmax
from alignment.hypotheses.base import FITTED, Case, Prediction, ratio

_SMOOTHINGS = (0.0, 0.01, 0.05, 0.2, 0.3)
_RIGHT_SMOOTHING = 0.1
_PLACES: Mapping[str, str] = {
    "reduction": "the loss's argument `reduction`, or what it is divided by",
    "label smoothing": "the loss's argument `label_smoothing`",
    "label smoothing ignored": "whether `label_smoothing` reaches the loss",
    "hard targets": "the loss's argument `soft_label`",
}


def losses(case: Case) -> Iterator[Prediction]:
    """Predict another reduction, other targets, another smoothing."""
    name = case.finding.path.rpartition("/")[2]
    if name not in ("cross_entropy", "label_smoothing", "soft_target"):
        return
    logits = case.extra["logits"].astype(np.float64)
    for short, says, value in (*_targets(case, name, logits), *_reductions(case, name, logits)):
        place = _PLACES.get(short, f"the loss {case.finding.path}")
        yield Prediction(short, says, place, [np.asarray(value, np.float64).reshape(case.found[0].shape)])


def _smoothed(labels: Array, classes: int, smoothing: float) -> Array:
    return np.asarray(np.eye(classes)[labels] * (1 - smoothing) + smoothing / classes)


def _expected(case: Case, name: str, classes: int) -> Array:
    """Return the correct targets `(batch, classes)` of a loss."""
    if name == "soft_target":
        return np.asarray(case.extra["soft_targets"], np.float64)
    return _smoothed(case.extra["labels"], classes, _RIGHT_SMOOTHING if name == "label_smoothing" else 0.0)


def _targets(case: Case, name: str, logits: Array) -> Iterator[tuple[str, str, float]]:
    classes, labels = logits.shape[1], case.extra["labels"]
    one_hot = np.eye(classes)[labels]

    def entropy(target: Array) -> float:
        return float(_entropies(logits, target).mean())

    if name == "label_smoothing":
        for smoothing in _SMOOTHINGS:
            short = "label smoothing ignored" if smoothing == 0 else "label smoothing"
            says = f"it smooths by {smoothing}, not {_RIGHT_SMOOTHING}"
            yield short, says, entropy(_smoothed(labels, classes, smoothing))
        others = one_hot * (1 - _RIGHT_SMOOTHING) + (1 - one_hot) * _RIGHT_SMOOTHING / (classes - 1)
        yield "label smoothing", "the label gets none of what is spread over the classes", entropy(others)
    if name == "cross_entropy":
        says = f"it smooths by {_RIGHT_SMOOTHING}, and should not"
        yield "label smoothing", says, entropy(_smoothed(labels, classes, _RIGHT_SMOOTHING))
        yield "labels shifted", "the labels are off by one", entropy(np.roll(one_hot, 1, axis=1))
    if name == "soft_target":
        soft = _expected(case, name, classes)
        says = "it takes the best class of the targets for a label"
        yield "hard targets", says, entropy(np.eye(classes)[soft.argmax(1)])
        inner = np.sum(np.where(soft > 0, soft * np.log(np.where(soft > 0, soft, 1)), 0), axis=1)
        divergence = float((_entropies(logits, soft) + inner).mean())
        yield "divergence for entropy", "it is the Kullback-Leibler divergence", divergence
        yield "log targets", "targets are taken for logarithms, so that it vanishes", 0.0


def _reductions(case: Case, name: str, logits: Array) -> Iterator[tuple[str, str, float]]:
    batch, classes = logits.shape
    target = _expected(case, name, classes)
    twice = _entropies(softmax(logits), target)
    yield "softmax twice", "the logits went through a softmax before", float(twice.mean())
    yield "no softmax", "the logits are taken for log-probabilities", float(-(target * logits).sum(1).mean())
    total = _entropies(logits, target).sum()
    yield "reduction", "it is summed over the batch, not averaged", total
    says = f"it is divided by batch and classes ({batch} x {classes}), not by the batch"
    yield "reduction", says, total / batch / classes


def _entropies(logits: Array, target: Array) -> Array:
    top = logits.max(1, keepdims=True)
    logs = logits - top - np.log(np.exp(logits - top).sum(1, keepdims=True))
    return np.asarray(-(target * logs).sum(1))


def gradient_of_loss(case: Case) -> Iterator[Prediction]:
    """Predict a gradient that is lost or scaled, of a loss whose value may be right."""
    expected, actual = case.extra.get("expected_gradient"), case.extra.get("found_gradient")
    if expected is None or actual is None:
        return
    place, zero = "the loss's backward, and what divides it", np.zeros_like(expected)
    yield Prediction("detached", "no gradient comes out of the loss", place, [zero], [expected], [actual])
    if expected.size >= FITTED:
        scale = ratio([expected], [actual])
        says = f"its gradient is multiplied by {scale:.6g}"
        yield Prediction("gradient scaled", says, place, [expected * scale], [expected], [actual])


def metrics(case: Case) -> Iterator[Prediction]:
    """Predict accuracies of another k, in percent, of other labels; rankings the wrong way round."""
    path = case.finding.path
    if path.startswith("metric/"):
        planted = "planted" in path
        scores = case.extra["planted_scores" if planted else "logits"]
        labels = case.extra["planted_labels" if planted else "labels"]
        if "acc_top" in path:
            yield from _accuracies(case, scores, labels)
        elif "top5" in path:
            yield from _rankings(case)


def _accuracies(case: Case, scores: Array, labels: Array) -> Iterator[Prediction]:
    """Predict the accuracies of a metric: its best `k` is the last character of its name."""
    k, shape = int(case.finding.path[-1]), case.expected[0].shape

    def own(classes: Array) -> Array:
        return np.take_along_axis(scores, classes[:, None], 1)

    def share(hits: Array) -> float:
        return float(np.mean(hits))

    ranks = (scores > own(labels)).sum(1)
    rows = [
        ("another k", f"it is the accuracy of the best {other}, not {k}", share(ranks < other))
        for other in (1, 2, 3, 4, 5, 6, 10)
        if other != k and other < scores.shape[1]
    ]
    rows.append(("percent", "it is in percent, not a fraction", share(ranks < k) * 100))
    rows.append(("error rate", "it is the error rate, not the accuracy", 1 - share(ranks < k)))
    for shift in (-1, 1):
        shifted = (scores > own((labels + shift) % scores.shape[1])).sum(1)
        rows.append(("labels shifted", f"the labels are off by {shift:+d}", share(shifted < k)))
    worst = (scores < own(labels)).sum(1)
    rows.append(("lowest scores", "the lowest scores count as the best", share(worst < k)))
    for count in range(1, 4):
        padded = np.concatenate((ranks, np.repeat(ranks[-1:], count)))
        rows.append(("padded batch", f"{count} images are counted twice", share(padded < k)))
    rows.append(("constant", "it is always 1", 1.0))
    for short, says, value in rows:
        yield Prediction(short, says, "the metric", [np.full(shape, round(value * len(labels)) / len(labels))])


def _rankings(case: Case) -> Iterator[Prediction]:
    expected = case.expected[0]
    lowest = np.argsort(case.extra["logits"], axis=1, kind="stable")[:, : expected.shape[1]]
    for short, says, classes in (
        ("reversed", "the best class comes last", expected[:, ::-1]),
        ("lowest scores", "the lowest scores are taken for the best", lowest),
        ("unsorted", "the classes are sorted by number, not by score", np.sort(expected, axis=1)),
        ("labels shifted", "the classes are counted from 1", expected + 1),
    ):
        yield Prediction(short, says, "the argument of top-k that says largest, sorted", [classes])


FUNCTION_HYPOTHESES = (losses, gradient_of_loss, metrics)

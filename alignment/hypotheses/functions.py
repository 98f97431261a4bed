"""Mistakes in losses and metrics, predicted from the logits that both sides were given."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np

from alignment.arrays import Array
from alignment.hypotheses.arithmetic import softmax
from alignment.hypotheses.base import FITTED, Case, Prediction

_SMOOTHINGS = (0.0, 0.01, 0.05, 0.2, 0.3)
_RIGHT_SMOOTHING = 0.1


def losses(case: Case) -> Iterator[Prediction]:
    """Another reduction, other targets, another smoothing."""
    name = case.finding.path.rpartition("/")[2]
    if name not in ("cross_entropy", "label_smoothing", "soft_target"):
        return
    logits = case.extra["logits"].astype(np.float64)
    batch, classes = logits.shape
    right = _targets(case, name, classes)
    each = _entropies(logits, right)
    for short, says, value in _values(case, name, logits, right, each):
        yield _loss(case, short, says, value)
    yield _loss(case, "reduction", "it is summed over the batch, not averaged", each.sum())
    says = f"it is divided by batch and classes ({batch} x {classes}), not by the batch"
    yield _loss(case, "reduction", says, each.sum() / batch / classes)


def gradient_of_loss(case: Case) -> Iterator[Prediction]:
    """A gradient that is lost or scaled, of a loss whose value may be right."""
    expected, found = case.extra.get("expected_gradient"), case.extra.get("found_gradient")
    if expected is None or found is None:
        return
    place = "the loss's backward, and what divides it"
    zero = np.zeros_like(expected)
    yield Prediction("detached", "no gradient comes out of the loss", place, [zero], [expected], [found])
    if expected.size < FITTED:
        return
    scale = float(np.vdot(expected, found) / np.vdot(expected, expected))
    says = f"its gradient is multiplied by {scale:.6g}"
    yield Prediction("gradient scaled", says, place, [expected * scale], [expected], [found])


def metrics(case: Case) -> Iterator[Prediction]:
    """Accuracies of another k, in percent, of other labels; rankings the wrong way round."""
    path = case.finding.path
    if path.startswith("metric/"):
        planted = "planted" in path
        scores = case.extra["planted_scores" if planted else "logits"]
        labels = case.extra["planted_labels" if planted else "labels"]
        if "acc_top" in path:
            yield from _accuracies(path, case, scores, labels)
        elif "top5" in path:
            yield from _rankings(case)


def _accuracies(path: str, case: Case, scores: Array, labels: Array) -> Iterator[Prediction]:
    ranks = (scores > np.take_along_axis(scores, labels[:, None], 1)).sum(1)
    k, place = int(path[-1]), "the metric"
    shape = case.expected[0].shape

    def predict(short: str, says: str, value: float) -> Prediction:
        return Prediction(short, says, place, [np.full(shape, round(value * len(labels)) / len(labels))])

    right = float(np.mean(ranks < k))
    for other in (1, 2, 3, 4, 5, 6, 10):
        if other != k and other < scores.shape[1]:
            yield predict(
                "another k", f"it is the accuracy of the best {other}, not {k}", float(np.mean(ranks < other))
            )
    yield predict("percent", "it is in percent, not a fraction", right * 100)
    yield predict("error rate", "it is the error rate, not the accuracy", 1 - right)
    for shift in (-1, 1):
        moved = (labels + shift) % scores.shape[1]
        away = (scores > np.take_along_axis(scores, moved[:, None], 1)).sum(1)
        yield predict("labels shifted", f"the labels are off by {shift:+d}", float(np.mean(away < k)))
    worst = (scores < np.take_along_axis(scores, labels[:, None], 1)).sum(1)
    yield predict("lowest scores", "the lowest scores count as the best", float(np.mean(worst < k)))
    for padded in range(1, 4):
        hits = np.concatenate((ranks, np.repeat(ranks[-1:], padded))) < k
        yield predict("padded batch", f"{padded} images are counted twice", float(np.mean(hits)))
    yield predict("constant", "it is always 1", 1.0)


def _rankings(case: Case) -> Iterator[Prediction]:
    logits, expected = case.extra["logits"], case.expected[0]
    place, best = "the argument of top-k that says largest, sorted", expected.shape[1]
    yield Prediction("reversed", "the best class comes last", place, [expected[:, ::-1]])
    lowest = np.argsort(logits, axis=1, kind="stable")[:, :best]
    yield Prediction("lowest scores", "the lowest scores are taken for the best", place, [lowest])
    yield Prediction("unsorted", "the classes are sorted by number, not by score", place, [np.sort(expected, axis=1)])
    yield Prediction("labels shifted", "the classes are counted from 1", place, [expected + 1])


def _values(case: Case, name: str, logits: Array, right: Array, each: Array) -> Iterator[tuple[str, str, float]]:
    classes = logits.shape[1]
    hot = np.eye(classes)[case.extra["labels"]]

    def entropy(target: Array) -> float:
        return float(_entropies(logits, target).mean())

    if name == "label_smoothing":
        for smoothing in _SMOOTHINGS:
            target = hot * (1 - smoothing) + smoothing / classes
            short = "label smoothing ignored" if smoothing == 0 else "label smoothing"
            yield short, f"it smooths by {smoothing}, not {_RIGHT_SMOOTHING}", entropy(target)
        others = hot * (1 - _RIGHT_SMOOTHING) + (1 - hot) * _RIGHT_SMOOTHING / (classes - 1)
        yield "label smoothing", "the label gets none of what is spread over the classes", entropy(others)
    if name == "cross_entropy":
        target = hot * (1 - _RIGHT_SMOOTHING) + _RIGHT_SMOOTHING / classes
        yield "label smoothing", f"it smooths by {_RIGHT_SMOOTHING}, and should not", entropy(target)
        moved = np.roll(hot, 1, axis=1)
        yield "labels shifted", "the labels are off by one", entropy(moved)
    if name == "soft_target":
        yield (
            "hard targets",
            "it takes the best class of the targets for a label",
            entropy(np.eye(classes)[right.argmax(1)]),
        )
        inner = np.sum(np.where(right > 0, right * np.log(np.where(right > 0, right, 1)), 0), axis=1)
        yield "divergence for entropy", "it is the Kullback-Leibler divergence", float((each + inner).mean())
        yield "log targets", "targets are taken for logarithms, so that it vanishes", 0.0
    twice = _entropies(softmax(logits), right)
    yield "softmax twice", "the logits went through a softmax before", float(twice.mean())
    yield "no softmax", "the logits are taken for log-probabilities", float(-(right * logits).sum(1).mean())


def _targets(case: Case, name: str, classes: int) -> Array:
    if name == "soft_target":
        target: Array = case.extra["soft_targets"].astype(np.float64)
        return target
    hot: Array = np.eye(classes)[case.extra["labels"]]
    return hot * (1 - _RIGHT_SMOOTHING) + _RIGHT_SMOOTHING / classes if name == "label_smoothing" else hot


def _loss(case: Case, short: str, says: str, value: float) -> Prediction:
    place = _PLACES.get(short, f"the loss {case.finding.path}")
    predicted = np.asarray(value, np.float64).reshape(case.found[0].shape)
    return Prediction(short, says, place, [predicted])


_PLACES: Mapping[str, str] = {
    "reduction": "the loss's argument `reduction`, or what it is divided by",
    "label smoothing": "the loss's argument `label_smoothing`",
    "label smoothing ignored": "whether `label_smoothing` reaches the loss",
    "hard targets": "the loss's argument `soft_label`",
}


def _entropies(logits: Array, target: Array) -> Array:
    top = logits.max(1, keepdims=True)
    logs = logits - top - np.log(np.exp(logits - top).sum(1, keepdims=True))
    result: Array = -(target * logs).sum(1)
    return result


FUNCTION_HYPOTHESES = (losses, gradient_of_loss, metrics)

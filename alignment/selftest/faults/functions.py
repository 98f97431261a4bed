"""Mistakes in losses and metrics, put around a backend's methods."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from alignment.arrays import Array
from alignment.hypotheses.arithmetic import softmax


def inject(backend: Any, kind: str, path: str) -> None:
    """Replace a method of a backend by a wrong one.

    Args:
        backend: The backend.
        kind: A key of `LOSSES`, `ACCURACIES` or `RANKINGS`.
        path: The function to change: `loss/cross_entropy`, `metric/acc_top5`, `metric/top5_classes`.
    """
    if path.startswith("loss/"):
        loss, wrong, changed = backend.loss, LOSSES[kind], path.removeprefix("loss/")
        backend.loss = lambda name, logits, target: np.asarray(
            wrong(loss, name, logits, target) if name == changed else loss(name, logits, target),
            logits.dtype if name == changed else None,
        )
    elif "top5_classes" in path:
        top_classes = backend.top_classes
        backend.top_classes = lambda scores, k: RANKINGS[kind](top_classes(scores, k), scores)
    else:
        accuracy = backend.accuracy
        backend.accuracy = lambda scores, labels, k: ACCURACIES[kind](accuracy, scores, labels, k)


def _one_hot(logits: Array, labels: Array) -> Array:
    return np.eye(logits.shape[1], dtype=logits.dtype)[labels]


def _of_targets(loss: Any, logits: Array, target: Array) -> Any:
    return loss("soft_target", logits, target.astype(logits.dtype))


def _smoothed(loss: Any, logits: Array, labels: Array, smoothing: float) -> Any:
    return _of_targets(loss, logits, _one_hot(logits, labels) * (1 - smoothing) + smoothing / logits.shape[1])


def _others_only(loss: Any, _: str, logits: Array, labels: Array) -> Any:
    one_hot = _one_hot(logits, labels)
    return _of_targets(loss, logits, one_hot * 0.9 + (1 - one_hot) * 0.1 / (logits.shape[1] - 1))


def _divergence(loss: Any, name: str, logits: Array, target: Array) -> Any:
    inner = np.where(target > 0, target * np.log(np.where(target > 0, target, 1)), 0).sum(1).mean()
    return loss(name, logits, target) + inner


def _first_class_ignored(loss: Any, name: str, logits: Array, labels: Array) -> Any:
    kept = labels != 0
    return loss(name, logits[kept], labels[kept]) if kept.any() else 0.0


def _by_sample(loss: Any, name: str, logits: Array, target: Array) -> list[float]:
    return [float(loss(name, logits[at : at + 1], target[at : at + 1])) for at in range(len(target))]


def _weighted(loss: Any, name: str, logits: Array, labels: Array) -> Any:
    """Return the loss in which classes of the first half count twice, as with `weight=` and its weighted mean."""
    weights = np.where(labels < logits.shape[1] // 2, 2.0, 1.0)
    return (weights * _by_sample(loss, name, logits, labels)).sum() / weights.sum()


def _binary(_: Any, name: str, logits: Array, target: Array) -> Any:
    wide = logits.astype(np.float64)
    return (np.logaddexp(0, wide) - wide * target).mean()


LOSSES: Mapping[str, Callable[..., Any]] = {
    "sum": lambda loss, name, logits, target: loss(name, logits, target) * len(logits),
    "mean over classes": lambda loss, name, logits, target: loss(name, logits, target) / logits.shape[1],
    "labels shifted": lambda loss, name, logits, target: loss(name, logits, (target + 1) % logits.shape[1]),
    "unsmoothed": lambda loss, _, logits, target: _smoothed(loss, logits, target, 0.0),
    "smoothed more": lambda loss, _, logits, target: _smoothed(loss, logits, target, 0.2),
    "smoothed": lambda loss, _, logits, target: _smoothed(loss, logits, target, 0.1),
    "others only": _others_only,
    "hard": lambda loss, _, logits, target: loss("cross_entropy", logits, target.argmax(1)),
    "divergence": _divergence,
    "zero": lambda loss, name, logits, target: 0.0 * loss(name, logits, target),
    "softmax twice": lambda loss, name, logits, target: loss(name, softmax(logits), target),
    "smoothed unusually": lambda loss, _, logits, target: _smoothed(loss, logits, target, 0.137),
    "over-sized": lambda loss, _, logits, labels: _of_targets(
        loss, logits, _one_hot(logits, labels) + 0.1 / logits.shape[1]
    ),
    "bits": lambda loss, name, logits, target: loss(name, logits, target) / np.log(2),
    "first class ignored": _first_class_ignored,
    "weighted": _weighted,
    "binary": _binary,
    "worst": lambda *given: max(_by_sample(*given)),
    "averaged twice": lambda loss, name, logits, target: loss(name, logits, target) / len(logits),
    "half precision": lambda loss, name, logits, target: np.float16(loss(name, logits, target)),
    "tempered": lambda loss, name, logits, target: loss(name, logits / 2, target),
    "target normed": lambda loss, name, logits, target: loss(name, logits, softmax(target).astype(target.dtype)),
}
ACCURACIES: Mapping[str, Callable[..., float]] = {
    "other k": lambda accuracy, scores, labels, k: accuracy(scores, labels, 1 if k > 1 else 2),
    "percent": lambda accuracy, scores, labels, k: 100 * accuracy(scores, labels, k),
    "error rate": lambda accuracy, scores, labels, k: 1 - accuracy(scores, labels, k),
    "labels shifted": lambda accuracy, scores, labels, k: accuracy(scores, (labels + 1) % scores.shape[1], k),
    "lowest": lambda accuracy, scores, labels, k: accuracy(-scores, labels, k),
    "always": lambda *_: 1.0,
    "one more": lambda accuracy, scores, labels, k: accuracy(scores, labels, k + 1),
    "last left out": lambda accuracy, scores, labels, k: accuracy(scores[:-1], labels[:-1], k) * (1 - 1 / len(labels)),
    "labels reversed": lambda accuracy, scores, labels, k: accuracy(scores, labels[::-1].copy(), k),
    "magnitude": lambda accuracy, scores, labels, k: accuracy(np.abs(scores), labels, k),
    "count": lambda accuracy, scores, labels, k: accuracy(scores, labels, k) * len(labels),
}
RANKINGS: Mapping[str, Callable[[Array, Array], Array]] = {
    "reversed": lambda classes, _: np.ascontiguousarray(classes[:, ::-1]),
    "lowest": lambda classes, scores: np.argsort(scores, axis=1, kind="stable")[:, : classes.shape[1]],
    "unsorted": lambda classes, _: np.sort(classes, axis=1),
    "from one": lambda classes, _: classes + 1,
    "best left out": lambda classes, scores: np.argsort(-scores, axis=1, kind="stable")[:, 1 : classes.shape[1] + 1],
    "magnitude": lambda classes, scores: np.argsort(-np.abs(scores), axis=1)[:, : classes.shape[1]],
    "rows rolled": lambda classes, _: np.roll(classes, 1, axis=0),
}

"""Mistakes in losses and metrics, put around a backend's methods."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from alignment.arrays import Array


def inject(backend: Any, kind: str, path: str) -> None:
    """Replace a method of a backend by a wrong one.

    Args:
        backend: The backend.
        kind: A key of `LOSSES`, `ACCURACIES` or `RANKINGS`.
        path: What goes wrong: `loss/cross_entropy`, `metric/acc_top5`, `metric/top5_classes`.
    """
    if path.startswith("loss/"):
        _inject_loss(backend, LOSSES[kind], path.removeprefix("loss/"))
    elif "top5_classes" in path:
        right = backend.top_classes
        backend.top_classes = lambda scores, k: RANKINGS[kind](right(scores, k), scores)
    else:
        accuracy = backend.accuracy
        backend.accuracy = lambda scores, labels, k: ACCURACIES[kind](accuracy, scores, labels, k)


def _inject_loss(backend: Any, wrong: Callable[..., Any], wanted: str) -> None:
    right = backend.loss

    def loss(name: str, logits: Array, target: Array) -> Array:
        if name != wanted:
            return np.asarray(right(name, logits, target))
        value = wrong(lambda other, *given: right(other, *given), name, logits, target)
        return np.asarray(value, logits.dtype)

    backend.loss = loss


def _hot(logits: Array, labels: Array) -> Array:
    return np.eye(logits.shape[1], dtype=logits.dtype)[labels]


def _softmax(logits: Array) -> Array:
    shifted = np.exp(logits - logits.max(1, keepdims=True))
    result: Array = shifted / shifted.sum(1, keepdims=True)
    return result


def _smoothed(right: Any, logits: Array, labels: Array, smoothing: float) -> Any:
    classes = logits.shape[1]
    target = _hot(logits, labels) * (1 - smoothing) + smoothing / classes
    return right("soft_target", logits, target.astype(logits.dtype))


def _others_only(right: Any, _: str, logits: Array, labels: Array) -> Any:
    hot = _hot(logits, labels)
    target = hot * 0.9 + (1 - hot) * 0.1 / (logits.shape[1] - 1)
    return right("soft_target", logits, target.astype(logits.dtype))


def _divergence(right: Any, name: str, logits: Array, target: Array) -> Any:
    inner = np.where(target > 0, target * np.log(np.where(target > 0, target, 1)), 0).sum(1).mean()
    return right(name, logits, target) + inner


def _over_sized(right: Any, _: str, logits: Array, labels: Array) -> Any:
    target = _hot(logits, labels) + 0.1 / logits.shape[1]
    return right("soft_target", logits, target.astype(logits.dtype))


def _first_class_ignored(right: Any, name: str, logits: Array, labels: Array) -> Any:
    kept = labels != 0
    return right(name, logits[kept], labels[kept]) if kept.any() else 0.0


def _weighted(right: Any, name: str, logits: Array, labels: Array) -> Any:
    """Classes of the first half count twice, as with `weight=` and its weighted mean."""
    weights = np.where(labels < logits.shape[1] // 2, 2.0, 1.0)
    each = [float(right(name, logits[at : at + 1], labels[at : at + 1])) for at in range(len(labels))]
    return (weights * each).sum() / weights.sum()


def _binary(_: Any, name: str, logits: Array, target: Array) -> Any:
    wide = logits.astype(np.float64)
    return (np.logaddexp(0, wide) - wide * target).mean()


def _worst(right: Any, name: str, logits: Array, target: Array) -> Any:
    return max(float(right(name, logits[at : at + 1], target[at : at + 1])) for at in range(len(target)))


LOSSES: Mapping[str, Callable[..., Any]] = {
    "sum": lambda right, name, logits, target: right(name, logits, target) * len(logits),
    "mean over classes": lambda right, name, logits, target: right(name, logits, target) / logits.shape[1],
    "labels shifted": lambda right, name, logits, target: right(name, logits, (target + 1) % logits.shape[1]),
    "unsmoothed": lambda right, _, logits, target: _smoothed(right, logits, target, 0.0),
    "smoothed more": lambda right, _, logits, target: _smoothed(right, logits, target, 0.2),
    "smoothed": lambda right, _, logits, target: _smoothed(right, logits, target, 0.1),
    "others only": _others_only,
    "hard": lambda right, _, logits, target: right("cross_entropy", logits, target.argmax(1)),
    "divergence": _divergence,
    "zero": lambda right, name, logits, target: 0.0 * right(name, logits, target),
    "softmax twice": lambda right, name, logits, target: right(name, _softmax(logits), target),
    "smoothed unusually": lambda right, _, logits, target: _smoothed(right, logits, target, 0.137),
    "over-sized": _over_sized,
    "bits": lambda right, name, logits, target: right(name, logits, target) / np.log(2),
    "first class ignored": _first_class_ignored,
    "weighted": _weighted,
    "binary": _binary,
    "worst": _worst,
    "averaged twice": lambda right, name, logits, target: right(name, logits, target) / len(logits),
    "half precision": lambda right, name, logits, target: np.float16(right(name, logits, target)),
    "tempered": lambda right, name, logits, target: right(name, logits / 2, target),
    "target normed": lambda right, name, logits, target: right(name, logits, _softmax(target).astype(target.dtype)),
}
ACCURACIES: Mapping[str, Callable[..., float]] = {
    "other k": lambda right, scores, labels, k: right(scores, labels, 1 if k > 1 else 2),
    "percent": lambda right, scores, labels, k: 100 * right(scores, labels, k),
    "error rate": lambda right, scores, labels, k: 1 - right(scores, labels, k),
    "labels shifted": lambda right, scores, labels, k: right(scores, (labels + 1) % scores.shape[1], k),
    "lowest": lambda right, scores, labels, k: right(-scores, labels, k),
    "always": lambda *_: 1.0,
    "one more": lambda right, scores, labels, k: right(scores, labels, k + 1),
    "last left out": lambda right, scores, labels, k: right(scores[:-1], labels[:-1], k) * (1 - 1 / len(labels)),
    "labels reversed": lambda right, scores, labels, k: right(scores, labels[::-1].copy(), k),
    "magnitude": lambda right, scores, labels, k: right(np.abs(scores), labels, k),
    "count": lambda right, scores, labels, k: right(scores, labels, k) * len(labels),
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

"""Position embeddings that were resized otherwise: another filter, or corners that are aligned.

What is compared has the new size on both sides. The embedding that it came from is not at hand, but where it became
larger it can be had back: bicubic resizing is linear, and then loses nothing. Of the sizes that it may have had, the
right one is that from which the reference's embedding can be made.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

import numpy as np

from alignment.arrays import Array
from alignment.hypotheses.base import Case, Prediction

_TOLERANCE = 1e-5
"""Of a relative L2: how well the reference's embedding has to be made from one of a size that it may have had."""


def _cubic(x: Array, a: float) -> Array:
    near = ((a + 2) * x - (a + 3)) * x * x + 1
    far = a * (((x - 5) * x + 8) * x - 4)
    return np.where(x <= 1, near, np.where(x < 2, far, 0.0))


_KERNELS: Mapping[str, Callable[[Array], Array]] = {
    "bicubic": lambda x: _cubic(x, -0.75),
    "bicubic of Pillow's kernel": lambda x: _cubic(x, -0.5),
    "bilinear": lambda x: np.maximum(0.0, 1 - x),
}
_REACH = 2


def resizing(before: int, after: int, kernel: str, *, corners: bool) -> Array:
    """Return the share of each old sample in each new one, `(after, before)`; samples beyond the edge repeat it."""
    steps = np.arange(after)
    if kernel == "nearest":
        matrix = np.zeros((after, before))
        matrix[steps, np.floor(steps * (before / after)).astype(np.int64)] = 1
        return matrix
    places = steps * ((before - 1) / max(1, after - 1)) if corners else (steps + 0.5) * (before / after) - 0.5
    nearest, matrix = np.floor(places).astype(np.int64), np.zeros((after, before))
    for tap in range(1 - _REACH, 1 + _REACH):
        share = _KERNELS[kernel](np.abs(places - (nearest + tap)))
        np.add.at(matrix, (steps, np.clip(nearest + tap, 0, before - 1)), share)
    return matrix


def resized(case: Case) -> Iterator[Prediction]:
    """Predict a position embedding that another filter made of the original."""
    name, correct = case.finding.path, case.expected[0]
    if "pos_embed" not in name:
        return
    for head, maps, back in _layouts(correct.astype(np.float64)):
        rows = maps.shape[-2]
        for before in range(2, rows if maps.shape[-1] == rows else 2):
            original = _original(maps, before)
            if original is not None:
                yield from _others(name, head, original, rows, back)


def _layouts(correct: Array) -> Iterator[tuple[Array | None, Array, Callable[[Array], Array]]]:
    """Yield the embedding as maps `(1, channels, rows, columns)`, without the tokens in front, and the way back."""
    if correct.ndim == 4:
        yield None, correct, lambda maps: maps
    elif correct.ndim == 3:
        for prefix in (0, 1, 2):
            side = round((correct.shape[1] - prefix) ** 0.5)
            if side * side == correct.shape[1] - prefix:
                maps = correct[:, prefix:].transpose(0, 2, 1).reshape(1, correct.shape[2], side, side)
                yield correct[:, :prefix], maps, lambda maps: maps.reshape(*maps.shape[:2], -1).transpose(0, 2, 1)


def _original(maps: Array, before: int) -> Array | None:
    """Return the map of fewer rows from which bicubic resizing made this one; None if there is none."""
    matrix = resizing(before, maps.shape[-2], "bicubic", corners=False)
    inverse = np.linalg.pinv(matrix)
    original: Array = inverse @ maps @ inverse.T
    again = matrix @ original @ matrix.T
    apart, norm = float(np.linalg.norm(again - maps)), float(np.linalg.norm(maps))
    return original if apart <= _TOLERANCE * norm else None


def _others(
    name: str, head: Array | None, original: Array, after: int, back: Callable[[Array], Array]
) -> Iterator[Prediction]:
    before = original.shape[-1]
    place = f"interpolate(mode, align_corners) where {name} is resized from {before}x{before} to {after}x{after}"
    for kernel in (*_KERNELS, "nearest"):
        for corners in (False, True) if kernel != "nearest" else (False,):
            if (kernel, corners) == ("bicubic", False):
                continue
            matrix = resizing(before, after, kernel, corners=corners)
            maps = back(matrix @ original @ matrix.T)
            array = maps if head is None else np.concatenate((head, maps), axis=1)
            aligned = ", with align_corners=True" if corners else ""
            says = f"it was resized by the {kernel} filter{aligned}; bicubic with align_corners=False is meant"
            yield Prediction("position embedding resize", says, place, [array])

"""Averages, sums and interpolations along one axis as matrices, and a matrix applied to a Paddle tensor."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import paddle
from paddle import Tensor

from alignment.arrays import Array

LAST = ("NHWC", "NLC", "NDHWC")
"""Layouts whose last axis is the channels."""
_CUBIC = -0.75
"""The parameter of Keys's cubic convolution that Paddle and torch use."""

_CUBIC_ANTIALIASED = -0.5
"""The same where smaller images are smoothed."""


def along(x: Tensor, matrix: Array, axis: int) -> Tensor:
    """A matrix `(lengths out, lengths in)` applied along an axis."""
    order = [place for place in range(x.ndim) if place != axis] + [axis]
    back = [order.index(place) for place in range(x.ndim)]
    weights = paddle.to_tensor(np.ascontiguousarray(matrix.T), dtype=x.dtype)
    return paddle.transpose(paddle.matmul(paddle.transpose(x, order), weights), back)


def spatial_axes(x: Tensor, data_format: str) -> list[int]:
    """The axes of length, height and so on."""
    return list(range(1, x.ndim - 1)) if data_format in LAST else list(range(2, x.ndim))


def each(value: Any, count: int) -> list[int] | None:
    """A number for each axis; None for a form that is not known here."""
    if isinstance(value, int):
        return [value] * count
    if isinstance(value, Sequence) and len(value) == count and all(isinstance(one, int) for one in value):
        return [*value]
    return None


def windows(length: int, kernel: int, step: int, pad: int, ceil_mode: bool, exclusive: bool, plain_sum: bool) -> Array:
    """The averages over the windows along one axis, as a matrix."""
    room = length + 2 * pad - kernel
    count = (-(-room // step) if ceil_mode else room // step) + 1
    if ceil_mode and (count - 1) * step >= length + pad:
        count -= 1
    matrix = np.zeros((count, length))
    for place in range(count):
        start = place * step - pad
        end = min(start + kernel, length + pad)
        first, last = max(start, 0), min(end, length)
        size = last - first if exclusive else end - start
        matrix[place, first:last] = 1.0 if plain_sum else 1 / max(size, 1)
    return matrix


def resized(length: int, out: int, ratio: float, cubic: bool, align_corners: bool, align_mode: int) -> Array:
    """The interpolation along one axis, as a matrix."""
    places = np.arange(out, dtype=np.float64)
    if align_corners:
        at = places * ((length - 1) / (out - 1) if out > 1 else 0.0)
    elif align_mode == 1 and not cubic:
        at = places * ratio
    else:
        at = (places + 0.5) * ratio - 0.5
    at = at if cubic else np.maximum(at, 0.0)
    first = np.floor(at).astype(int)
    share = at - first
    matrix = np.zeros((out, length))
    for offset, weights in _kernels(share, cubic):
        np.add.at(matrix, (np.arange(out), np.clip(first + offset, 0, length - 1)), weights)
    return matrix


def antialiased(length: int, out: int, cubic: bool) -> Array:
    """The interpolation along one axis with a filter as wide as what each new element covers, as a matrix."""
    scale = max(length / out, 1.0)
    support = (2 if cubic else 1) * scale
    matrix = np.zeros((out, length))
    for place in range(out):
        centre = length / out * (place + 0.5)
        first, last = max(int(centre - support + 0.5), 0), min(int(centre + support + 0.5), length)
        far = np.abs(np.arange(first, last) - centre + 0.5) / scale
        weights = _cubic(far, _CUBIC_ANTIALIASED) if cubic else np.maximum(1 - far, 0.0)
        matrix[place, first:last] = weights / weights.sum()
    return matrix


def _kernels(share: Array, cubic: bool) -> list[tuple[int, Array]]:
    """Offset and weight of each neighbour, for points this far behind the first."""
    if not cubic:
        return [(0, 1 - share), (1, share)]
    return [(offset, _cubic(np.abs(share - offset), _CUBIC)) for offset in (-1, 0, 1, 2)]


def _cubic(d: Array, a: float) -> Array:
    """Keys's cubic convolution at distances from 0 on."""
    near = ((a + 2) * d - (a + 3)) * d * d + 1
    far = ((a * d - 5 * a) * d + 8 * a) * d - 4 * a
    return np.where(d <= 1, near, np.where(d < 2, far, 0.0))

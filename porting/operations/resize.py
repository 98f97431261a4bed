"""Bicubic resizing of position embeddings, in NumPy: what torch's `interpolate(mode="bicubic")` computes.

The kernel is Keys' with a = -0.75, pixels are squares (`align_corners=False`), samples beyond the edge repeat it, and
nothing is blurred when shrinking (`antialias=False`): the way DeiT's `main.py` resizes embeddings for fine-tuning.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

_A = -0.75


def bicubic(maps: npt.NDArray[Any], height: int, width: int) -> npt.NDArray[np.float64]:
    """Resize feature maps.

    Args:
        maps: (..., rows, columns), any floating dtype; computed in float64.
        height: Rows of the result.
        width: Columns of the result.

    Returns:
        (..., height, width), float64.
    """
    rows = _weights(maps.shape[-2], height)
    columns = _weights(maps.shape[-1], width)
    return np.asarray(rows @ maps.astype(np.float64) @ columns.T)


def _weights(before: int, after: int) -> npt.NDArray[np.float64]:
    """How much of each old sample goes into each new one: (after, before)."""
    positions = (np.arange(after) + 0.5) * (before / after) - 0.5
    nearest = np.floor(positions).astype(np.int64)
    matrix = np.zeros((after, before))
    for tap in range(-1, 3):
        samples = np.clip(nearest + tap, 0, before - 1)
        np.add.at(matrix, (np.arange(after), samples), _kernel(positions - (nearest + tap)))
    return matrix


def _kernel(distance: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Keys' cubic convolution kernel at these distances, 2 at the most."""
    x = np.abs(distance)
    near = ((_A + 2) * x - (_A + 3)) * x * x + 1
    far = _A * (((x - 5) * x + 8) * x - 4)
    return np.where(x <= 1, near, far)

"""Top-1, top-5 and cross entropy of logits, in NumPy, the same for every framework."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from recipe.errors import DataError

Array: TypeAlias = npt.NDArray[Any]
TOP = 5
"""A hit is among so many highest logits, or all if there are fewer."""


def sums_of(logits: Array, labels: Array) -> Array:
    """Return the number of images, of top-1 hits, of top-5 hits, and the sum of the losses: float64, `(4,)`.

    Of equal logits the first counts as the higher.

    Args:
        logits: `(batch, classes)`, float64.
        labels: `(batch,)`, integers.

    Raises:
        DataError: A label is not one of the model's classes.
    """
    if len(labels) and not 0 <= labels.min() <= labels.max() < logits.shape[1]:
        raise DataError(
            f"labels go from {labels.min()} to {labels.max()}, the model has {logits.shape[1]} classes; "
            "set model.num_classes to the set's"
        )
    own = np.take_along_axis(logits, labels[:, None], 1)
    before = np.arange(logits.shape[1]) < labels[:, None]
    rank = ((logits > own) | ((logits == own) & before)).sum(1)
    highest = logits.max(1, initial=-np.inf)
    with np.errstate(invalid="ignore"):  # logits that are not finite make the sum not finite, which is an error
        loss = np.log(np.exp(logits - highest[:, None]).sum(1)) + highest - own[:, 0]
    return np.array([len(labels), (rank < 1).sum(), (rank < TOP).sum(), loss.sum()], np.float64)

"""What others check: reprod_log's mean and NumPy's `allclose`, to be measured beside this toolkit's verdict."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from alignment.backends.base import Array
from alignment.reprod_check import check_key


def mean_check(reference: Mapping[str, Array], candidate: Mapping[str, Array]) -> bool:
    """Whether reprod_log's default check, a mean absolute difference of 1e-6, objects; with all that it lets pass."""
    return not all(check_key(key, reference, candidate).passed for key in {**reference, **candidate})


def allclose_check(reference: Mapping[str, Array], candidate: Mapping[str, Array]) -> bool:
    """Whether `np.allclose` with its default tolerances objects to any array that both sides have."""
    try:
        return not all(np.allclose(right, candidate[key]) for key, right in reference.items() if key in candidate)
    except ValueError:
        return True

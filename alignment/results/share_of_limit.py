"""The share of its limit that a row uses."""

from __future__ import annotations

import math

from alignment.results.report import Row


def used(row: Row) -> float | None:
    """The share of its limit that a row uses up: 1 is at the limit; None where nothing is known of it.

    Where the limit is zero, any error is infinitely far above it.
    """
    if row.margin is None or row.floor is None:
        return row.margin
    if row.limit is None:
        return None
    return row.margin / row.limit if row.limit else math.inf if row.margin else 0.0

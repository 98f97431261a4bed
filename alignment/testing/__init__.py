"""Alignment in tests of one's own: `assert_aligned`, and a plugin of pytest with a fixture of the same name."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from alignment.pair import Pair
    from alignment.results.report import Report

__all__ = ["assert_aligned"]


def assert_aligned(pair: Pair | str, out: str | os.PathLike[str] | None = None, **settings: Any) -> Report:
    """Align a pair, and fail unless the candidate is the same function.

    Args:
        pair: A pair, or its declaration: `my_pair.py`, `my_pair.py:SMALL`, or the name of a published model.
        out: Folder of the run; a temporary one by default, removed afterwards.
        settings: Attributes of `alignment.Settings`: `steps=("forward",)`, `dtypes=("float64",)`, `weights=...`.

    Returns:
        The report, which passes.

    Raises:
        DivergenceError: The candidate diverges; it is an `AssertionError` too, and has the first rows.
        AlignmentError: A side could not run.
    """
    from tempfile import TemporaryDirectory

    if out is None:
        with TemporaryDirectory(prefix="pit-align-") as folder:
            return assert_aligned(pair, folder, **settings)
    from alignment.pair import load_pair
    from alignment.pair.published import NAMES, build
    from alignment.processes.settings import Settings
    from alignment.running.run import align

    if isinstance(pair, str):
        pair = build(pair) if pair.partition("@")[0] in NAMES else load_pair(pair)
    return align(pair, out, Settings(**settings)).raise_for_divergence()

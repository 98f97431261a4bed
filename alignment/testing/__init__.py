"""Alignment in tests of one's own: `assert_aligned`, and a plugin of pytest with a fixture of the same name."""

from __future__ import annotations

import os
import shlex
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
        DivergenceError: The candidate diverges; it is an `AssertionError` too, and has the first rows, and the command
            that searches for the cause where the pair is named by its declaration.
        AlignmentError: A side could not run.
    """
    __tracebackhide__ = True
    from tempfile import TemporaryDirectory

    if out is None:
        with TemporaryDirectory(prefix="pit-align-") as folder:
            return assert_aligned(pair, folder, **settings)
    from alignment.pair import load_pair
    from alignment.pair.published import NAMES, build
    from alignment.processes.settings import Settings
    from alignment.results.showing import divergence
    from alignment.running.run import align

    declaration, published = pair, isinstance(pair, str) and pair.partition("@")[0] in NAMES
    if isinstance(pair, str):
        pair = build(pair) if published else load_pair(pair)
    report = align(pair, out, Settings(**settings))
    if isinstance(declaration, str) and report.rows and not report.passed:
        command = _search("--model" if published else "--pair", declaration, settings)
        raise divergence(report, next_command=command)
    return report.raise_for_divergence()


def _search(option: str, declaration: str, settings: dict[str, Any]) -> str:
    """The command that searches for the cause with the same weights."""
    words = ["pit-align", "diagnose", option, declaration]
    for name in ("weights", "candidate_weights"):
        if settings.get(name) is not None:
            words += [f"--{name.replace('_', '-')}", str(settings[name])]
    return shlex.join(words)

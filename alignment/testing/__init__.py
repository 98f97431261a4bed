"""Alignment in tests of one's own: `assert_aligned`, and a plugin of pytest with a fixture of the same name."""

from __future__ import annotations

import os
import shlex
from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from alignment.pair import Pair
    from alignment.results.report import Report

__all__ = ["assert_aligned"]


class RunningTest(NamedTuple):
    """What the plugin of pytest knows of the test that runs.

    Attributes:
        folder: The folder of the test's file, where declarations are looked for that are not in the current one.
        kept: Returns the folder for the test's next run, another one each time; None if runs are not kept.
    """

    folder: Path
    kept: Callable[[], Path] | None


RUNNING: ContextVar[RunningTest | None] = ContextVar("RUNNING", default=None)
"""The test that runs; None outside of pytest."""


def assert_aligned(pair: Pair | str, out: str | os.PathLike[str] | None = None, **settings: Any) -> Report:
    """Align a pair, and fail unless the candidate is the same function.

    Args:
        pair: A pair, or its declaration: `my_pair.py`, `my_pair.py:SMALL`, or the name of a published model. Under
            pytest a file that is not in the current folder is looked for beside the test.
        out: Folder of the run; by default one in that of `--pit-align-report`, else a temporary one that is removed.
        settings: Attributes of `alignment.Settings`: `steps=("forward",)`, `dtypes=("float64",)`, `weights=...`.

    Returns:
        The report, which passes.

    Raises:
        DivergenceError: The candidate diverges; it is an `AssertionError` too, and has the first rows, and the command
            that searches for the cause where the pair is named by its declaration.
        AlignmentError: A side could not run.
        UnknownNameError: A setting, step or dtype is not known.
    """
    __tracebackhide__ = True
    from porting.errors import ExpectedError

    try:
        return _aligned(pair, out, settings)
    except ExpectedError as error:
        raise error.with_traceback(None) from None  # a test shows its own line, and not how the run got there


def _aligned(pair: Pair | str, out: str | os.PathLike[str] | None, settings: dict[str, Any]) -> Report:
    from tempfile import TemporaryDirectory

    test = RUNNING.get()
    if out is None and test is not None and test.kept is not None:
        out = test.kept()
    if out is None:
        with TemporaryDirectory(prefix="pit-align-") as folder:
            return _aligned(pair, folder, settings)
    from alignment.pair import load_pair
    from alignment.pair.published import NAMES, build
    from alignment.results.showing import divergence
    from alignment.running.run import align

    declaration, published = pair, isinstance(pair, str) and pair.partition("@")[0] in NAMES
    if isinstance(pair, str):
        declaration = pair if published or test is None else _beside(test.folder, pair)
        pair = build(declaration) if published else load_pair(declaration)
    report = align(pair, out, _settings(settings))
    if isinstance(declaration, str) and report.rows and not report.passed:
        command = _search("--model" if published else "--pair", declaration, settings)
        raise divergence(report, next_command=command)
    return report.raise_for_divergence()


def _settings(given: dict[str, Any]) -> Any:
    """Return the settings of a run; raise UnknownNameError for one that there is not."""
    from alignment.processes.settings import Settings
    from porting.names import unknown

    known = [field.name for field in fields(Settings)]
    for name in given:
        if name not in known:
            raise unknown("setting", name, known)
    return Settings(**given)


def _beside(folder: Path, declaration: str) -> str:
    """Return a declaration with the path of its file beside the test, if it is there and not in the current folder."""
    file, dot, rest = declaration.partition(".py")
    beside = folder / f"{file}{dot}"
    if dot and not Path(f"{file}{dot}").exists() and beside.is_file():
        return f"{os.path.relpath(beside)}{rest}"
    return declaration


def _search(option: str, declaration: str, settings: dict[str, Any]) -> str:
    """The command that searches for the cause with the same weights."""
    words = ["pit-align", "diagnose", option, declaration]
    for name in ("weights", "candidate_weights"):
        if settings.get(name) is not None:
            words += [f"--{name.replace('_', '-')}", str(settings[name])]
    return shlex.join(words)

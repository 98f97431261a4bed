"""Errors of a user's own code: what it says, and the line that raised it, without the frames of a framework."""

from __future__ import annotations

import sysconfig
import traceback
from collections.abc import Iterator
from pathlib import Path

_PACKAGES = ("torch", "paddle", "mindspore")
"""Packages whose frames are never shown: their lines say nothing about a user's mistake."""
_OWN = Path(__file__).parent
_LIBRARY = Path(sysconfig.get_paths()["stdlib"])
_SUMMARY = "Error Message Summary:"
"""Paddle puts the C++ frames before this heading and the message behind it."""


def message_of(error: BaseException) -> str:
    """Class and first line of the message of an error, on one line: `NameError: name 'Sid' is not defined`."""
    text = str(error).rpartition(_SUMMARY)[2]
    lines = [line.strip() for line in text.splitlines() if line.strip(" \t-=")]
    return f"{type(error).__name__}: {lines[0] if lines else 'no message'}"


def place_of(error: BaseException) -> tuple[str, ...]:
    """The file with the line and function, and the statement, where a user's code raised an error.

    That is the innermost frame of the user's own files. Where there is none, it is the innermost of an installed
    package that is no framework, such as transformers.

    Returns:
        Two lines as Python prints them, `File "my_pair.py", line 3, in build` and the statement; none where only
        frameworks, Python or this toolkit took part.
    """
    if isinstance(error, SyntaxError) and error.filename:
        statement = (error.text or "").strip()
        return f'File "{error.filename}", line {error.lineno}', *([f"  {statement}"] if statement else [])
    frames = list(_frames(error))
    own = [frame for frame in frames if not _installed(Path(frame.filename))]
    for frame in (own or frames)[-1:]:
        place = f'File "{frame.filename}", line {frame.lineno}, in {frame.name}'
        return place, *([f"  {frame.line}"] if frame.line else [])
    return ()


def _frames(error: BaseException) -> Iterator[traceback.FrameSummary]:
    """The frames that are neither Python's, nor this toolkit's, nor a framework's, outermost first."""
    for frame in traceback.extract_tb(error.__traceback__):
        path = Path(frame.filename)
        if frame.filename.startswith("<") or path.is_relative_to(_OWN):
            continue
        if path.is_relative_to(_LIBRARY) and not _installed(path):
            continue
        if not (_installed(path) and set(_PACKAGES) & set(path.parts)):
            yield frame


def _installed(path: Path) -> bool:
    return not {"site-packages", "dist-packages"}.isdisjoint(path.parts)

"""Errors of a user's own code: what it says, and the line that raised it, without the frames of a framework."""

from __future__ import annotations

import ast
import builtins
import inspect
import linecache
import re
import sys
import sysconfig
import traceback
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import FrameType
from typing import Any

from porting.names import did_you_mean

_PACKAGES = ("torch", "paddle", "mindspore")
"""Packages whose frames are never shown: their lines say nothing about a user's mistake."""
_OWN = Path(__file__).parent
_LIBRARY = Path(sysconfig.get_paths()["stdlib"])
_SUMMARY = "Error Message Summary:"
"""Paddle puts the C++ frames before this heading and the message behind it."""
_UNEXPECTED = re.compile(r"got an unexpected keyword argument '(\w+)'")
_MISSING = re.compile(r"missing \d+ required (?:positional|keyword-only) arguments?:")
_CANNOT_IMPORT = re.compile(r"cannot import name '(\w+)' from '([\w.]+)'")
_ALIKE, _ALIKE_ARGUMENTS, _ALIKE_PACKAGES = 0.7, 0.6, 0.78
"""Similarity of two names, from 0 to 1, above which one may be a misspelling of the other.

Of names, of arguments and of packages.
"""
_SHOWN = 8
"""Number of arguments of a function that an error names."""


def message_of(error: BaseException) -> str:
    """Class and first line of the message of an error, on one line: `NameError: name 'Sid' is not defined`."""
    text = str(error).rpartition(_SUMMARY)[2]
    lines = [line.strip() for line in text.splitlines() if line.strip(" \t-=")]
    return f"{type(error).__name__}: {lines[0] if lines else 'no message'}{_meant(error)}"


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
    own = [frame for frame in frames if not is_installed(Path(frame.filename))]
    for frame in (own or frames)[-1:]:
        place = f'File "{frame.filename}", line {frame.lineno}, in {frame.name}'
        return place, *([f"  {frame.line}"] if frame.line else [])
    return ()


def _meant(error: BaseException) -> str:
    """The end of a message about a name: the nearest known one, or what is to be checked."""
    if isinstance(error, ModuleNotFoundError):
        from importlib.metadata import packages_distributions  # needed for errors only

        near = did_you_mean(error.name or "", packages_distributions(), cutoff=_ALIKE_PACKAGES)
        return near or f"; is it installed for {sys.executable}, and is its folder on PYTHONPATH?"
    if isinstance(error, ImportError):
        name = _CANNOT_IMPORT.search(str(error))
        return did_you_mean(name[1], dir(sys.modules.get(name[2]))) if name else ""
    if isinstance(error, AttributeError) and error.name:
        return did_you_mean(error.name, dir(error.obj), cutoff=_ALIKE)
    if isinstance(error, NameError) and error.name and (frame := _last_frame(error)) is not None:
        return did_you_mean(error.name, [*frame.f_locals, *frame.f_globals, *dir(builtins)], cutoff=_ALIKE)
    return _meant_argument(error) if isinstance(error, TypeError) else ""


def _meant_argument(error: TypeError) -> str:
    """The nearest name for a misspelt argument; all names where one is missing."""
    misspelt, missing = _UNEXPECTED.search(str(error)), _MISSING.search(str(error))
    if misspelt is None and missing is None:
        return ""
    known = _arguments_of_call(error, misspelt[1] if misspelt else "")
    if misspelt is not None and (near := did_you_mean(misspelt[1], known, cutoff=_ALIKE_ARGUMENTS)):
        return near
    shown = [*known[:_SHOWN], *(["..."] if known[_SHOWN:] else [])]
    return f"; it takes {', '.join(shown)}" if known else ""


def _last_frame(error: BaseException) -> FrameType | None:
    """The frame that raised an error."""
    step = error.__traceback__
    while step is not None and step.tb_next is not None:
        step = step.tb_next
    return None if step is None else step.tb_frame


def _last_line(error: BaseException) -> int:
    """The number of the line that raised an error."""
    return list(traceback.walk_tb(error.__traceback__))[-1][1]


def _arguments_of_call(error: BaseException, keyword: str) -> Sequence[str]:
    """Names of the arguments of what was called with this keyword in the line that raised an error; () if not known."""
    frame = _last_frame(error)
    if frame is None:
        return ()
    functions = [_value_of(call.func, frame) for call in _calls_at(frame, _last_line(error), keyword)]
    name = str(error).partition("(")[0].removesuffix(".__init__").rpartition(".")[2]
    for function in functions:
        if getattr(function, "__name__", None) != name:
            continue
        try:
            return [parameter for parameter in inspect.signature(function).parameters if parameter != "self"]
        except (TypeError, ValueError):  # a builtin that does not say what it takes
            return ()
    return ()


def _calls_at(frame: FrameType, line: int, keyword: str) -> Iterator[ast.Call]:
    """The calls in a line of a file that pass this keyword; all in the line without one."""
    try:
        tree = ast.parse("".join(linecache.getlines(frame.f_code.co_filename, frame.f_globals)))
    except (SyntaxError, ValueError, RecursionError):
        return
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call) or not node.lineno <= line <= (node.end_lineno or node.lineno):
            continue
        if not keyword or keyword in [argument.arg for argument in node.keywords]:
            yield node


def _value_of(node: ast.expr, frame: FrameType) -> Any:
    """What a name with attributes, such as `torch.nn.Linear`, stands for in a frame; None if that is not known."""
    if isinstance(node, ast.Attribute):
        return getattr(_value_of(node.value, frame), node.attr, None)
    if isinstance(node, ast.Name):
        return frame.f_locals.get(node.id, frame.f_globals.get(node.id))
    return None


def _frames(error: BaseException) -> Iterator[traceback.FrameSummary]:
    """The frames that are neither Python's, nor this toolkit's, nor a framework's, outermost first."""
    for frame in traceback.extract_tb(error.__traceback__):
        path = Path(frame.filename)
        if frame.filename.startswith("<") or path.is_relative_to(_OWN):
            continue
        if path.is_relative_to(_LIBRARY) and not is_installed(path):
            continue
        if not (is_installed(path) and set(_PACKAGES) & set(path.parts)):
            yield frame


def is_installed(path: Path) -> bool:
    """Whether a file belongs to an installed package."""
    return not {"site-packages", "dist-packages"}.isdisjoint(path.parts)

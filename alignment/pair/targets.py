"""Python objects named by a string, `module:attribute` or `path/to/file.py:attribute`, imported where needed.

An attribute may have dots: `transformers:BertModel.from_pretrained`. An error of a user's own code in such a file is
told as Python tells it, with file, line and statement.
"""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any

from alignment.errors import AlignmentError
from alignment.frameworks import FRAMEWORKS
from alignment.user_code import message_of, place_of
from porting.errors import ExpectedError
from porting.names import did_you_mean

_PACKAGES = {"timm", "torchvision", "mindcv", "reprod_log", *FRAMEWORKS}
"""Packages whose lack is told by the command, which knows how to install them."""
_ALIKE = 0.7
"""Similarity of the names of two files, from 0 to 1, above which one may be a misspelling of the other."""


def split(target: str, default: str = "") -> tuple[str, str]:
    """Module or file, and attribute, of a target.

    Args:
        target: `module:attribute` or `path/to/file.py:attribute`.
        default: The attribute where the target names none.

    Raises:
        AlignmentError: The target does not have this form.
    """
    place, colon, attribute = target.rpartition(":")
    if not colon:
        place, attribute = target, default
    if not place or not all(part.isidentifier() for part in attribute.split(".")):
        raise AlignmentError(f"{target!r} names no Python object; expected module:name or path/to/file.py:name")
    return place, attribute


def is_file(place: str) -> bool:
    """Whether the first half of a target is a file, not a module."""
    return place.endswith(".py")


def absolute(target: str, folder: Path) -> str:
    """The same target with a relative file taken from this folder."""
    place, attribute = split(target)
    return f"{folder / place}:{attribute}" if is_file(place) else target


def resolve(target: str) -> Any:
    """Import what a target names.

    Raises:
        AlignmentError: Nothing of this name is there, or importing it failed.
    """
    place, attribute = split(target)
    if Path(place).is_dir() and not (Path(place) / "__init__.py").exists():
        raise AlignmentError(f"{place} is a folder; name the Python file in it: {Path(place) / 'my_pair.py'}")
    named: Any = _load_file(Path(place)) if is_file(place) else _load_module(place)
    for part in attribute.split("."):
        if not hasattr(named, part):
            hint = did_you_mean(part, _own_names(named)) or f"; define it there, or name another: {place}:NAME"
            raise AlignmentError(f"{place} has no {part!r}{hint}")
        named = getattr(named, part)
    return named


def _own_names(place: Any) -> list[str]:
    """Names that a module or object has, without those of what a module imports."""
    if not isinstance(place, ModuleType):
        return dir(place)
    return [name for name, value in vars(place).items() if not _is_imported(value, place.__name__)]


def _is_imported(value: Any, module: str) -> bool:
    return isinstance(value, ModuleType) or (
        isinstance(value, type | FunctionType) and getattr(value, "__module__", module) != module
    )


@contextmanager
def user_code(what: str) -> Iterator[None]:
    """Tell an error of a user's code as Python does: its message, then the file with the line, and the statement.

    An expected error, and a package of a framework that is not installed, stay what they are. `sys.exit()` is an error
    like others, since a program that ends with 0 says that all is well.

    Args:
        what: What the code was run for, the beginning of the message: `my_pair.py cannot be imported`.

    Raises:
        AlignmentError: The code raised an error.
    """
    try:
        yield
    except (ExpectedError, MemoryError):
        raise
    except SystemExit as error:
        raise AlignmentError(f"{what}: it ends the program with sys.exit({error.code!r})", place_of(error)) from error
    except Exception as error:
        missing = (error.name or "").partition(".")[0] if isinstance(error, ImportError) else ""
        if missing in _PACKAGES:
            raise
        raise AlignmentError(f"{what}: {message_of(error)}", place_of(error)) from error


def _load_module(name: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is None or not (name == error.name or name.startswith(f"{error.name}.")):
            raise
        if Path(name).is_file():
            raise AlignmentError(f"{name} is no Python file; expected path/to/file.py:name or module:name") from error
        file = Path(f"{name.replace('.', '/')}.py")
        meant = (
            f"did you mean the file {file}?" if file.is_file() else "install it there, or put its folder on PYTHONPATH"
        )
        raise AlignmentError(f"module {name!r} is not found by {sys.executable}: {meant}") from error


def _load_file(path: Path) -> ModuleType:
    """The module of a file, run once a process; files beside it can be imported by it, after everything installed."""
    path = path.absolute()
    name = f"_alignment_target_{hashlib.sha256(str(path).encode()).hexdigest()[:16]}"
    if name in sys.modules:
        return sys.modules[name]
    if not path.is_file():
        near = did_you_mean(path.name, (file.name for file in path.parent.glob("*.py")), cutoff=_ALIKE)
        raise AlignmentError(f"{path}: there is no such file{near or '; check the path'}")
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise AlignmentError(f"{path}: not a Python file")
    if str(path.parent) not in sys.path:
        sys.path.append(str(path.parent))
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    try:
        with user_code(f"{path.name} cannot be imported"):
            spec.loader.exec_module(module)
    except BaseException as error:
        del sys.modules[name]
        if isinstance(error, ExpectedError):  # of a Pair, a Side or rules: the line that makes it is the user's
            error.details = (*error.details, *place_of(error))
        raise
    return module

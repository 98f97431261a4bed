"""Text files that are written whole or not at all, and JSON that is read strictly."""

from __future__ import annotations

import json
import os
import uuid
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

from alignment.errors import FileError
from porting.errors import FieldError
from porting.fields import decode, encode, parse_json
from porting.plain_files import read_plain_text, shortened

T = TypeVar("T")


def write_text(text: str, path: str | os.PathLike[str], what: str = "the file") -> None:
    """Write a text file atomically, and create the folders that it needs.

    Raises:
        FileError: The file cannot be written; the message begins with `what`.
    """
    path = Path(path)
    temporary = path.with_name(f".{shortened(path.name)}.{uuid.uuid4().hex}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_text(text, encoding="utf-8")
        temporary.replace(path)
    except (FileExistsError, NotADirectoryError):
        raise FileError(path, f"{what} cannot be written: {path.parent} is no folder; name another place") from None
    except OSError as error:
        raise FileError(path, f"{what} cannot be written: {error.strerror}") from None
    finally:
        with suppress(OSError):
            temporary.unlink()


def to_json(value: object) -> str:
    """Return a dataclass, or a list of them, as JSON text: fields in order, numbers that are not finite as strings."""
    return json.dumps(encode(value), indent=1, allow_nan=False) + "\n"


def read_json(path: str | os.PathLike[str], *, unreadable: str, malformed: str) -> Any:
    """Return the value of a JSON file.

    Args:
        path: The file.
        unreadable: Message of a file that cannot be read, with `{}` for the system's reason.
        malformed: Message of a file that is not JSON, likewise.

    Raises:
        FileError: The file cannot be read, or is not JSON.
    """
    try:
        return parse_json(read_plain_text(path))
    except OSError as error:
        raise FileError(path, unreadable.format(error.strerror)) from None
    except UnicodeDecodeError:
        raise FileError(path, malformed.format("not valid JSON (it is no text)")) from None
    except ValueError as error:
        reason = str(error) if Path(path).stat().st_size else "it is empty"
        raise FileError(path, malformed.format(f"not valid JSON ({reason})")) from None


def decode_from(path: str | os.PathLike[str], cls: type[T], value: object, *, problem: str = "{}") -> T:
    """Build a dataclass from a value of a file.

    Raises:
        FileError: The value has not the declared form; the field's message stands for `{}` in `problem`.
    """
    try:
        return decode(cls, value)
    except FieldError as error:
        raise FileError(path, problem.format(error)) from None

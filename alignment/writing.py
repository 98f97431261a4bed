"""Text files that are whole or not there at all."""

from __future__ import annotations

import os
import uuid
from contextlib import suppress
from pathlib import Path

from alignment.errors import FileError


def write_text(text: str, path: str | os.PathLike[str], what: str = "the file") -> None:
    """Write a text file, atomically, with the folders that it needs.

    Raises:
        FileError: The file cannot be written; `what` it is stands in the message.
    """
    path = Path(path)
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_text(text, encoding="utf-8")
        temporary.replace(path)
    except OSError as error:
        raise FileError(path, f"{what} cannot be written: {error.strerror}") from None
    finally:
        with suppress(OSError):
            temporary.unlink()

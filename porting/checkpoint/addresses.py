"""The two forms of a checkpoint's place: a path, or an address on the Hugging Face hub."""

from __future__ import annotations

from os import PathLike, fspath
from pathlib import Path

HUB = "hf://"


def is_remote(source: str | PathLike[str]) -> bool:
    """Return True for an address, `hf://owner/name`, and False for a path."""
    return fspath(source).startswith(HUB)


def as_source(source: str | PathLike[str]) -> Path | str:
    """Return an address as it is, anything else as a path."""
    text = fspath(source)
    return text if "://" in text else Path(source)

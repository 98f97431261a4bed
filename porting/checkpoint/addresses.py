"""What stands for a checkpoint on the command line and in calls: a path, or an address on the Hugging Face hub."""

from __future__ import annotations

from os import PathLike, fspath
from pathlib import Path

HUB = "hf://"


def is_remote(source: str | PathLike[str]) -> bool:
    """Whether a source is an address, `hf://owner/name`, rather than a path."""
    return fspath(source).startswith(HUB)


def as_source(source: str | PathLike[str]) -> Path | str:
    """An address as it is, anything else as a path."""
    text = fspath(source)
    return text if "://" in text else Path(source)

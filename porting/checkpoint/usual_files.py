"""The file names that published models have, and the place of a checkpoint."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from porting.checkpoint.format_names import SUFFIXES

INDEX = ".index.json"


USUAL = ("model.safetensors", "pytorch_model.bin", f"model.safetensors{INDEX}", f"pytorch_model.bin{INDEX}")
"""What a model's folder holds, in the order in which one is taken; the first two hold the same weights."""


class Place(NamedTuple):
    """Where a checkpoint is.

    Attributes:
        path: The file.
        name: What to call it: the path as the user gave it, or its address.
        chosen: The file that was chosen where a folder or a repository was named; empty otherwise.
    """

    path: Path
    name: Path | str
    chosen: str = ""


def usual(names: Iterable[str]) -> list[str]:
    """The file among these that a model's users expect, or all that may be checkpoints where none is more usual."""
    names = list(names)
    for name in USUAL:
        if name in names:
            return [name]
    indices = [name for name in names if name.endswith(INDEX)]
    return indices or [name for name in names if Path(name).suffix.lower() in SUFFIXES]

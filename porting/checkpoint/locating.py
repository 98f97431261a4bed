"""From what a user names (a file, a folder, an address on the Hugging Face hub) to the file that is opened."""

from __future__ import annotations

from collections.abc import Iterable
from os import PathLike, fspath
from pathlib import Path
from typing import NamedTuple

from porting.addresses import HUB, is_remote
from porting.checkpoint.formats import SUFFIXES
from porting.errors import CheckpointError

INDEX = ".index.json"
USUAL = ("model.safetensors", "pytorch_model.bin", f"model.safetensors{INDEX}", f"pytorch_model.bin{INDEX}")
"""What a model's folder holds, in the order in which one is taken; the first two hold the same weights."""
_OPTIMIZER = ".pdopt"
_AVERAGES = ("-EMA.pdparams", "_ema.pdparams", ".pdema")


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


def locate(source: str | PathLike[str]) -> Place:
    """The file that a source stands for; one on the hub is fetched.

    Raises:
        CheckpointError: A folder holds no checkpoint, or several; the file keeps an optimizer's state.
        HubError: The address is malformed, or cannot be fetched.
    """
    if is_remote(source):
        from porting.hub import fetch

        return fetch(fspath(source))
    path = Path(source)
    if path.suffix == _OPTIMIZER:
        weights = path.with_suffix(".pdparams")
        raise CheckpointError(path, f"is the state of an optimizer; the weights are beside it: give {weights}")
    if "://" in fspath(source):
        raise CheckpointError(
            fspath(source), f"is no address that is fetched; download it first, or give {HUB}owner/name"
        )
    try:
        return _in_folder(path) if path.is_dir() else Place(path, path)
    except OSError as error:
        raise CheckpointError(path, f"cannot be read: {error.strerror or error}; check the path") from None


def _in_folder(folder: Path) -> Place:
    try:
        found = usual(sorted(entry.name for entry in folder.iterdir()))
    except OSError as error:
        raise CheckpointError(folder, f"cannot be read: {error.strerror or error}") from None
    if len(found) != 1:
        several = f"there are {', '.join(found[:5])}{', ...' if len(found) > 5 else ''}: name one"
        raise CheckpointError(
            folder, f"is a folder, expected a checkpoint file; {several if found else 'there is none in it'}"
        )
    return Place(folder / found[0], folder / found[0], found[0])


def usual(names: Iterable[str]) -> list[str]:
    """The file among these that a model's users expect, or all that may be checkpoints where none is more usual."""
    names = list(names)
    for name in USUAL:
        if name in names:
            return [name]
    indices = [name for name in names if name.endswith(INDEX)]
    return indices or [name for name in names if Path(name).suffix.lower() in SUFFIXES]


def averages_beside(path: Path) -> str:
    """The name of a file beside Paddle's parameters that holds their moving average; empty without one."""
    names = (f"{path.stem}{ending}" for ending in _AVERAGES)
    return next((name for name in names if name != path.name and path.with_name(name).is_file()), "")

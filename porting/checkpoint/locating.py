"""From what a user names (a file, a folder, an address on the Hugging Face hub) to the file that is opened."""

from __future__ import annotations

from contextlib import suppress
from os import PathLike, fspath
from pathlib import Path
from typing import NamedTuple

from porting.checkpoint.addresses import HUB, is_remote
from porting.checkpoint.format_names import usual
from porting.checkpoint.formats.sharded import index_name, whole_name
from porting.checkpoint.other_files import other_folder
from porting.checkpoint.selection import Kind
from porting.errors import CheckpointError

_OPTIMIZER = ".pdopt"
_AVERAGES = ("-EMA.pdparams", "_ema.pdparams", ".ema.pdparams")
_EXCHANGED = ".pdema"
_MAX_FOLDERS = 1000


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
    """Return the file that a source stands for; one on the hub is fetched.

    Raises:
        CheckpointError: A folder holds no checkpoint, or several; the file keeps an optimizer's state.
        HubError: The address is malformed, or cannot be fetched.
    """
    if is_remote(source):
        from porting.checkpoint.hub import fetch

        return Place(*fetch(fspath(source)))
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
        entries = sorted(entry.name for entry in folder.iterdir())
    except OSError as error:
        raise CheckpointError(folder, f"cannot be read: {error.strerror or error}") from None
    names = usual(entries)
    if not names and (kind := other_folder(folder, entries)) is not None:
        raise CheckpointError(folder, f"is {kind}")
    if parts_of := next(filter(None, map(whole_name, names)), None):
        raise CheckpointError(
            folder,
            f"holds shards of {parts_of}, such as {names[0]}, without their index, {index_name(parts_of)}: the set is "
            "not complete; fetch the index too, or write the set again",
        )
    if len(names) != 1:
        several = f"there are {', '.join(names[:5])}{', ...' if len(names) > 5 else ''}: name one"
        raise CheckpointError(
            folder, f"is a folder, expected a checkpoint file; {several if names else _below(folder, entries)}"
        )
    return Place(folder / names[0], folder / names[0], names[0])


def _below(folder: Path, entries: list[str]) -> str:
    """In which folders within one without a checkpoint there are some; hidden ones hold what is not finished."""
    within = []
    for name in [name for name in entries if not name.startswith(".")][:_MAX_FOLDERS]:
        with suppress(OSError):
            if (folder / name).is_dir() and usual(entry.name for entry in (folder / name).iterdir()):
                within.append(name)
    if not within:
        return "there is none in it"
    return f"there are some in {', '.join(within[:5])}{', ...' if len(within) > 5 else ''}: give one of these folders"


def sets_beside(path: Path) -> dict[Kind, str]:
    """Return the files beside Paddle's parameters that hold another set of the same weights, by whose these are.

    PaddleDetection exchanges the two when it saves: `NAME.pdparams` holds the average, and `NAME.pdema` the weights in
    training. Source: `save_model` in `ppdet/utils/checkpoint.py`.
    """
    names = (f"{path.stem}{ending}" for ending in _AVERAGES)
    average = next((name for name in names if name != path.name and path.with_name(name).is_file()), "")
    beside: dict[Kind, str] = {"ema": average} if average else {}
    if path.suffix == _EXCHANGED and path.with_suffix(".pdparams").is_file():
        beside["ema"] = f"{path.stem}.pdparams"
    elif path.with_suffix(_EXCHANGED).is_file():
        beside["model"] = f"{path.stem}{_EXCHANGED}"
    return beside

"""Reads files of reprod_log from any source, without executing anything in them and without importing reprod_log.

`ReprodLogger.save` writes a `.npy` that holds a pickled dict, maybe of dicts, of arrays. NumPy reads it with
`allow_pickle=True` only, which runs whatever code a crafted file names. Here its header and its pickle are read by the
checkpoints' own strict readers.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from alignment.arrays import Array
from alignment.errors import FileError
from porting.checkpoint.containers.pickles import load_plain
from porting.checkpoint.formats import npz
from porting.checkpoint.tensor import Malformed
from porting.plain_files import read_plain

PLAIN = "array"
"""Key of the array of a plain `.npy`."""
_OBJECTS = "O"
_SIDES = {
    "reference": ("torch", "pytorch", "ref", "reference"),
    "candidate": ("paddle", "mindspore", "candidate"),
}
_LARGEST = 2**40
"""Largest size in bytes of a file of arrays, which may hold the weights of a large model."""
_STEPS = {"losses": "bp_align", "backward": "bp_align", "train": "train_align"}


def read_reprod_log(path: str | os.PathLike[str]) -> dict[str, Array]:
    """Read the arrays of a `.npy` that `ReprodLogger` wrote, nested dicts flattened to keys such as `outer/inner`.

    Also reads Python numbers among the arrays, and a plain numeric `.npy`, as one array under the key `array`.

    Raises:
        FileError: The file cannot be read, is no `.npy`, or holds something else than arrays and numbers.
        CheckpointError: Its pickle is damaged (`porting.errors`).
        UnsafePickleError: Its pickle asks for something else than arrays (`porting.errors`).
    """
    path = Path(path)
    try:
        data = read_plain(path, largest=_LARGEST)
    except OSError as error:
        raise FileError(path, f"cannot be read: {error.strerror}") from None
    if not data.startswith(npz.MAGIC):
        raise FileError(path, "is no .npy file; expected one that ReprodLogger.save or numpy.save wrote")
    try:
        header = npz.read_header(data[: npz.MAX_HEADER])
        if header.code != _OBJECTS:
            return {PLAIN: _numeric(data, header)}
    except Malformed as problem:
        raise FileError(path, f"is a damaged .npy file: it {problem}") from None
    if header.shape != ():
        raise FileError(
            path, f"holds Python objects of shape {header.shape}, expected the one dict that ReprodLogger.save writes"
        )
    values = load_plain(data[header.start :], path=path)
    if not isinstance(values, Mapping):
        raise FileError(path, f"holds a {type(values).__name__}, expected the dict that ReprodLogger.save writes")
    return dict(_flatten(path, values, ()))


def find_logs(directory: str | os.PathLike[str]) -> dict[str, dict[str, Path]]:
    """Return the reprod_log files of a directory by step, then by side (`reference`, `candidate`).

    Understands the names in use: `forward_torch.npy`, `forward_pytorch.npy` and `forward_ref.npy` are the same file,
    `losses_*` and `backward_*` are of the step `bp_align`.

    Raises:
        FileError: Two files stand for the same side of the same step.
    """
    logs: dict[str, dict[str, Path]] = {}
    for path in sorted(Path(directory).glob("*.npy")):
        step, _, label = path.stem.rpartition("_")
        side = next((side for side, labels in _SIDES.items() if label in labels), None)
        if side is None or not step:
            continue
        sides = logs.setdefault(_STEPS.get(step, step), {})
        if side in sides:
            raise FileError(path, f"stands for the same side of the same step as {sides[side].name}; remove one")
        sides[side] = path
    return logs


def _numeric(data: bytes, header: npz.Header) -> Array:
    dtype = header.dtype()
    expected, actual = prod(header.shape) * dtype.itemsize, len(data) - header.start
    if actual != expected:
        raise Malformed(f"of shape {header.shape} and dtype {dtype.name} takes {expected} bytes, {actual} are there")
    array: Array = np.ndarray(header.shape, dtype, data, header.start, order=header.order)
    return array.astype(dtype.newbyteorder("="))


def _flatten(path: Path, values: Mapping[Any, Any], parents: tuple[str, ...]) -> Iterator[tuple[str, Array]]:
    seen: set[str] = set()
    for name, value in values.items():
        names = (*parents, str(name))
        nested = isinstance(value, Mapping)
        for key, array in _flatten(path, value, names) if nested else [("/".join(names), _array(path, names, value))]:
            if key in seen:
                raise FileError(path, f"key {key!r} occurs twice")
            seen.add(key)
            yield key, array


def _array(path: Path, names: tuple[str, ...], value: object) -> Array:
    array = np.asarray(value) if isinstance(value, np.ndarray | np.generic | bool | int | float) else None
    if array is None or array.dtype.kind not in "biuf":
        what = type(value).__name__ if array is None else f"dtype {array.dtype}"
        raise FileError(path, f"{'/'.join(names)} is of {what}, expected an array of numbers")
    return array

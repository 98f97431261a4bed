"""The file formats, by name and by suffix."""

from __future__ import annotations

from collections.abc import Mapping
from os import PathLike
from pathlib import Path
from typing import NamedTuple

from porting.names import unknown


class Format(NamedTuple):
    """A file format.

    Attributes:
        title: What people call it.
        suffixes: The suffixes that stand for it when a file is written; none for a format that is only read.
    """

    title: str
    suffixes: tuple[str, ...] = ()


FORMATS: Mapping[str, Format] = {
    "torch-zip": Format("torch", (".pth", ".pt", ".bin")),
    "torch-legacy": Format("torch (before 1.6)"),
    "pdparams": Format("Paddle", (".pdparams",)),
    "safetensors": Format("safetensors", (".safetensors",)),
    "npz": Format("NumPy .npz", (".npz",)),
    "mindspore": Format("MindSpore", (".ckpt",)),
}
"""The formats by name."""

SUFFIXES: Mapping[str, str] = {suffix: name for name, known in FORMATS.items() for suffix in known.suffixes}
"""Names of formats, by the suffixes that they are written under."""


def format_of(path: str | PathLike[str]) -> str:
    """The format that a file of this name is written in.

    Raises:
        UnknownNameError: The suffix stands for none; the known ones are named.
    """
    suffix = Path(path).suffix.lower()
    if suffix not in SUFFIXES:
        raise unknown("suffix", suffix, SUFFIXES)
    return SUFFIXES[suffix]

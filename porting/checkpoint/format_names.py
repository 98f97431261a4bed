"""The file formats, by name and by suffix, and the file names that published models have."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from os import PathLike
from pathlib import Path
from typing import NamedTuple

from porting.errors import UnknownNameError
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

INDEX = ".index.json"
"""What the name of an index of shards ends with."""
_NAMES = ("model.safetensors", "pytorch_model.bin", "model_state.pdparams")
USUAL = (*_NAMES, *(f"{name}{INDEX}" for name in _NAMES))
"""What a published model's folder holds, in the order of preference; whole files hold the same weights."""


def format_of(path: str | PathLike[str]) -> str:
    """Return the format that a file of this name is written in.

    Raises:
        UnknownNameError: The suffix stands for no format; the message names those that do.
    """
    suffix = Path(path).suffix.lower()
    if suffix not in SUFFIXES:
        if Path(path).is_dir():
            raise UnknownNameError(f"{path} is a folder; name a file in it, such as {Path(path) / 'model.pdparams'}")
        raise unknown("suffix", suffix, SUFFIXES)
    return SUFFIXES[suffix]


_BESIDE = re.compile(
    r".*_optim_states\.pt|(optimizer|scheduler|scaler)(_\d+)?\.(pt|pth|bin)|rng_state\w*\.pth|random_states_\d+\.pkl"
    r"|training_args\.bin"
)
"""Files of training that DeepSpeed, transformers and accelerate write beside the weights."""


_TAR = ".pth.tar"
"""What timm's and torch's training scripts call their checkpoints, which are no tar archives."""


def usual(names: Iterable[str]) -> list[str]:
    """Return the first of `USUAL` among these, or else all that may be checkpoints: indices, or known suffixes."""
    names = list(names)
    for name in USUAL:
        if name in names:
            return [name]
    indices = [name for name in names if name.endswith(INDEX)]
    known = [name for name in names if Path(name).suffix.lower() in SUFFIXES or name.endswith(_TAR)]
    return indices or [name for name in known if not _BESIDE.match(name)] or known

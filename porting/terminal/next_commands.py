"""The command that comes after another one of `pit-port`, as its last line shows it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from porting.checkpoint.addresses import is_remote
from porting.terminal.again import again

if TYPE_CHECKING:
    from porting.describe import Description

_PAIR = ("--pair", "my_pair.py")
"""Declares two models of the user's own; the name of the file is an example."""


def after_inspect(description: Description) -> str:
    """Return the command that ports the checkpoint, with a pair where the model is not a published one."""
    own = () if description.model or description.rules else _PAIR
    return again("convert", description.path, port_of(description.path, description.format), *own)


def file_in(layout: str, source: Path | str) -> str:
    """Return a usual file of a layout: beside the source, and never the source itself."""
    suffix = ".ckpt" if layout == "mindcv" else ".pdparams" if "paddle" in layout else ".pth"
    usual = Path(port_of(source, "")).with_suffix(suffix)
    return str(usual if usual != Path(source) else usual.with_stem(f"{usual.stem}-{layout}"))


def port_of(path: Path | str, file_format: str) -> str:
    """Return the usual file of a port, beside it: `.pth` of Paddle's and MindSpore's files, else `.pdparams`."""
    file = Path(str(path).rpartition("/")[2].partition("@")[0]) if is_remote(path) else Path(path)
    of_torch = file_format not in ("pdparams", "mindspore") and file.suffix not in (".pdparams", ".ckpt")
    stem = Path(file.name.removesuffix(".index.json")).stem
    return str(file.with_name((stem or "port") + (".pdparams" if of_torch else ".pth")))

"""VisualDL and TensorBoard, for those who watch there."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

from recipe.errors import ConfigError

_WRITERS = {"visualdl": ("visualdl", "LogWriter", "logdir"), "tensorboard": ("tensorboardX", "SummaryWriter", "logdir")}
"""Package, class, and what the class calls the folder."""


class Tracker:
    """Passes numbers on, or keeps them to itself.

    Args:
        kind: `none`, `visualdl` or `tensorboard`.
        folder: Where it writes.

    Raises:
        ConfigError: The kind is unknown, or its package is not installed.
    """

    def __init__(self, kind: str, folder: Path) -> None:
        self._writer: Any = None
        if kind == "none":
            return
        if kind not in _WRITERS:
            raise ConfigError(f"run.tracker is {kind!r}, expected none, {' or '.join(_WRITERS)}")
        package, name, folder_argument = _WRITERS[kind]
        try:
            writer: Callable[..., Any] = getattr(import_module(package), name)
        except ImportError:
            raise ConfigError(
                f"run.tracker is {kind}, whose package is not installed: pip install {package}, or set it to none"
            ) from None
        self._writer = writer(**{folder_argument: str(folder)})

    def add(self, step: int, **values: float) -> None:
        """Adds values, by name, at so many updates."""
        for name, value in values.items() if self._writer is not None else ():
            self._writer.add_scalar(name.replace("__", "/"), value, step)

    def close(self) -> None:
        """Sees everything to the disk."""
        if self._writer is not None:
            self._writer.close()

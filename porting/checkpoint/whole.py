"""Everything that a file of training holds, and not only its weights: containers, numbers, texts and tensors."""

from __future__ import annotations

from os import PathLike
from pathlib import Path
from types import TracebackType
from typing import Any

from porting.checkpoint.containers.numpy_arrays import PickledScalar
from porting.checkpoint.containers.pickles import MAX_DEPTH
from porting.checkpoint.containers.stand_ins import Inert
from porting.checkpoint.file.source import Source, brief
from porting.checkpoint.reading import read_content
from porting.checkpoint.tensor import Described, LazyTensor

_MAX_ITEMS = 200_000
"""Entries of all containers together; no state of an optimizer has more."""


class Whole:
    """An open file of training; use it in a `with` statement. Nothing in it is executed.

    Args:
        path: A file in any format that is read here.

    Attributes:
        path: The file.
        format: One of `porting.checkpoint.FORMATS`.
        tree: The content: dicts, lists, numbers, texts, and `LazyTensor` for its tensors, readable while the file is
            open. An object of a class that is not known here is the dict of its attributes, or its name in angle
            brackets.

    Raises:
        CheckpointError: The file cannot be read, or is damaged.
        UnsafePickleError: It names what only an attack or a mistake would.
    """

    def __init__(self, path: str | PathLike[str]) -> None:
        self.path = Path(path)
        self._source = Source.open(self.path)
        self._made: dict[int, Any] = {}
        self._left = _MAX_ITEMS
        try:
            content = read_content(self._source, check=False)
            self.format = content.format
            saved: object = content.saved
            if self.format == "mindspore":
                from porting.checkpoint.formats import mindspore

                saved = mindspore.everything(self._source)
            self.tree = self._plain("", saved, MAX_DEPTH)
        except BaseException:  # Ctrl-C too: the file is closed, and it is raised again
            self._source.close()
            raise

    def __enter__(self) -> Whole:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._source.close()

    def _plain(self, name: str, value: object, depth: int) -> Any:
        """The value without what only a pickle has; a container that is referred to many times is made once."""
        match value:
            case LazyTensor() | str() | bool() | int() | float() | None:
                return value
            case PickledScalar():
                return value.array.tensor(name).load().item()
            case Described():
                return value.tensor(name)
            case Inert() if isinstance(value.items or value.state, dict):
                return self._plain(name, value.items or value.state, depth)
            case dict() | list() | tuple():
                if id(value) not in self._made:
                    self._made[id(value)] = self._container(name, value, depth - 1)
                return self._made[id(value)]
        return f"<{getattr(value, 'name', type(value).__name__)}>"

    def _container(self, name: str, value: dict[Any, Any] | list[Any] | tuple[Any, ...], depth: int) -> Any:
        self._left -= len(value)
        if depth < 0 or self._left < 0:
            raise self._source.error(f"is nested more than {MAX_DEPTH} deep, or holds more than {_MAX_ITEMS} entries")
        if isinstance(value, dict):
            return {
                key: self._plain(f"{name}.{brief(key)}" if name else brief(key), item, depth)
                for key, item in value.items()
                if isinstance(key, str | int)
            }
        return [self._plain(f"{name}[{place}]", item, depth) for place, item in enumerate(value)]

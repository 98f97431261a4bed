"""Checkpoints of a training run: dicts and lists around tensors, numbers and texts, in one Paddle file.

Written as PaddleViT writes its combined checkpoints, so that `paddle.load`, PaddleViT and `open_checkpoint` read them,
with a checksum of the whole file, see `sealed`.
What is in the file depends on the values alone, not on which of them were one object in memory.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import TypeAlias

from porting.checkpoint.containers.pickle_writer import PickleWriter
from porting.checkpoint.file.source import Source
from porting.checkpoint.file.writer import Output, publishing
from porting.checkpoint.formats import pdparams, sealed
from porting.checkpoint.tensor import Array, Described, LazyTensor
from porting.errors import CheckpointError

Tree: TypeAlias = "LazyTensor | str | int | float | bool | list[Tree] | Mapping[str, Tree] | None"
_PROTOCOL = 4


def write_nested(path: Path, tree: Mapping[str, Tree]) -> None:
    """Write a tree; the file appears under its name whole, read back and flushed to the disk, or not at all.

    Args:
        path: The target; what is there is replaced, its folder has to be there.
        tree: Tensors, texts, integers of up to 64 bits, floats, booleans and None, in dicts and lists.

    Raises:
        CheckpointError: A tensor has a dtype that Paddle does not have, or the target cannot be written.
    """
    with publishing(path, overwrite=True, durable=True) as output:
        write_tree(output, tree)


def write_tree(output: Output, tree: Mapping[str, Tree]) -> None:
    """Write a tree and its checksum as the whole content of a file that is open; see `write_nested`."""
    pickle = PickleWriter(_PROTOCOL)
    pickle.opcode(b"}(")  # EMPTY_DICT, MARK
    _write_items(pickle, output, "", {sealed.MARK: sealed.METHOD, **tree})
    output.write(pickle.take())
    output.write_late(sealed.LENGTH, lambda: sealed.seal(output.crc))


def _write(pickle: PickleWriter, output: Output, name: str, value: Tree) -> None:
    match value:
        case LazyTensor():
            if value.dtype.name not in pdparams.WRITTEN:
                raise CheckpointError(output.path, f"{name} is {value.dtype.name}, which Paddle's files do not hold")
            pdparams.write_array(pickle, output, name, value)
        case list():
            pickle.opcode(b"](")  # EMPTY_LIST, MARK
            for index, item in enumerate(value):
                _write(pickle, output, f"{name}[{index}]", item)
            pickle.opcode(b"e")  # APPENDS
        case Mapping():
            pickle.opcode(b"}(")  # EMPTY_DICT, MARK
            _write_items(pickle, output, name, value)
            pickle.opcode(b"u")  # SETITEMS
        case _:
            pickle.plain(value)


def _write_items(pickle: PickleWriter, output: Output, name: str, tree: Mapping[str, Tree]) -> None:
    for key, item in tree.items():
        pickle.text(key)
        _write(pickle, output, f"{name}.{key}" if name else key, item)


class Nested:
    """An open file of nested dicts; use it in a `with` statement.

    Args:
        path: A file that `write_nested`, `paddle.save` or PaddleViT wrote.

    Attributes:
        path: The file.
        tree: The content.
        parameters: For each dict in the tree, Paddle's own names of its tensors, if the file has them.

    Raises:
        CheckpointError: The file cannot be read, is damaged, or holds something other than a dict.
        UnsafePickleError: It asks for more than tensors and plain containers.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.parameters: dict[str, dict[str, str]] = {}
        self._source = Source.open(path)
        try:
            head = self._source.read(0, min(self._source.size, 2))
            if head not in (b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05"):
                raise CheckpointError(path, f"is no file of Paddle: it starts with {bytes(head)!r}")
            value = self._lazy("", pdparams.read(self._source))
            if not isinstance(value, dict):
                raise CheckpointError(path, f"holds a {type(value).__name__}, expected a dict")
        except BaseException:  # Ctrl-C too: the file is closed, and it is raised again
            self._source.close()
            raise
        self.tree: dict[str, Tree] = value

    def __enter__(self) -> Nested:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._source.close()

    def _lazy(self, name: str, value: object) -> Tree:
        match value:
            case Described():
                return value.tensor(name)
            case dict():
                self.parameters[name] = {
                    str(key): item.parameter
                    for key, item in value.items()
                    if isinstance(item, pdparams.PaddleTensor) and item.parameter is not None
                }
                return {
                    str(key): self._lazy(f"{name}.{key}" if name else str(key), item) for key, item in value.items()
                }
            case list() | tuple():
                return [self._lazy(f"{name}[{index}]", item) for index, item in enumerate(value)]
            case str() | bool() | int() | float() | None:
                return value
        return f"<{getattr(value, 'name', type(value).__name__)}>"


def arrays(tree: Tree) -> dict[str, Array]:
    """Return the tensors of a flat dict as arrays in memory, not views of a file; none for what is no dict."""
    if not isinstance(tree, Mapping):
        return {}
    return {name: value.load().copy() for name, value in tree.items() if isinstance(value, LazyTensor)}

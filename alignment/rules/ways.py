"""The operations that could take a tensor of one model to one of another, the most usual first.

The classes of modules say how a tensor is stored where both are known: then there is one way. A matrix in a class that
is not known may be stored either way, and only running the model tells which.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import permutations
from math import prod

from alignment.pair.model_description import ModelDescription
from alignment.pair.units import BARE, units_of
from porting.checkpoint.tensor import Shape
from porting.operations import Each, Op, Permute, Reshape, Transpose, between, chained

MOST = 12
"""Ways that are tried between two tensors, at most."""
_STORED_ALIKE = ("Linear", "Conv", "Embedding")
"""Kinds whose weights are stored alike in the common form: outputs first, then inputs."""


@dataclass(frozen=True)
class Stored:
    """How a model stores a tensor.

    Attributes:
        name: In the state dict.
        kind: Kind of the module that holds it, see `alignment.pair.units`.
        path: Path of that module.
        part: Name of the tensor in the common form of its kind; its own name in a class that is not known.
        shape: In the common form.
        op: From the common form to the state dict's; None where they are the same.
        buffer: Whether no optimiser updates it.
    """

    name: str
    kind: str
    path: str
    part: str
    shape: Shape
    op: Op | None
    buffer: bool

    @property
    def family(self) -> str:
        """What two tensors share whose classes say that they are stored alike; empty for a class that is not known."""
        if self.kind == BARE:
            return ""
        return "product" if self.kind in _STORED_ALIKE else self.kind


def stored(model: ModelDescription) -> Mapping[str, Stored]:
    """How each tensor of a model is stored, by name."""
    return {
        tensor.name: Stored(
            *(tensor.name, unit.kind, unit.module, part or tensor.name.rpartition(".")[2]),
            *(tensor.shape, tensor.op, tensor.buffer),
        )
        for unit in units_of(model)
        for part, tensor in unit.parts.items()
    }


def ways(source: Stored, target: Stored) -> list[Op | None]:
    """The operations from one tensor to another, the most usual first; none where the numbers of elements differ."""
    sure = bool(source.family) and source.family == target.family
    inward = source.op.inverse if source.op else None
    return [chained([inward, bridge, target.op]) for bridge in bridges(source.shape, target.shape, sure=sure)]


def rows_first(stored: Stored) -> list[tuple[Op | None, Op | None, Shape]]:
    """The operations that make the rows of a tensor its first axis, those that undo it, and its shape between.

    A matrix in a class that is not known may have its rows along either axis.
    """
    views = [(stored.op.inverse if stored.op else None, stored.op, stored.shape)] if stored.shape else []
    if not stored.family and len(stored.shape) == 2:
        views.append((Transpose(), Transpose(), stored.shape[::-1]))
    return views


def at(op: Op | None, part: tuple[int, int]) -> Op | None:
    """An operation on one of several tensors, named by its place and their number."""
    place, count = part
    return op if count == 1 else Each(tuple(op if other == place else None for other in range(count)))


def bridges(before: Shape, after: Shape, *, sure: bool = False) -> list[Op | None]:
    """The operations from one shape to another that keep all elements: axes moved, merged, cut, of length one.

    Args:
        before: The shape at the beginning.
        after: The shape at the end.
        sure: Whether both are stored alike, so that equal shapes leave one way.
    """
    if prod(before) != prod(after):
        return []
    if before == after and (sure or len([length for length in before if length != 1]) < 2):
        return [None]
    ones = between(before, after)
    if sure and ones:
        return [ones]
    if _core(before) == _core(after) and len(_core(before)) < 2:
        return [ones or Reshape(before, after)]
    found: dict[str, Op | None] = {}
    for op in _bridges(before, after):
        found.setdefault(str(op), op)
        if len(found) == MOST:
            break
    return list(found.values())


def _bridges(before: Shape, after: Shape) -> Iterator[Op | None]:
    start, end = _core(before), _core(after)
    if len(end) > len(start):
        for op in _bridges(after, before):
            yield op.inverse if op else None
        return
    if len(start) > 6:
        return
    orders = [axes for axes in permutations(range(len(start))) if _merges([start[axis] for axis in axes], end)]
    for axes in sorted(orders, key=lambda axes: _disorder(axes, start, end)):
        moved = tuple(start[axis] for axis in axes)
        turned = None if list(axes) == sorted(axes) else Transpose() if len(axes) == 2 else Permute(axes)
        yield chained(
            [
                between(before, start) if before != start else None,
                turned,
                Reshape(moved, end) if moved != end else None,
                between(end, after) if end != after else None,
            ]
        )


def _disorder(axes: Sequence[int], shape: Shape, into: Shape) -> int:
    """How many neighbouring axes are merged in another order than they have: heads before what is in a head."""
    left, count = list(axes), 0
    for length in into:
        size, last = 1, -1
        while left and size < length:
            axis = left.pop(0)
            count += axis < last
            size, last = size * shape[axis], axis
    return count


def _core(shape: Shape) -> Shape:
    return tuple(length for length in shape if length != 1)


def _merges(shape: Sequence[int], into: Shape) -> bool:
    """Whether neighbouring axes of a shape can be merged so that it becomes another."""
    left = list(shape)
    for length in into:
        size = 1
        while left and size < length:
            size *= left.pop(0)
        if size != length:
            return False
    return not left

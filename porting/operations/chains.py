"""Operations one after the other, and side by side."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import TypeVar

from porting.checkpoint.tensor import Array, Shape
from porting.operations.base import FrozenOp, Op, ShapeMismatchError, require
from porting.operations.biases import FoldBias
from porting.operations.one_sided import Build, Drop, Fill, Keep
from porting.operations.ties import Untie

Item = TypeVar("Item")
_ONE_SIDED = (Drop, Fill, Keep, Build)
_LOSE = (FoldBias, Untie)
"""Operations that their inverse gives back for some values only, so that the two do not cancel."""


@dataclass(eq=False, repr=False)
class Each(FrozenOp):
    """For each of several tensors an operation of its own.

    Args:
        ops: The operations, in the order of the tensors; None passes a tensor as it is. One that takes or gives several
            tensors takes or gives its neighbours.

    Raises:
        ValueError: There are fewer than two, or one of them is for tensors that only one side has.
    """

    ops: tuple[Op | None, ...]

    def __post_init__(self) -> None:
        require(len(self.ops) >= 2, "each needs at least two operations")
        _require_two_sided(self.ops)
        counts = {"inputs": sum(takes(op) for op in self.ops), "outputs": sum(gives(op) for op in self.ops)}
        for name, count in counts.items():
            object.__setattr__(self, name, count)

    @property
    def inverse(self) -> Op | None:
        """The inverse of each; None where one has none."""
        inverses = tuple(op.inverse if op else None for op in self.ops)
        return None if any(op and not back for op, back in zip(self.ops, inverses, strict=True)) else Each(inverses)

    def shapes(self, *shapes: Shape) -> tuple[Shape, ...]:
        """Return what each gives for its shapes, in order."""
        groups = zip(self.ops, self.divided(shapes), strict=True)
        return tuple(shape for op, group in groups for shape in (op.shapes(*group) if op else group))

    def apply(self, *arrays: Array) -> tuple[Array, ...]:
        """Return what each gives for its arrays, in order."""
        groups = zip(self.ops, self.divided(arrays), strict=True)
        return tuple(array for op, group in groups for array in (op.apply(*group) if op else group))

    def divided(self, items: Iterable[Item]) -> Iterator[tuple[Item, ...]]:
        """Yield for each operation the items that it takes."""
        rest = iter(items)
        for op in self.ops:
            yield tuple(next(rest) for _ in range(takes(op)))


@dataclass(eq=False, repr=False)
class Chain(FrozenOp):
    """Operations one after the other; chains within it become a part of it. `chained` builds one of any number.

    Args:
        steps: At least two operations.

    Raises:
        ValueError: A step takes another number of tensors than the one before it gives, there are fewer than two steps,
            or one of them is for tensors that only one side has.
    """

    steps: tuple[Op, ...]

    def __post_init__(self) -> None:
        steps = tuple(_flat(self.steps))
        require(len(steps) >= 2, "a chain needs at least two operations")
        _require_two_sided(steps)
        for before, after in pairwise(steps):
            if before.outputs != after.inputs:
                counts = f"{before} gives {before.outputs} and {after} takes {after.inputs}"
                require(False, f"a chain in which {counts} tensors")
        for name, value in (("steps", steps), ("inputs", steps[0].inputs), ("outputs", steps[-1].outputs)):
            object.__setattr__(self, name, value)

    @property
    def inverse(self) -> Op | None:
        """The inverse of each step, last to first; None where one has none."""
        inverses = [step.inverse for step in reversed(self.steps)]
        known = tuple(step for step in inverses if step is not None)
        return Chain(known) if len(known) == len(inverses) else None

    def shapes(self, *shapes: Shape) -> tuple[Shape, ...]:
        """Return what the last step gives.

        Raises:
            ShapeMismatchError: A step does not apply; the message has the shapes at each step before it.
        """
        way = [listed(shapes)]
        for step in self.steps:
            try:
                shapes = step.shapes(*shapes)
            except ShapeMismatchError as error:
                raise ShapeMismatchError(f"{' -> '.join(way)}; {step}: {error}") from None
            way += [str(step), listed(shapes)]
        return shapes

    def apply(self, *arrays: Array) -> tuple[Array, ...]:
        """Return what the last step gives."""
        for step in self.steps:
            arrays = step.apply(*arrays)
        return arrays


def chained(steps: Iterable[Op | None]) -> Op | None:
    """Return operations one after the other as one, without those that cancel out; None where nothing is left.

    Raises:
        ValueError: As for `Chain`.
    """
    rest: list[Op] = []
    for step in _flat(step for step in steps if step is not None):
        if rest and _cancel(rest[-1], step):
            rest.pop()
        elif not (isinstance(step, Each) and not any(step.ops)):
            rest.append(step)
    return Chain(tuple(rest)) if len(rest) > 1 else rest[0] if rest else None


def _cancel(op: Op, following: Op) -> bool:
    """Whether an operation is undone by the one that follows it; the inverse of a `FrozenOp` is of a class known."""
    if isinstance(op, _LOSE) or (isinstance(op, FrozenOp) and type(following) is not (op.undone_by or type(op))):
        return False
    return op.inverse == following


def steps_of(op: Op | None) -> tuple[Op, ...]:
    """Return the operations that one consists of, first to last."""
    return op.steps if isinstance(op, Chain) else () if op is None else (op,)


def way(op: Op | None, shapes: tuple[Shape, ...]) -> str:
    """Return shapes and operations in turn: `(4, 2) -> transpose -> (2, 4)`."""
    words = [listed(shapes)]
    for step in steps_of(op):
        shapes = step.shapes(*shapes)
        words += [str(step), listed(shapes)]
    return " -> ".join(words)


def listed(shapes: Iterable[Shape]) -> str:
    """Return shapes for an error message, equal ones once: `3 x (4, 2)`."""
    words, left = [], list(shapes)
    while left:
        count = next((at for at, shape in enumerate(left) if shape != left[0]), len(left))
        words.append(f"{count} x {left[0]}" if count > 1 else str(left[0]))
        del left[:count]
    return " + ".join(words) or "nothing"


def takes(op: Op | None) -> int:
    """Return the number of tensors that an operation takes."""
    return op.inputs if op else 1


def gives(op: Op | None) -> int:
    """Return the number of tensors that an operation gives."""
    return op.outputs if op else 1


def _flat(steps: Iterable[Op]) -> Iterator[Op]:
    for step in steps:
        if isinstance(step, Chain):
            yield from step.steps
        else:
            yield step


def _require_two_sided(ops: Iterable[Op | None]) -> None:
    for op in ops:
        if isinstance(op, _ONE_SIDED):
            raise ValueError(f"{op}: for a tensor that one side does not have; it stands alone in its rule")

"""What an operation is: it knows its inverse and the shapes that it gives, without touching data."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import ClassVar

from porting.checkpoint.tensor import Array, Shape
from porting.frozen import Frozen


class ShapeMismatchError(ValueError):
    """An operation met a shape that it cannot take; the message says which and why."""


class ValueMismatchError(ValueError):
    """An operation met values that it cannot take without giving something up; the message says what."""


class Op(ABC):
    """An operation from some tensors to others; lossless but for `Drop` and `Keep`, which say what they give up.

    An operation of your own derives from this class. It is a frozen dataclass with the methods `shapes` and `apply` and
    the property `inverse`, and it is tried on random arrays before it is trusted (see `porting.operations.own`).

    Attributes:
        inputs: Number of tensors that it takes.
        outputs: Number of tensors that it gives.
        undone_by: The class of its inverse, whose fields are the same in the same order; None where nothing undoes it.
    """

    inputs: int = 1
    outputs: int = 1
    undone_by: ClassVar[type[Op] | None] = None
    printed: ClassVar[Callable[[Op], str]]
    """The text of an operation; `porting.operations.grammar`, which parses it too, puts it in place."""

    @property
    def inverse(self) -> Op | None:
        """The operation that takes this one back, an operation within it inverted too; None where nothing does."""
        if self.undone_by is None:
            return None
        return self.undone_by(*(value.inverse if isinstance(value, Op) else value for value in vars(self).values()))

    @abstractmethod
    def shapes(self, *shapes: Shape) -> tuple[Shape, ...]:
        """Return the shapes that it gives for these, without touching data.

        Raises:
            ShapeMismatchError: The operation does not apply to these shapes.
        """

    @abstractmethod
    def apply(self, *arrays: Array) -> tuple[Array, ...]:
        """Return the arrays that it gives for these, as views where that is possible.

        Raises:
            ValueMismatchError: The operation would lose something of these values.
        """

    def remark(self, *arrays: Array) -> str | None:
        """What a user must be told of these very arrays; None for what is always so. Called where it is overridden."""
        return None

    def __str__(self) -> str:
        return Op.printed(self)


class FrozenOp(Frozen, Op):
    """An operation of the toolkit; a class that derives from it is a `dataclass(eq=False, repr=False)`."""


def require(condition: bool, problem: str) -> None:
    """Raise a `ValueError` that says why the arguments of an operation are impossible, unless the condition holds."""
    if not condition:
        raise ValueError(problem)

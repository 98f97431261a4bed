"""What a tensor is made of: sources, and operations on them, as a tree that is evaluated when the tensor is needed."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from porting.architectures.base import TensorSpec
from porting.checkpoint.tensor import Array, LazyTensor, Pieces
from porting.errors import PlanError
from porting.operations import (
    Chain,
    Concat,
    Each,
    Interleave,
    Op,
    Permute,
    Scale,
    Split,
    Stack,
    Tie,
    Transpose,
    Unsqueeze,
)
from porting.operations.grammar import text
from porting.operations.own import is_own, require_undone


class Source(NamedTuple):
    """The source tensor of this name, unchanged."""

    name: str


class Applied(NamedTuple):
    """One of the tensors that an operation returns."""

    op: Op
    args: tuple[Expression, ...]
    output: int = 0


class Filled(NamedTuple):
    """A tensor of one value that the source does not have."""

    value: float
    spec: TensorSpec

    def make(self, dtype: np.dtype[Any]) -> Array:
        """The tensor.

        Raises:
            PlanError: The value is none of the dtype's.
        """
        if dtype.kind in "iub" and self.value != int(self.value):
            raise PlanError(f"a tensor of {dtype} cannot be filled with {self.value}")
        return np.full(self.spec.shape, self.value, dtype)


class Constant:
    """A constant of the target whose values are known beforehand.

    Args:
        values: The array.
    """

    def __init__(self, values: Array) -> None:
        self.values = values

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Constant):
            return NotImplemented
        one, two = self.values, other.values
        return (one.dtype, one.shape, one.tobytes()) == (two.dtype, two.shape, two.tobytes())

    def __hash__(self) -> int:
        return hash((self.values.dtype, self.values.shape))

    def __repr__(self) -> str:
        return f"Constant({self.values.dtype} {self.values.shape}, {zlib.crc32(self.values.tobytes()):08x})"

    def __str__(self) -> str:
        return "a known constant"

    def make(self, dtype: np.dtype[Any]) -> Array:
        """The tensor, in its own dtype."""
        return self.values


class Initialised(NamedTuple):
    """A newly initialised tensor: weights normal, cut off at two standard deviations; biases zero.

    Attributes:
        spec: Shape and kind of the tensor.
        std: Standard deviation; 0 for zeros.
        seed: Seed of the random numbers.
    """

    spec: TensorSpec
    std: float
    seed: int

    def make(self, dtype: np.dtype[Any]) -> Array:
        """Return the tensor, which the seed determines."""
        generator = np.random.default_rng(self.seed)
        values = generator.standard_normal(self.spec.shape)
        while (beyond := np.abs(values) > 2).any():
            values[beyond] = generator.standard_normal(np.count_nonzero(beyond))
        return (values * self.std).astype(dtype)

    def __str__(self) -> str:
        return f"initialise, normal with standard deviation {self.std}, seed {self.seed}" if self.std else "set to zero"


Expression: TypeAlias = "Source | Applied | Filled | Constant | Initialised"


def applied(op: Op | None, args: tuple[Expression, ...]) -> tuple[Expression, ...]:
    """Return what an operation gives; of a chain, and of operations side by side, each step is an expression."""
    if op is None:
        return args
    if isinstance(op, Chain):
        for step in op.steps:
            args = applied(step, args)
        return args
    if isinstance(op, Each):
        groups = zip(op.ops, op.divided(args), strict=True)
        return tuple(result for inner, group in groups for result in applied(inner, group))
    return tuple(Applied(op, args, output) for output in range(op.outputs))


def sources_in(expression: Expression) -> list[str]:
    """Return the names of the sources of an expression, in order, each as often as it is used."""
    if isinstance(expression, Source):
        return [expression.name]
    if not isinstance(expression, Applied):
        return []
    return [name for argument in expression.args for name in sources_in(argument)]


def constants_in(expression: Expression) -> list[Constant]:
    """Return the constants of an expression, in order."""
    if isinstance(expression, Constant):
        return [expression]
    return [one for arg in expression.args for one in constants_in(arg)] if isinstance(expression, Applied) else []


def operations_in(expression: Expression) -> list[str]:
    """Return the operations of an expression in words, innermost first, equal ones side by side once."""
    match expression:
        case Source():
            return []
        case Applied(op, args):
            return [*dict.fromkeys(what for argument in args for what in operations_in(argument)), text(op)]
        case Filled(value):
            return [f"fill with {value}"]
    return [str(expression)]


def part_in(expression: Expression) -> tuple[int, int] | None:
    """Return which of the tensors that an operation cuts one into an expression is, from 1, and how many they are.

    None for what is not cut; names of one tensor are no parts.
    """
    match expression:
        case Applied(Tie(), args, _):
            return part_in(args[0])
        case Applied(op, _, output) if op.outputs > 1:
            return output + 1, op.outputs
        case Applied(op, args, _) if len(args) == 1:
            return part_in(args[0])
    return None


def spelled(expression: Expression) -> str:
    """Return a text that is another one for an expression of other values over the same sources."""
    match expression:
        case Source(name):
            return repr(name)
        case Applied(op, args, output):
            return f"{text(op)} ({', '.join(map(spelled, args))}) {output}"
        case Constant(values=values):
            from hashlib import sha256  # takes 3 ms, and few conversions have a constant

            return f"constant {values.dtype.name} {values.shape} {sha256(values.tobytes()).hexdigest()}"
    return f"{expression!r}"


def changes_in(expression: Expression) -> list[str]:
    """Return the operations of an expression that have no inverse or multiply, innermost first."""
    if isinstance(expression, Initialised):
        return [str(expression)]
    if not isinstance(expression, Applied):
        return []
    own = [text(expression.op)] if expression.op.inverse is None or isinstance(expression.op, Scale) else []
    return [*(what for argument in expression.args for what in changes_in(argument)), *own]


def uses(expression: Expression, kind: type[Op]) -> bool:
    """Return True if an operation of this kind is in an expression."""
    return isinstance(expression, Applied) and (
        isinstance(expression.op, kind) or any(uses(argument, kind) for argument in expression.args)
    )


def substituted(expression: Expression, inner: Mapping[str, Expression]) -> Expression:
    """Return an expression with others in place of its sources, without operations that cancel out."""
    if isinstance(expression, Source):
        return inner[expression.name]
    if not isinstance(expression, Applied):
        return expression
    arguments = tuple(substituted(argument, inner) for argument in expression.args)
    return _simplified(Applied(expression.op, arguments, expression.output))


def _simplified(expression: Applied) -> Expression:
    """The expression, or its inner argument where an operation and its inverse cancel out."""
    first = expression.args[0] if expression.args else None
    if not isinstance(first, Applied) or first.op.inverse != expression.op:
        return expression
    undone = all(
        isinstance(argument, Applied)
        and argument.op == first.op
        and argument.args == first.args
        and argument.output == place
        for place, argument in enumerate(expression.args)
    )
    whole = len(expression.args) == first.op.outputs
    return first.args[expression.output] if undone and whole else expression


def pieces_of(
    expression: Expression, tensors: Mapping[str, LazyTensor], value: Callable[[Expression], Array]
) -> Callable[[], Pieces] | None:
    """Return what makes a tensor in pieces, views where that is possible, so that nothing is joined in memory.

    Args:
        expression: The tensor.
        tensors: The sources, of which one may be in pieces itself.
        value: Returns the array of an expression.

    Returns:
        A function that returns the pieces; None for a tensor that is in one piece.
    """
    match expression:
        case Source(name):
            return tensors[name].pieces
        case Applied(Concat(axis=axis), args):
            return lambda: Pieces(tuple(map(value, args)), axis)
        case Applied(Stack(axis=axis), args):
            stacked = tuple(Applied(Unsqueeze((axis,)), (piece,)) for piece in args)
            return lambda: Pieces(tuple(map(value, stacked)), axis)
        case Applied(op, (arg,), output) if isinstance(op, Transpose | Permute | Interleave | Split):
            return _changed(op, output, arg, pieces_of(arg, tensors, value), value)
    return None


def _changed(
    op: Transpose | Permute | Interleave | Split,
    output: int,
    arg: Expression,
    inner: Callable[[], Pieces] | None,
    value: Callable[[Expression], Array],
) -> Callable[[], Pieces] | None:
    """Return the pieces of a tensor after an operation on one tensor, whose own pieces are `inner`."""
    if isinstance(op, Interleave):
        if op.outer * op.parts * op.groups > _MOST_SLICES:
            return None
        return lambda: _interleaved(inner() if inner else Pieces((value(arg),), op.axis), op)
    if inner is None:
        return None
    if isinstance(op, Split):
        reordered = isinstance(arg, Applied) and isinstance(arg.op, Interleave)
        return (lambda: _part(inner(), op, output)) if reordered else None
    axes = op.axes if isinstance(op, Permute) else (1, 0)
    return lambda: _turned(inner(), axes)


_MOST_SLICES = 512
"""Slices of a tensor that are written one by one; it is copied first if there are more, as of rotary pairs."""


def _turned(pieces: Pieces, axes: tuple[int, ...]) -> Pieces:
    return Pieces(tuple(array.transpose(axes) for array in pieces.arrays), axes.index(pieces.axis))


def _interleaved(pieces: Pieces, op: Interleave) -> Pieces:
    """The slices of the axis in their new order."""
    if pieces.axis != op.axis:
        return Pieces(tuple(op.apply(array)[0] for array in pieces.arrays), pieces.axis)
    count = op.outer * op.parts * op.groups
    inner = sum(array.shape[op.axis] for array in pieces.arrays) // count
    order = np.arange(count).reshape(op.outer, op.parts, op.groups).swapaxes(1, 2).reshape(-1)
    slices = (_cut(pieces, int(place) * inner, (int(place) + 1) * inner) for place in order)
    return Pieces(tuple(array for arrays in slices for array in arrays), op.axis)


def _part(pieces: Pieces, op: Split, output: int) -> Pieces:
    """One of the parts that a tensor is cut into."""
    if pieces.axis != op.axis:
        return Pieces(tuple(op.apply(array)[output] for array in pieces.arrays), pieces.axis)
    length = sum(array.shape[op.axis] for array in pieces.arrays)
    sizes = op.sizes or (length // op.outputs,) * op.outputs
    start = sum(sizes[:output])
    return Pieces(_cut(pieces, start, start + sizes[output]), op.axis)


def _cut(pieces: Pieces, start: int, stop: int) -> tuple[Array, ...]:
    """The arrays of a stretch of the axis that pieces are joined along, as views; at least one."""
    parts, at = [], 0
    for array in pieces.arrays:
        low, high = max(start - at, 0), min(stop - at, array.shape[pieces.axis])
        parts += [array[_along(pieces.axis, low, high)]] if low < high else []
        at += array.shape[pieces.axis]
    return tuple(parts) or (pieces.arrays[0][_along(pieces.axis, 0, 0)],)


def _along(axis: int, start: int, stop: int) -> tuple[slice, ...]:
    return (*(slice(None),) * axis, slice(start, stop))


def evaluate(expression: Expression, load: Callable[[str], Array], dtype: np.dtype[Any]) -> Array:
    """Return the array of an expression.

    Args:
        expression: The expression.
        load: Returns the array of a source.
        dtype: Dtype of what has no source.

    Raises:
        ValueMismatchError: An operation would lose something of these values.
        UntrustedOperationError: An operation of the user's own is not undone by its inverse.
    """
    if isinstance(expression, Source):
        return load(expression.name)
    if not isinstance(expression, Applied):
        return expression.make(dtype)
    arrays = tuple(evaluate(argument, load, dtype) for argument in expression.args)
    result = expression.op.apply(*arrays)
    if is_own(expression.op) and expression.op.inverse is not None:
        require_undone(expression.op, arrays, result)
    return result[expression.output]

"""Random operations that fit random shapes, for property tests."""

from __future__ import annotations

from collections.abc import Callable

from hypothesis import strategies as st

from porting.checkpoint.tensor import Shape
from porting.operations import (
    Concat,
    Each,
    Interleave,
    Op,
    Permute,
    Reorder,
    Reshape,
    Scale,
    Split,
    Squeeze,
    Stack,
    Tie,
    Transpose,
    Unsqueeze,
    Unstack,
    Untie,
    ZeroBias,
    chained,
)

SHAPES: st.SearchStrategy[Shape] = st.lists(st.integers(0, 6), max_size=4).map(tuple)
REASONS = st.text(st.characters(codec="utf-8"), max_size=30)


@st.composite
def unary(draw: st.DrawFn, shape: Shape) -> Op:
    """An operation that takes a tensor of this shape and gives one."""
    choices: list[Callable[[], Op]] = [lambda: Reshape(shape, _other(draw, shape))]
    axes = tuple(range(len(shape)))
    choices.append(lambda: Unsqueeze((draw(st.integers(0, len(shape))),)))
    choices.append(lambda: Scale(draw(st.sampled_from([2, 0.5]))))
    if shape:
        choices.append(lambda: Permute(tuple(draw(st.permutations(axes)))))
        choices.append(lambda: _interleave(draw, shape))
    if len(shape) == 2:
        choices.append(Transpose)
    if ones := tuple(axis for axis in axes if shape[axis] == 1):
        choices.append(lambda: Squeeze(ones))
    return draw(st.sampled_from(choices))()


@st.composite
def dividing(draw: st.DrawFn, shape: Shape) -> Op:
    """An operation that takes a tensor of this shape and gives several."""
    choices: list[Callable[[], Op]] = [lambda: Tie(draw(st.integers(2, 3)))]
    for axis, length in enumerate(shape):  # mypy infers no lambda that has defaults
        choices.append(lambda axis=axis, length=length: Split(_parts(draw, length), axis))  # type: ignore[misc]
        if length:
            choices.append(lambda axis=axis, length=length: Unstack(length, axis))  # type: ignore[misc]
            count = _divisor(draw, length)
            choices.append(lambda axis=axis, count=count: Split(count, axis))  # type: ignore[misc]
    if len(shape) == 1:
        choices.append(ZeroBias)
    return draw(st.sampled_from(choices))()


@st.composite
def chains(draw: st.DrawFn) -> tuple[Op, Shape]:
    """A chain that begins with one tensor, and its shape."""
    shape = draw(SHAPES)
    shapes: tuple[Shape, ...] = (shape,)
    steps: list[Op] = []
    for _ in range(draw(st.integers(1, 4))):
        step = _step(draw, shapes)
        shapes = step.shapes(*shapes)
        steps.append(step)
    return chained(steps) or Tie(1), shape


def _step(draw: st.DrawFn, shapes: tuple[Shape, ...]) -> Op:
    chosen: bool = draw(st.booleans())
    if len(shapes) == 1:
        return draw(unary(shapes[0])) if chosen else draw(dividing(shapes[0]))
    if chosen and len(set(shapes)) == 1:
        return Stack(len(shapes), draw(st.integers(0, len(shapes[0]))))
    if chosen and shapes[0] and len(set(map(len, shapes))) == 1:
        axis = draw(st.integers(0, len(shapes[0]) - 1))
        if len({(*shape[:axis], *shape[axis + 1 :]) for shape in shapes}) == 1:
            return Concat([shape[axis] for shape in shapes], axis)
    if chosen:
        return Reorder(tuple(draw(st.permutations(range(len(shapes))))))
    return Each(tuple(draw(st.one_of(st.none(), unary(shape))) for shape in shapes))


def one_of_each() -> list[Op]:
    """An operation of every kind, with and without what may be left out."""
    return [
        Transpose(),
        Permute((0, 2, 3, 1)),
        Reshape((), (1, 1)),
        Reshape((12, 1), (3, 4)),
        Squeeze((2, 3)),
        Unsqueeze((0,)),
        Scale(2),
        Scale(0.25),
        Split(3),
        Split(2, 1),
        Split((16, 4, 4)),
        Split((0, 4), 1),
        Concat(3),
        Concat((16, 4, 4), 1),
        Reorder((1, 0, 2)),
        Stack(8),
        Unstack(8, 1),
        Interleave(3, 12),
        Interleave(2, 32, 12, 1),
        Tie(2),
        Tie(2, Transpose()),
        Untie(3, Transpose()),
        ZeroBias(),
        ZeroBias().inverse or Transpose(),
        Each((None, Transpose())),
        Each((Transpose(), Transpose())),
        Each((Each((None, Transpose())), Tie(2, Transpose()))),
        Tie(2, chained([Transpose(), Unsqueeze((2, 3))])),
        chained([Each((Transpose(),) * 3), Concat((16, 4, 4), 1), Interleave(3, 12, axis=1)]) or Transpose(),
    ]


def _other(draw: st.DrawFn, shape: Shape) -> Shape:
    """Another shape with as many elements."""
    joined = (1,) if not shape else (shape[0] * (shape[1] if len(shape) > 1 else 1), *shape[2:])
    return draw(st.sampled_from([joined, (*shape, 1), (1, *shape), shape]))


def _interleave(draw: st.DrawFn, shape: Shape) -> Op:
    axis = draw(st.integers(0, len(shape) - 1))
    rest = shape[axis] or 12
    parts = _divisor(draw, rest)
    groups = _divisor(draw, rest // parts)
    return Interleave(parts, groups, _divisor(draw, rest // parts // groups), axis)


def _divisor(draw: st.DrawFn, number: int) -> int:
    return draw(st.sampled_from([one for one in range(1, number + 1) if number % one == 0]))


def _parts(draw: st.DrawFn, length: int) -> list[int]:
    cut = draw(st.integers(0, length))
    return [cut, length - cut]

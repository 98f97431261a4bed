"""Operations: shapes without data agree with arrays, and inverses give back what went in."""

from __future__ import annotations

import numpy as np
import pytest

from porting.checkpoint import dtypes
from porting.checkpoint.tensor import Array, Shape
from porting.operations import (
    Concat,
    Drop,
    Fill,
    FoldBias,
    Op,
    Scale,
    ShapeMismatchError,
    Split,
    Squeeze,
    Tie,
    Transpose,
    Unsqueeze,
    Untie,
    ValueMismatchError,
    ZeroBias,
    between,
)

REVERSIBLE: tuple[tuple[Op, Shape], ...] = (
    (Transpose(), (2, 3)),
    (Split(3), (6, 2)),
    (Split(2, axis=1), (3, 4)),
    (Squeeze((0, 2)), (1, 8, 1)),
    (Unsqueeze((0,)), (8,)),
    (Scale(2), (2, 3)),
    (Tie(2), (2, 3)),
    (Tie(2, Transpose()), (2, 3)),
    (Tie(3, Squeeze((0,))), (1, 4)),
    (ZeroBias(), (5,)),
)


def _array(shape: Shape) -> Array:
    return np.arange(float(np.prod(shape, dtype=int))).reshape(shape)


def _inverse(op: Op) -> Op:
    inverse = op.inverse
    assert inverse is not None
    return inverse


@pytest.mark.parametrize(("op", "shape"), REVERSIBLE, ids=str)
def test_shapes_of_an_operation_and_its_inverse_are_those_of_their_arrays(op: Op, shape: Shape) -> None:
    there = op.apply(_array(shape))
    shapes = tuple(array.shape for array in there)
    assert op.shapes(shape) == shapes
    assert len(shapes) == op.outputs == _inverse(op).inputs
    assert _inverse(op).shapes(*shapes) == (shape,)


@pytest.mark.parametrize(("op", "shape"), REVERSIBLE, ids=str)
def test_inverse_gives_back_the_tensor(op: Op, shape: Shape) -> None:
    (back,) = _inverse(op).apply(*op.apply(_array(shape)))
    np.testing.assert_array_equal(back, _array(shape))


@pytest.mark.parametrize(
    ("op", "inverse"),
    [
        (Transpose(), Transpose()),
        (Split(3, axis=1), Concat(3, axis=1)),
        (Squeeze((0, 2)), Unsqueeze((0, 2))),
        (Tie(2, Squeeze((0,))), Untie(2, Unsqueeze((0,)))),
        (Drop("a counter", 7), Fill("a counter", 7)),
        (FoldBias(), ZeroBias()),
        (Scale(4), Scale(0.25)),
    ],
    ids=str,
)
def test_inverses_have_the_same_parameters_both_ways(op: Op, inverse: Op) -> None:
    assert op.inverse == inverse
    assert inverse.inverse == op


def test_tie_gives_the_shapes_of_the_operation_within_it() -> None:
    assert Tie(2, Transpose()).shapes((2, 3)) == ((3, 2), (3, 2))
    assert Untie(2, Transpose()).shapes((3, 2), (3, 2)) == ((2, 3),)
    with pytest.raises(ShapeMismatchError, match="a Linear weight has 2 axes"):
        Tie(2, Transpose()).shapes((2,))


@pytest.mark.parametrize(
    ("before", "after"), [((), (1,)), ((1,), ()), ((8,), (1, 8)), ((1, 8, 1), (8,)), ((1, 3), (1, 1, 3))]
)
def test_axes_of_length_one_are_put_in_and_taken_out(before: Shape, after: Shape) -> None:
    op = between(before, after)
    assert op is not None
    (there,) = op.apply(np.zeros(before))
    assert op.shapes(before) == (there.shape,) == (after,)
    assert _inverse(op).shapes(after) == (_inverse(op).apply(there)[0].shape,) == (before,)


@pytest.mark.parametrize(("before", "after"), [((8,), (8,)), ((8, 1), (1, 8)), ((2,), (1, 3)), ((), (2,))])
def test_shapes_that_differ_by_more_than_axes_of_length_one_have_nothing_between_them(
    before: Shape, after: Shape
) -> None:
    assert between(before, after) is None


@pytest.mark.parametrize(
    ("op", "shapes"),
    [
        (Transpose(), ((2,),)),
        (Split(2), ((3, 2),)),
        (Split(2, axis=1), ((2,),)),
        (Concat(2), ((2, 1), (3, 1))),
        (Concat((1, 3), axis=1), ((2,), (2, 3))),
        (Squeeze((0,)), ((2, 1),)),
        (Unsqueeze((3,)), ((2,),)),
        (Untie(2), ((2, 3), (3, 2))),
    ],
    ids=str,
)
def test_operations_refuse_shapes_that_do_not_fit(op: Op, shapes: tuple[Shape, ...]) -> None:
    with pytest.raises(ShapeMismatchError):
        op.shapes(*shapes)


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", "bfloat16"])
def test_multiplied_tensor_keeps_its_dtype_and_comes_back_bit_by_bit(dtype: str) -> None:
    array = np.array([0.0, -0.0, 1.5, -3e-3, np.inf, np.nan]).astype(dtypes.dtype(dtype))
    (twice,) = Scale(2).apply(array)
    assert twice.dtype == array.dtype
    assert _inverse(Scale(2)).apply(twice)[0].tobytes() == array.tobytes()


@pytest.mark.parametrize(
    ("array", "factor", "message"),
    [
        (np.array([3e38], np.float32), 2, r"3e\+38 times 2 does not fit into float32"),
        (np.array([1e-45], np.float32), 0.5, "times 0.5 does not fit into float32"),
        (np.array([3]), 2, "a tensor of int64 is not multiplied"),
    ],
)
def test_product_that_would_lose_bits_is_refused(array: Array, factor: float, message: str) -> None:
    with pytest.raises(ValueMismatchError, match=message):
        Scale(factor).apply(array)


@pytest.mark.parametrize("factor", [0, -2, 3, float("inf"), float("nan"), 0.1])
def test_factor_that_is_no_power_of_two_is_refused(factor: float) -> None:
    with pytest.raises(ValueError, match="needs a power of two"):
        Scale(factor)

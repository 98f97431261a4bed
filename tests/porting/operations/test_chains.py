"""Chains, and operations side by side: arities, shapes, inverses, and what cancels out."""

from __future__ import annotations

import re
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given

from porting.checkpoint.tensor import Shape
from porting.operations import (
    Chain,
    Concat,
    Drop,
    Each,
    FoldBias,
    Interleave,
    Op,
    Permute,
    ShapeMismatchError,
    Split,
    Stack,
    Tie,
    Transpose,
    Unsqueeze,
    Unstack,
    Untie,
    ZeroBias,
    chained,
)
from porting.operations.chains import way
from tests.porting.operations.strategies import chains


@given(chains())
def test_inverse_of_a_random_chain_gives_back_the_tensor_and_shapes_agree(drawn: tuple[Op, Shape]) -> None:
    op, shape = drawn
    array = np.random.default_rng(0).standard_normal(shape)
    result = op.apply(array)
    assert op.shapes(shape) == tuple(part.shape for part in result)
    assert op.inverse is not None
    assert op.inverse.shapes(*(part.shape for part in result)) == (shape,)
    (back,) = op.inverse.apply(*result)
    assert back.tobytes() == array.tobytes()


def test_interleave_makes_a_fused_qkv_head_by_head() -> None:
    heads, size = 4, 2
    q, k, v = (np.arange(heads * size) + start for start in (0, 100, 200))
    expected = np.concatenate([part[head * size :][:size] for head in range(heads) for part in (q, k, v)])
    (actual,) = Interleave(3, heads).apply(np.concatenate([q, k, v]))
    np.testing.assert_array_equal(actual, expected)


def test_interleave_makes_pairs_of_rotary_halves_of_each_head() -> None:
    (actual,) = Interleave(2, 3, outer=2).apply(np.arange(12))
    assert actual.tolist() == [0, 3, 1, 4, 2, 5, 6, 9, 7, 10, 8, 11]


def test_unequal_parts_are_split_and_joined() -> None:
    q, k, v = Split((4, 1, 1)).apply(np.arange(12).reshape(6, 2))
    assert [part.shape for part in (q, k, v)] == [(4, 2), (1, 2), (1, 2)]
    np.testing.assert_array_equal(Concat((4, 1, 1)).apply(q, k, v)[0], np.arange(12).reshape(6, 2))
    with pytest.raises(ShapeMismatchError, match=re.escape("other sizes than 4 + 1 + 1: (4, 2), (2, 2), (1, 2)")):
        Concat((4, 1, 1)).shapes((4, 2), (2, 2), (1, 2))


@pytest.mark.parametrize(
    ("steps", "result"),
    [
        ([], None),
        ([None, Transpose()], Transpose()),
        ([Transpose(), Transpose()], None),
        ([Split(3), Concat(3)], None),
        ([Permute((1, 2, 0)), Permute((2, 0, 1))], None),
        ([Stack(2), Unstack(2), Each((Transpose(), None))], Each((Transpose(), None))),
        ([Interleave(3, 4), Interleave(4, 3), Transpose()], Transpose()),
        ([Tie(2), Untie(2)], None),
        ([Untie(2), Tie(2)], Chain((Untie(2), Tie(2)))),
        ([FoldBias(), ZeroBias()], Chain((FoldBias(), ZeroBias()))),
        ([Each((None, None)), Concat(2)], Concat(2)),
        (
            [Chain((Transpose(), Unsqueeze((0,)))), Permute((0, 2, 1))],
            Chain((Transpose(), Unsqueeze((0,)), Permute((0, 2, 1)))),
        ),
    ],
)
def test_what_cancels_out_is_left_out(steps: list[Op | None], result: Op | None) -> None:
    assert chained(steps) == result


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: Chain((Split(3), Transpose())), "split in 3 gives 3 and transpose takes 1 tensors"),
        (lambda: Chain((Transpose(),)), "at least two"),
        (lambda: Chain((Transpose(), Drop("why"))), "stands alone in its rule"),
        (lambda: Each((Transpose(), Drop("why"))), "stands alone in its rule"),
        (lambda: Each((Transpose(),)), "at least two"),
        (lambda: Split((2, 2), sizes=(2, 2)), "sizes twice"),
        (lambda: Split(3, sizes=(2, 2)), "into 3 parts cannot have the sizes"),
        (lambda: Split(2, axis=-1), "axis from 0 on"),
        (lambda: Interleave(0, 2), "from 1 on"),
        (lambda: Permute((0, 2)), "each once"),
        (lambda: Stack(0), "from 1 on"),
    ],
)
def test_operations_with_impossible_arguments_are_refused(build: Callable[[], Op], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        build()


def test_error_of_a_chain_has_the_shapes_at_each_step() -> None:
    op = Chain((Each((Transpose(),) * 3), Concat(3, 1), Interleave(3, 5, axis=1)))
    with pytest.raises(ShapeMismatchError) as caught:
        op.shapes((4, 8), (4, 8), (4, 8))
    assert str(caught.value) == (
        "3 x (4, 8) -> transpose each of 3 -> 3 x (8, 4) -> join 3 along 1 -> (8, 12); interleave 3 parts of 5 groups "
        "along 1: axis 1 of shape (8, 12) cannot be divided into 3 x 5"
    )


def test_way_shows_shapes_and_operations_in_turn() -> None:
    assert way(Chain((Transpose(), Unsqueeze((2,)))), ((4, 2),)) == (
        "(4, 2) -> transpose -> (2, 4) -> unsqueeze 2 -> (2, 4, 1)"
    )
    assert way(None, ()) == "nothing"

"""Positions: who takes which image of an epoch."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recipe.batches import Split, repeated_order
from recipe.draws import Seeded
from recipe.errors import DataError


@given(
    batch=st.integers(1, 7),
    accumulation=st.integers(1, 4),
    world=st.integers(1, 4),
    updates=st.integers(1, 5),
    rest=st.floats(0, 0.999),
)
def test_every_position_belongs_to_one_micro_batch(
    batch: int, accumulation: int, world: int, updates: int, rest: float
) -> None:
    whole = batch * accumulation * world
    count = updates * whole + int(rest * whole)
    splits = [Split(count, batch, accumulation, world, rank) for rank in range(world)]
    taken = [
        position
        for update in range(updates)
        for split in splits
        for micro in split.micro_batches()
        for position in split.positions(update, micro)
    ]
    assert taken == list(range(updates * whole))
    assert {split.updates for split in splits} == {updates}


def test_an_epoch_shows_every_image_once_in_an_order_of_its_own() -> None:
    orders = [repeated_order(50, 1, Seeded(0), epoch) for epoch in range(3)]
    for order in orders:
        assert sorted(order.tolist()) == list(range(50))
    assert all(not np.array_equal(*pair) for pair in pairwise(orders))
    np.testing.assert_array_equal(orders[1], repeated_order(50, 1, Seeded(0), 1))
    assert not np.array_equal(orders[0], repeated_order(50, 1, Seeded(1), 0))


def test_repeats_follow_each_other_and_fewer_images_are_seen() -> None:
    order = repeated_order(50, 3, Seeded(0), 4)
    assert len(order) == 50
    np.testing.assert_array_equal(order, np.repeat(repeated_order(50, 1, Seeded(0), 4)[:17], 3)[:50])


@pytest.mark.parametrize(
    ("numbers", "message"),
    [
        ((9, 5, 2, 1, 0), r"has 9 images, but an update takes 10 \(1 devices x 2 micro-batches x 5\)"),
        ((9, 0, 1, 1, 0), "batches of 0"),
        ((9, 1, 1, 2, 2), "rank 2 of 2"),
    ],
)
def test_impossible_split_is_refused(numbers: tuple[int, ...], message: str) -> None:
    with pytest.raises(DataError, match=message):
        Split(*numbers)

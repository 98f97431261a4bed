"""Further batches, made of the first."""

from __future__ import annotations

import numpy as np

from alignment.arrays import Array
from alignment.pair import Floats, Mask, Pair, Side, Tokens
from alignment.pair.feeds import Feed
from alignment.pair.inputs import finished, random_batch
from alignment.pair.variations import Variation, variations


def _variations(batch: int = 4, **inputs: Feed) -> dict[str, Variation]:
    sides = Side("torch", "a:b"), Side("torch", "a:b")
    pair = Pair("pair", sides[0], sides[1], inputs=inputs, rules="auto")
    given = finished(pair, random_batch(pair, batch, seed=0), seed=0)
    return {variation.name: variation for variation in variations(pair, given)}


def _shapes(variation: Variation) -> dict[str, tuple[int, ...]]:
    assert isinstance(variation.batch, dict)
    return {name: array.shape for name, array in variation.batch.items()}


def test_images_of_224_are_made_smaller_by_32_and_halved() -> None:
    found = _variations(image=Floats((3, 224, 224)))
    assert [*found] == ["one", "other", "again", "size_192x160", "size_112x112"]
    assert _shapes(found["size_192x160"]) == {"image": (1, 3, 192, 160)}


def test_small_images_are_not_halved() -> None:
    assert [*_variations(image=Floats((3, 12, 12)))] == ["one", "other", "again", "size_10x8"]
    assert [*_variations(image=Floats((3, 2, 2)))] == ["one", "other", "again"]


def test_images_of_two_sizes_keep_theirs() -> None:
    found = _variations(image=Floats((3, 24, 24)), small=Floats((3, 12, 12)))
    assert [*found] == ["one", "other", "again"]


def test_one_input_is_doubled() -> None:
    found = _variations(1, image=Floats((3, 7, 7)))
    assert [*found] == ["two", "again", "size_6x5"]
    assert _shapes(found["two"]) == {"image": (2, 3, 7, 7)}


def test_ids_and_masks_lose_the_same_places() -> None:
    found = _variations(ids=Tokens(9, (8,)), mask=Mask((8, 8)), image=Floats((8,)))
    assert _shapes(found["length_6"]) == {"ids": (1, 6), "mask": (1, 6, 6), "image": (1, 8)}


def test_padding_in_front_keeps_the_last_places() -> None:
    found = _variations(ids=Tokens(9, (8,)), mask=Mask((8,), left=True))
    batch, whole = found["length_6"].batch, found["one"].batch
    assert isinstance(batch, dict)
    assert isinstance(whole, dict)
    mask: Array = batch["mask"]
    assert np.array_equal(mask, whole["mask"][:, 2:])
    assert mask[:, -1].all()

"""Drawn ids hold what models treat apart: padding, zero, the last id, and ids that are repeated."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from alignment.arrays import Array, Batch
from alignment.pair import Pair, Side
from alignment.pair.contract import Contract
from alignment.pair.feeds import Floats, Mask, Tokens
from alignment.pair.model_description import ModelDescription, ModuleInfo
from alignment.pair.telling import telling_batch
from porting.saved_rules.tensors import TensorInfo

SIDES = Side("torch", "a.py:a"), Side("paddle", "a.py:b")
SHORT = Pair("short", *SIDES, input_shape=(16,), rules="auto", tokens=20_000)
NAMED = Pair(
    "named", *SIDES, rules="auto", inputs={"ids": Tokens(20_000, (16,)), "mask": Mask((16,)), "x": Floats((3,))}
)


def embedding(framework: str, padding: int) -> ModelDescription:
    module = ModuleInfo("emb", "Embedding", ("Embedding",), ("emb.weight",), 0, padding=padding)
    return ModelDescription(framework, (module,), {"emb.weight": TensorInfo((20_000, 8))})


def with_padding(pair: Pair, reference: int, candidate: int) -> Pair:
    sides = embedding("torch", reference), embedding("paddle", candidate)
    return replace(pair, contract=Contract(*sides, ()))


def ids_of(batch: Batch) -> Array:
    return batch if isinstance(batch, np.ndarray) else batch["ids"]


@pytest.mark.parametrize("pair", [SHORT, NAMED], ids=["short", "named"])
@pytest.mark.parametrize("paddings", [(7, -1), (-1, 7), (7, 7)])
@pytest.mark.parametrize("seed", range(3))
def test_padding_of_either_side_is_among_the_ids_and_ends_the_last_row(
    pair: Pair, paddings: tuple[int, int], seed: int
) -> None:
    ids = ids_of(telling_batch(with_padding(pair, *paddings), 4, seed=seed))
    assert ids.shape == (4, 16)
    assert (ids[-1, -4:] == 7).all()
    assert {0, 19_999, 7} <= {*ids.ravel().tolist()}
    assert len(np.unique(ids)) < ids.size


@pytest.mark.parametrize("pair", [SHORT, NAMED], ids=["short", "named"])
def test_ids_without_padding_hold_the_first_the_last_and_repeated_ones(pair: Pair) -> None:
    ids = ids_of(telling_batch(pair, 4, seed=0))
    assert {0, 19_999} <= {*ids.ravel().tolist()}
    assert len(np.unique(ids)) < ids.size


def test_padding_beyond_the_ids_of_an_input_is_left_out() -> None:
    pair = with_padding(replace(SHORT, tokens=5), 7, 7)
    assert ids_of(telling_batch(pair, 4, seed=0)).max() == 4


def test_mask_leaves_something_out_and_numbers_stay_what_they_are() -> None:
    batch = telling_batch(with_padding(NAMED, 1, 1), 4, seed=0)
    assert not isinstance(batch, np.ndarray)
    assert 0 < batch["mask"].sum() < batch["mask"].size
    assert batch["x"].shape == (4, 3)
    floats = Pair("floats", *SIDES, input_shape=(3,), rules="auto")
    assert ids_of(telling_batch(floats, 2, seed=0)).dtype == np.float32


def test_embedding_with_padding_is_found_by_its_weight() -> None:
    assert embedding("torch", 0).padding == {"emb.weight": 0}
    assert embedding("torch", -1).padding == {}

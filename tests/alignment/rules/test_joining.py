"""Ways to make one tensor of several."""

from __future__ import annotations

import numpy as np
import pytest

from alignment.pair.units import BARE
from alignment.rules.joining import ways_to_join
from alignment.rules.ways import Stored

HEADS = 2


@pytest.mark.parametrize("order", ["kv", "vk"])
@pytest.mark.parametrize("sizes", [(4, 4, 4), (4, 4, 8)])
def test_queries_beside_joined_keys_and_values_become_one_head_by_head(order: str, sizes: tuple[int, int, int]) -> None:
    counts = dict(zip("qkv", sizes, strict=True))
    first = dict(zip("qkv", np.cumsum([0, *sizes[:2]]) * HEADS, strict=True))
    rows = {name: first[name] + np.arange(HEADS * count).reshape(HEADS, count) for name, count in counts.items()}
    queries, joined = rows["q"].ravel(), np.concatenate([rows[name].ravel() for name in order])
    wanted = np.concatenate([rows[name] for name in "qkv"], axis=1).ravel()
    parts = [Stored(name, BARE, "", name, rows.shape, None, False) for name, rows in (("q", queries), ("kv", joined))]
    ways = ways_to_join(parts, Stored("qkv", BARE, "", "qkv", wanted.shape, None, False))
    assert any(way.op and np.array_equal(way.op.apply(queries, joined)[0], wanted) for way in ways)

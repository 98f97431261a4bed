"""Orders of the rows of a weight that is several in one."""

from __future__ import annotations

import numpy as np
import pytest

from alignment.rules.layouts import rotated, turnings


@pytest.mark.parametrize("order", ["qkv", "kqv"])
@pytest.mark.parametrize("heads", [(2, 1), (2, 2)])
def test_fused_weight_with_rotary_pairs_becomes_one_with_halves_whatever_the_order_of_its_parts(
    order: str, heads: tuple[int, int]
) -> None:
    size, width = 4, 3
    generator = np.random.default_rng(0)
    parts = {
        name: generator.normal(size=(count * size, width))
        for name, count in zip("qkv", (*heads, heads[1]), strict=True)
    }
    pairs = {
        name: part.reshape(-1, 2, size // 2, width).swapaxes(1, 2).reshape(-1, width) for name, part in parts.items()
    }
    pairs["v"] = parts["v"]
    given = np.concatenate([pairs[name] for name in order])
    wanted = np.concatenate([parts[name] for name in "qkv"])
    assert any(np.array_equal(op.apply(given)[0], wanted) for op in turnings(given.shape))


@pytest.mark.parametrize("sizes", [(12, 16, 16), (16, 12, 12), (8, 4, 4), (24, 20, 4)])
def test_heads_of_parts_of_unequal_number_are_turned_part_by_part(sizes: tuple[int, int, int]) -> None:
    weight = np.arange(sum(sizes) * 2.0).reshape(-1, 2)
    for _, op in rotated(weight.shape, sizes, [(0, 1), (0, 2)]):
        (turned,) = op.apply(weight)
        assert sorted(turned[:, 0]) == sorted(weight[:, 0])

"""timm draws from a stream only as long as it is told to, and only then from the layers' streams."""

from __future__ import annotations

import random
from types import SimpleNamespace

import numpy as np
import pytest
import timm.data.auto_augment
import timm.data.distributed_sampler
import timm.data.mixup
import timm.data.random_erasing
import timm.data.transforms
import torch
import torchvision.transforms.transforms
from timm.data.distributed_sampler import RepeatAugSampler

from recipe.batches import repeated_order
from recipe.draws import Seeded
from reference_torch.training.data import sampler_order
from reference_torch.training.random import (
    InjectableDropPath,
    drawing_from,
    inject,
    numpy_random,
    python_random,
    torch_random,
)


def test_modules_are_restored_after_the_context() -> None:
    with pytest.raises(ZeroDivisionError), drawing_from(Seeded(0).stream("any")):
        _ = 1 / (timm.data.mixup.np is np)
    assert timm.data.mixup.np is timm.data.auto_augment.np is np
    assert timm.data.auto_augment.random is timm.data.transforms.random is timm.data.random_erasing.random is random
    assert timm.data.random_erasing.torch is torchvision.transforms.transforms.torch is torch
    assert timm.data.distributed_sampler.torch is torch


def test_stand_ins_draw_within_the_ranges_of_the_modules() -> None:
    draws = Seeded(0).stream("any")
    python, arrays, tensors = python_random(draws), numpy_random(draws), SimpleNamespace(**torch_random(draws))
    assert {python.randint(1, 3) for _ in range(60)} == {1, 2, 3}
    assert {python.choice("ab") for _ in range(30)} == {"a", "b"}
    assert np.mean([python.gauss(5, 2) for _ in range(2000)]) == pytest.approx(5, abs=0.3)
    assert all(2 <= python.uniform(2, 3) < 3 and 0 <= python.random() < 1 for _ in range(50))
    assert {arrays.randint(1, 3) for _ in range(60)} == {1, 2}
    assert sorted(arrays.choice("abc", 3, False)) == ["a", "b", "c"]
    assert arrays.rand(4, 2).shape == (4, 2)
    assert isinstance(arrays.rand(), float)
    assert 0 < arrays.beta(0.8, 0.8) < 1
    assert sorted(tensors.randperm(4).tolist()) == [0, 1, 2, 3]
    assert tensors.empty((2, 3), dtype=torch.float32, device="cpu").normal_().shape == (2, 3)
    assert 1 <= tensors.empty(1).uniform_(1, 2).item() < 2


@pytest.mark.parametrize("world", [1, 2, 3])
@pytest.mark.parametrize("repeats", [1, 3])
def test_all_ranks_of_timms_sampler_together_see_the_start_of_the_order(world: int, repeats: int) -> None:
    count = 700
    order = sampler_order(count, repeats, Seeded(0), 4)
    ranks = []
    for rank in range(world):
        sampler = RepeatAugSampler(range(count), world, rank, num_repeats=repeats)
        with drawing_from(Seeded(0).stream("order", 4)):
            ranks.append(list(sampler))
    dealt = np.stack(ranks, axis=1).ravel()
    assert len(dealt) == 512 // world * world
    np.testing.assert_array_equal(dealt, order[: len(dealt)])


def test_order_of_both_sides_is_the_same() -> None:
    for repeats in (1, 2, 3):
        np.testing.assert_array_equal(
            sampler_order(100, repeats, Seeded(1), 2), repeated_order(100, repeats, Seeded(1), 2)
        )


def test_layers_without_injected_draws_are_torchs() -> None:
    model = torch.nn.Sequential(torch.nn.Dropout(0.5), timm.layers.DropPath(0.5))
    inject(model, Seeded(0))
    inject(model, None)
    x = torch.ones(64, 3)
    torch.manual_seed(0)
    actual = model(x)
    torch.manual_seed(0)
    expected = timm.layers.drop_path(torch.nn.functional.dropout(x, 0.5), 0.5, True)
    torch.testing.assert_close(actual, expected, rtol=0, atol=0)
    with pytest.raises(RuntimeError, match="was not handed any randomness"):
        InjectableDropPath(0.5).mask(x, (64, 1), 0.5)

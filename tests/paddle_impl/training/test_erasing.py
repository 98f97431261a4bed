"""Random erasing is timm's, given the same draws."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from timm.data.random_erasing import RandomErasing

from recipe.augmentation.transforms import Erasing
from recipe.config import Augmentation
from recipe.draws import Seeded
from reference_torch.training.random import drawing_from


@pytest.mark.parametrize("mode", ["pixel", "rand", "const"])
@pytest.mark.parametrize("most", [1, 4])
@pytest.mark.parametrize("probability", [0.3, 1.0])
def test_erasing_is_timms(mode: str, most: int, probability: float) -> None:
    theirs = RandomErasing(probability, mode=mode, max_count=most, device="cpu")
    ours = Erasing.of(Augmentation(erasing=probability, erasing_mode=mode, erasing_count=most))
    erased = 0
    for seed in range(60):
        before = np.random.default_rng(seed).standard_normal((3, 24, 37), np.float32)
        actual, expected = before.copy(), torch.from_numpy(before.copy())
        draws, same = Seeded(seed).stream("sample"), Seeded(seed).stream("sample")
        ours(actual, draws)
        with drawing_from(same):
            theirs(expected)
        np.testing.assert_array_equal(actual, expected.numpy())
        assert draws.random() == same.random(), "another number of draws"
        erased += not np.array_equal(actual, before)
    assert erased == pytest.approx(60 * probability, abs=10)


def test_image_too_small_for_any_rectangle_is_not_erased() -> None:
    strip = np.ones((3, 1, 50), np.float32)
    for seed in range(20):
        Erasing(1.0)(strip, Seeded(seed).stream("sample"))
    assert (strip == 1).all()

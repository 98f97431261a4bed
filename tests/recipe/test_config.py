"""The learning rate follows the global batch."""

from __future__ import annotations

from recipe.config import global_batch, peak_rate
from recipe.loading import load


def test_learning_rate_is_scaled_by_devices_accumulation_and_batch() -> None:
    config = load("deit", ["data.batch_size=64", "run.accumulation=4"])
    assert global_batch(config, world=8) == 2048
    assert peak_rate(config, world=8) == 5e-4 * 4


def test_learning_rate_with_a_base_batch_of_0_is_not_scaled() -> None:
    assert peak_rate(load("pit_ti_224_mindcv"), world=8) == 2e-3

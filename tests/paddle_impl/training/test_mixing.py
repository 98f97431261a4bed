"""Mixup and CutMix are timm's, given the same draws, and work where timm's and the published ports do not."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from timm.data import Mixup

from recipe.augmentation.mixing import Mixing
from recipe.config import Config
from recipe.config import Mixing as Given
from recipe.draws import Seeded
from recipe.errors import DataError
from reference_torch.training.random import drawing_from

SETTINGS = [
    Given(0.8, 1.0, 1.0, 0.5),
    Given(0.8, 1.0, 0.4, 0.3),
    Given(0.2, 0.0, 0.9, 0.5),
    Given(0.0, 1.0, 0.9, 0.5),
]


def _configured(settings: Given, classes: int, smoothing: float = 0.1) -> Config:
    config = Config(mixing=settings)
    return replace(
        config,
        model=replace(config.model, num_classes=classes),
        loss=replace(config.loss, smoothing=smoothing),
    )


def _batch(size: int, classes: int) -> tuple[np.ndarray, np.ndarray]:
    draw = np.random.default_rng(size)
    return draw.standard_normal((size, 3, 20, 31), np.float32), draw.integers(0, classes, size)


@pytest.mark.parametrize("settings", SETTINGS, ids=str)
@pytest.mark.parametrize(("classes", "smoothing"), [(3, 0.1), (1000, 0.0), (10, 0.3)])
def test_mixing_is_timms(settings: Given, classes: int, smoothing: float) -> None:
    ours = Mixing.of(_configured(settings, classes, smoothing))
    assert ours is not None
    theirs = Mixup(
        settings.mixup,
        settings.cutmix,
        prob=settings.probability,
        switch_prob=settings.switch,
        label_smoothing=smoothing,
        num_classes=classes,
    )
    for seed in range(40):
        images, labels = _batch(6, classes)
        draws, same = Seeded(seed).stream("mixing"), Seeded(seed).stream("mixing")
        with drawing_from(same):
            expected, targets = theirs(torch.from_numpy(images.copy()), torch.from_numpy(labels))
        mixed, ours_targets = ours(images, labels, draws)
        np.testing.assert_array_equal(mixed, expected.numpy())
        np.testing.assert_array_equal(ours_targets, targets.numpy())
        assert draws.random() == same.random(), "another number of draws"
        assert mixed.dtype == ours_targets.dtype == np.float32


def test_targets_have_one_column_for_each_class() -> None:
    for classes in (2, 7, 1000, 21841):
        mixing = Mixing.of(_configured(SETTINGS[0], classes))
        assert mixing is not None
        _, targets = mixing(*_batch(4, classes), Seeded(0).stream("mixing"))
        assert targets.shape == (4, classes)
        np.testing.assert_allclose(targets.sum(axis=1), 1, rtol=1e-5)


@pytest.mark.parametrize("settings", [Given(0.0, 0.0), Given(0.8, 1.0, probability=0.0)], ids=str)
def test_mixing_that_is_off_is_none(settings: Given) -> None:
    assert Mixing.of(_configured(settings, 10)) is None


@pytest.mark.parametrize("settings", SETTINGS, ids=str)
@pytest.mark.parametrize("size", [1, 5])
def test_odd_batch_is_mixed(settings: Given, size: int) -> None:
    mixing = Mixing.of(_configured(settings, 10))
    assert mixing is not None
    images, labels = _batch(size, 10)
    for seed in range(10):
        mixed, targets = mixing(images, labels, Seeded(seed).stream("mixing"))
        middle = size // 2
        np.testing.assert_allclose(mixed[middle], images[middle], rtol=1e-5, atol=1e-6)
        assert targets[middle].argmax() == labels[middle]


@pytest.mark.parametrize("settings", SETTINGS, ids=str)
def test_mixing_does_not_change_its_arguments(settings: Given) -> None:
    mixing = Mixing.of(_configured(settings, 10))
    assert mixing is not None
    images, labels = _batch(4, 10)
    kept, named = images.copy(), labels.copy()
    for seed in range(10):
        mixed, _ = mixing(images, labels, Seeded(seed).stream("mixing"))
        assert not np.shares_memory(mixed, images)
    np.testing.assert_array_equal(images, kept)
    np.testing.assert_array_equal(labels, named)
    assert labels.shape == (4,)


def test_mixing_refuses_a_label_beyond_the_classes() -> None:
    mixing = Mixing.of(_configured(SETTINGS[0], 3))
    assert mixing is not None
    with pytest.raises(DataError, match="a label is 3, but the model has 3 classes"):
        mixing(np.zeros((2, 3, 4, 4), np.float32), np.array([0, 3]), Seeded(0).stream("mixing"))

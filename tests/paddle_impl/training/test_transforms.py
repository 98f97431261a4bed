"""The pipelines are those of timm's `create_transform`, bit by bit, given the same draws."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from PIL import Image
from timm.data.transforms import RandomResizedCropAndInterpolation

from recipe.augmentation.transforms import EvalTransform, RandomCrop, TrainTransform
from recipe.config import Config
from recipe.draws import Seeded
from recipe.errors import ConfigError
from reference_torch.training.data import eval_transform, train_transform
from reference_torch.training.random import drawing_from

AUGMENTATIONS: list[dict[str, Any]] = [
    {},
    {"erasing": 0.0},
    {"auto": None},
    {"auto": None, "color_jitter": 0.0, "flip": 0.0},
    {"auto": None, "color_jitter": 1.5},
    {"auto": "3a", "erasing_mode": "rand"},
    {"auto": "original-mstd0.5", "flip": 1.0, "erasing_mode": "const"},
    {"scale": (0.9, 1.0), "ratio": (2.0, 4.0)},
]


@pytest.mark.parametrize("augmentation", AUGMENTATIONS, ids=str)
@pytest.mark.parametrize("interpolation", ["bicubic", "bilinear"])
def test_training_is_timms(
    config: Config, photographs: list[Image.Image], augmentation: dict[str, Any], interpolation: str
) -> None:
    config = replace(
        config,
        augmentation=replace(config.augmentation, **augmentation),
        data=replace(config.data, interpolation=interpolation),
    )
    ours, theirs = TrainTransform.of(config), train_transform(config)
    for seed in range(12):
        image = photographs[seed % len(photographs)]
        draws, same = Seeded(seed).stream("sample"), Seeded(seed).stream("sample")
        with drawing_from(same):
            expected = theirs(image).numpy()
        actual = ours(image, draws)
        np.testing.assert_array_equal(actual, expected)
        assert actual.dtype == np.float32
        assert draws.random() == same.random(), "another number of draws"


@pytest.mark.parametrize("crop", [0.875, 0.9, 1.0, 1.2])
@pytest.mark.parametrize("size", [32, 65])
@pytest.mark.parametrize("interpolation", ["bicubic", "bilinear"])
def test_evaluation_is_timms(
    config: Config, photographs: list[Image.Image], crop: float, size: int, interpolation: str
) -> None:
    config = replace(
        config,
        model=replace(config.model, image_size=size),
        data=replace(config.data, crop=crop, interpolation=interpolation),
    )
    tiny = Image.effect_noise((5, 3), 50).convert("RGB")
    square = photographs[0].crop((0, 0, 72, 72))
    for image in [*photographs, tiny, square]:
        expected = eval_transform(config)(image).numpy()
        np.testing.assert_array_equal(EvalTransform.of(config)(image), expected)
        assert expected.shape == (3, size, size)


@pytest.mark.parametrize("shape", [(50, 40), (1, 1), (300, 2), (2, 300), (97, 31)])
@pytest.mark.parametrize("ratio", [(0.75, 4 / 3), (0.1, 0.2), (6.0, 9.0)])
def test_crops_are_timms(shape: tuple[int, int], ratio: tuple[float, float]) -> None:
    crop = RandomCrop(32, (0.5, 1.0), ratio, Image.Resampling.BICUBIC)
    image = Image.new("RGB", shape)
    for seed in range(20):
        with drawing_from(Seeded(seed).stream("sample")):
            top, left, height, width = RandomResizedCropAndInterpolation.get_params(image, crop.scale, ratio)
        actual = crop.box(*shape, Seeded(seed).stream("sample"))
        assert actual == (left, top, left + width, top + height)


def test_unknown_interpolation_is_refused(config: Config) -> None:
    config = replace(config, data=replace(config.data, interpolation="lanczos"))
    for transform in (TrainTransform, EvalTransform):
        with pytest.raises(ConfigError, match=r"data\.interpolation is 'lanczos'; known: bicubic, bilinear"):
            transform.of(config)

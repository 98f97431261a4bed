"""The operations and policies do to real photographs what timm's do, given the same draws."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image
from timm.data import auto_augment as timm_augment

from recipe.augmentation.operations import OPERATIONS, Canvas
from recipe.augmentation.randaugment import RandAugment, Step, parse
from recipe.draws import Seeded
from recipe.errors import ConfigError
from reference_torch.training.random import drawing_from

FILL = (124, 116, 104)
CANVAS = Canvas(FILL, Image.Resampling.BICUBIC)
NOTATIONS = [
    "rand-m9-mstd0.5-inc1",
    "rand-m7-n3-p0.8",
    "rand-m9-mstd101-inc1",
    "rand-m15-mmax20-mstd2",
    "rand-m9-tweights",
    "rand-m9-n3-t3aw",
    "rand-m9-t3a",
    "original",
    "original-mstd0.5",
    "originalr",
    "v0",
    "v0r",
    "3a",
]


def _hparams() -> dict[str, object]:
    return {"translate_const": 100, "img_mean": FILL, "interpolation": Image.Resampling.BICUBIC}


@pytest.mark.parametrize("name", OPERATIONS)
@pytest.mark.parametrize("level", [0, 2.5, 9, 10, 14])
def test_every_operation_is_timms(photographs: list[Image.Image], name: str, level: float) -> None:
    level = level or float(name == "GaussianBlurRand")  # which has no radius to draw at level 0
    theirs = timm_augment.AugmentOp(name, prob=0.8, magnitude=level, hparams={**_hparams(), "magnitude_max": 20})
    ours = Step(name, 0.8, level, highest=20)
    changed = 0
    for seed, image in enumerate(photographs * 3):
        draws, same = Seeded(seed).stream("sample"), Seeded(seed).stream("sample")
        with drawing_from(same):
            expected = theirs(image)
        actual = ours(image, draws, CANVAS)
        np.testing.assert_array_equal(np.asarray(actual), np.asarray(expected))
        assert draws.random() == same.random(), "another number of draws"
        changed += actual is not image
    assert 0 < changed < len(photographs * 3) or name.startswith("Posterize")


@pytest.mark.parametrize("notation", NOTATIONS)
def test_every_policy_is_timms(photographs: list[Image.Image], notation: str) -> None:
    make = timm_augment.rand_augment_transform if notation.startswith("rand") else timm_augment.auto_augment_transform
    theirs, ours = make(notation, _hparams()), parse(notation)
    for seed in range(25):
        image = photographs[seed % len(photographs)]
        draws, same = Seeded(seed).stream("sample"), Seeded(seed).stream("sample")
        with drawing_from(same):
            expected = theirs(image)
        np.testing.assert_array_equal(np.asarray(ours(image, draws, CANVAS)), np.asarray(expected))
        assert draws.random() == same.random(), "another number of draws"


@pytest.mark.parametrize("name", list(timm_augment._RAND_TRANSFORMS + timm_augment._RAND_INCREASING_TRANSFORMS))
def test_randaugment_has_every_operation_of_timm(name: str) -> None:
    plain, increasing = parse("rand-m9"), parse("rand-m9-inc1")
    assert isinstance(plain, RandAugment)
    assert isinstance(increasing, RandAugment)
    assert {step.name for step in (*plain.steps, *increasing.steps)} >= {name}


def test_translation_is_a_share_of_the_image() -> None:
    pixels = np.zeros((40, 60, 3), np.uint8)
    pixels[:, 30:32] = 255
    draws = Seeded(0).stream("any")
    moved = np.asarray(OPERATIONS["TranslateXRel"](Image.fromarray(pixels), 10, draws, Canvas(FILL, CANVAS.resample)))
    assert (moved == FILL).all(axis=2).sum() == 40 * 27
    assert (moved == 255).all(axis=2).sum() == 40 * 2


@pytest.mark.parametrize("name", ["Rotate", "ShearX", "ShearY", "TranslateXRel", "TranslateYRel"])
def test_moved_image_is_filled_with_the_mean_colour(name: str) -> None:
    white = Image.new("RGB", (40, 40), (255, 255, 255))
    moved = np.asarray(OPERATIONS[name](white, 9, Seeded(0).stream("any"), CANVAS))
    assert (moved == FILL).all(axis=2).sum() > 40
    assert moved.min() >= min(FILL) - 1


@pytest.mark.parametrize(
    ("notation", "message"),
    [
        ("rnd-m9", "did you mean rand"),
        ("rand-m9-foo3", "cannot understand 'foo3'"),
        ("rand-m9-inc", "cannot understand 'inc'"),
        ("rand-m9-tmine", "unknown operations 'mine'"),
        ("rand-n20-t3aw", "20 different ones of 14"),
        ("v0-m9", "cannot understand 'm9'"),
        ("augmix-m5", "known: rand, original"),
    ],
)
def test_unknown_notation_is_refused(notation: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        parse(notation)

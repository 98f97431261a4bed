"""Mistakes in what is done to training images, in their order and in how batches are mixed."""

from __future__ import annotations

import re
from collections.abc import Iterator

import numpy as np

from alignment.hypotheses.base import Prediction, predictions
from alignment.hypotheses.training.base import Change, RecipeCase, RecipeHypotheses, Setting, mistaken, rerun
from alignment.hypotheses.training.pictures import FILTER, NORMALISATION, mean_and_std, normalisation, orientation

_TENTHS = tuple(f"{share / 100:g}" for share in (0, 10, 20, 25, 30, 40, 50, 60, 75, 90, 100))
SMOOTHING, MIXUP, CUTMIX, SWITCH, PROBABILITY = (
    Setting("label smoothing", "loss.smoothing", ("0.0", "0.05", "0.1", "0.2", "0.01"),
            "whether the smoothing reaches Mixup and the loss", "labels are smoothed by {}"),
    Setting("mixup", "mixing.mixup", ("0.0", "0.1", "0.2", "0.4", "0.5", "0.7", "0.9", "1.0"),
            "mixup_alpha of Mixup", "mixup draws its share with alpha {}"),
    Setting("cutmix", "mixing.cutmix", ("0.0", "0.1", "0.2", "0.5", "0.8"),
            "cutmix_alpha of Mixup", "cutmix draws its share with alpha {}"),
    Setting("mixing switch", "mixing.switch", ("0.0", "0.25", "0.75", "1.0"), "switch_prob of Mixup"),
    Setting("mixing probability", "mixing.probability", ("0.0", "0.5", "0.8", "1.0"), "prob of Mixup"),
)  # fmt: skip
_MISTAKES = (
    mistaken("fill colour", "black fill", "fill of rotate, shear and translate",
             "what comes into the picture is black, not the mean colour"),
    mistaken("translation", "moves by pixels", "TranslateX and TranslateY: timm's are relative",
             "it moves by up to 100 pixels, not by .45 of the side"),
)  # fmt: skip
_SHARE = "the targets have the share that was drawn, not that of the box, which is cut at the edges"
_BOX = mistaken("cutmix share", "share uncorrected", "correct_lam of Mixup", _SHARE)
_IMAGES = (
    Setting("flip", "augmentation.flip", _TENTHS, "the probability of the horizontal flip",
            "images are flipped with the probability {}"),
    Setting("erasing", "augmentation.erasing_mode", ("const", "rand", "pixel"), "the mode of RandomErasing",
            "what is erased is filled as in the mode {}"),
    Setting("erasing", "augmentation.erasing", _TENTHS, "the probability of RandomErasing",
            "images are erased with the probability {}"),
    Setting("crop scale", "augmentation.scale", ("[0.05,1.0]", "[0.1,1.0]", "[0.2,1.0]", "[0.25,1.0]", "[0.35,1.0]",
            "[0.5,1.0]"), "the scale of RandomResizedCrop", "random crops cover {} of the area"),
    Setting("crop ratio", "augmentation.ratio", ("[1.0,1.0]", "[0.75,1.0]", "[0.5,2.0]"),
            "the ratio of RandomResizedCrop"),
)  # fmt: skip


def policy(case: RecipeCase) -> Iterator[Prediction]:
    """Predict RandAugment of another strength, another spread, or another set of operations."""
    name = case.config.augmentation.auto or ""
    place = "the magnitude, spread and operations of RandAugment"
    others = ["null"]
    if re.match(r"rand-m\d+", name):
        others += [re.sub(r"-m\d+", f"-m{level}", name, count=1) for level in range(1, 11)]
        others += [re.sub(r"-mstd[\d.]+", end, name) for end in ("", "-mstd0.1", "-mstd1.0")]
        others += [name.replace("-inc1", ""), f"{name}-inc1", f"{name}-n1", f"{name}-n3"]
    for other in dict.fromkeys(others):
        if other != name and not other.endswith("-inc1-inc1"):
            says = f"it is {other}, not {name}" if other != "null" else f"there is none, where {name} is meant"
            change = Change((f"augmentation.auto={other}",))
            yield from rerun(case, "augmentation policy", says, place, change)


def erased_first(case: RecipeCase) -> Iterator[Prediction]:
    """Predict erasing before the normalisation, which then normalises the noise as well."""
    mean, std = mean_and_std(case)
    arrays = []
    for key in case.keys:
        correct, actual = case.expected[key], case.found[key]
        if correct.shape != actual.shape:
            return
        erased = np.any(correct != actual, axis=0)
        arrays.append(np.where(erased, (correct - mean) / std, correct))
    says = "the rectangles are erased before the normalisation, not after it"
    yield Prediction("erasing before the normalisation", says, "the order of RandomErasing and Normalize", arrays)


def orders(case: RecipeCase) -> Iterator[Prediction]:
    """Predict epochs in the same order, or in none."""
    if "order" not in case.has:
        return
    place, first = "set_epoch of the sampler, and where shuffle is given", case.expected["train_data/order_0"]
    says = "the images come in the order of the first epoch again"
    yield Prediction("epoch ignored", says, place, [first for _ in case.keys])
    yield Prediction("not shuffled", "the images are not shuffled", place, [np.arange(len(first)) for _ in case.keys])


def targets(case: RecipeCase) -> Iterator[Prediction]:
    """Predict targets of another number of classes."""
    keys = [key for key in case.keys if "/targets_" in key]
    if len(keys) != len(case.keys) or any(case.found[key].ndim != 2 for key in keys):
        return
    correct = case.config.model.num_classes
    smoothing, count = case.config.loss.smoothing, case.found[keys[0]].shape[1]
    if count <= correct:
        return
    arrays = []
    for key in keys:
        shares = (case.expected[key].astype(np.float64) - smoothing / correct) / (1 - smoothing)
        wide = np.pad(shares, ((0, 0), (0, count - correct)))
        arrays.append(wide * (1 - smoothing) + smoothing / count)
    says = f"the targets have {count} columns, the model has {correct} classes"
    yield Prediction("class count", says, "num_classes of Mixup", arrays)


def samples(case: RecipeCase) -> Iterator[Prediction]:
    """Predict what can go wrong with single images."""
    if "sample" in case.has:
        tried = (normalisation, orientation, erased_first, *_MISTAKES, FILTER, *NORMALISATION, *_IMAGES, policy)
        yield from predictions(tried, case)


def mixing(case: RecipeCase) -> Iterator[Prediction]:
    """Predict what can go wrong with batches."""
    if "mix" in case.has or "targets" in case.has:
        yield from predictions((targets, _BOX, SMOOTHING, MIXUP, CUTMIX, SWITCH, PROBABILITY), case)


AUGMENTATION: tuple[RecipeHypotheses, ...] = (orders, mixing, samples)

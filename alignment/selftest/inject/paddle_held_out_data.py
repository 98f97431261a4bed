"""Mistakes in the port's data, initial values and answers for the held-out faults, `faults.held_out_models`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from math import floor, sqrt
from typing import Any
from unittest.mock import patch

import numpy as np
from PIL import Image, ImageOps

from alignment.arrays import Array
from alignment.backends.trainers.base import Listing
from alignment.selftest.inject.paddle_tools import transforming
from paddle_impl.training.data import mixing as mixing_module
from paddle_impl.training.data import operations
from paddle_impl.training.data.mixing import Mixing
from paddle_impl.training.data.transforms import ColorJitter, EvalTransform, TrainTransform
from paddle_impl.training.predicting import Predictor
from recipe.draws import Draws
from recipe.images import read_image
from recipe.samples import find

Prepare = Callable[[str], Array]


def _squashed(right: EvalTransform, image: Image.Image) -> Image.Image:
    side = floor(right.size / right.crop)
    return image.resize((side, side), right.resample)


def _turned_by_tag(path: str) -> Image.Image:
    with Image.open(path) as image:
        return ImageOps.exif_transpose(image).convert("RGB")


def _on_white(path: str) -> Image.Image:
    """Transparent pixels show white, where the right reader drops the transparency."""
    with Image.open(path) as image:
        picture = image.convert("RGBA")
    white = Image.new("RGBA", picture.size, (255, 255, 255, 255))
    return Image.alpha_composite(white, picture).convert("RGB")


def _half(array: Array) -> Array:
    return array.astype(np.float16).astype(np.float32)


def _floor_centred(right: EvalTransform, path: str) -> Array:
    """The middle square begins at the lower of two pixels, where the right one rounds to the even."""
    image, short = read_image(path), floor(right.size / right.crop)
    longer = int(short * max(image.size) / min(image.size))
    size = (short, longer) if image.width <= image.height else (longer, short)
    image = image.resize(size, right.resample)
    left, top = ((side - right.size) // 2 for side in image.size)
    return right.normalise(image.crop((left, top, left + right.size, top + right.size)))


def _prepared(right: EvalTransform, change: str) -> Prepare:
    """Path to what the model is given."""
    up = replace(right, crop=right.size / (round(right.size / right.crop) + 0.5))
    mean = np.array(right.normalise.mean, np.float32)[:, None, None]
    std = np.array(right.normalise.std, np.float32)[:, None, None]
    forms: Mapping[str, Prepare] = {
        "size rounded": lambda path: up(read_image(path)),
        "squashed": lambda path: right(_squashed(right, read_image(path))),
        "floor centred": lambda path: _floor_centred(right, path),
        "lanczos": lambda path: replace(right, resample=Image.Resampling.LANCZOS)(read_image(path)),
        "turned by tag": lambda path: right(_turned_by_tag(path)),
        "on white": lambda path: right(_on_white(path)),
        "half precision": lambda path: _half(right(read_image(path))),
        "of 256": lambda path: ((right(read_image(path)) * std + mean) * np.float32(255 / 256) - mean) / std,
        "std first": lambda path: ((right(read_image(path)) * std + mean) / std) - mean,
    }
    return forms[change]


def _pictures(trainer: Any, change: str) -> None:
    """Evaluates images that are prepared otherwise."""
    prepare, size = _prepared(EvalTransform.of(trainer.config), change), trainer.config.data.batch_size

    def validation() -> Iterator[tuple[Array, Array]]:
        samples = find(trainer.config.data, "validation")
        for start in range(0, len(samples), size):
            names = samples.names[start : start + size]
            yield np.stack([prepare(name) for name in names]), samples.labels[start : start + size]

    trainer.validation = validation


def _classes_reversed(trainer: Any) -> None:
    """Folders in another order: the last class is the first."""
    listing, validation, top = trainer.listing, trainer.validation, trainer.config.model.num_classes - 1
    trainer.listing = lambda form: Listing(listing(form).names, top - listing(form).labels)
    trainer.validation = lambda: ((images, top - labels) for images, labels in validation())


def _batches_shuffled(trainer: Any) -> None:
    right = trainer.validation
    trainer.validation = lambda: ((images[::-1].copy(), labels[::-1].copy()) for images, labels in right())


def _augmented(trainer: Any, change: str) -> None:
    def make(right: TrainTransform) -> Any:
        if change == "jitter left on":
            return replace(right, jitter=ColorJitter(0.4))
        if change == "fill cut off":
            fill = tuple(int(255 * value) for value in trainer.config.data.mean)
            return replace(right, canvas=replace(right.canvas, fill=fill))
        if change == "nearest in operations":
            return replace(right, canvas=replace(right.canvas, resample=Image.Resampling.NEAREST))
        return lambda image, draws: _otherwise(right, change, image, draws)

    transforming(trainer, make)


def _otherwise(right: TrainTransform, change: str, image: Image.Image, draws: Draws) -> Array:
    """The right transform's parts, put together otherwise."""
    assert right.policy is not None  # noqa: S101 (the recipe has one)
    image = right.crop(image, draws)
    ways = {"flipped upside down": Image.Transpose.FLIP_TOP_BOTTOM}
    if change == "flip last":
        image = right.policy(image, draws, right.canvas)
    if draws.random() < right.flip:
        image = image.transpose(ways.get(change, Image.Transpose.FLIP_LEFT_RIGHT))
    if change != "flip last":
        image = right.policy(image, draws, right.canvas)
    pixels = right.normalise(image)
    if right.erasing is not None:
        right.erasing(pixels, draws)
    return pixels


def _operations(trainer: Any, change: str) -> None:
    """RandAugment whose operations mean something else."""
    right = trainer.augmented
    wrong = {
        "rotation": ("_ROTATION", 10.0),
        "no signs": ("_signed", lambda value, draws: abs(value) if draws.random() >= 0 else value),
        "solarize": ("_SOLARIZE_BELOW", 127),
    }[change]

    def augmented(epoch: int, positions: Sequence[int]) -> Iterator[Array]:
        with patch.object(operations, *wrong):
            yield from right(epoch, positions)

    trainer.augmented = augmented


class _WrongMixing(Mixing):
    """Mixing with another partner, or another share."""

    change = ""

    def __call__(self, images: Array, labels: Array, draws: Draws) -> tuple[Array, Array]:
        """See `Mixing`."""
        if self.change != "next image":
            return super().__call__(images, labels, draws)
        share, cuts = self._share(draws)
        if cuts or share == 1:
            return super().__call__(images, labels, draws)
        blended = images * np.float32(share) + np.roll(images, 1, 0) * np.float32(1 - share)
        one = self.targets(labels, 1.0)
        return blended, one * np.float32(share) + np.roll(one, 1, 0) * np.float32(1 - share)

    def targets(self, labels: Array, share: float) -> Array:
        """See `Mixing.targets`."""
        return super().targets(labels, 1 - share if self.change == "targets exchanged" and share != 1 else share)


def _mixed(trainer: Any, change: str) -> None:
    right = Mixing.of(trainer.config)
    assert right is not None  # noqa: S101 (the recipe mixes)
    given = (right.mixup, right.cutmix, right.probability, right.switch, right.smoothing, right.num_classes)
    wrong = type("Wrong", (_WrongMixing,), {"change": change})(*given)
    box = mixing_module._box

    def mixed(images: Array, labels: Array, update: int) -> tuple[Array, Array]:
        large = (lambda height, width, share, draws: box(height, width, 1 - share, draws)) if change == "box" else box
        with patch.object(mixing_module, "_box", large):
            result: tuple[Array, Array] = wrong(images, labels, trainer._tape.stream("mixing", 0, update, 0))
        return result

    trainer.mixed = mixed


def _order_reversed(trainer: Any) -> None:
    right = trainer.order
    trainer.order = lambda epoch: right(epoch)[::-1].copy()


def _orthogonal(generator: np.random.Generator, array: Array) -> Array:
    q, r = np.linalg.qr(generator.standard_normal(array.shape))
    result: Array = q * np.sign(np.diag(r))
    return result


def _twins(trainer: Any) -> None:
    """Every block of a stage starts as a copy of its first, as with `copy.deepcopy` of one layer."""
    right = trainer.initial

    def wrong(seed: int) -> dict[str, Array]:
        state: dict[str, Array] = right(seed)
        for name in state:
            before, found, rest = name.partition(".blocks.")
            if found:
                state[name] = state[f"{before}.blocks.0.{rest.partition('.')[2]}"].copy()
        return state

    trainer.initial = wrong


HELD_OUT_INITIAL: Mapping[str, Callable[[np.random.Generator, Array], Array]] = {
    "half as wide": lambda _, array: array * np.float32(0.5),
    "kaiming": lambda _, array: array * np.float32(sqrt(6)),
    "heavy tailed": lambda generator, array: generator.laplace(0, float(array.std()) / sqrt(2), array.shape),
    "orthogonal": _orthogonal,
    "fan out": lambda generator, array: generator.normal(0, sqrt(2 / (array.shape[0] * array[0, 0].size)), array.shape),
    "slightly wider": lambda _, array: array * np.float32(1.03),
}
"""Initial values by kind, for `alignment.selftest.inject.paddle_training_data`."""


def _answered(trainer: Any, change: str) -> None:
    right = trainer.probabilities

    def wrong(images: Any, weights: Any) -> Array:
        shares: Array = right(images, weights)
        if change == "logarithms":
            return np.log(shares)
        if change == "rolled":
            return np.roll(shares, 1, axis=1)
        if change == "half precision":
            return shares.astype(np.float16).astype(np.float64)
        axis = 0 if change == "over the batch" else 1
        raised = shares ** (1.0 if axis == 0 else 0.5)
        return raised / raised.sum(axis, keepdims=True)

    trainer.probabilities = wrong


def _predicted(trainer: Any, change: str) -> None:
    """The inference program reads or runs otherwise."""
    right, shares = trainer.probabilities, Predictor._shares

    def both_ways(predictor: Predictor, images: Any) -> Any:
        return (shares(predictor, images) + shares(predictor, images[..., ::-1].copy())) / 2

    def wrong(images: Any, weights: Any) -> Array:
        if change == "both ways":
            with patch.object(Predictor, "_shares", both_ways):
                result: Array = right(images, weights)
                return result
        with patch("paddle_impl.training.predicting.read_image", _turned_by_tag):
            turned: Array = right(images, weights)
            return turned

    trainer.probabilities = wrong


HELD_OUT_DATA: Mapping[str, Callable[..., None]] = {
    "pictures": _pictures,
    "classes reversed": _classes_reversed,
    "batches shuffled": _batches_shuffled,
    "augmented": _augmented,
    "operations": _operations,
    "mixed": _mixed,
    "order reversed": _order_reversed,
    "twins": _twins,
    "answered": _answered,
    "predicted": _predicted,
}
"""Injectors by kind, for `alignment.selftest.inject.paddle_training_data`."""

"""Mistakes put into the port's training code, those in its data, initial values and answers here.

Every fault is a trainer of its own, under its name with underscores, so that a `Side.training` can name it, and the
processes of a distributed run find it too: `alignment.selftest.inject.paddle_training_data:fault_no_warm_up`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from math import floor
from typing import Any
from unittest.mock import patch

import numpy as np
from PIL import Image, ImageOps

from alignment.arrays import Array
from alignment.backends.trainers.base import Listing
from alignment.backends.trainers.paddle import PaddleTrainer
from alignment.pair import Side
from alignment.selftest.faults import KNOWN
from alignment.selftest.inject.paddle_tools import (
    change_result,
    change_transform,
    mean_and_std,
    mixing_draws,
    mixing_of,
    wrap,
)
from alignment.selftest.inject.paddle_training_initial import blocks_alike, change_initial
from alignment.selftest.inject.paddle_training_loop import LOOP_FAULTS
from alignment.selftest.inject.paddle_training_optimizer import OPTIMIZER_FAULTS
from paddle_impl.training.predicting import Predictor
from recipe.augmentation import mixing as mixing_module
from recipe.augmentation import operations
from recipe.augmentation.mixing import Mixing
from recipe.augmentation.transforms import ColorJitter, EvalTransform, TrainTransform
from recipe.config import Config
from recipe.draws import Draws
from recipe.images import read_image
from recipe.loading import override
from recipe.samples import find

_PIXELS_OF_MOVE = 100.0


def target(name: str) -> str:
    """Return what a `Side.training` names to have the fault of this name."""
    return f"{__name__}:{_identifier(name)}"


def __getattr__(name: str) -> Any:
    """Return the function that makes the trainer with the fault of this name."""
    for fault in KNOWN.values():
        if fault.place == "training" and _identifier(fault.name) == name:
            return partial(create, fault.kind, fault.arguments)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def _identifier(name: str) -> str:
    return "fault_" + re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_")


def create(kind: str, arguments: Mapping[str, Any], side: Side, config: Config) -> PaddleTrainer:
    """Return the trainer of a side with a mistake in it.

    Args:
        kind: `setting`, or a key of `FAULTS`.
        arguments: Arguments of the injector.
        side: How the model is built.
        config: The correct configuration.
    """
    if kind == "setting":
        return PaddleTrainer(side, override(config, [arguments["setting"]]))
    trainer = PaddleTrainer(side, config)
    FAULTS[kind](trainer, **arguments)
    return trainer


def _each_batch(trainer: Any, change: Callable[[Array, Array], tuple[Array, Array]]) -> None:
    """Change the images and labels of every batch of the validation."""
    change_result(trainer, "validation", lambda batches: (change(images, labels) for images, labels in batches))


def _on_pixels(trainer: Any, change: str) -> None:
    mean, std = mean_and_std(trainer.config.data)
    changed: Mapping[str, Callable[[Array], Array]] = {
        "undivided": lambda images: ((images * std + mean) * 255 - mean) / std,
        "reversed": lambda images: (((images * std + mean)[:, ::-1]) - mean) / std,
        "turned": lambda images: images.swapaxes(2, 3),
    }
    _each_batch(trainer, lambda images, labels: (np.ascontiguousarray(changed[change](images), np.float32), labels))


def _last_dropped(trainer: Any) -> None:
    size = trainer.config.data.batch_size
    change_result(trainer, "validation", lambda batches: (pair for pair in batches if len(pair[0]) == size))


def _last_filled(trainer: Any) -> None:
    """Fill up the last batch with the first images, as a sampler does that makes all ranks and batches equal."""
    size = trainer.config.data.batch_size

    def filled(batches: Iterator[tuple[Array, Array]]) -> Iterator[tuple[Array, Array]]:
        every = list(batches)
        for batch in every:
            images, labels = (
                np.concatenate((own, more[: size - len(own)])) for own, more in zip(batch, every[0], strict=True)
            )
            yield images, labels

    change_result(trainer, "validation", filled)


def _relabelled(trainer: Any, change: Callable[[Array], Array]) -> None:
    """Change the labels of the list and of the validation's batches."""
    change_result(trainer, "listing", lambda listing: Listing(listing.names, change(listing.labels)))
    _each_batch(trainer, lambda images, labels: (images, change(labels)))


def _classes_reversed(trainer: Any) -> None:
    last = trainer.config.model.num_classes - 1
    _relabelled(trainer, lambda labels: last - labels)


def _squashed(transform: EvalTransform, image: Image.Image) -> Image.Image:
    side = floor(transform.size / transform.crop)
    return image.resize((side, side), transform.resample)


def _turned_by_tag(path: str) -> Image.Image:
    with Image.open(path) as image:
        return ImageOps.exif_transpose(image).convert("RGB")


def _on_white(path: str) -> Image.Image:
    """Read an image so that transparent pixels show white, where the correct reader drops the transparency."""
    with Image.open(path) as image:
        picture = image.convert("RGBA")
    white = Image.new("RGBA", picture.size, (255, 255, 255, 255))
    return Image.alpha_composite(white, picture).convert("RGB")


def _floor_centred(transform: EvalTransform, path: str) -> Array:
    """Begin the middle square at the lower of two pixels, where the correct one rounds to the even."""
    image, short = read_image(path), floor(transform.size / transform.crop)
    longer = int(short * max(image.size) / min(image.size))
    size = (short, longer) if image.width <= image.height else (longer, short)
    image = image.resize(size, transform.resample)
    left, top = ((side - transform.size) // 2 for side in image.size)
    return transform.normalise(image.crop((left, top, left + transform.size, top + transform.size)))


def _pictures(trainer: Any, change: str) -> None:
    """Evaluate images that are prepared otherwise."""
    correct, size = EvalTransform.of(trainer.config), trainer.config.data.batch_size
    mean, std = mean_and_std(correct.normalise)
    up = replace(correct, crop=correct.size / (round(correct.size / correct.crop) + 0.5))

    def pixels(path: str) -> Array:
        return correct(read_image(path)) * std + mean

    forms: Mapping[str, Callable[[str], Array]] = {
        "size rounded": lambda path: up(read_image(path)),
        "squashed": lambda path: correct(_squashed(correct, read_image(path))),
        "floor centred": lambda path: _floor_centred(correct, path),
        "lanczos": lambda path: replace(correct, resample=Image.Resampling.LANCZOS)(read_image(path)),
        "turned by tag": lambda path: correct(_turned_by_tag(path)),
        "on white": lambda path: correct(_on_white(path)),
        "half precision": lambda path: correct(read_image(path)).astype(np.float16).astype(np.float32),
        "of 256": lambda path: (pixels(path) * np.float32(255 / 256) - mean) / std,
        "std first": lambda path: pixels(path) / std - mean,
    }

    def validation() -> Iterator[tuple[Array, Array]]:
        samples = find(trainer.config.data, "validation")
        for start in range(0, len(samples), size):
            names = samples.names[start : start + size]
            yield np.stack([forms[change](name) for name in names]), samples.labels[start : start + size]

    trainer.validation = validation


def _augmented(trainer: Any, change: str) -> None:
    """Change the transform of the training images."""

    def canvas(correct: TrainTransform, **changed: Any) -> Any:
        return replace(correct, canvas=replace(correct.canvas, **changed))

    def erased_first(correct: TrainTransform) -> Any:
        mean, std = mean_and_std(correct.normalise)
        early = replace(correct, normalise=replace(correct.normalise, mean=(0.0,) * 3, std=(1.0,) * 3))
        return lambda image, draws: (early(image, draws) - mean) / std

    cut_off = tuple(int(255 * value) for value in trainer.config.data.mean)
    forms: Mapping[str, Callable[[TrainTransform], Any]] = {
        "jitter left on": lambda correct: replace(correct, jitter=ColorJitter(0.4)),
        "fill cut off": lambda correct: canvas(correct, fill=cut_off),
        "black fill": lambda correct: canvas(correct, fill=(0, 0, 0)),
        "nearest in operations": lambda correct: canvas(correct, resample=Image.Resampling.NEAREST),
        "erased first": erased_first,
    }
    change_transform(trainer, forms.get(change, lambda correct: partial(_otherwise, change, correct)))


def _otherwise(change: str, correct: TrainTransform, image: Image.Image, draws: Draws) -> Array:
    """Put the parts of the correct transform together otherwise."""
    assert correct.policy is not None  # noqa: S101 (the recipe has one)
    image = correct.crop(image, draws)
    upside_down = change == "flipped upside down"
    if change == "flip last":
        image = correct.policy(image, draws, correct.canvas)
    if draws.random() < correct.flip:
        image = image.transpose(Image.Transpose.FLIP_TOP_BOTTOM if upside_down else Image.Transpose.FLIP_LEFT_RIGHT)
    if change != "flip last":
        image = correct.policy(image, draws, correct.canvas)
    pixels = correct.normalise(image)
    if correct.erasing is not None:
        correct.erasing(pixels, draws)
    return pixels


def _moved(image: Any, level: float, draws: Any, canvas: Any, *, rows: bool) -> Any:
    """Move by 100 pixels at level 10, not by .45 of the side."""
    by = operations._signed(level / operations.TOP * _PIXELS_OF_MOVE, draws)
    return operations._moved(image, (1, 0, 0, 0, 1, by) if rows else (1, 0, by, 0, 1, 0), canvas)


def _operations(trainer: Any, change: str) -> None:
    """Change what RandAugment's operations mean."""
    moved = {"TranslateXRel": partial(_moved, rows=False), "TranslateYRel": partial(_moved, rows=True)}
    patches: Mapping[str, Callable[[], Any]] = {
        "rotation": lambda: patch.object(operations, "_ROTATION", 10.0),
        "no signs": lambda: patch.object(
            operations, "_signed", lambda value, draws: abs(value) if draws.random() >= 0 else value
        ),
        "solarize": lambda: patch.object(operations, "_SOLARIZE_BELOW", 127),
        "moves by pixels": lambda: patch.dict(operations.OPERATIONS, moved),
    }

    def make(correct: Callable[..., Iterator[Array]]) -> Callable[..., Iterator[Array]]:
        def augmented(epoch: int, positions: Sequence[int]) -> Iterator[Array]:
            with patches[change]():
                yield from correct(epoch, positions)

        return augmented

    wrap(trainer, "augmented", make)


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
    correct, box = mixing_of(trainer), mixing_module._box
    fields = (correct.mixup, correct.cutmix, correct.probability, correct.switch, correct.smoothing)
    classes = 1000 if change == "a thousand classes" else correct.num_classes
    wrong = type("Wrong", (_WrongMixing,), {"change": change})(*fields, classes)
    large = (lambda height, width, share, draws: box(height, width, 1 - share, draws)) if change == "box" else box

    def mixed(images: Array, labels: Array, update: int) -> tuple[Array, Array]:
        with patch.object(mixing_module, "_box", large):
            images, targets = wrong(images, labels, mixing_draws(trainer, update))
        if change == "share uncorrected":  # the share that was drawn, not that of the box, which the edges cut
            targets = correct.targets(labels, correct._share(mixing_draws(trainer, update))[0])
        return images, targets

    trainer.mixed = mixed


def _answers(trainer: Any, change: str) -> None:
    """Change what becomes of the probabilities `(images, classes)`."""

    def logits(shares: Array) -> Array:
        logarithms: Array = np.log(shares)
        return logarithms - logarithms.mean(1, keepdims=True)

    def tempered(shares: Array) -> Array:
        raised: Array = shares**0.5
        return raised / raised.sum(1, keepdims=True)

    forms: Mapping[str, Callable[[Array], Array]] = {
        "logits": logits,
        "sigmoid": lambda shares: 1 / (1 + np.exp(-logits(shares))),
        "text": lambda shares: shares[:, sorted(range(shares.shape[1]), key=str)],
        "logarithms": np.log,
        "rolled": lambda shares: np.roll(shares, 1, axis=1),
        "half precision": lambda shares: shares.astype(np.float16).astype(np.float64),
        "over the batch": lambda shares: shares / shares.sum(0, keepdims=True),
        "tempered": tempered,
    }
    change_result(trainer, "probabilities", forms[change])


def _predicted(trainer: Any, change: str) -> None:
    """Change how the inference program reads images, or runs the model."""
    shares = Predictor._shares

    def both_ways(predictor: Predictor, images: Any) -> Any:
        return (shares(predictor, images) + shares(predictor, images[..., ::-1].copy())) / 2

    def make(correct: Callable[[Any, Any], Array]) -> Callable[[Any, Any], Array]:
        def probabilities(images: Any, weights: Any) -> Array:
            with (
                patch.object(Predictor, "_shares", both_ways)
                if change == "both ways"
                else patch("paddle_impl.training.predicting.read_image", _turned_by_tag)
            ):
                return correct(images, weights)

        return probabilities

    wrap(trainer, "probabilities", make)


FAULTS: Mapping[str, Callable[..., None]] = {
    **LOOP_FAULTS,
    **OPTIMIZER_FAULTS,
    "pixels": _on_pixels,
    "pictures": _pictures,
    "last dropped": _last_dropped,
    "last filled": _last_filled,
    "batches shuffled": lambda trainer: _each_batch(
        trainer, lambda *batch: (batch[0][::-1].copy(), batch[1][::-1].copy())
    ),
    "listing short": lambda trainer: change_result(
        trainer, "listing", lambda listing: Listing(listing.names[:-1], listing.labels[:-1])
    ),
    "labels shifted": lambda trainer: _relabelled(trainer, lambda labels: labels + 1),
    "classes reversed": _classes_reversed,
    "augmented": _augmented,
    "erased first": lambda trainer: _augmented(trainer, "erased first"),
    "black fill": lambda trainer: _augmented(trainer, "black fill"),
    "operations": _operations,
    "moves by pixels": lambda trainer: _operations(trainer, "moves by pixels"),
    "mixed": _mixed,
    "share uncorrected": lambda trainer: _mixed(trainer, "share uncorrected"),
    "a thousand classes": lambda trainer: _mixed(trainer, "a thousand classes"),
    "epochs alike": lambda trainer: wrap(trainer, "order", lambda order: lambda epoch: order(0)),
    "unshuffled": lambda trainer: change_result(trainer, "order", lambda order: np.arange(len(order))),
    "order reversed": lambda trainer: change_result(trainer, "order", lambda order: order[::-1].copy()),
    "initial": change_initial,
    "seed forgotten": lambda trainer: wrap(trainer, "initial", lambda initial: lambda seed: initial(0)),
    "twins": lambda trainer: change_result(trainer, "initial", blocks_alike),
    "answers": _answers,
    "answered": _answers,
    "predicted": _predicted,
}
"""Injectors by kind; each is given the trainer and the fault's arguments."""

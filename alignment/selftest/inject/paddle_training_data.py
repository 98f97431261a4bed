"""Mistakes put into the port's training code: `alignment.selftest.faults` says which, and what should be said of them.

Every fault is a trainer of its own, under its name with underscores, so that a `Side.training` can name it, and the
processes of a distributed run find it too: `alignment.selftest.inject.paddle_training_data:no_warm_up`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any
from unittest.mock import patch

import numpy as np

from alignment.arrays import Array
from alignment.backends.trainers.base import Listing
from alignment.backends.trainers.paddle import PaddleTrainer
from alignment.pair import Side
from alignment.selftest.faults import KNOWN
from alignment.selftest.inject.paddle_held_out_data import HELD_OUT_DATA, HELD_OUT_INITIAL
from alignment.selftest.inject.paddle_held_out_loop import HELD_OUT_COURSE
from alignment.selftest.inject.paddle_tools import transforming
from alignment.selftest.inject.paddle_training_loop import COURSE_FAULTS
from paddle_impl.training.data import operations
from paddle_impl.training.data.mixing import Mixing
from paddle_impl.training.data.transforms import TrainTransform
from recipe.config import Config
from recipe.loading import override

Injector = Callable[..., None]
_PIXELS_OF_MOVE = 100.0


def target(name: str) -> str:
    """What a `Side.training` names to have the fault of this name."""
    return f"{__name__}:{_identifier(name)}"


def __getattr__(name: str) -> Any:
    """The function that makes the trainer with the fault of this name."""
    for fault in KNOWN.values():
        if fault.place == "training" and _identifier(fault.name) == name:
            return partial(create, fault.kind, fault.arguments)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def _identifier(name: str) -> str:
    return "fault_" + re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_")


def create(kind: str, arguments: Mapping[str, Any], side: Side, config: Config) -> PaddleTrainer:
    """The trainer of a side with a mistake in it.

    Args:
        kind: `setting`, or a key of `FAULTS`.
        arguments: What the injector takes.
        side: How the model is built.
        config: The right configuration.
    """
    if kind == "setting":
        return PaddleTrainer(side, override(config, [arguments["setting"]]))
    trainer = PaddleTrainer(side, config)
    FAULTS[kind](trainer, **arguments)
    return trainer


def _on_pixels(trainer: Any, change: str) -> None:
    right, data = trainer.validation, trainer.config.data
    mean, std = (np.array(values, np.float32)[:, None, None] for values in (data.mean, data.std))
    wrong = {
        "undivided": lambda images: ((images * std + mean) * 255 - mean) / std,
        "reversed": lambda images: (((images * std + mean)[:, ::-1]) - mean) / std,
        "turned": lambda images: images.swapaxes(2, 3),
    }[change]
    trainer.validation = lambda: (
        (np.ascontiguousarray(wrong(images), np.float32), labels) for images, labels in right()
    )


def _last_dropped(trainer: Any) -> None:
    right, size = trainer.validation, trainer.config.data.batch_size
    trainer.validation = lambda: (pair for pair in right() if len(pair[0]) == size)


def _last_filled(trainer: Any) -> None:
    """As a sampler does that makes all ranks and batches equal: with the first images again."""
    right, size = trainer.validation, trainer.config.data.batch_size

    def wrong() -> Iterator[tuple[Array, Array]]:
        batches = list(right())
        for images, labels in batches:
            lacking = size - len(images)
            more, their_labels = (each[:lacking] for each in batches[0])
            yield np.concatenate((images, more)), np.concatenate((labels, their_labels))

    trainer.validation = wrong


def _listing_short(trainer: Any) -> None:
    right = trainer.listing
    trainer.listing = lambda form: Listing(right(form).names[:-1], right(form).labels[:-1])


def _labels_shifted(trainer: Any) -> None:
    listing, validation = trainer.listing, trainer.validation
    trainer.listing = lambda form: Listing(listing(form).names, listing(form).labels + 1)
    trainer.validation = lambda: ((images, labels + 1) for images, labels in validation())


def _erased_first(trainer: Any) -> None:
    def make(right: TrainTransform) -> Any:
        unchanged = replace(right.normalise, mean=(0.0,) * 3, std=(1.0,) * 3)
        mean, std = (np.array(each, np.float32)[:, None, None] for each in (right.normalise.mean, right.normalise.std))
        early = replace(right, normalise=unchanged)
        return lambda image, draws: (early(image, draws) - mean) / std

    transforming(trainer, make)


def _black_fill(trainer: Any) -> None:
    transforming(trainer, lambda right: replace(right, canvas=replace(right.canvas, fill=(0, 0, 0))))


def _moves_by_pixels(trainer: Any) -> None:
    """Level 10 moves by 100 pixels, not by .45 of the side."""
    right = trainer.augmented

    def moved(rows: bool) -> Any:
        def move(image: Any, level: float, draws: Any, canvas: Any) -> Any:
            by = operations._signed(level / operations.TOP * _PIXELS_OF_MOVE, draws)
            return operations._moved(image, (1, 0, 0, 0, 1, by) if rows else (1, 0, by, 0, 1, 0), canvas)

        return move

    def augmented(epoch: int, positions: Sequence[int]) -> Iterator[Array]:
        wrong = {"TranslateXRel": moved(rows=False), "TranslateYRel": moved(rows=True)}
        with patch.dict(operations.OPERATIONS, wrong):
            yield from right(epoch, positions)

    trainer.augmented = augmented


def _share_uncorrected(trainer: Any) -> None:
    """The targets have the share that was drawn, not that of the box, which the edges cut."""
    mixing = Mixing.of(trainer.config)

    def mixed(images: Array, labels: Array, update: int) -> tuple[Array, Array]:
        assert mixing is not None  # noqa: S101 (the recipe mixes)
        key = ("mixing", 0, update, 0)
        share, _ = mixing._share(trainer._tape.stream(*key))
        return mixing(images, labels, trainer._tape.stream(*key))[0], mixing.targets(labels, share)

    trainer.mixed = mixed


def _a_thousand_classes(trainer: Any) -> None:
    mixing = Mixing.of(trainer.config)
    assert mixing is not None  # noqa: S101 (the recipe mixes)
    wrong = replace(mixing, num_classes=1000)
    trainer.mixed = lambda images, labels, update: wrong(images, labels, trainer._tape.stream("mixing", 0, update, 0))


def _epochs_alike(trainer: Any) -> None:
    right = trainer.order
    trainer.order = lambda epoch: right(0)


def _unshuffled(trainer: Any) -> None:
    right = trainer.order
    trainer.order = lambda epoch: np.arange(len(right(epoch)))


def _normal(generator: np.random.Generator, array: Array, deviation: float, cut: float = np.inf) -> Array:
    drawn: Array = generator.normal(0, 1, array.shape)
    while (wrong := np.abs(drawn) > cut).any():
        drawn[wrong] = generator.normal(0, 1, int(wrong.sum()))
    return drawn * deviation


def _xavier(generator: np.random.Generator, array: Array) -> Array:
    bound = (6 / sum(array.shape)) ** 0.5
    return generator.uniform(-bound, bound, array.shape)


INITIAL: Mapping[str, Callable[[np.random.Generator, Array], Array]] = {
    "zeros": lambda _, array: np.zeros_like(array),
    "ones": lambda _, array: np.ones_like(array),
    "wider": lambda _, array: array * np.float32(1.1),
    "normal": lambda generator, array: _normal(generator, array, float(array.std())),
    "wide": lambda generator, array: _normal(generator, array, 0.2),
    "truncated": lambda generator, array: _normal(generator, array, 0.02, 2.0),
    "xavier": _xavier,
    **HELD_OUT_INITIAL,
}


def _initial(trainer: Any, change: str, names: str) -> None:
    """Starts the tensors whose canonical names match otherwise; PiT's own names are the canonical ones."""
    right, pattern = trainer.initial, re.compile(re.sub(r"(?<!\[)\*", ".*", names.replace(".", r"\.")))

    def wrong(seed: int) -> dict[str, Array]:
        state: dict[str, Array] = right(seed)
        generator = np.random.default_rng((seed, 6))
        for name, array in state.items():
            if pattern.fullmatch(name):
                state[name] = INITIAL[change](generator, array).astype(array.dtype)
        return state

    trainer.initial = wrong


def _seed_forgotten(trainer: Any) -> None:
    right = trainer.initial
    trainer.initial = lambda seed: right(0)


def _answers(trainer: Any, change: str) -> None:
    right = trainer.probabilities

    def wrong(images: Any, weights: Any) -> Array:
        shares: Array = right(images, weights)
        logits = np.log(shares) - np.log(shares).mean(1, keepdims=True)
        if change == "logits":
            return logits
        if change == "sigmoid":
            return 1 / (1 + np.exp(-logits))
        return shares[:, sorted(range(shares.shape[1]), key=str)]

    trainer.probabilities = wrong


FAULTS: Mapping[str, Injector] = {
    **COURSE_FAULTS,
    **HELD_OUT_COURSE,
    **HELD_OUT_DATA,
    "pixels": _on_pixels,
    "last dropped": _last_dropped,
    "last filled": _last_filled,
    "listing short": _listing_short,
    "labels shifted": _labels_shifted,
    "erased first": _erased_first,
    "black fill": _black_fill,
    "moves by pixels": _moves_by_pixels,
    "share uncorrected": _share_uncorrected,
    "a thousand classes": _a_thousand_classes,
    "epochs alike": _epochs_alike,
    "unshuffled": _unshuffled,
    "initial": _initial,
    "seed forgotten": _seed_forgotten,
    "answers": _answers,
}
"""Injectors by kind; each is given the trainer and the fault's arguments."""

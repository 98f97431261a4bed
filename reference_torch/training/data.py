"""Training and evaluation batches made by timm: its transforms, its mixup, its order of repeated augmentation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from timm.data import Mixup, create_transform
from timm.data.distributed_sampler import RepeatAugSampler

from recipe import batches
from recipe.batches import Indices
from recipe.config import Config
from recipe.draws import Draws, Randomness
from recipe.images import read_image
from recipe.samples import Samples
from recipe.workers import Images, Item
from reference_torch.training.random import drawing_from


def train_transform(config: Config) -> Any:
    """The training transform of timm, from an RGB image to a tensor `(3, size, size)`."""
    augmentation, data = config.augmentation, config.data
    return create_transform(
        config.model.image_size,
        is_training=True,
        scale=augmentation.scale,
        ratio=augmentation.ratio,
        hflip=augmentation.flip,
        color_jitter=augmentation.color_jitter,
        auto_augment=augmentation.auto,
        interpolation=data.interpolation,
        mean=data.mean,
        std=data.std,
        re_prob=augmentation.erasing,
        re_mode=augmentation.erasing_mode,
        re_count=augmentation.erasing_count,
    )


def eval_transform(config: Config) -> Any:
    """The evaluation transform of timm, from an RGB image to a tensor `(3, size, size)`."""
    data = config.data
    return create_transform(
        config.model.image_size,
        is_training=False,
        interpolation=data.interpolation,
        mean=data.mean,
        std=data.std,
        crop_pct=data.crop,
    )


@dataclass(frozen=True)
class Augmented:
    """Reads an image and lets timm augment it with draws from its own stream.

    Attributes:
        config: The whole configuration.
        randomness: Source of the streams.
    """

    config: Config
    randomness: Randomness

    def __call__(self, item: Item) -> Images:
        """The image as `(3, size, size)`, float32."""
        image = read_image(item.path)
        with drawing_from(self.randomness.stream(*item.key)):
            images: Images = _once(train_transform, self.config)(image).numpy()
        return images


@dataclass(frozen=True)
class Centred:
    """Reads an image for evaluation.

    Attributes:
        config: The whole configuration.
    """

    config: Config

    def __call__(self, item: Item) -> Images:
        """The image as `(3, size, size)`, float32."""
        images: Images = _once(eval_transform, self.config)(read_image(item.path)).numpy()
        return images


_made: dict[tuple[Any, Config], Any] = {}


def _once(make: Any, config: Config) -> Any:
    """A transform; each worker process makes its own, once for a configuration."""
    if (make, config) not in _made:
        _made[make, config] = make(config)
    return _made[make, config]


@dataclass(frozen=True)
class Mixing:
    """timm's `Mixup` in batch mode.

    Attributes:
        config: The whole configuration.
    """

    config: Config

    @classmethod
    def of(cls, config: Config) -> Mixing | None:
        """The mixing of a configuration; None if no batch is ever mixed."""
        return cls(config) if config.mixing.active else None

    def __call__(
        self, images: Images, labels: npt.NDArray[np.int64], draws: Draws
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Mix images `(batch, channels, height, width)`; return them and targets `(batch, classes)`."""
        mixing = self.config.mixing
        mixup = Mixup(
            mixing.mixup,
            mixing.cutmix,
            prob=mixing.probability,
            switch_prob=mixing.switch,
            label_smoothing=self.config.loss.smoothing,
            num_classes=self.config.model.num_classes,
        )
        with drawing_from(draws):
            mixed: tuple[torch.Tensor, torch.Tensor] = mixup(torch.from_numpy(images.copy()), torch.from_numpy(labels))
        return mixed


def sampler_order(count: int, repeats: int, randomness: Randomness, epoch: int) -> Indices:
    """The order of the images in timm's sampler of repeated augmentation, for a single rank.

    One repeat is a shuffle. The sampler's rounding of the epoch to a multiple of 256 is off.
    """
    sampler = RepeatAugSampler(range(count), num_replicas=1, rank=0, num_repeats=repeats, selected_round=0)
    with drawing_from(randomness.stream("order", epoch)):
        return np.array(list(sampler), np.int64)


class TrainLoader(batches.TrainLoader):
    """Micro-batches of one rank as torch tensors; arguments and errors are those of `recipe.batches.TrainLoader`."""

    def __init__(self, config: Config, samples: Samples, randomness: Randomness, world: int = 1, rank: int = 0) -> None:
        prepare, mix = Augmented(config, randomness), Mixing.of(config) or _tensors
        super().__init__(config, samples, randomness, world, rank, prepare=prepare, mix=mix, order=sampler_order)


class EvalLoader(batches.EvalLoader):
    """Batches of torch tensors, each image once over all ranks; arguments as in `recipe.batches.EvalLoader`."""

    def __init__(self, config: Config, samples: Samples, world: int = 1, rank: int = 0) -> None:
        super().__init__(config, samples, world, rank, prepare=Centred(config))

    def _convert(self, array: npt.NDArray[Any]) -> torch.Tensor:
        return torch.from_numpy(array)


def _tensors(images: Images, labels: npt.NDArray[np.int64], draws: Draws) -> tuple[torch.Tensor, torch.Tensor]:
    return torch.from_numpy(images.copy()), torch.from_numpy(labels)

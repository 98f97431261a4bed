"""Loaders of training and evaluation batches."""

from __future__ import annotations

from dataclasses import dataclass

from recipe import batches
from recipe.augmentation.mixing import Mixing
from recipe.augmentation.transforms import EvalTransform, TrainTransform
from recipe.config import Config
from recipe.draws import Randomness
from recipe.images import read_image
from recipe.samples import Samples
from recipe.workers import Images, Item


@dataclass(frozen=True, slots=True)
class Augmented:
    """Reads an image and augments it with draws from its own stream.

    Attributes:
        transform: Augments the image.
        randomness: Source of the streams.
    """

    transform: TrainTransform
    randomness: Randomness

    def __call__(self, item: Item) -> Images:
        """The image as `(3, size, size)`, float32."""
        return self.transform(read_image(item.path), self.randomness.stream(*item.key))


@dataclass(frozen=True, slots=True)
class Centred:
    """Reads an image for evaluation.

    Attributes:
        transform: Prepares the image.
    """

    transform: EvalTransform

    def __call__(self, item: Item) -> Images:
        """The image as `(3, size, size)`, float32."""
        return self.transform(read_image(item.path))


class TrainLoader(batches.TrainLoader):
    """Augmented and mixed micro-batches of one rank; arguments and errors are those of `recipe.batches.TrainLoader`.

    Raises:
        ConfigError: The augmentation is unknown.
    """

    def __init__(self, config: Config, samples: Samples, randomness: Randomness, world: int = 1, rank: int = 0) -> None:
        prepare = Augmented(TrainTransform.of(config), randomness)
        super().__init__(config, samples, randomness, world, rank, prepare=prepare, mix=Mixing.of(config))


class EvalLoader(batches.EvalLoader):
    """Batches of all images, each once over all ranks; the arguments are those of `recipe.batches.EvalLoader`.

    Raises:
        ConfigError: The interpolation is unknown.
    """

    def __init__(self, config: Config, samples: Samples, world: int = 1, rank: int = 0) -> None:
        super().__init__(config, samples, world, rank, prepare=Centred(EvalTransform.of(config)))

"""Loaders of training and evaluation batches."""

from __future__ import annotations

from dataclasses import dataclass

from paddle_impl.training.data.mixing import Mixing
from paddle_impl.training.data.transforms import EvalTransform, TrainTransform
from recipe import batches
from recipe.config import Config
from recipe.draws import Randomness
from recipe.images import read_image
from recipe.samples import Samples
from recipe.workers import Images, Item


@dataclass(frozen=True, slots=True)
class Augmented:
    """Reads an image and augments it with the draws of its position.

    Attributes:
        transform: What is done to it.
        randomness: Source of its stream.
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
        transform: What is done to it.
    """

    transform: EvalTransform

    def __call__(self, item: Item) -> Images:
        """The image as `(3, size, size)`, float32."""
        return self.transform(read_image(item.path))


class TrainLoader(batches.TrainLoader):
    """Augmented and mixed micro-batches of one rank; see `recipe.batches.TrainLoader`.

    Args:
        config: The whole configuration.
        samples: The training set.
        randomness: Source of every stream.
        world: Ranks.
        rank: This one.

    Raises:
        ConfigError: The augmentation is unknown.
        DataError: The set has fewer images than an update takes.
    """

    def __init__(self, config: Config, samples: Samples, randomness: Randomness, world: int = 1, rank: int = 0) -> None:
        prepare = Augmented(TrainTransform.of(config), randomness)
        super().__init__(config, samples, randomness, world, rank, prepare=prepare, mix=Mixing.of(config))


class EvalLoader(batches.EvalLoader):
    """Batches in which every image is seen once over all ranks; see `recipe.batches.EvalLoader`.

    Args:
        config: The whole configuration.
        samples: The set.
        world: Ranks.
        rank: This one.

    Raises:
        ConfigError: The interpolation is unknown.
    """

    def __init__(self, config: Config, samples: Samples, world: int = 1, rank: int = 0) -> None:
        super().__init__(config, samples, world, rank, prepare=Centred(EvalTransform.of(config)))

"""Images as `recipe` brings them to a model: what the trainers share whose frameworks take them from there."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from alignment.arrays import Array
from alignment.backends.trainers.base import Listing
from recipe.augmentation.loader import Augmented, EvalLoader
from recipe.augmentation.mixing import Mixing
from recipe.augmentation.transforms import TrainTransform
from recipe.batches import repeated_order
from recipe.config import Config
from recipe.draws import Seeded
from recipe.samples import Samples, find
from recipe.workers import Item


class RecipeImages:
    """The methods of `alignment.backends.trainers.base.Trainer` that give images, by the readers of `recipe`.

    Args:
        config: The configuration.
    """

    def __init__(self, config: Config) -> None:
        self.config = config
        self._tape = Seeded(config.run.seed)

    def _samples(self) -> Samples:
        return find(self.config.data, "train")

    def listing(self, form: str) -> Listing:
        """The validation images as the recipe's readers find them."""
        samples = find(replace(self.config.data, format=form), "validation")
        root = Path(self.config.data.path)
        return Listing(tuple(Path(name).relative_to(root).as_posix() for name in samples.names), samples.labels)

    def validation(self) -> Iterator[tuple[Array, Array]]:
        """Batches of the validation images, by the loader of evaluations."""
        for images, labels, _ in EvalLoader(self.config, find(self.config.data, "validation")):
            yield images, labels

    def order(self, epoch: int) -> Array:
        """Which image is at each position of an epoch."""
        return repeated_order(len(self._samples()), self.config.augmentation.repeats, self._tape, epoch)

    def augmented(self, epoch: int, positions: Sequence[int]) -> Iterator[Array]:
        """The training images at these positions, augmented."""
        samples, order = self._samples(), self.order(epoch)
        prepare = Augmented(TrainTransform.of(self.config), self._tape)
        for at in positions:
            yield prepare(Item(samples.names[order[at]], ("sample", epoch, at)))

    def mixed(self, images: Array, labels: Array, update: int) -> tuple[Array, Array]:
        """A batch of images and targets as mixing leaves them."""
        mixing = Mixing.of(self.config)
        return (images, labels) if mixing is None else mixing(images, labels, self._tape.stream("mixing", 0, update, 0))

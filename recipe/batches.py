"""Loaders of training and evaluation batches; each framework's side brings what is done to an image."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

from recipe.config import Config
from recipe.draws import Draws, Randomness
from recipe.errors import DataError
from recipe.images import ImageError
from recipe.order import Order, Split, repeated_order
from recipe.samples import Samples
from recipe.workers import Failure, Feed, Images, Item, Prepare

Labels: TypeAlias = npt.NDArray[np.int64]
Update: TypeAlias = "tuple[tuple[Any, Any], ...]"
"""The micro-batches of one update of one rank: images and targets of each."""
_RETRIES = 10
CHANNELS = 3


class Mix(Protocol):
    """Mixes the images and labels of a micro-batch, and leaves its arguments as they are."""

    def __call__(self, images: Images, labels: Labels, draws: Draws) -> tuple[Any, Any]:
        """Return images and targets from images `(batch, channels, height, width)` and labels `(batch,)`."""


@dataclass
class Corrupt:
    """Images that could not be read so far.

    Attributes:
        count: Number of times that such an image came up.
        problems: What is wrong with each image, by path.
    """

    count: int = 0
    problems: dict[str, str] = field(default_factory=dict)

    @property
    def paths(self) -> list[str]:
        """Paths of the images, in the order in which they came up."""
        return list(self.problems)

    def add(self, path: str, problem: str) -> None:
        """Count an image that could not be read."""
        self.count += 1
        self.problems.setdefault(path, problem)


class _Loader:
    """Base of both loaders: worker processes that can be ended, and notes on corrupt images.

    Attributes:
        corrupt: Images that could not be read so far.
    """

    def __init__(self, config: Config, samples: Samples, prepare: Prepare) -> None:
        self._samples, self._data = samples, config.data
        self._shape = (config.data.batch_size, CHANNELS, config.model.image_size, config.model.image_size)
        self._prepare = prepare
        self._feed = Feed(prepare, self._shape, config.data.workers)
        self.corrupt = Corrupt()

    def close(self) -> None:
        """End the worker processes."""
        self._feed.close()

    def _note(self, path: str, problem: str) -> None:
        if self._data.corrupt == "raise":
            raise ImageError(path, problem)
        self.corrupt.add(path, problem)


class TrainLoader(_Loader):
    """Augmented micro-batches of one rank, the same whatever the workers and wherever an epoch is resumed.

    Args:
        config: `model.image_size`, `data`, `augmentation.repeats` and `run.accumulation` matter here.
        samples: The training set.
        randomness: Source of the streams `("order", epoch)`, `("sample", epoch, position)` and
            `("mixing", epoch, update, micro)`. With workers it is sent to them: one that records needs `workers=0`.
        world: Ranks.
        rank: This rank, from 0.
        prepare: Reads and augments an image.
        mix: Mixes a micro-batch; None leaves images and labels as they are.
        order: Order of an epoch.

    Attributes:
        updates: Updates of an epoch.
        corrupt: Images that could not be read so far.

    Raises:
        DataError: The set has fewer images than an update takes.
    """

    def __init__(
        self,
        config: Config,
        samples: Samples,
        randomness: Randomness,
        world: int = 1,
        rank: int = 0,
        *,
        prepare: Prepare,
        mix: Mix | None,
        order: Order = repeated_order,
    ) -> None:
        super().__init__(config, samples, prepare)
        self._split = Split(len(samples), config.data.batch_size, config.run.accumulation, world, rank)
        self._repeats = config.augmentation.repeats
        self._randomness, self._mix, self._order = randomness, mix, order

    @property
    def updates(self) -> int:
        """Updates of an epoch."""
        return self._split.updates

    def epoch(self, epoch: int, start_update: int = 0) -> Iterator[Update]:
        """Yield the updates of an epoch.

        Args:
            epoch: Number of the epoch, from 0.
            start_update: First update to yield.

        Yields:
            As many micro-batches as are accumulated: images `(batch, channels, height, width)`, float32, and targets,
            `(batch, classes)` float32 if they are mixed, else `(batch,)` int64.

        Raises:
            DataError: An image and the ten after it cannot be read, or one cannot and the configuration says `raise`.
        """
        split = self._split
        order = self._order(split.count, self._repeats, self._randomness, epoch)
        places = [(update, micro) for update in range(start_update, split.updates) for micro in split.micro_batches()]
        ahead = (self._items(order, epoch, split.positions(*place)) for place in places)
        update: list[tuple[Any, Any]] = []
        for place, (images, failures) in zip(places, self._feed.batches(ahead), strict=True):
            indices = order[np.array(split.positions(*place))]
            for failure in failures:
                self._replace(images, indices, failure, ("sample", epoch, split.positions(*place)[failure.row]))
            labels = self._samples.labels[indices]
            if self._mix is None:
                update.append((images.copy(), labels))
            else:
                update.append(self._mix(images, labels, self._randomness.stream("mixing", epoch, *place)))
            if len(update) == split.accumulation:
                yield tuple(update)
                update = []

    def _items(self, order: npt.NDArray[np.int64], epoch: int, positions: Sequence[int]) -> list[Item]:
        return [Item(self._samples.names[order[at]], ("sample", epoch, at)) for at in positions]

    def _replace(
        self, images: Images, indices: npt.NDArray[np.int64], failure: Failure, key: tuple[str, int, int]
    ) -> None:
        """Put the next readable image of the set in the place of one that cannot be read."""
        path, problem = failure.path, failure.problem
        for _ in range(_RETRIES):
            self._note(path, problem)
            indices[failure.row] = (indices[failure.row] + 1) % len(self._samples)
            try:
                images[failure.row] = self._prepare(Item(self._samples.names[indices[failure.row]], key))
            except ImageError as error:
                path, problem = error.path, error.problem
            else:
                return
        raise DataError(f"{failure.path}: {failure.problem}; and the {_RETRIES} images after it cannot be read either")


class EvalLoader(_Loader):
    """Batches in which every image is seen once over all ranks: none is repeated to make ranks equal.

    Args:
        config: `model.image_size` and `data` matter here.
        samples: The set.
        world: Ranks.
        rank: This rank, from 0; it may have no image at all.
        prepare: Reads an image.

    Attributes:
        corrupt: Images that could not be read so far; they are left out of the batches.
    """

    def __init__(self, config: Config, samples: Samples, world: int = 1, rank: int = 0, *, prepare: Prepare) -> None:
        super().__init__(config, samples, prepare)
        self._share = range(rank, len(samples), world)

    @property
    def count(self) -> int:
        """Images of this rank."""
        return len(self._share)

    def __len__(self) -> int:
        """Batches of this rank."""
        return -(-self.count // self._shape[0])

    def __iter__(self) -> Iterator[tuple[Any, Any, Any]]:
        """Yield images `(batch, channels, height, width)`, float32, labels and indices `(batch,)`, int64."""
        size = self._shape[0]
        batches = [self._share[start : start + size] for start in range(0, self.count, size)]
        ahead = ([Item(self._samples.names[at], ("evaluation", at)) for at in batch] for batch in batches)
        for batch, (images, failures) in zip(batches, self._feed.batches(ahead), strict=True):
            for failure in failures:
                self._note(failure.path, failure.problem)
            read = np.delete(np.arange(len(batch)), [failure.row for failure in failures])
            indices = np.array(batch, np.int64)[read]
            if len(read):
                yield self._convert(images[read]), self._convert(self._samples.labels[indices]), self._convert(indices)

    def _convert(self, array: npt.NDArray[Any]) -> Any:
        return array

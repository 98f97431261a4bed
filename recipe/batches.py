"""Loaders of training and evaluation batches; each framework's side brings what is done to an image.

An epoch is a row of positions. An update takes the next `world * accumulation * batch_size` of them; its micro-batches
take consecutive shares, numbered over ranks and accumulation. So the images of an update, and what is drawn for each of
them, do not depend on how the update is split.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

from recipe.config import Config
from recipe.draws import Draws, Randomness
from recipe.errors import DataError
from recipe.images import ImageError
from recipe.samples import Samples
from recipe.workers import Failure, Feed, Images, Item, Prepare

Labels: TypeAlias = npt.NDArray[np.int64]
Indices: TypeAlias = npt.NDArray[np.int64]
Update: TypeAlias = "tuple[tuple[Any, Any], ...]"
"""The micro-batches of one update of one rank: images and targets of each."""
_RETRIES = 10
CHANNELS = 3


def repeated_order(count: int, repeats: int, randomness: Randomness, epoch: int) -> Indices:
    """Return the index of the image at every position of an epoch.

    All images once, shuffled; or, with repeats, the first `count / repeats` of the shuffled ones that many times in a
    row, as timm's `RepeatAugSampler` has them before it deals them out to ranks. It also cuts its epoch down to a
    multiple of 256, and so here does the last incomplete update.

    Args:
        count: Images of the set.
        repeats: Times that an image is seen.
        randomness: Source of the stream `("order", epoch)`.
        epoch: Number of the epoch, from 0.

    Returns:
        Indices below `count`, int64, `(count,)`.
    """
    shuffled = randomness.stream("order", epoch).permutation(count)
    return np.repeat(shuffled, repeats)[:count]


Order: TypeAlias = Callable[[int, int, Randomness, int], Indices]


@dataclass(frozen=True, slots=True)
class Split:
    """How updates are split over ranks and micro-batches.

    Attributes:
        count: Positions of an epoch.
        batch_size: Images of a micro-batch.
        accumulation: Micro-batches that a rank adds up in an update.
        world: Ranks.
        rank: This rank, from 0.

    Raises:
        DataError: The set has fewer images than an update takes, or a number is impossible.
    """

    count: int
    batch_size: int
    accumulation: int = 1
    world: int = 1
    rank: int = 0

    def __post_init__(self) -> None:
        if min(self.batch_size, self.accumulation, self.world) < 1 or not 0 <= self.rank < self.world:
            raise DataError(
                f"an update cannot be split into batches of {self.batch_size}, {self.accumulation} a rank, for rank "
                f"{self.rank} of {self.world}"
            )
        if self.updates < 1:
            raise DataError(
                f"the training set has {self.count} images, but an update takes {self.global_batch} ({self.world} "
                f"devices x {self.accumulation} micro-batches x {self.batch_size}): use a smaller data.batch_size"
            )

    @property
    def global_batch(self) -> int:
        """Images of an update."""
        return self.world * self.accumulation * self.batch_size

    @property
    def updates(self) -> int:
        """Updates of an epoch; positions that do not fill another one are left out."""
        return self.count // self.global_batch

    def micro_batches(self) -> range:
        """Numbers of this rank's micro-batches among those of an update."""
        return range(self.rank * self.accumulation, (self.rank + 1) * self.accumulation)

    def positions(self, update: int, micro: int) -> range:
        """Return the positions of a micro-batch."""
        start = update * self.global_batch + micro * self.batch_size
        return range(start, start + self.batch_size)


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

    @property
    def size(self) -> int:
        """Images of a full batch."""
        return self._shape[0]

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

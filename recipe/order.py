"""Which images an epoch shows, in which order, and which of them belong to which micro-batch of which rank.

An epoch is a row of positions. An update takes the next `world * accumulation * batch_size` of them; its micro-batches
take consecutive shares, numbered over ranks and accumulation. So the images of an update, and what is drawn for each of
them, do not depend on how the update is split.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from recipe.draws import Randomness
from recipe.errors import DataError

Indices: TypeAlias = npt.NDArray[np.int64]


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
                f"devices x {self.accumulation} micro-batches x {self.batch_size}): use smaller batches"
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

"""The parts of a run: `assembly` makes them, `engine` works with them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

import numpy.typing as npt
from paddle import Tensor, nn

from paddle_impl.training.ema import Ema
from paddle_impl.training.optimizer import AdamW
from recipe.schedule import CosineSchedule

Array: TypeAlias = npt.NDArray[Any]
MicroBatch: TypeAlias = tuple[Array, Array]
"""Images `(batch, channels, height, width)`, float32, and targets `(batch, classes)`, float32, or `(batch,)`, int64."""
Loss: TypeAlias = Callable[[Any, Tensor, Tensor], Tensor]
"""Maps the model's outputs, the images and the targets to the mean loss over the batch, shape `()`."""


class TrainSource(Protocol):
    """The training images."""

    @property
    def updates(self) -> int:
        """Updates of an epoch."""

    def epoch(self, epoch: int, start_update: int = 0) -> Iterable[tuple[MicroBatch, ...]]:
        """This rank's micro-batches of each update of an epoch, from one update on."""


class EvalSource(Protocol):
    """The images to evaluate on: each once, over all ranks."""

    @property
    def count(self) -> int:
        """Images of this rank; those that cannot be read are in no batch."""

    def __iter__(self) -> Iterator[tuple[Array, Array, Array]]:
        """Batches of images, labels `(batch,)`, int64, and the images' numbers `(batch,)`, int64; maybe none."""


@dataclass(frozen=True)
class Parts:
    """Everything that a run consists of.

    Attributes:
        model: Model in training mode, its weights loaded, of the dtype to train in.
        loss: Loss of a micro-batch.
        optimizer: Optimizer of the model's parameters, clipping included.
        schedule: Learning rate of each update.
        average: Moving average of the weights; None keeps none.
        training: Training images.
        validation: Images to evaluate on; None evaluates nothing.
        classes: Names of the classes by label; empty where none are known.
        fingerprint: Digest of the training images' names, labels and order; empty where it is unknown.
        notes: What to report at the start: what was resized, drawn anew, left out.
        corrupt: Returns the images that this rank could not read so far, by path, and what is wrong with each.
        close: Ends the processes that the parts have started.
    """

    model: nn.Layer
    loss: Loss
    optimizer: AdamW
    schedule: CosineSchedule
    average: Ema | None
    training: TrainSource
    validation: EvalSource | None
    classes: tuple[str, ...] = ()
    fingerprint: str = ""
    notes: tuple[str, ...] = ()
    corrupt: Callable[[], Mapping[str, str]] = dict
    close: Callable[[], None] = lambda: None

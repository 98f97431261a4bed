"""What the engine asks of the parts of a run, and nothing more."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

import numpy.typing as npt
from paddle import Tensor, nn

Array: TypeAlias = npt.NDArray[Any]
MicroBatch: TypeAlias = tuple[Array, Array]
"""Images `(batch, channels, height, width)`, float32, and targets `(batch, classes)`, float32, or `(batch,)`, int64."""
Loss: TypeAlias = Callable[[Any, Tensor, Tensor], Tensor]
"""Of the model's outputs, the images and the targets: a scalar, the mean over the batch."""


class TrainSource(Protocol):
    """The training images."""

    @property
    def updates(self) -> int:
        """Updates of an epoch."""

    def epoch(self, epoch: int, start_update: int = 0) -> Iterable[tuple[MicroBatch, ...]]:
        """The updates of an epoch from one on: this rank's micro-batches of each."""


class EvalSource(Protocol):
    """The images to evaluate on: each once, over all ranks."""

    @property
    def count(self) -> int:
        """Images of this rank; those that cannot be read are in no batch."""

    def __iter__(self) -> Iterator[tuple[Array, Array, Array]]:
        """Batches of images, labels `(batch,)`, int64, and the images' numbers `(batch,)`, int64; maybe none."""


class Optimizer(Protocol):
    """As Paddle's optimizers; clipping is its business."""

    def set_lr(self, value: float) -> None:
        """Sets the rate of the next step."""

    def step(self) -> None:
        """Changes the parameters."""

    def clear_grad(self) -> None:
        """Drops the gradients."""

    def named_state(self) -> Mapping[str, Tensor]:
        """What it remembers, as `kind/name of the parameter`; empty before the first step."""

    def set_named_state(self, state: Mapping[str, Any]) -> None:
        """Goes on from what `named_state` gave, as tensors or arrays."""


class Schedule(Protocol):
    """The learning rate over the run."""

    def rate(self, epoch: int, update: int) -> float:
        """The rate of an update of an epoch, both counted from 0."""


class Average(Protocol):
    """A moving average of the model's parameters and buffers.

    Attributes:
        model: The average, as a model in evaluation mode.
    """

    model: nn.Layer

    def update(self) -> None:
        """Takes up the model as it is now; called once an update."""


Inject: TypeAlias = Callable[..., None]
"""`inject(model, randomness, *prefix)`: lets the model's stochastic layers draw from streams of these names."""


@dataclass(frozen=True)
class Parts:
    """All that a run is made of.

    Attributes:
        model: In training mode, its weights loaded, of the dtype to train in.
        loss: Of a micro-batch.
        optimizer: Over the model's parameters.
        schedule: Of the rate.
        average: Of the weights; None keeps none.
        training: The training images.
        validation: The images to evaluate on; None evaluates nothing.
        classes: Names of the classes by label; empty where none are known.
        fingerprint: Of the training images' names and labels and their order; empty where it is unknown.
        notes: What is worth telling at the start: what was resized, drawn anew, left out.
        corrupt: Images that could not be read so far on this rank, and why.
        close: Ends what the parts have started.
    """

    model: nn.Layer
    loss: Loss
    optimizer: Optimizer
    schedule: Schedule
    average: Average | None
    training: TrainSource
    validation: EvalSource | None
    classes: tuple[str, ...] = ()
    fingerprint: str = ""
    notes: tuple[str, ...] = ()
    corrupt: Callable[[], Mapping[str, str]] = dict
    close: Callable[[], None] = lambda: None

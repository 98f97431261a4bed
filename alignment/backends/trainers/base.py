"""What the check points of training ask of a framework, beside what `alignment.backends.base` asks.

A trainer is one framework's training code with one model and one configuration. What it must hold to:

- Arrays cross the boundary as NumPy arrays; what comes out is a copy. Names of parameters are those of the state dict.
- Its model is built with the rates of the configuration and is in training mode; weights have its precision.
- What is random draws from the streams of `recipe.draws.Seeded(config.run.seed)`, under the names that
  `recipe.batches` and the engine use, and from nothing else: the same tape on both sides.
- Losses, optimiser, schedule, average and augmentation are those that real runs use: they are under test.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, cast

from alignment.arrays import Array
from alignment.errors import AlignmentError
from alignment.pair import Side, Training, targets
from recipe.config import Config


@dataclass(frozen=True, slots=True)
class Updated:
    """One update of a training run.

    Attributes:
        loss: Mean loss over the global batch.
        rate: Learning rate of the update.
        gradient_norm: Norm of all gradients together, before they were clipped.
    """

    loss: float
    rate: float
    gradient_norm: float


@dataclass(frozen=True, slots=True)
class Listing:
    """The images of a split, in their order.

    Attributes:
        names: Paths below the data set's folder.
        labels: int64 `(images,)`.
    """

    names: tuple[str, ...]
    labels: Array


class Trainer(Protocol):
    """One framework's training code; the module's docstring has the rules."""

    def start(self, weights: Mapping[str, Array]) -> None:
        """Begin anew from a state dict: a fresh optimiser, average and schedule."""

    def weights(self) -> dict[str, Array]:
        """The state dict as it is now."""

    def average(self) -> dict[str, Array]:
        """The state dict of the moving average; empty where the configuration turns it off."""

    def moments(self) -> dict[str, dict[str, Array]]:
        """`first` and `second` moment of every parameter, by its name; those of one not yet updated are zero."""

    def rates(self) -> Array:
        """The rate at the first and at the last update of every epoch, cooldown included; float64 `(epochs, 2)`."""

    def drop_rates(self) -> dict[str, float]:
        """Rate of every dropout and drop path above zero, by `<kind>/<path of the layer in the reference>`."""

    def apply(self, gradients: Mapping[str, Array], rate: float) -> None:
        """One step of the optimiser with these gradients: clipping, decay, moments, update; not the average.

        Args:
            gradients: Gradient of every parameter, by its name, in its shape.
            rate: The learning rate.
        """

    def train(self, updates: int, world: int = 1) -> list[Updated]:
        """Train on the configuration's images, epoch after epoch, until so many updates are done.

        Args:
            updates: Number of updates.
            world: Processes that share a global batch; the check point `distributed` asks either side for two.

        Raises:
            AlignmentError: So many processes cannot be started.
        """

    def listing(self, form: str) -> Listing:
        """The validation images as a `folder` a class or as a `list` names them."""

    def validation(self) -> Iterator[tuple[Array, Array]]:
        """Batches of the validation images, float32, with labels, int64, until all were seen."""

    def order(self, epoch: int) -> Array:
        """Which image is at each position of an epoch, int64."""

    def augmented(self, epoch: int, positions: Sequence[int]) -> Iterator[Array]:
        """The training images at these positions of an epoch, each augmented: float32 `(3, size, size)`."""

    def mixed(self, images: Array, labels: Array, update: int) -> tuple[Array, Array]:
        """Images and targets of a batch, mixed as that of an update of the first epoch would be.

        Args:
            images: float32 `(batch, 3, size, size)`.
            labels: int64 `(batch,)`.
            update: From 0.
        """

    def initial(self, seed: int) -> dict[str, Array]:
        """The state dict of a freshly built model, the framework's generator seeded with this."""

    def probabilities(self, images: Sequence[Path], weights: Path) -> Array:
        """What the inference program says of image files: probabilities `(images, classes)`, float64.

        Args:
            images: Files.
            weights: The side's weight file.
        """


def create(side: Side, config: Config) -> Trainer:
    """The trainer that a side names, with its model built.

    Raises:
        AlignmentError: It cannot be imported, or the model cannot be built with the configuration's rates.
    """
    function = targets.resolve(side.training)
    try:
        inspect.signature(function).bind(side, config)
    except TypeError:
        raise AlignmentError(
            f"{side.training} does not take a side and a configuration, from which the trainer of a published pair is "
            "made; a Training(model, optimizer, loss) is for a pair with rules: declare one with rules='auto'"
        ) from None
    except ValueError:  # a builtin that does not say what it takes
        pass
    trainer = function(side, config)
    if isinstance(trainer, Training):
        raise AlignmentError(
            f"{side.training} returns a Training; the trainer of a published pair is a {__name__}.Trainer; declare a "
            "pair with rules='auto' for it"
        )
    return cast(Trainer, trainer)


def build(side: Side, config: Config) -> Any:
    """The model of a side with the rates of a configuration.

    Raises:
        AlignmentError: The builder does not take them.
    """
    model = config.model
    rates = {"drop_rate": model.drop_rate, "drop_path_rate": model.drop_path_rate}
    if model.attn_drop_rate:
        rates["attn_drop_rate"] = model.attn_drop_rate
    try:
        return targets.resolve(side.build)(**{**side.options, **rates})
    except TypeError as error:
        raise AlignmentError(
            f"{side.build} cannot build a model for training: {error}; it has to take {', '.join(rates)}"
        ) from error

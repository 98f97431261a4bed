"""Tools of the injectors: ways to change what a layer, a method or a part of a trainer gives."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import paddle
from paddle import Tensor

from alignment.arrays import Array
from paddle_impl.layers import DropPath
from recipe.augmentation.mixing import Mixing
from recipe.augmentation.transforms import Normalise, TrainTransform
from recipe.config import Data
from recipe.images import read_image

Change = Callable[[Tensor], Tensor]


def wrap(owner: Any, name: str, make: Callable[[Any], Any]) -> None:
    """Replace a method of an object by what `make` returns for it."""
    setattr(owner, name, make(getattr(owner, name)))


def change_result(owner: Any, name: str, change: Callable[[Any], Any]) -> None:
    """Change what a method of an object returns."""
    wrap(owner, name, lambda method: lambda *given: change(method(*given)))


def change_output(layer: Any, change: Change) -> None:
    """Change what a layer returns."""
    change_result(layer, "forward", change)


class _Gradient(paddle.autograd.PyLayer):
    """The identity, with its gradient changed."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, change: Change) -> Tensor:
        """Return a tensor of any shape as it is."""
        ctx.change = change
        return x * 1

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        """Return the changed gradient."""
        changed: Tensor = ctx.change(gradient)
        return changed


def with_gradient(x: Tensor, change: Change) -> Tensor:
    """Return a tensor whose gradient is changed on the way back."""
    return _Gradient.apply(x, change)


def with_gradient_times(loss: Tensor, factor: float) -> Tensor:
    """Return a loss of the same value whose gradient is multiplied."""
    return loss * factor - (loss * (factor - 1)).detach()


def change_parts(trainer: Any, change: Callable[[Any], Any]) -> None:
    """Change the parts of a trainer, now and whenever they are assembled again."""
    change_result(trainer, "_assemble", change)
    trainer.parts = change(trainer.parts)


class _Schedule:
    """A schedule with other rates; all else is that of the correct one."""

    def __init__(self, schedule: Any, rate: Callable[..., float]) -> None:
        self._schedule, self.rate = schedule, rate

    def __getattr__(self, name: str) -> Any:
        return getattr(self._schedule, name)


def change_rates(trainer: Any, make: Callable[[Any], Callable[[int, int], float]]) -> None:
    """Change a trainer's learning rates: `make` returns for a schedule the function of epoch and update to the rate."""

    def changed(parts: Any) -> Any:
        rate = make(parts.schedule)
        return replace(parts, schedule=_Schedule(parts.schedule, lambda epoch, update=0: rate(epoch, update)))

    change_parts(trainer, changed)


def change_step(trainer: Any, make: Callable[[Any, Callable[[], None]], Callable[[], None]]) -> None:
    """Change the optimizer's step: `make` is given the trainer's parts and the correct step."""

    def changed(parts: Any) -> Any:
        wrap(parts.optimizer, "step", lambda step: paddle.no_grad()(make(parts, step)))
        return parts

    change_parts(trainer, changed)


def change_clip(trainer: Any, make: Callable[[Any, Any], Callable[[Any], Any]]) -> None:
    """Change how gradients are clipped: `make` is given the trainer's parts and the correct function, or None."""

    def changed(parts: Any) -> Any:
        parts.optimizer._grad_clip = make(parts, parts.optimizer._grad_clip)
        return parts

    change_parts(trainer, changed)


def drop_paths(trainer: Any) -> list[Any]:
    """Return the drop paths of a trainer's model."""
    return [layer for layer in trainer.parts.model.sublayers() if isinstance(layer, DropPath)]


def change_transform(trainer: Any, make: Callable[[TrainTransform], Any]) -> None:
    """Augment training images by what `make` returns for the correct transform."""
    transform = make(TrainTransform.of(trainer.config))

    def augmented(epoch: int, positions: Sequence[int]) -> Iterator[Array]:
        samples, order = trainer._samples(), trainer.order(epoch)
        for at in positions:
            yield transform(read_image(samples.names[order[at]]), trainer._tape.stream("sample", epoch, at))

    trainer.augmented = augmented


def mixing_of(trainer: Any) -> Mixing:
    """Return the mixing of batches of a recipe that mixes them."""
    mixing = Mixing.of(trainer.config)
    assert mixing is not None  # noqa: S101 (all recipes of the self-test mix)
    return mixing


def mixing_draws(trainer: Any, update: int) -> Any:
    """Return the stream that the mixing of an update's batch draws from."""
    return trainer._tape.stream("mixing", 0, update, 0)


def mean_and_std(normalise: Normalise | Data) -> tuple[Array, Array]:
    """Return mean and standard deviation of the pixels, float32, `(3, 1, 1)`."""
    mean, std = (np.array(values, np.float32)[:, None, None] for values in (normalise.mean, normalise.std))
    return mean, std

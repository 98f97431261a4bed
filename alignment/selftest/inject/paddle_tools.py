"""What injectors of mistakes share: ways to put something around a layer, or in the place of a trainer's parts."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import paddle
from paddle import Tensor

from alignment.arrays import Array
from paddle_impl.training.data.transforms import TrainTransform
from recipe.images import read_image


def after(layer: Any, change: Callable[[Tensor], Tensor]) -> None:
    """Changes what a layer returns."""
    right = layer.forward
    layer.forward = lambda *given: change(right(*given))


class Gradient(paddle.autograd.PyLayer):
    """The identity, with its gradient changed."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, change: Callable[[Tensor], Tensor]) -> Tensor:
        """Takes and returns a tensor of any shape."""
        ctx.change = change
        return x * 1

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        """Takes and returns the gradient."""
        changed: Tensor = ctx.change(gradient)
        return changed


class Schedule:
    """A schedule whose rates are made of the right ones.

    Args:
        right: The right one.
        rate: Epoch and update to the rate.
    """

    def __init__(self, right: Any, rate: Callable[..., float]) -> None:
        self._right, self.rate = right, rate

    def __getattr__(self, name: str) -> Any:
        return getattr(self._right, name)


def assembled(trainer: Any, change: Callable[[Any], Any]) -> None:
    """Changes the parts of a trainer, now and whenever they are put together anew."""
    right = trainer._assemble
    trainer._assemble = lambda model: change(right(model))
    trainer.parts = change(trainer.parts)


def transforming(trainer: Any, make: Callable[[TrainTransform], Any]) -> None:
    """Augments by what is made of the right transform."""
    transform = make(TrainTransform.of(trainer.config))

    def augmented(epoch: int, positions: Sequence[int]) -> Iterator[Array]:
        samples, order = trainer._samples(), trainer.order(epoch)
        for at in positions:
            yield transform(read_image(samples.names[order[at]]), trainer._tape.stream("sample", epoch, at))

    trainer.augmented = augmented

"""What trains one side of a pair: plain objects of its framework."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Training:
    """What a function named by `Side.training` returns, for the check points of training of a pair of one's own.

    All four are of the side's framework, made afresh by every call of the function.

    Attributes:
        model: The model that `Side.build` makes: a `torch.nn.Module` or a `paddle.nn.Layer`.
        optimizer: A `torch.optim.Optimizer` or a `paddle.optimizer.Optimizer` of all parameters of the model that are
            trained, in groups or not.
        loss: Called as `loss(outputs, target)`, with what the model returns; gives one number, a tensor of one element.
            The target of a classifier is int64 labels `(batch,)`; of another model random numbers in the shape of what
            it gives, by name where it gives several. A function of one argument is given the outputs alone, one of
            three the inputs as well: a tensor, or a dictionary of the pair's inputs.
        scheduler: Learning-rate scheduler, whose `step()` is called after every update; None for a constant rate, or
            for the scheduler that a Paddle optimizer has as its `learning_rate`.
    """

    model: Any
    optimizer: Any
    loss: Callable[..., Any]
    scheduler: Any = None

"""Several processes that share a global batch, as MindSpore's msrun starts them."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from mindspore import Tensor, communication, nn, ops

from mindspore_impl.training.cells import norm_of


@dataclass(frozen=True)
class World:
    """The processes of a run.

    Attributes:
        size: Their number.
        rank: Number of this one, from 0.
        share: Averages loss and gradients over them (see `Averaging`); None where there is one process.
    """

    size: int = 1
    rank: int = 0
    share: Callable[..., tuple[Any, ...]] | None = None


def join() -> World:
    """Join the other processes if msrun started this one; the device has to be set before."""
    if "MS_ROLE" not in os.environ:
        return World()
    communication.init()  # msrun's scheduler, which runs this too, stays in here until the others have ended
    size = communication.get_group_size()
    return World(size, communication.get_rank(), Averaging(size, ops.AllReduce(ops.ReduceOp.SUM)))


def leave(world: World) -> None:
    """Release the connections to the other processes; the interpreter's end signs off from msrun's scheduler."""
    if world.share is not None:
        communication.release()


class Averaging(nn.Cell):
    """The mean of the loss and of each gradient over the processes, and the norm of the gradients' means.

    Args:
        size: Number of processes.
        reduce: Gives the sum of a tensor over them.
    """

    def __init__(self, size: int, reduce: Callable[[Tensor], Tensor]) -> None:
        super().__init__(auto_prefix=False)
        self.size, self.reduce = size, reduce

    def construct(self, loss: Tensor, *gradients: Tensor) -> tuple[Any, ...]:
        """Take this process's loss, shape `()`, and gradients; return the mean loss, the norm, and the means."""
        means = ()  # type: tuple[Any, ...]  # MindSpore compiles no annotated assignment
        for gradient in gradients:
            means = (*means, self.reduce(gradient) / self.size)
        return self.reduce(loss) / self.size, norm_of(means), means

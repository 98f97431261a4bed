"""Several processes as one run: `paddle.distributed.launch` starts them, NCCL joins them on GPUs and gloo on CPUs.

What ranks tell each other are sums, in which each rank's part is divided beforehand: two ranks of one micro-batch each
add up the very numbers that one rank adds up over two.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import paddle
import paddle.distributed as dist
from paddle import Tensor

_BUCKET = 1 << 25
"""Bytes of gradients that are reduced at a time."""


@dataclass(frozen=True)
class World:
    """The processes of a run; one alone needs no communication, and does none.

    Attributes:
        rank: This process.
        size: All of them.
    """

    rank: int = 0
    size: int = 1

    @property
    def leads(self) -> bool:
        """Whether this process writes and talks for all."""
        return self.rank == 0

    def total(self, values: Sequence[float]) -> npt.NDArray[np.float64]:
        """The sums over all ranks, float64: exact for counts up to 2^53."""
        if self.size == 1:
            return np.asarray(values, np.float64)
        tensor = paddle.to_tensor(np.asarray(values, np.float64))
        dist.all_reduce(tensor)
        return tensor.numpy()

    def barrier(self) -> None:
        """Waits for the others, if there are any; Paddle's own barrier raises where there are none."""
        if self.size > 1:
            self.total([0.0])

    def share(self, tensors: Iterable[Tensor]) -> None:
        """Gives every rank the tensors of the first."""
        for tensor in tensors if self.size > 1 else ():
            shared = tensor.detach().clone()
            dist.broadcast(shared, 0)
            tensor.set_value(shared)

    def gather(self, value: Any) -> list[Any]:
        """What each rank has, in their order."""
        if self.size == 1:
            return [value]
        gathered: list[Any] = []
        dist.all_gather_object(gathered, value)
        return gathered

    @paddle.no_grad()
    def sum_gradients(self, parameters: Sequence[Tensor], extra: Sequence[float] = ()) -> npt.NDArray[np.float64]:
        """Puts the sum over all ranks in place of each gradient, and returns that of some numbers.

        A parameter that no rank has a gradient of gets none, so that the optimizer passes it over as it does on one
        device; one that some ranks have a gradient of gets the sum of those.

        Args:
            parameters: Those that are trained, in the same order on every rank.
            extra: Numbers to add up as well, in float64.
        """
        if self.size == 1:
            return np.asarray(extra, np.float64)
        sums = self.total([*(float(each.grad is not None) for each in parameters), *extra])
        found = [each for each, count in zip(parameters, sums, strict=False) if count]
        for bucket in _buckets(found):
            _sum_bucket(bucket)
        return sums[len(parameters) :]


def join() -> World:
    """The world that `paddle.distributed.launch` made, joined; alone where it made none."""
    size = int(os.environ.get("PADDLE_TRAINERS_NUM", "1"))
    if size == 1:
        return World()
    if not dist.is_initialized():
        dist.init_parallel_env()
    return World(dist.get_rank(), dist.get_world_size())


def _buckets(parameters: Iterable[Tensor]) -> list[list[Tensor]]:
    """Parameters of one dtype together, some megabytes of them at a time."""
    buckets: list[list[Tensor]] = []
    filled: dict[Any, int] = {}
    latest: dict[Any, list[Tensor]] = {}
    for parameter in parameters:
        dtype, size = parameter.dtype, parameter.size * parameter.element_size()
        if dtype not in latest or filled[dtype] + size > _BUCKET:
            latest[dtype], filled[dtype] = [], 0
            buckets.append(latest[dtype])
        latest[dtype].append(parameter)
        filled[dtype] += size
    return buckets


def _sum_bucket(bucket: Sequence[Tensor]) -> None:
    gradients = [paddle.zeros_like(each) if each.grad is None else each.grad for each in bucket]
    flat = paddle.concat([gradient.flatten() for gradient in gradients])
    dist.all_reduce(flat)
    parts = paddle.split(flat, [each.size for each in bucket])
    for parameter, part in zip(bucket, parts, strict=True):
        parameter.grad = part.reshape(parameter.shape)

"""Several processes as one run: `paddle.distributed.launch` starts them, NCCL joins them on GPUs and gloo on CPUs.

Ranks exchange sums, whose parts each rank divides beforehand: two ranks of one micro-batch each add up the very numbers
that one rank adds up over two micro-batches.
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
"""Bytes of gradients that are summed at a time."""


@dataclass(frozen=True)
class World:
    """The processes of a run; a single one does not communicate.

    Attributes:
        rank: Number of this process, from 0.
        size: Number of processes.
    """

    rank: int = 0
    size: int = 1

    @property
    def leads(self) -> bool:
        """True for the one process that writes files and shows progress."""
        return self.rank == 0

    def total(self, values: Sequence[float]) -> npt.NDArray[np.float64]:
        """The sums over all ranks, float64: exact for counts up to 2^53."""
        if self.size == 1:
            return np.asarray(values, np.float64)
        tensor = paddle.to_tensor(np.asarray(values, np.float64))
        dist.all_reduce(tensor)
        return tensor.numpy()

    def barrier(self) -> None:
        """Wait for the other ranks, if there are any; Paddle's own barrier raises where there are none."""
        if self.size > 1:
            self.total([0.0])

    def share(self, tensors: Iterable[Tensor]) -> None:
        """Give every rank the tensors of the first."""
        for tensor in tensors if self.size > 1 else ():
            shared = tensor.detach().clone()
            dist.broadcast(shared, 0)
            tensor.set_value(shared)

    def gather(self, value: Any) -> list[Any]:
        """The values of all ranks, in the order of the ranks."""
        if self.size == 1:
            return [value]
        gathered: list[Any] = []
        dist.all_gather_object(gathered, value)
        return gathered

    @paddle.no_grad()
    def sum_gradients(self, parameters: Sequence[Tensor], extra: Sequence[float] = ()) -> npt.NDArray[np.float64]:
        """Replace each gradient by its sum over all ranks; return the sums of some numbers.

        A parameter without a gradient on every rank gets none, so that the optimizer skips it as on one device; one
        with a gradient on some ranks gets their sum.

        Args:
            parameters: Trained parameters, in the same order on every rank.
            extra: Numbers to add up as well.

        Returns:
            The sums of `extra`, float64.
        """
        if self.size == 1:
            return np.asarray(extra, np.float64)
        sums = self.total([*(float(parameter.grad is not None) for parameter in parameters), *extra])
        for bucket in _buckets(parameter for parameter, count in zip(parameters, sums, strict=False) if count):
            _sum_bucket(bucket)
        return sums[len(parameters) :]


def join() -> World:
    """Join the processes that `paddle.distributed.launch` started; without it the world has one rank."""
    size = int(os.environ.get("PADDLE_TRAINERS_NUM", "1"))
    if size == 1:
        return World()
    if not dist.is_initialized():
        dist.init_parallel_env()
    return World(dist.get_rank(), dist.get_world_size())


def _buckets(parameters: Iterable[Tensor]) -> list[list[Tensor]]:
    """Groups of parameters of one dtype, of at most `_BUCKET` bytes unless one parameter alone is larger."""
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
    gradients = [paddle.zeros_like(tensor) if tensor.grad is None else tensor.grad for tensor in bucket]
    flat = paddle.concat([gradient.flatten() for gradient in gradients])
    dist.all_reduce(flat)
    parts = paddle.split(flat, [tensor.size for tensor in bucket])
    for parameter, part in zip(bucket, parts, strict=True):
        parameter.grad = part.reshape(parameter.shape)

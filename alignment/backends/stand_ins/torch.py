"""Exact float64 versions of what loses precision inside torch 2.13, and what other frameworks do, done in torch.

The slope of a hard sigmoid's gradient and the alpha of a CELU's are float32 numbers. Paddle's batch normalisation takes
up the biased variance of a batch into its running statistics, where torch takes up the unbiased one: a reference in
torch does as Paddle does.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from alignment.backends.stand_ins.torch_casts import lifted
from alignment.backends.stand_ins.using import Finished, using
from alignment.recordings.kernels import Kernel

_BATCH_NORM = F.batch_norm
_VARIANCE = "Paddle's running variance, which is biased where torch's is not"


@contextmanager
def exact(peer: str) -> Iterator[dict[str, Kernel]]:
    """Use exact versions, for as long as the context lasts; yields what was used, see `using`.

    Args:
        peer: The framework of the other side.
    """
    functions: dict[str, tuple[Any, Any]] = {
        "torch.nn.functional.hardsigmoid": (F.hardsigmoid, _hardsigmoid),
        "torch.nn.functional.celu": (F.celu, _celu),
    }
    if peer == "paddle":
        functions[_VARIANCE] = (F.batch_norm, _with_biased_variance)
    with using(functions, _apart) as used, lifted(used):
        yield used


def _hardsigmoid(x: Tensor, inplace: bool = False) -> Any:
    return NotImplemented if inplace or x.dtype != torch.float64 else torch.clamp(x / 6 + 0.5, 0.0, 1.0)


def _celu(x: Tensor, alpha: float = 1.0, inplace: bool = False) -> Any:
    if inplace or x.dtype != torch.float64:
        return NotImplemented
    return torch.clamp(x, min=0.0) + alpha * torch.expm1(torch.clamp(x, max=0.0) / alpha)


def _with_biased_variance(
    x: Tensor,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Any:
    """The same, after which the running variance has taken up the variance of the batch over n, not over n - 1."""
    if not training or running_var is None or running_mean is None:
        return NotImplemented
    count, before, variance = x.numel() / x.shape[1], running_var.clone(), running_var
    value = _BATCH_NORM(x, running_mean.clone(), before.clone(), weight, bias, training, momentum, eps)

    @torch.no_grad()
    def after() -> None:
        kept = before * (1 - momentum)
        variance.copy_(kept + (variance - kept) * ((count - 1) / count))

    return Finished(value, after)


@torch.no_grad()
def _apart(own: Tensor, version: Tensor) -> float:
    if own.shape != version.shape:
        return math.inf
    return float(torch.linalg.vector_norm(own - version) / (torch.linalg.vector_norm(own) or 1.0))

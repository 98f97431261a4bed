"""What Paddle's optimizers do otherwise, done in torch, so that a reference in torch does as the candidate's framework.

Paddle's RMSProp adds its epsilon inside the root, where torch's adds it to the root, and keeps its momentum with the
rate in it, where torch's multiplies it by the rate of the step.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.optim.rmsprop import rmsprop

from alignment.backends.stand_ins.using import InPlace, using
from alignment.recordings.kernels import Kernel

_RMSPROP = "Paddle's RMSProp, which adds epsilon inside the root where torch's adds it outside"


@contextmanager
def exact(peer: str) -> Iterator[dict[str, Kernel]]:
    """Do as the optimizers of another framework, for as long as the context lasts; yields what was used.

    Args:
        peer: The framework of the other side; nothing is replaced unless it is `paddle`.
    """
    functions = {_RMSPROP: (rmsprop, _rmsprop)} if peer == "paddle" else {}
    with using(functions, lambda *_: 0.0) as used:
        yield used


@dataclass(frozen=True)
class _Update:
    """One parameter's update by RMSProp, from the gradient with the decay in it."""

    gradient: Tensor
    squares: Tensor
    means: Tensor | None
    moment: Tensor | None
    rate: float
    epsilon: float
    momentum: float

    def torchs(self) -> Tensor:
        """What torch's own subtracts from the parameter."""
        step = self.gradient / (self._variance.sqrt() + self.epsilon)
        return self.rate * (step if self.moment is None else step + self.momentum * self.moment)

    def paddles(self) -> Tensor:
        """What Paddle's subtracts; it is the momentum that it keeps, too."""
        step = self.rate * self.gradient / (self._variance + self.epsilon).sqrt()
        return step if self.moment is None else step + self.momentum * self.moment

    @property
    def _variance(self) -> Tensor:
        return self.squares if self.means is None else self.squares - self.means**2


@torch.no_grad()
def _rmsprop(
    params: Sequence[Tensor],
    grads: Sequence[Tensor],
    squares: Sequence[Tensor],
    means: Sequence[Tensor],
    moments: Sequence[Tensor],
    counts: Sequence[Tensor],
    *given: Any,
    lr: float,
    alpha: float,
    eps: float,
    weight_decay: float,
    momentum: float,
    centered: bool,
    maximize: bool = False,
    **_: Any,
) -> Any:
    del counts
    if given or maximize or any(param.dtype != torch.float64 for param in params):
        return NotImplemented
    before = [param.clone() for param in params]
    updates = []
    for place, (param, grad) in enumerate(zip(params, grads, strict=True)):
        gradient = grad + weight_decay * param
        square = alpha * squares[place] + (1 - alpha) * gradient**2
        mean = alpha * means[place] + (1 - alpha) * gradient if centered else None
        moment = moments[place].clone() if momentum > 0 else None
        updates.append(_Update(gradient, square, mean, moment, float(lr), eps, momentum))

    @torch.no_grad()
    def distance() -> float:
        if all(update.moment is None or not update.moment.any() for update in updates):
            steps = [(old - param, update.torchs()) for old, param, update in zip(before, params, updates, strict=True)]
            return max((_apart(own, version) for own, version in steps), default=0.0)
        return 0.0  # the momentum that is kept is Paddle's by now

    @torch.no_grad()
    def after() -> None:
        for place, (param, update) in enumerate(zip(params, updates, strict=True)):
            step = update.paddles()
            param.copy_(before[place] - step)
            if update.moment is not None:
                moments[place].copy_(step)

    return InPlace(distance, after)


def _apart(own: Tensor, version: Tensor) -> float:
    norm = float(torch.linalg.vector_norm(own))
    return float(torch.linalg.vector_norm(own - version)) / norm if math.isfinite(norm) and norm else 0.0

"""Dtypes of a run's computation, and loss scaling, which keeps small gradients from vanishing in float16."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import paddle
from paddle import Tensor

from paddle_impl.training.optimizer import AdamW
from recipe.errors import ConfigError

PRECISIONS = {"cpu": ("float32", "float64"), "gpu": ("float32", "float16", "bfloat16")}
"""Precisions of each device."""
_MIXED = {"cpu": "float32", "gpu": "float16"}
"""What `mixed` stands for on each device."""


def device_of(name: str) -> str:
    """The device that a run's `device` stands for: `cpu` or `gpu`.

    Raises:
        ConfigError: The device is unknown, or is not there.
    """
    there = paddle.is_compiled_with_cuda() and paddle.device.cuda.device_count() > 0
    if name == "auto":
        return "gpu" if there else "cpu"
    if name not in PRECISIONS:
        raise ConfigError(f"run.device is {name!r}, expected auto, cpu or gpu")
    if name == "gpu" and not there:
        built = "no GPU is visible" if paddle.is_compiled_with_cuda() else "this Paddle was built without CUDA"
        raise ConfigError(f"run.device is gpu, and {built}: take device auto or cpu, or install paddlepaddle-gpu")
    return name


@dataclass(frozen=True)
class Precision:
    """Dtypes of forward and backward pass.

    Attributes:
        parameters: Dtype of weights and images.
        autocast: Dtype of matrix products under autocast; None turns autocast off.
        scaler: Scales the loss; None unless `autocast` is float16.
    """

    parameters: str = "float32"
    autocast: str | None = None
    scaler: Any = None

    @classmethod
    def of(cls, name: str, device: str) -> Precision:
        """The precision of a run's configuration on a device.

        Raises:
            ConfigError: The device has no such precision.
        """
        name = _MIXED[device] if name == "mixed" else name
        if name not in PRECISIONS[device]:
            raise ConfigError(_refusal(name, device))
        if name in ("float32", "float64"):
            return cls(name)
        return cls("float32", name, paddle.amp.GradScaler() if name == "float16" else None)

    def context(self) -> AbstractContextManager[Any]:
        """Context for the forward pass and the loss."""
        return nullcontext() if self.autocast is None else paddle.amp.auto_cast(level="O1", dtype=self.autocast)

    def backward(self, loss: Tensor) -> None:
        """Add the gradients of a loss, scaled if there is a scaler, to those of the parameters."""
        (loss if self.scaler is None else self.scaler.scale(loss)).backward()

    def step(self, optimizer: AdamW) -> None:
        """Do a step unless the scaled gradients overflowed, and clear the gradients."""
        if self.scaler is None:
            optimizer.step()
        else:
            self.scaler.step(_Skippable(optimizer))
            self.scaler.update()
        optimizer.clear_grad()


class _Skippable:
    """An optimizer whose step Paddle's scaler skips when gradients overflowed.

    The scaler calls `step` of an optimizer that has `_set_auxiliary_var` even then, and its kernel does nothing; but
    what `step` does beside the kernel, such as the decay, would be done.
    """

    def __init__(self, optimizer: AdamW) -> None:
        self._optimizer = optimizer

    def __getattr__(self, name: str) -> Any:
        if name == "_set_auxiliary_var":
            raise AttributeError(name)
        return getattr(self._optimizer, name)


def _refusal(name: str, device: str) -> str:
    known = " or ".join(PRECISIONS[device])
    if device == "cpu" and name in PRECISIONS["gpu"]:
        return (
            f"run.precision is {name}, which Paddle has on GPUs only: on a CPU its autocast does nothing, and does not "
            f"say so. Take {known}, or run.device=gpu"
        )
    return f"run.precision is {name!r}, expected {known} on a {device.upper()}"

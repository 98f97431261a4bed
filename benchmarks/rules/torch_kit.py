"""What the drawn models are made of in torch; `paddle_kit` has the same names in the same order."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

Module: Any = nn.Module
INTO_FIRST = False
"""Whether a Linear stores its weight as (in, out)."""
STATISTICS = ("running_mean", "running_var")


class Own(nn.Module):
    """A module whose forward pass is a function of itself and its inputs."""

    function: Callable[..., Any]

    def forward(self, *inputs: Any) -> Any:
        """What the function makes of the inputs."""
        return type(self).function(self, *inputs)


def own(kind: str, function: Callable[..., Any]) -> Any:
    """A module of a class of this name, which computes the function of itself and its inputs."""
    return type(kind, (Own,), {"function": staticmethod(function)})()


def parameter(module: Any, name: str, values: Any) -> None:
    """Register a parameter."""
    module.register_parameter(name, nn.Parameter(torch.tensor(values, dtype=torch.get_default_dtype())))


def buffer(module: Any, name: str, values: Any, persistent: bool) -> None:
    """Register a constant."""
    module.register_buffer(name, torch.tensor(values), persistent=persistent)


def add(module: Any, name: str, child: Any) -> None:
    """Register a module within another one."""
    module.add_module(name, child)


def names(model: Any) -> dict[int, str]:
    """Identity of a module to its path."""
    return {id(module): path for path, module in model.named_modules()}


def linear(into: int, out: int, bias: bool) -> Any:
    """A Linear."""
    return nn.Linear(into, out, bias=bias)


class ChannelsLinear(nn.Linear):
    """A Linear over the channels of `(batch, channels, height, width)`."""

    def forward(self, x: Any) -> Any:
        """Shape `(batch, out, height, width)`."""
        return super().forward(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


class RowsConv(nn.Conv2d):
    """A 1 x 1 convolution over the last axis of `(batch, tokens, channels)` or `(batch, channels)`."""

    def forward(self, x: Any) -> Any:
        """Same axes, `out` the last."""
        rows = x.reshape([-1, x.shape[-1], 1, 1])
        return super().forward(rows).reshape([*x.shape[:-1], -1])


def channels_linear(into: int, out: int, bias: bool) -> Any:
    """A Linear over channels, which come second."""
    return ChannelsLinear(into, out, bias=bias)


def rows_conv(into: int, out: int, bias: bool) -> Any:
    """A convolution of 1 x 1 over the last axis."""
    return RowsConv(into, out, 1, bias=bias)


def conv(
    into: int, out: int, size: int, *, stride: int = 1, padding: int = 0, groups: int = 1, bias: bool = True
) -> Any:
    """A convolution."""
    return nn.Conv2d(into, out, size, stride, padding, groups=groups, bias=bias)


def conv_transpose(into: int, out: int, bias: bool) -> Any:
    """A transposed convolution that doubles height and width."""
    return nn.ConvTranspose2d(into, out, 2, 2, bias=bias)


def batch_norm(channels: int) -> Any:
    """A batch norm."""
    return nn.BatchNorm2d(channels)


def layer_norm(channels: int) -> Any:
    """A layer norm over the last axis."""
    return nn.LayerNorm(channels, eps=1e-6)


def group_norm(groups: int, channels: int) -> Any:
    """A group norm."""
    return nn.GroupNorm(groups, channels, eps=1e-5)


def embedding(count: int, width: int) -> Any:
    """An embedding."""
    return nn.Embedding(count, width)


def constant(values: Any, like: Any) -> Any:
    """A constant tensor: integers as they are, other numbers in the dtype of a tensor."""
    tensor = torch.tensor(values)
    return tensor.to(like.dtype) if np.issubdtype(np.asarray(values).dtype, np.floating) else tensor


def permute(x: Any, axes: Sequence[int]) -> Any:
    """Permute axes."""
    return x.permute(*axes)


def cat(tensors: Sequence[Any], axis: int) -> Any:
    """Join along an axis."""
    return torch.cat(list(tensors), axis)


def split(x: Any, sizes: Sequence[int], axis: int) -> Any:
    """Cut into parts of these sizes."""
    return torch.split(x, list(sizes), axis)


def stack(tensors: Sequence[Any], axis: int) -> Any:
    """Stack along a new axis."""
    return torch.stack(list(tensors), axis)


def take(x: Any, index: Any) -> Any:
    """Rows of a matrix by integers of any shape."""
    return x[index]


def softmax(x: Any) -> Any:
    """Softmax over the last axis."""
    return x.softmax(-1)


def expand(x: Any, shape: Sequence[int]) -> Any:
    """Repeat axes of length one."""
    return x.expand(*shape)


def einsum(equation: str, *tensors: Any) -> Any:
    """Einstein summation."""
    return torch.einsum(equation, *tensors)


def rsqrt(x: Any) -> Any:
    """One over the square root."""
    return torch.rsqrt(x)


def max_pool(x: Any) -> Any:
    """Maximum of 2 x 2."""
    return F.max_pool2d(x, 2)


relu, gelu, silu, sigmoid, tanh = F.relu, F.gelu, F.silu, torch.sigmoid, torch.tanh
ACTIVATIONS: dict[str, Callable[[Any], Any]] = {"relu": relu, "gelu": gelu, "silu": silu, "tanh": tanh}

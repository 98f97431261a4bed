"""What the drawn models are made of in Paddle; `torch_kit` has the same names in the same order."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import paddle
from paddle import nn
from paddle.nn import functional as F

Module: Any = nn.Layer
INTO_FIRST = True
"""Whether a Linear stores its weight as (in, out)."""
STATISTICS = ("_mean", "_variance")


class Own(nn.Layer):
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
    array = np.asarray(values, np.float32)
    made = module.create_parameter(list(array.shape), default_initializer=nn.initializer.Assign(array))
    module.add_parameter(name, made)


def buffer(module: Any, name: str, values: Any, persistent: bool) -> None:
    """Register a constant."""
    module.register_buffer(name, paddle.to_tensor(values), persistable=persistent)


def add(module: Any, name: str, child: Any) -> None:
    """Register a module within another one."""
    module.add_sublayer(name, child)


def names(model: Any) -> dict[int, str]:
    """Identity of a module to its path."""
    return {id(module): path for path, module in model.named_sublayers(include_self=True)}


def linear(into: int, out: int, bias: bool) -> Any:
    """A Linear."""
    return nn.Linear(into, out, bias_attr=None if bias else False)


class ChannelsLinear(nn.Linear):
    """A Linear over the channels of `(batch, channels, height, width)`."""

    def forward(self, x: Any) -> Any:
        """Shape `(batch, out, height, width)`."""
        return super().forward(x.transpose([0, 2, 3, 1])).transpose([0, 3, 1, 2])


class RowsConv(nn.Conv2D):
    """A 1 x 1 convolution over the last axis of `(batch, tokens, channels)` or `(batch, channels)`."""

    def forward(self, x: Any) -> Any:
        """Same axes, `out` the last."""
        rows = x.reshape([-1, x.shape[-1], 1, 1])
        return super().forward(rows).reshape([*x.shape[:-1], -1])


def channels_linear(into: int, out: int, bias: bool) -> Any:
    """A Linear over channels, which come second."""
    return ChannelsLinear(into, out, bias_attr=None if bias else False)


def rows_conv(into: int, out: int, bias: bool) -> Any:
    """A convolution of 1 x 1 over the last axis."""
    return RowsConv(into, out, 1, bias_attr=None if bias else False)


def conv(
    into: int, out: int, size: int, *, stride: int = 1, padding: int = 0, groups: int = 1, bias: bool = True
) -> Any:
    """A convolution."""
    return nn.Conv2D(into, out, size, stride, padding, groups=groups, bias_attr=None if bias else False)


def conv_transpose(into: int, out: int, bias: bool) -> Any:
    """A transposed convolution that doubles height and width."""
    return nn.Conv2DTranspose(into, out, 2, 2, bias_attr=None if bias else False)


def batch_norm(channels: int) -> Any:
    """A batch norm."""
    return nn.BatchNorm2D(channels)


def layer_norm(channels: int) -> Any:
    """A layer norm over the last axis."""
    return nn.LayerNorm(channels, epsilon=1e-6)


def group_norm(groups: int, channels: int) -> Any:
    """A group norm."""
    return nn.GroupNorm(groups, channels, epsilon=1e-5)


def embedding(count: int, width: int) -> Any:
    """An embedding."""
    return nn.Embedding(count, width)


def constant(values: Any, like: Any) -> Any:
    """A constant tensor: integers as they are, other numbers in the dtype of a tensor."""
    tensor = paddle.to_tensor(values)
    return tensor.astype(like.dtype) if np.issubdtype(np.asarray(values).dtype, np.floating) else tensor


def permute(x: Any, axes: Sequence[int]) -> Any:
    """Permute axes."""
    return x.transpose(list(axes))


def cat(tensors: Sequence[Any], axis: int) -> Any:
    """Join along an axis."""
    return paddle.concat(list(tensors), axis)


def split(x: Any, sizes: Sequence[int], axis: int) -> Any:
    """Cut into parts of these sizes."""
    return paddle.split(x, list(sizes), axis)


def stack(tensors: Sequence[Any], axis: int) -> Any:
    """Stack along a new axis."""
    return paddle.stack(list(tensors), axis)


def take(x: Any, index: Any) -> Any:
    """Rows of a matrix by integers of any shape."""
    return paddle.gather(x, index.flatten()).reshape([*index.shape, *x.shape[1:]])


def softmax(x: Any) -> Any:
    """Softmax over the last axis."""
    return F.softmax(x, -1)


def expand(x: Any, shape: Sequence[int]) -> Any:
    """Repeat axes of length one."""
    return paddle.expand(x, list(shape))


def einsum(equation: str, *tensors: Any) -> Any:
    """Einstein summation."""
    return paddle.einsum(equation, *tensors)


def rsqrt(x: Any) -> Any:
    """One over the square root."""
    return paddle.rsqrt(x)


def max_pool(x: Any) -> Any:
    """Maximum of 2 x 2."""
    return F.max_pool2d(x, 2)


relu, gelu, silu, sigmoid, tanh = F.relu, F.gelu, F.silu, F.sigmoid, paddle.tanh
ACTIVATIONS: dict[str, Callable[[Any], Any]] = {"relu": relu, "gelu": gelu, "silu": silu, "tanh": tanh}

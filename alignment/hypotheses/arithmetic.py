"""The layers of a network in NumPy, as hypotheses need them: small, and in the precision of their inputs."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import TypeAlias

import numpy as np

from alignment.arrays import Array

_erf = np.vectorize(math.erf, otypes=[np.float64])


def gelu(x: Array) -> Array:
    """Return the GELU by the error function."""
    result: Array = x * 0.5 * (1 + _erf(x / math.sqrt(2)))
    return result


def gelu_tanh(x: Array) -> Array:
    """Return the GELU approximated by the hyperbolic tangent."""
    result: Array = 0.5 * x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))
    return result


def sigmoid(x: Array) -> Array:
    """Return the logistic function."""
    result: Array = 1 / (1 + np.exp(-x))
    return result


def _hard_sigmoid(x: Array) -> Array:
    result: Array = np.clip(x / 6 + 0.5, 0, 1)
    return result


ACTIVATIONS: Mapping[str, Callable[[Array], Array]] = {
    "gelu erf": gelu,
    "gelu tanh": gelu_tanh,
    "gelu sigmoid": lambda x: x * sigmoid(1.702 * x),
    "relu": lambda x: np.maximum(x, 0),
    "silu": lambda x: x * sigmoid(x),
    "sigmoid": sigmoid,
    "tanh": np.tanh,
    "hard sigmoid": _hard_sigmoid,
    "hard swish": lambda x: x * _hard_sigmoid(x),
    "leaky relu": lambda x: np.where(x > 0, x, 0.01 * x),
    "relu6": lambda x: np.clip(x, 0, 6),
    "no activation": lambda x: x,
}
FOLLOWING = ("relu", "gelu erf", "gelu tanh", "silu")
"""Those of the activations that often follow a layer."""


def softmax(x: Array, axis: int = -1) -> Array:
    """Return the softmax along an axis."""
    shifted = np.exp(x - x.max(axis, keepdims=True))
    result: Array = shifted / shifted.sum(axis, keepdims=True)
    return result


Sides: TypeAlias = "tuple[int, int] | tuple[tuple[int, int], tuple[int, int]]"
"""Rows and columns of padding; or those before and after the image, for each of both axes."""


def convolve(
    x: Array,
    weight: Array,
    bias: Array | None,
    stride: tuple[int, int],
    padding: Sides,
    groups: int = 1,
    dilation: tuple[int, int] = (1, 1),
    mode: str = "constant",
) -> Array:
    """Return the convolution of `(batch, in, rows, columns)` by `(out, in / groups, rows, columns)`."""
    sides = tuple((pad, pad) if isinstance(pad, int) else pad for pad in padding)
    # NumPy types one mode a call.
    x = np.pad(x, ((0, 0), (0, 0), *sides), mode=mode)  # type: ignore[call-overload]
    reach = [(size - 1) * apart + 1 for size, apart in zip(weight.shape[2:], dilation, strict=True)]
    windows = np.lib.stride_tricks.sliding_window_view(x, reach, axis=(2, 3))
    windows = windows[:, :, :: stride[0], :: stride[1], :: dilation[0], :: dilation[1]]
    batch, channels, rows, columns = windows.shape[:4]
    inputs = windows.reshape(batch, groups, channels // groups, rows, columns, *windows.shape[4:])
    weights = weight.reshape(groups, len(weight) // groups, *weight.shape[1:])
    result: Array = np.einsum("bgcrsij,gocij->bgors", inputs, weights, optimize=True).reshape(batch, -1, rows, columns)
    return result if bias is None else result + bias[:, None, None]


def spread(
    x: Array,
    weight: Array,
    bias: Array | None,
    stride: tuple[int, int],
    padding: tuple[int, int],
    more: tuple[int, int] = (0, 0),
    groups: int = 1,
    dilation: tuple[int, int] = (1, 1),
) -> Array:
    """Return the transposed convolution of `(batch, in, rows, columns)` by `(in, out / groups, rows, columns)`.

    Args:
        x: The image.
        weight: The kernels.
        bias: `(out,)`, or None.
        stride: Distance of two samples in the result.
        padding: What is cut off on each side.
        more: Rows and columns at the end that are not cut off: `output_padding`.
        groups: Number of groups of channels.
        dilation: Distance of two samples of a kernel.
    """
    batch, channels, *sizes = x.shape
    kernel = weight.shape[2:]
    reach = [(size - 1) * apart + 1 for size, apart in zip(kernel, dilation, strict=True)]
    whole = [(size - 1) * step + far for size, step, far in zip(sizes, stride, reach, strict=True)]
    inputs = x.reshape(batch, groups, channels // groups, *sizes)
    weights = weight.reshape(groups, channels // groups, *weight.shape[1:])
    parts = np.einsum("bgcrs,gcoij->bgorsij", inputs, weights, optimize=True)
    parts = parts.reshape(batch, -1, *sizes, *kernel)
    result = np.zeros((batch, parts.shape[1], whole[0] + more[0], whole[1] + more[1]), parts.dtype)
    for i, j in np.ndindex(*kernel):
        rows, columns = i * dilation[0], j * dilation[1]
        ends = rows + (sizes[0] - 1) * stride[0] + 1, columns + (sizes[1] - 1) * stride[1] + 1
        result[:, :, rows : ends[0] : stride[0], columns : ends[1] : stride[1]] += parts[..., i, j]
    result = result[:, :, padding[0] : result.shape[2] - padding[0], padding[1] : result.shape[3] - padding[1]]
    return result if bias is None else result + bias[:, None, None]

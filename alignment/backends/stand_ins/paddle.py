"""Exact float64 versions of what loses precision inside Paddle 3.3: pooling, norms, activations, resizing.

The numbers are in docs/framework-differences.md. Each version takes the arguments of Paddle's own function.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import paddle
import paddle.nn.functional as F
from paddle import Tensor, nn
from paddle.base.dygraph_utils import _append_activation_in_dygraph

from alignment.backends.stand_ins.paddle_casts import lifted
from alignment.backends.stand_ins.paddle_functions import versions as versions_of_functions
from alignment.backends.stand_ins.paddle_matrices import LAST, along, antialiased, each, resized, spatial_axes, windows
from alignment.backends.stand_ins.using import Finished, using
from alignment.recordings.kernels import Kernel


@contextmanager
def exact() -> Iterator[dict[str, Kernel]]:
    """Use exact versions, for as long as the context lasts; yields what was used, see `using`."""
    layers = {f"paddle.nn.functional.{name}": (getattr(F, name), version) for name, version in _VERSIONS.items()}
    functions = {name: (own, _wide(version)) for name, (own, version) in {**layers, **versions_of_functions()}.items()}
    functions["paddle.nn.BatchNorm"] = (nn.BatchNorm.forward, _batch_norm_layer)
    with using(functions, _apart, holders=(Tensor, nn.BatchNorm)) as used, lifted(used):
        yield used


def _wide(version: Callable[..., Any]) -> Callable[..., Any]:
    """An exact version that answers calls in float64 only."""

    def call(*args: Any, **kwargs: Any) -> Any:
        first = args[0] if args else next((value for value in kwargs.values() if isinstance(value, Tensor)), None)
        wide = isinstance(first, Tensor) and first.dtype == paddle.float64
        return version(*args, **kwargs) if wide else NotImplemented

    return call


def _apart(own: Tensor, version: Tensor) -> float:
    if own.shape != version.shape:
        return math.inf
    with paddle.no_grad():
        norm = float(paddle.linalg.norm(own))
        return float(paddle.linalg.norm(own - version)) / (norm or 1.0)


def _adaptive(x: Tensor, output_size: Any, data_format: str = "", name: Any = None) -> Any:
    axes = spatial_axes(x, data_format)
    sizes = [output_size] * len(axes) if output_size is None or isinstance(output_size, int) else [*output_size]
    for axis, size in zip(axes, sizes, strict=True):
        length = x.shape[axis]
        if size is None or size == length:
            continue
        matrix = np.zeros((size, length))
        for place in range(size):
            start, end = place * length // size, -(-(place + 1) * length // size)
            matrix[place, start:end] = 1 / (end - start)
        x = along(x, matrix, axis)
    return x


def _average(
    x: Tensor,
    kernel_size: Any,
    stride: Any,
    padding: Any,
    ceil_mode: bool,
    exclusive: bool,
    divisor: float | None,
    data_format: str,
) -> Any:
    axes = spatial_axes(x, data_format)
    kernels, strides, pads = (
        each(value, len(axes)) for value in (kernel_size, kernel_size if stride is None else stride, padding)
    )
    if kernels is None or strides is None or pads is None:
        return NotImplemented
    for axis, kernel, step, pad in zip(axes, kernels, strides, pads, strict=True):
        x = along(x, windows(x.shape[axis], kernel, step, pad, ceil_mode, exclusive, divisor is not None), axis)
    return x if divisor is None else x / divisor


def _avg_pool1d(
    x: Tensor,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    exclusive: bool = True,
    ceil_mode: bool = False,
    name: Any = None,
) -> Any:
    return _average(x, kernel_size, stride, padding, ceil_mode, exclusive, None, "NCL")


def _avg_pool(
    x: Tensor,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    ceil_mode: bool = False,
    exclusive: bool = True,
    divisor_override: float | None = None,
    data_format: str = "",
    name: Any = None,
) -> Any:
    return _average(x, kernel_size, stride, padding, ceil_mode, exclusive, divisor_override, data_format)


def _scaled(y: Tensor, weight: Tensor | None, bias: Tensor | None, shape: Sequence[int]) -> Tensor:
    if weight is not None:
        y = y * weight.reshape(shape)
    return y if bias is None else y + bias.reshape(shape)


def _normed(x: Tensor, axes: Sequence[int], epsilon: float) -> Tensor:
    mean = x.mean(axes, keepdim=True)
    centred = x - mean
    return centred / paddle.sqrt((centred * centred).mean(axes, keepdim=True) + float(epsilon))


def _batch_norm(
    x: Tensor,
    running_mean: Tensor,
    running_var: Tensor,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    training: bool = False,
    momentum: float = 0.9,
    epsilon: float = 1e-05,
    data_format: str = "NCHW",
    use_global_stats: bool | None = None,
    name: Any = None,
) -> Any:
    axis = x.ndim - 1 if data_format in LAST else 1
    shape = [x.shape[axis] if place == axis else 1 for place in range(x.ndim)]
    if not training if use_global_stats is None else use_global_stats:
        centred = x - running_mean.reshape(shape)
        return _scaled(centred / paddle.sqrt(running_var.reshape(shape) + float(epsilon)), weight, bias, shape)
    others = [place for place in range(x.ndim) if place != axis]
    y = _scaled(_normed(x, others, epsilon), weight, bias, shape)
    return Finished(y, _updated(x.detach(), others, running_mean, running_var, momentum)) if training else y


def _batch_norm_layer(layer: nn.BatchNorm, input: Tensor) -> Any:  # noqa: A002 - Paddle's own name of it
    """The older class, which calls the kernel itself, and an activation after it."""
    if input.dtype != paddle.float64 or layer._trainable_statistics:
        return NotImplemented
    y = _batch_norm(
        input,
        *(layer._mean, layer._variance, layer.weight, layer.bias),
        training=layer.training,
        momentum=layer._momentum,
        epsilon=layer._epsilon,
        data_format=layer._data_layout,
        use_global_stats=layer._use_global_stats or not layer.training,
    )
    if layer._act is None:
        return y
    value = _append_activation_in_dygraph(y.value if isinstance(y, Finished) else y, act=layer._act)
    return Finished(value, y.after) if isinstance(y, Finished) else value


def _updated(
    x: Tensor, axes: Sequence[int], running_mean: Tensor, running_var: Tensor, momentum: float
) -> Callable[[], None]:
    """What sets the running statistics as Paddle does, which takes up the biased variance, with an exact momentum."""
    with paddle.no_grad():
        mean = x.mean(axes)
        variance = ((x - x.mean(axes, keepdim=True)) ** 2).mean(axes)
        new = [
            (before * momentum + batch * (1 - momentum)).numpy()
            for before, batch in ((running_mean, mean), (running_var, variance))
        ]

    def after() -> None:
        for statistics, values in zip((running_mean, running_var), new, strict=True):
            statistics.set_value(values)

    return after


def _layer_norm(
    x: Tensor,
    normalized_shape: Any,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    epsilon: float = 1e-05,
    name: Any = None,
) -> Any:
    shape = [normalized_shape] if isinstance(normalized_shape, int) else [*normalized_shape]
    return _scaled(_normed(x, list(range(x.ndim - len(shape), x.ndim)), epsilon), weight, bias, shape)


def _instance_norm(
    x: Tensor,
    running_mean: Tensor | None = None,
    running_var: Tensor | None = None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    use_input_stats: bool = True,
    momentum: float = 0.9,
    eps: float = 1e-05,
    data_format: str = "NCHW",
    name: Any = None,
) -> Any:
    if not use_input_stats or data_format in LAST:
        return NotImplemented
    return _scaled(_normed(x, list(range(2, x.ndim)), eps), weight, bias, [-1, *([1] * (x.ndim - 2))])


def _group_norm(
    x: Tensor,
    num_groups: int,
    epsilon: float = 1e-05,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    data_format: str = "NCHW",
    name: Any = None,
) -> Any:
    if data_format in LAST:
        return NotImplemented
    grouped = x.reshape([x.shape[0], num_groups, -1])
    return _scaled(_normed(grouped, [2], epsilon).reshape(x.shape), weight, bias, [-1, *([1] * (x.ndim - 2))])


def _hardsigmoid(x: Tensor, slope: float = 1 / 6, offset: float = 0.5, name: Any = None) -> Any:
    sixth = 1 / 6 if abs(slope - 1 / 6) < 1e-6 else slope
    return paddle.clip(x * sixth + offset, 0.0, 1.0)


def _hardswish(x: Tensor, name: Any = None) -> Any:
    return x * paddle.clip(x + 3.0, 0.0, 6.0) / 6.0


def _selu(x: Tensor, scale: float = 1.0507009873554805, alpha: float = 1.6732632423543772, name: Any = None) -> Any:
    return scale * (paddle.clip(x, min=0.0) + alpha * paddle.expm1(paddle.clip(x, max=0.0)))


def _elu(x: Tensor, alpha: float = 1.0, name: Any = None) -> Any:
    return paddle.clip(x, min=0.0) + alpha * paddle.expm1(paddle.clip(x, max=0.0))


def _celu(x: Tensor, alpha: float = 1.0, name: Any = None) -> Any:
    return paddle.clip(x, min=0.0) + alpha * paddle.expm1(paddle.clip(x, max=0.0) / alpha)


def _hardtanh(
    x: Tensor,
    min: float = -1.0,  # noqa: A002 - the name in Paddle
    max: float = 1.0,  # noqa: A002 - the name in Paddle
    name: Any = None,
) -> Any:
    return paddle.minimum(paddle.maximum(x, _number(min, x)), _number(max, x))


def _softshrink(x: Tensor, threshold: float = 0.5, name: Any = None) -> Any:
    nothing = paddle.zeros_like(x)
    return paddle.where(x > threshold, x - threshold, paddle.where(x < -threshold, x + threshold, nothing))


def _thresholded_relu(x: Tensor, threshold: float = 1.0, value: float = 0.0, name: Any = None) -> Any:
    return paddle.where(x > threshold, x, _number(value, x))


def _number(value: float, like: Tensor) -> Tensor:
    """A number in the dtype of a tensor: some kernels keep their own as float32."""
    return paddle.to_tensor(np.asarray(value, np.float64), dtype=like.dtype)


def _interpolate(
    x: Tensor,
    size: Any = None,
    scale_factor: Any = None,
    mode: str = "nearest",
    align_corners: bool = False,
    align_mode: int = 0,
    data_format: str | None = None,
    recompute_scale_factor: bool | None = None,
    antialias: bool = False,
    name: Any = None,
) -> Any:
    axes = spatial_axes(x, data_format or "")
    if mode == "area" and each(size, len(axes)) is not None:
        return _adaptive(x, size, data_format or "")
    if mode not in ("linear", "bilinear", "trilinear", "bicubic") or (antialias and (align_corners or size is None)):
        return NotImplemented
    factors = None if scale_factor is None else [scale_factor] * len(axes)
    if isinstance(scale_factor, Sequence):
        factors = [*scale_factor]
    sizes = each(size, len(axes)) if size is not None else None
    if sizes is None and (factors is None or not all(isinstance(one, int | float) for one in factors)):
        return NotImplemented
    for place, axis in enumerate(axes):
        length = x.shape[axis]
        out = sizes[place] if sizes is not None else int(length * (factors or [])[place])
        ratio = length / out if sizes is not None else 1 / (factors or [])[place]
        cubic = mode == "bicubic"
        smooth = antialiased(length, out, cubic) if antialias else None
        x = along(x, resized(length, out, ratio, cubic, align_corners, align_mode) if smooth is None else smooth, axis)
    return x


_VERSIONS: dict[str, Callable[..., Any]] = {
    **dict.fromkeys(("adaptive_avg_pool1d", "adaptive_avg_pool2d", "adaptive_avg_pool3d"), _adaptive),
    "avg_pool1d": _avg_pool1d,
    "avg_pool2d": _avg_pool,
    "avg_pool3d": _avg_pool,
    "batch_norm": _batch_norm,
    "layer_norm": _layer_norm,
    "instance_norm": _instance_norm,
    "group_norm": _group_norm,
    "hardsigmoid": _hardsigmoid,
    "hardswish": _hardswish,
    "selu": _selu,
    "elu": _elu,
    "celu": _celu,
    "hardtanh": _hardtanh,
    "softshrink": _softshrink,
    "thresholded_relu": _thresholded_relu,
    "interpolate": _interpolate,
    "upsample": _interpolate,
}
"""Name in `paddle.nn.functional` to its exact version."""

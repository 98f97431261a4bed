"""Exact float64 versions of functions of tensors and losses that lose precision inside Paddle 3.3.

Powers and p-norms have their exponent in float32, losses their smoothing and their delta. The numbers are in
docs/framework-differences.md. Each version takes the arguments of Paddle's own function.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import paddle
import paddle.nn.functional as F
from paddle import Tensor

from alignment.backends.stand_ins.paddle_matrices import along, each, spatial_axes, windows

_POW, _OPERATOR = paddle.pow, Tensor.__pow__
_EXACT_NORMS = (0, 1, 2, math.inf, -math.inf)
"""Orders of norms that need no power of a number that float32 does not hold."""


def versions() -> dict[str, tuple[Callable[..., Any], Callable[..., Any]]]:
    """Name to Paddle's own function and its exact version."""
    rooms = {
        "paddle": (paddle, _OF_TENSORS),
        "paddle.linalg": (paddle.linalg, {"vector_norm": _vector_norm}),
        "paddle.nn.functional": (F, _OF_LAYERS),
    }
    exact_versions = {
        f"{name}.{function}": (getattr(room, function), version)
        for name, (room, table) in rooms.items()
        for function, version in table.items()
        if hasattr(room, function)
    }
    return {**exact_versions, "paddle.Tensor.__pow__": (_OPERATOR, _pow)}


def _power(x: Tensor, exponent: float) -> Tensor:
    return _POW(x, paddle.to_tensor(np.asarray(exponent, np.float64), dtype=x.dtype))


def _pow(x: Tensor, y: Any, name: Any = None, *, out: Any = None) -> Any:
    if not isinstance(y, float) or float(np.float32(y)) == y or out is not None:
        return NotImplemented
    return _power(x, y)


def _p_norm(x: Tensor, p: float, axes: Sequence[int], keepdim: bool) -> Tensor:
    """The p-norm along axes, with a gradient of 0 where all elements are 0."""
    total = _power(x.abs(), p).sum([*axes], keepdim=keepdim)
    nothing = total == 0
    return paddle.where(nothing, paddle.zeros_like(total), _power(paddle.where(nothing, total + 1, total), 1 / p))


def _axes(x: Tensor, axis: Any) -> list[int] | None:
    """Axes as a list; None for a form that is not known here."""
    if axis is None:
        return [*range(x.ndim)]
    return [axis] if isinstance(axis, int) else [*axis] if isinstance(axis, Sequence) else None


def _norm(
    x: Tensor,
    p: Any = None,
    axis: Any = None,
    keepdim: bool = False,
    out: Any = None,
    dtype: Any = None,
    name: Any = None,
) -> Any:
    if isinstance(axis, Sequence) and len(axis) != 1:
        return NotImplemented
    return _vector_norm(x, p, axis, keepdim, dtype=dtype, out=out)


def _vector_norm(
    x: Tensor,
    p: Any = 2.0,
    axis: Any = None,
    keepdim: bool = False,
    name: Any = None,
    *,
    dtype: Any = None,
    out: Any = None,
) -> Any:
    axes = _axes(x, axis)
    if not isinstance(p, int | float) or p in _EXACT_NORMS or axes is None or dtype is not None or out is not None:
        return NotImplemented
    return _p_norm(x, p, axes, keepdim)


def _dist(x: Tensor, y: Tensor, p: float = 2, name: Any = None) -> Any:
    return NotImplemented if p in _EXACT_NORMS else _p_norm(x - y, p, range(max(x.ndim, y.ndim)), False)


def _cdist(x: Tensor, y: Tensor, p: float = 2.0, compute_mode: str = "", name: Any = None) -> Any:
    return NotImplemented if p in _EXACT_NORMS else _p_norm(x.unsqueeze(-2) - y.unsqueeze(-3), p, [-1], False)


def _pairwise_distance(
    x: Tensor, y: Tensor, p: float = 2.0, epsilon: float = 1e-6, keepdim: bool = False, name: Any = None
) -> Any:
    return NotImplemented if p in _EXACT_NORMS else _p_norm(x - y + epsilon, p, [-1], keepdim)


def _normalize(
    x: Tensor, p: float = 2, axis: int = 1, epsilon: float = 1e-12, out: Any = None, name: Any = None
) -> Any:
    if x.ndim == 1 or out is not None or p in (0, math.inf, -math.inf):
        return NotImplemented
    return x / paddle.clip(_p_norm(x, p, [axis], True), min=epsilon)


def _local_response_norm(
    x: Tensor,
    size: int,
    alpha: float = 1e-4,
    beta: float = 0.75,
    k: float = 1.0,
    data_format: str = "NCHW",
    name: Any = None,
) -> Any:
    axis = x.ndim - 1 if data_format in ("NLC", "NHWC", "NDHWC") else 1
    channels = x.shape[axis]
    places = np.arange(channels)
    behind = places[None, :] - places[:, None]  # how far a channel is behind the one that is divided
    near = (behind >= -(size // 2)) & (behind <= (size - 1) // 2)
    return x / _power(along(x * x, near / size, axis) * alpha + k, beta)


def _lp_pool(
    x: Tensor,
    norm_type: float,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    ceil_mode: bool = False,
    data_format: str = "NCHW",
    name: Any = None,
) -> Any:
    axes = spatial_axes(x, data_format)
    kernels, strides, pads = (
        each(value, len(axes)) for value in (kernel_size, kernel_size if stride is None else stride, padding)
    )
    if ceil_mode or norm_type in (0, math.inf) or kernels is None or strides is None or pads is None:
        return NotImplemented
    x = _power(x, norm_type)
    for axis, kernel, step, pad in zip(axes, kernels, strides, pads, strict=True):
        x = along(x, windows(x.shape[axis], kernel, step, pad, ceil_mode, False, True), axis)
    return _power(x, 1 / norm_type)


def _rrelu(x: Tensor, lower: float = 1 / 8, upper: float = 1 / 3, training: bool = True, name: Any = None) -> Any:
    return NotImplemented if training else paddle.where(x >= 0, x, x * ((lower + upper) / 2))


def _stanh(x: Tensor, scale_a: float = 0.67, scale_b: float = 1.7159, name: Any = None) -> Any:
    return scale_b * paddle.tanh(scale_a * x)


def _dropout(
    x: Tensor,
    p: Any = 0.5,
    axis: Any = None,
    training: bool = True,
    inplace: bool = False,
    mode: str = "upscale_in_train",
    name: Any = None,
) -> Any:
    if training or mode != "downscale_in_infer" or not isinstance(p, int | float):
        return NotImplemented
    return x * (1 - p)


def _reduced(loss: Tensor, reduction: str) -> Tensor:
    return loss.mean() if reduction == "mean" else loss.sum() if reduction == "sum" else loss


def _smooth_l1_loss(
    input: Tensor,  # noqa: A002 - the name in Paddle
    label: Tensor,
    reduction: str = "mean",
    delta: float = 1.0,
    is_huber: bool = True,
    name: Any = None,
) -> Any:
    far = (input - label).abs()
    loss = paddle.where(far < delta, 0.5 * far * far, delta * far - 0.5 * delta * delta)
    return _reduced(loss if is_huber else loss / delta, reduction)


def _label_smooth(label: Tensor, prior_dist: Tensor | None = None, epsilon: float = 0.1, name: Any = None) -> Any:
    return label * (1 - epsilon) + (epsilon / label.shape[-1] if prior_dist is None else epsilon * prior_dist)


def _multi_margin_loss(
    input: Tensor,  # noqa: A002 - the name in Paddle
    label: Tensor,
    p: int = 1,
    margin: float = 1.0,
    weight: Tensor | None = None,
    reduction: str = "mean",
    name: Any = None,
) -> Any:
    if weight is not None:
        return NotImplemented
    scores = paddle.take_along_axis(input, label.reshape([-1, 1]), 1)
    behind = paddle.clip(input - scores + margin, min=0.0) ** p
    others = 1 - F.one_hot(label, input.shape[1]).astype(input.dtype)
    return _reduced((behind * others).sum(1) / input.shape[1], reduction)


def _renorm(x: Tensor, p: float, axis: int, max_norm: float) -> Any:
    others = [other for other in range(x.ndim) if other != axis % x.ndim]
    norms = (x * x).sum(others, keepdim=True).sqrt() if p == 2 else _p_norm(x, p, others, True)
    return paddle.where(norms > max_norm, x * (max_norm / (norms + 1e-7)), x)


def _cross_entropy(
    input: Tensor,  # noqa: A002 - the name in Paddle
    label: Tensor,
    weight: Tensor | None = None,
    ignore_index: int = -100,
    reduction: str = "mean",
    soft_label: bool = False,
    axis: int = -1,
    use_softmax: bool = True,
    label_smoothing: float = 0.0,
    name: Any = None,
) -> Any:
    if label_smoothing <= 0 or weight is not None or not use_softmax or axis not in (-1, input.ndim - 1):
        return NotImplemented
    classes = input.shape[-1]
    hard = label if label.ndim < input.ndim else label.squeeze(-1)
    if not soft_label and bool((hard < 0).any()):
        return NotImplemented
    soft = label if soft_label else F.one_hot(hard, classes).astype(input.dtype)
    smooth = soft * (1 - label_smoothing) + label_smoothing / classes
    loss = -(smooth * F.log_softmax(input, -1)).sum(-1, keepdim=True)
    return _reduced(loss, reduction)


_OF_TENSORS: Mapping[str, Callable[..., Any]] = {
    "pow": _pow,
    "norm": _norm,
    "dist": _dist,
    "cdist": _cdist,
    "stanh": _stanh,
    "renorm": _renorm,
}
_OF_LAYERS: Mapping[str, Callable[..., Any]] = {
    "normalize": _normalize,
    "pairwise_distance": _pairwise_distance,
    "local_response_norm": _local_response_norm,
    "lp_pool1d": _lp_pool,
    "lp_pool2d": _lp_pool,
    "rrelu": _rrelu,
    "dropout": _dropout,
    "smooth_l1_loss": _smooth_l1_loss,
    "cross_entropy": _cross_entropy,
    "label_smooth": _label_smooth,
    "multi_margin_loss": _multi_margin_loss,
}

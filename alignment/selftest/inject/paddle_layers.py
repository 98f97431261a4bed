"""Mistakes to inject into single layers of Paddle models, and the table of all that are injected into models."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import paddle
import paddle.nn.functional as F
from paddle import Tensor, nn

from alignment.backends import paddle as backend_module
from alignment.backends.paddle import PaddleBackend
from alignment.selftest.inject.paddle_blocks import BLOCK_INJECTORS
from alignment.selftest.inject.paddle_tools import Change, change_output, with_gradient, wrap


def inject(backend: PaddleBackend, name: str, path: str, arguments: Mapping[str, Any]) -> None:
    """Put a mistake into a model.

    Args:
        backend: The backend, its model built and loaded.
        name: A key of `INJECTORS`.
        path: The layer, or the model for an empty path.
        arguments: Arguments of the injector.
    """
    layer: Any = backend._model
    for part in path.split(".") if path else ():
        layer = layer[int(part)] if part.isdigit() else getattr(layer, part)
    INJECTORS[name](layer, **arguments)


ACTIVATIONS: Mapping[str, Change] = {
    "tanh": lambda x: F.gelu(x, approximate=True),
    "sigmoid": lambda x: x * F.sigmoid(1.702 * x),
    "relu": F.relu,
    "silu": F.silu,
    "hardswish": F.hardswish,
    "leaky": lambda x: F.leaky_relu(x, 0.01),
    "mish": F.mish,
    "rounded tanh": lambda x: 0.5 * x * (1 + paddle.tanh(0.7978515625 * (x + 0.044715 * x**3))),
}


def _activation(layer: Any, kind: str) -> None:
    layer.forward = ACTIVATIONS[kind]


def _norm(layer: Any, kind: str) -> None:
    def forward(x: Tensor) -> Tensor:
        axis = 1 if kind == "over tokens" else -1
        middle = x if kind == "rms" else x - x.mean(axis, keepdim=True)
        variance = middle.square().sum(axis, keepdim=True) / (x.shape[axis] - (1 if kind == "unbiased" else 0))
        outside = kind == "epsilon outside"
        y = middle / (variance.sqrt() + layer._epsilon if outside else (variance + layer._epsilon).sqrt())
        if kind == "plain":
            return y
        y = y * (1 + layer.weight if kind == "one plus weight" else layer.weight)
        return y if kind == "no shift" else y + layer.bias

    layer.forward = forward


def _linear(layer: Any, kind: str) -> None:
    if kind == "transposed":
        layer.forward = lambda x: paddle.matmul(x, layer.weight, transpose_y=True) + layer.bias
    else:
        change_output(layer, lambda y: y - layer.bias if kind == "no bias" else y + layer.bias)


_KERNELS: Mapping[str, Change] = {
    "flipped": lambda weight: paddle.flip(weight, [2, 3]),
    "reversed": lambda weight: paddle.flip(weight, [1]),
    "turned": lambda weight: weight.transpose((0, 1, 3, 2)),
}


def _convolution(layer: Any, kind: str) -> None:
    def forward(x: Tensor) -> Tensor:
        weight, bias = _KERNELS.get(kind, lambda weight: weight)(layer.weight), layer.bias
        padding = 0 if kind in ("unpadded", "reflect", "replicate") else layer._updated_padding
        if kind in ("reflect", "replicate"):
            x = F.pad(x, [1, 1, 1, 1], mode=kind)
        bias = None if kind == "no bias" else bias
        return F.conv2d(x, weight, bias, stride=layer._stride, padding=padding, groups=layer._groups)

    layer.forward = forward


def _attention(
    layer: Any,
    kind: str = "",
    *,
    scale: float = 1.0,
    order: tuple[int, int, int] = (0, 1, 2),
    split: str = "3hd",
    merge: bool = True,
    axis: int = -1,
    causal: bool = False,
    heads: int | None = None,
    detach: bool = False,
) -> None:
    def forward(x: Tensor) -> Tensor:
        batch, tokens, _ = x.shape
        count = heads or layer.num_heads
        qkv = layer.qkv(x)
        if kind == "width before heads":
            parts = qkv.reshape((batch, tokens, 3, -1, count)).transpose((2, 0, 4, 1, 3))
        elif split == "h3d":
            parts = qkv.reshape((batch, tokens, count, 3, -1)).transpose((3, 0, 2, 1, 4))
        else:
            parts = qkv.reshape((batch, tokens, 3, count, -1)).transpose((2, 0, 3, 1, 4))
        q, k, v = (parts[index] for index in order)
        q, k = _QUERIES_AND_KEYS.get(kind, lambda q, k: (q, k))(q, k)
        width = q.shape[-1] ** -0.5
        scores = paddle.matmul(q * (1.0 if kind == "scaled after the softmax" else scale * width), k, transpose_y=True)
        if causal:
            scores = scores + paddle.triu(paddle.full((tokens, tokens), -1e30, dtype=x.dtype), 1)
        scores = _SCORES.get(kind, lambda scores, place: scores)(scores, paddle.arange(tokens, dtype=x.dtype))
        weights = F.sigmoid(scores) if kind == "sigmoid" else F.softmax(scores, axis=axis)
        if kind == "half precision":
            weights = weights.astype("float16").astype(x.dtype)
        weights = weights * width if kind == "scaled after the softmax" else weights
        y = paddle.matmul(weights.detach() if detach else weights, v)
        y = paddle.flip(y, [1]) if kind == "heads reversed" else y
        y = y.transpose((0, 2, 1, 3)) if merge else y
        return layer.proj(y.reshape((batch, tokens, -1)))

    layer.forward = forward


def _rotated(x: Tensor) -> Tensor:
    """Return queries or keys turned by their token's position, as rotary embeddings do."""
    angle = paddle.arange(x.shape[-2], dtype=x.dtype).unsqueeze(-1) / 100
    a, b = x.chunk(2, -1)
    return paddle.concat((a * angle.cos() - b * angle.sin(), a * angle.sin() + b * angle.cos()), -1)


_QUERIES_AND_KEYS: Mapping[str, Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]] = {
    "queries and keys normed": lambda q, k: (F.normalize(q, axis=-1), F.normalize(k, axis=-1)),
    "rotary positions": lambda q, k: (_rotated(q), _rotated(k)),
    "key detached": lambda q, k: (q, k.detach()),
}
_SCORES: Mapping[str, Callable[[Tensor, Tensor], Tensor]] = {
    "distance bias": lambda scores, place: scores - 0.1 * (place.unsqueeze(0) - place.unsqueeze(1)).abs(),
    "class token hidden": lambda scores, place: scores - 1e9 * (place == 0).astype(scores.dtype),
    "self hidden": lambda scores, place: scores - 1e9 * paddle.eye(place.shape[0], dtype=scores.dtype),
}


def _drop(layer: Any, rate: float, whole: bool = False) -> None:
    def forward(x: Tensor) -> Tensor:
        shape = [x.shape[0]] + [1] * (x.ndim - 1) if whole else list(x.shape)
        return x * (paddle.bernoulli(paddle.full(shape, 1 - rate, dtype=x.dtype)) / (1 - rate))

    layer.forward = forward


def _detach(layer: Any, what: str) -> None:
    if what == "output":
        change_output(layer, lambda y: y.detach())
    else:
        getattr(layer, what).stop_gradient = True


def _batch_norm(layer: Any, kind: str) -> None:
    """Change what a BatchNorm computes, or what it keeps of a batch."""
    correct = layer.forward

    def normed(x: Tensor, *, unbiased: bool = False, detached: bool = False) -> Tensor:
        mean, variance = x.mean((0, 2, 3), keepdim=True), x.var((0, 2, 3), unbiased=unbiased, keepdim=True)
        variance = variance.detach() if detached else variance
        weight, bias = (parameter.reshape((1, -1, 1, 1)) for parameter in (layer.weight, layer.bias))
        return (x - mean) / (variance + layer._epsilon).sqrt() * weight + bias

    def by_constants(x: Tensor) -> Tensor:
        with paddle.no_grad():
            mean, variance = x.mean((0, 2, 3)), x.var((0, 2, 3), unbiased=False)
        return F.batch_norm(x, mean, variance, layer.weight, layer.bias, epsilon=layer._epsilon)

    computed: Mapping[str, Change] = {
        "halves of the batch": lambda x: paddle.concat((normed(x[: len(x) // 2]), normed(x[len(x) // 2 :]))),
        "unbiased": lambda x: normed(x, unbiased=True),
        "variance detached": lambda x: normed(x, detached=True),
        "frozen gradient": by_constants,
    }

    def forward(x: Tensor) -> Tensor:
        if kind == "biased":
            return nn.BatchNorm2D.forward(layer, x)
        if kind == "batch in evaluation":
            return by_constants(x)
        if not layer.training:
            return correct(x)
        mean, variance = layer._mean.clone(), layer._variance.clone()
        y = correct(x)
        _keep(layer, kind, mean, variance)
        return computed[kind](x) if kind in computed else y

    layer.forward = forward


def _keep(layer: Any, kind: str, mean: Tensor, variance: Tensor) -> None:
    """Change what a BatchNorm has kept of a batch, given the statistics before it."""
    if kind in ("not updated", "mean stays"):
        layer._mean.set_value(mean)
    if kind == "not updated":
        layer._variance.set_value(variance)
    if kind == "deviation remembered":
        kept = variance * layer._momentum
        batch = (layer._variance - kept) / (1 - layer._momentum)
        layer._variance.set_value(kept + (1 - layer._momentum) * batch.sqrt())


def _criterion(_: Any, kind: str) -> None:
    """Replace the loss of training, in this process until `restore`."""

    def loss(logits: Tensor, target: Tensor) -> Tensor:
        if kind == "smoothed again":
            target = target * 0.9 + 0.1 / logits.shape[-1]
        if kind == "hard":
            return F.cross_entropy(logits, target.argmax(-1))
        if kind == "binary":
            return F.binary_cross_entropy_with_logits(logits, target)
        if kind == "focal":
            log_shares = F.log_softmax(logits)
            return -(target * (1 - log_shares.exp()).square() * log_shares).sum(-1).mean()
        value = F.cross_entropy(logits, target, soft_label=True, reduction="sum" if kind == "sum" else "mean")
        if kind == "half gradient":
            return with_gradient(value, lambda gradient: gradient * 0.5)
        return value + 1e-4 * logits.logsumexp(-1).square().mean() if kind == "normaliser" else value

    backend_module._soft_target = loss


def restore() -> None:
    """Undo what injectors changed outside of a model."""
    backend_module._soft_target = _SOFT_TARGET


def _change_gradient(layer: Any, change: Change) -> None:
    change_output(layer, lambda y: with_gradient(y, change))


def _fed(layer: Any, scale: float, shift: float) -> None:
    """Scale and shift what goes into a layer, as pixels that are normalised once more."""
    wrap(layer, "forward", lambda forward: lambda x: forward(x * scale + shift))


_SOFT_TARGET = backend_module._soft_target
INJECTORS: Mapping[str, Callable[..., None]] = {
    **BLOCK_INJECTORS,
    "set": lambda layer, attribute, value: setattr(layer, attribute, value),
    "scale": lambda layer, factor: change_output(layer, lambda y: y * factor),
    "activation": _activation,
    "activated": _activation,
    "norm": _norm,
    "normed": _norm,
    "linear": _linear,
    "convolution": _convolution,
    "attention": _attention,
    "attended": _attention,
    "fed": _fed,
    "drop": _drop,
    "precision": lambda layer: change_output(layer, lambda y: y.astype("float32").astype(y.dtype)),
    "gradient": lambda layer, factor: _change_gradient(layer, lambda gradient: gradient * factor),
    "trained": lambda layer, factor: change_output(layer, lambda y: y * factor if layer.training else y),
    "gradient in training": lambda layer, factor: _change_gradient(
        layer, lambda gradient: gradient * factor if layer.training else gradient
    ),
    "bounded gradient": lambda layer, limit: _change_gradient(layer, lambda gradient: gradient.clip(-limit, limit)),
    "detach": _detach,
    "batch norm": _batch_norm,
    "batch normed": _batch_norm,
    "soft target": _criterion,
    "criterion": _criterion,
}
"""Functions that put a mistake into a layer, by kind; each takes the layer and the fault's arguments."""

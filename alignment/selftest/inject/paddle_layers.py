"""Mistakes to inject into Paddle models, for the self-test of the toolkit."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import paddle
import paddle.nn.functional as F
from paddle import Tensor, nn

from alignment.backends import paddle as backend_module
from alignment.backends.paddle import PaddleBackend
from alignment.selftest.inject.paddle_held_out_layers import HELD_OUT_INJECTORS
from alignment.selftest.inject.paddle_tools import Gradient, after


def inject(backend: PaddleBackend, name: str, path: str, arguments: Mapping[str, Any]) -> None:
    """Put a mistake into a model.

    Args:
        backend: With its model built and loaded.
        name: A key of `INJECTORS`.
        path: The layer, or the model for an empty path.
        arguments: What the mistake takes.
    """
    INJECTORS[name](backend, _layer(backend, path), **arguments)


def _layer(backend: PaddleBackend, path: str) -> Any:
    layer: Any = backend._model
    for part in path.split(".") if path else ():
        layer = layer[int(part)] if part.isdigit() else getattr(layer, part)
    return layer


def _set(_: PaddleBackend, layer: Any, attribute: str, value: Any) -> None:
    setattr(layer, attribute, value)


def _scale(_: PaddleBackend, layer: Any, factor: float) -> None:
    after(layer, lambda y: y * factor)


def _activation(_: PaddleBackend, layer: Any, kind: str) -> None:
    forms: Mapping[str, Callable[[Tensor], Tensor]] = {
        "tanh": lambda x: F.gelu(x, approximate=True),
        "sigmoid": lambda x: x * F.sigmoid(1.702 * x),
        "relu": F.relu,
        "silu": F.silu,
    }
    layer.forward = forms[kind]


def _norm(_: PaddleBackend, layer: Any, kind: str) -> None:
    def forward(x: Tensor) -> Tensor:
        middle = x if kind == "rms" else x - x.mean(-1, keepdim=True)
        variance = middle.square().sum(-1, keepdim=True) / (x.shape[-1] - (1 if kind == "unbiased" else 0))
        y = middle / paddle.sqrt(variance + layer._epsilon)
        return y if kind == "plain" else y * layer.weight + layer.bias

    layer.forward = forward


def _linear(_: PaddleBackend, layer: Any, kind: str) -> None:
    if kind == "transposed":
        layer.forward = lambda x: paddle.matmul(x, layer.weight, transpose_y=True) + layer.bias
    else:
        after(layer, lambda y: y - layer.bias if kind == "no bias" else y + layer.bias)


def _convolution(_: PaddleBackend, layer: Any, kind: str) -> None:
    def forward(x: Tensor) -> Tensor:
        weight, padding, mode = layer.weight, layer._updated_padding, "constant"
        if kind == "flipped":
            weight = paddle.flip(weight, [2, 3])
        if kind == "reversed":
            weight = paddle.flip(weight, [1])
        if kind == "turned":
            weight = weight.transpose((0, 1, 3, 2))
        if kind == "unpadded":
            padding = 0
        if kind in ("reflect", "replicate"):
            mode, padding = kind, 0
            x = F.pad(x, [1, 1, 1, 1], mode=mode)
        bias = None if kind == "no bias" else layer.bias
        return F.conv2d(x, weight, bias, stride=layer._stride, padding=padding, groups=layer._groups)

    layer.forward = forward


def _attention(
    _: PaddleBackend,
    layer: Any,
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
        width = qkv.shape[-1] // 3 // count
        if split == "h3d":
            parts = qkv.reshape((batch, tokens, count, 3, width)).transpose((3, 0, 2, 1, 4))
        else:
            parts = qkv.reshape((batch, tokens, 3, count, width)).transpose((2, 0, 3, 1, 4))
        q, k, v = (parts[which] for which in order)
        weights = paddle.matmul(q * (scale * width**-0.5), k, transpose_y=True)
        if causal:
            weights = weights + paddle.triu(paddle.full((tokens, tokens), -1e30, dtype=x.dtype), 1)
        weights = F.softmax(weights, axis=axis)
        y = paddle.matmul(weights.detach() if detach else weights, v)
        y = y.transpose((0, 2, 1, 3)) if merge else y
        return layer.proj(y.reshape((batch, tokens, -1)))

    layer.forward = forward


def _block(_: PaddleBackend, layer: Any, kind: str) -> None:
    def forward(x: Tensor) -> Tensor:
        a = layer.attn(x if kind == "first norm skipped" else layer.norm1(x))
        shortcut = x.detach() if kind == "shortcut detached" else x
        y = a if kind == "first residual lost" else shortcut + a
        if kind == "norms exchanged":
            y = x + layer.attn(layer.norm2(x))
            return y + layer.mlp(layer.norm1(y))
        m = layer.mlp(y if kind == "second norm skipped" else layer.norm2(x if kind == "second norm of input" else y))
        return m if kind == "second residual lost" else y + (2 * m if kind == "branch doubled" else m)

    layer.forward = forward


def _mlp(_: PaddleBackend, layer: Any, kind: str) -> None:
    def forward(x: Tensor) -> Tensor:
        hidden = layer.fc1(x)
        hidden = hidden if kind == "no activation" else layer.act(hidden)
        y = layer.fc2(hidden)
        return layer.act(y) if kind == "activation twice" else y

    layer.forward = forward


def _model(_: PaddleBackend, model: Any, kind: str) -> None:
    head = model.forward_head
    if kind == "heads swapped":
        model.forward_head = lambda tokens: head(tokens[:, [1, 0]])
    elif kind == "heads summed":
        model.forward_head = lambda tokens: model.head(tokens[:, 0]) + model.head_dist(tokens[:, 1])
    elif kind == "one head":
        model.forward_head = lambda tokens: model.head(tokens[:, 0])
    elif kind == "both from the class token":
        model.forward_head = lambda tokens: (model.head(tokens[:, 0]) + model.head_dist(tokens[:, 0])) / 2
    else:
        _embedding(model, kind)


def _embedding(model: Any, kind: str) -> None:
    """Positions that are not added, or turned."""

    def forward_stages(x: Tensor) -> tuple[Tensor, list[Tensor]]:
        x = model.patch_embed(x)
        x = model.pos_drop(x if kind == "positions lost" else x + model.pos_embed.transpose((0, 1, 3, 2)))
        cls_tokens = model.cls_token.expand((x.shape[0], -1, -1))
        maps = []
        for stage, transformer in enumerate(model.transformers):
            if stage > 0:
                x, cls_tokens = model.pools[stage - 1](x, cls_tokens)
            x, cls_tokens = transformer(x, cls_tokens)
            maps.append(x)
        return model.norm(cls_tokens), maps

    model._forward_stages = forward_stages


def _stage(_: PaddleBackend, layer: Any, kind: str) -> None:
    def forward(x: Tensor, cls_tokens: Tensor) -> tuple[Tensor, Tensor]:
        batch, width, rows, columns = x.shape
        tokens = cls_tokens.shape[1]
        if kind == "tokens exchanged":
            cls_tokens = paddle.flip(cls_tokens, [1])
        if kind == "map turned":
            x = x.transpose((0, 1, 3, 2))
        y = layer.blocks(paddle.concat((cls_tokens, x.flatten(2).transpose((0, 2, 1))), axis=1))
        return y[:, tokens:].transpose((0, 2, 1)).reshape((batch, width, rows, columns)), y[:, :tokens]

    layer.forward = forward


def _drop(_: PaddleBackend, layer: Any, rate: float, whole: bool = False) -> None:
    def forward(x: Tensor) -> Tensor:
        shape = [x.shape[0]] + [1] * (x.ndim - 1) if whole else list(x.shape)
        return x * (paddle.bernoulli(paddle.full(shape, 1 - rate, dtype=x.dtype)) / (1 - rate))

    layer.forward = forward


def _precision(_: PaddleBackend, layer: Any) -> None:
    after(layer, lambda y: y.astype("float32").astype(y.dtype))


def _gradient(_: PaddleBackend, layer: Any, factor: float) -> None:
    after(layer, lambda y: Gradient.apply(y, lambda gradient: gradient * factor))


def _detach(_: PaddleBackend, layer: Any, what: str) -> None:
    if what == "output":
        after(layer, lambda y: y.detach())
    else:
        getattr(layer, what).stop_gradient = True


def _batch_norm(_: PaddleBackend, layer: Any, kind: str) -> None:
    right = layer.forward

    def forward(x: Tensor) -> Tensor:
        if kind == "biased":
            return nn.BatchNorm2D.forward(layer, x)
        if kind == "batch in evaluation":
            mean, variance = x.mean((0, 2, 3)), x.var((0, 2, 3), unbiased=False)
            return F.batch_norm(x, mean, variance, layer.weight, layer.bias, epsilon=layer._epsilon)
        if not layer.training:
            return right(x)
        if kind == "not updated":
            state = layer._mean.clone(), layer._variance.clone()
            y = right(x)
            layer._mean.set_value(state[0])
            layer._variance.set_value(state[1])
            return y
        with paddle.no_grad():
            right(x)
            mean, variance = x.mean((0, 2, 3)), x.var((0, 2, 3), unbiased=False)
        return F.batch_norm(x, mean, variance, layer.weight, layer.bias, epsilon=layer._epsilon)

    layer.forward = forward


def _soft_target(backend: PaddleBackend, _: Any, kind: str) -> None:
    """The loss that training uses, wrong in the process from here on until `restore`."""

    def loss(logits: Tensor, target: Tensor) -> Tensor:
        if kind == "hard":
            return F.cross_entropy(logits, target.argmax(-1))
        value = F.cross_entropy(logits, target, soft_label=True, reduction="sum" if kind == "sum" else "mean")
        return Gradient.apply(value, lambda gradient: gradient * 0.5) if kind == "half gradient" else value

    backend_module._soft_target = loss


def restore() -> None:
    """Undo what injectors changed outside of a model."""
    backend_module._soft_target = _RIGHT_SOFT_TARGET


_RIGHT_SOFT_TARGET = backend_module._soft_target
INJECTORS: Mapping[str, Callable[..., None]] = {
    **HELD_OUT_INJECTORS,
    "set": _set,
    "scale": _scale,
    "activation": _activation,
    "norm": _norm,
    "linear": _linear,
    "convolution": _convolution,
    "attention": _attention,
    "block": _block,
    "mlp": _mlp,
    "model": _model,
    "stage": _stage,
    "drop": _drop,
    "precision": _precision,
    "gradient": _gradient,
    "detach": _detach,
    "batch norm": _batch_norm,
    "soft target": _soft_target,
}

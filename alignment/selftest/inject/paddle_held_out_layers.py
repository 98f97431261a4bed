"""Mistakes to inject into Paddle models for the held-out faults, `alignment.selftest.faults.held_out_models`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from math import sqrt
from typing import Any

import paddle
import paddle.nn.functional as F
from paddle import Tensor

from alignment.backends import paddle as backend_module
from alignment.selftest.inject.paddle_tools import Gradient, after


def _wired(_: Any, layer: Any, kind: str) -> None:
    """A transformer block, put together otherwise."""
    attn, mlp, norm1, norm2 = (partial(_run, layer, name) for name in ("attn", "mlp", "norm1", "norm2"))

    def normed_shortcut(x: Tensor) -> Tensor:
        x = norm1(x)
        y = x + attn(x)
        return y + mlp(norm2(y))

    def mlp_first(x: Tensor) -> Tensor:
        y = x + mlp(norm2(x))
        return y + attn(norm1(y))

    forms: Mapping[str, Callable[[Tensor], Tensor]] = {
        "norms after the sums": lambda x: norm2((y := norm1(x + attn(x))) + mlp(y)),
        "norm after its branch": lambda x: (y := x + norm1(attn(x))) + mlp(norm2(y)),
        "branch halved": lambda x: (y := x + 0.5 * attn(norm1(x))) + mlp(norm2(y)),
        "sum scaled": lambda x: (y := (x + attn(norm1(x))) * sqrt(0.5)) + mlp(norm2(y)),
        "shortcut normed": normed_shortcut,
        "mlp first": mlp_first,
        "one norm for both": lambda x: (y := x + attn(norm1(x))) + mlp(norm1(y)),
        "gradient halved": lambda x: (
            (y := Gradient.apply(x, lambda gradient: gradient * 0.5) + attn(norm1(x))) + mlp(norm2(y))
        ),
    }
    layer.forward = forms[kind]


def _run(layer: Any, name: str, x: Tensor) -> Tensor:
    result: Tensor = getattr(layer, name)(x)
    return result


def _normed(_: Any, layer: Any, kind: str) -> None:
    """A LayerNorm that computes something else."""

    def forward(x: Tensor) -> Tensor:
        axis = 1 if kind == "over tokens" else -1
        middle = x - x.mean(axis, keepdim=True)
        variance = middle.square().mean(axis, keepdim=True)
        if kind == "epsilon outside":
            return middle / (variance.sqrt() + layer._epsilon) * layer.weight + layer.bias
        y = middle / (variance + layer._epsilon).sqrt()
        if kind == "one plus weight":
            return y * (1 + layer.weight) + layer.bias
        return y * layer.weight if kind == "no shift" else y * layer.weight + layer.bias

    layer.forward = forward


def _activated(_: Any, layer: Any, kind: str) -> None:
    forms: Mapping[str, Callable[[Tensor], Tensor]] = {
        "hardswish": F.hardswish,
        "leaky": lambda x: F.leaky_relu(x, 0.01),
        "mish": F.mish,
        "rounded tanh": lambda x: 0.5 * x * (1 + paddle.tanh(0.7978515625 * (x + 0.044715 * x**3))),
    }
    layer.forward = forms[kind]


def _narrowed(_: Any, layer: Any, share: float) -> None:
    """The last hidden units of an MLP are not there, as with a smaller ratio."""

    def forward(x: Tensor) -> Tensor:
        hidden = layer.act(layer.fc1(x))
        kept = paddle.arange(hidden.shape[-1]) < round(share * hidden.shape[-1])
        result: Tensor = layer.fc2(hidden * kept.astype(hidden.dtype))
        return result

    layer.forward = forward


def _attended(_: Any, layer: Any, kind: str) -> None:
    """Attention that computes something else between its two Linears."""

    def forward(x: Tensor) -> Tensor:
        batch, tokens, width = x.shape
        heads, size = layer.num_heads, width // layer.num_heads
        if kind == "width before heads":
            qkv = layer.qkv(x).reshape((batch, tokens, 3, size, heads)).transpose((2, 0, 4, 1, 3))
        else:
            qkv = layer.qkv(x).reshape((batch, tokens, 3, heads, size)).transpose((2, 0, 3, 1, 4))
        q, k, v = qkv.unbind(0)
        if kind == "queries and keys normed":
            q, k = F.normalize(q, axis=-1), F.normalize(k, axis=-1)
        if kind == "rotary positions":
            q, k = _rotated(q), _rotated(k)
        if kind == "key detached":
            k = k.detach()
        y = paddle.matmul(_shares(q, k, kind), v)
        if kind == "heads reversed":
            y = paddle.flip(y, [1])
        result: Tensor = layer.proj(y.transpose((0, 2, 1, 3)).reshape((batch, tokens, width)))
        return result

    layer.forward = forward


def _rotated(x: Tensor) -> Tensor:
    """Turned by the token's place, as rotary embeddings turn queries and keys."""
    angle = paddle.arange(x.shape[-2], dtype=x.dtype).unsqueeze(-1) / 100
    a, b = x.chunk(2, -1)
    return paddle.concat((a * angle.cos() - b * angle.sin(), a * angle.sin() + b * angle.cos()), -1)


def _shares(q: Tensor, k: Tensor, kind: str) -> Tensor:
    tokens, scale = q.shape[-2], q.shape[-1] ** -0.5
    scores = paddle.matmul(q, k, transpose_y=True)
    if kind == "scaled after the softmax":
        return F.softmax(scores) * scale
    scores = scores * scale
    place = paddle.arange(tokens, dtype=q.dtype)
    if kind == "distance bias":
        scores = scores - 0.1 * (place.unsqueeze(0) - place.unsqueeze(1)).abs()
    if kind == "class token hidden":
        scores = scores - 1e9 * (place == 0).astype(q.dtype)
    if kind == "self hidden":
        scores = scores - 1e9 * paddle.eye(tokens, dtype=q.dtype)
    if kind == "sigmoid":
        return F.sigmoid(scores)
    shares = F.softmax(scores)
    return shares.astype("float16").astype(q.dtype) if kind == "half precision" else shares


def _pooled(_: Any, layer: Any, kind: str) -> None:
    """A pooling of PiT."""
    conv = layer.conv
    if kind == "stride and padding swapped":
        conv.forward = lambda x: F.conv2d(x, conv.weight, conv.bias, stride=1, padding=2, groups=conv._groups)
    elif kind == "padding of TensorFlow":
        conv.forward = lambda x: F.conv2d(x, conv.weight, conv.bias, stride=2, padding="SAME", groups=conv._groups)
    else:
        layer.forward = lambda x, tokens: (
            conv(x),
            paddle.concat((tokens, tokens), -1)[:, :, : layer.fc.weight.shape[1]],
        )


def _pit(_: Any, model: Any, kind: str) -> None:
    """What holds a PiT together, otherwise."""
    head, norm, stages = model.forward_head, model.norm, model._forward_stages
    forms: Mapping[str, Callable[[Tensor], Tensor]] = {
        "heads weighted": lambda tokens: 0.7 * model.head(tokens[:, 0]) + 0.3 * model.head_dist(tokens[:, 1]),
        "shares averaged": lambda tokens: paddle.log(
            (F.softmax(model.head(tokens[:, 0])) + F.softmax(model.head_dist(tokens[:, 1]))) / 2
        ),
        "normed twice": lambda tokens: head(norm(tokens)),
    }
    if kind in forms:
        model.forward_head = forms[kind]
    elif kind == "patches averaged":

        def averaged(x: Tensor) -> tuple[Tensor, list[Tensor]]:
            tokens, maps = stages(x)
            mean = norm(maps[-1].flatten(2).mean(-1).unsqueeze(1))
            return mean.expand((-1, tokens.shape[1], -1)), maps

        model._forward_stages = averaged
    else:
        model._forward_stages = partial(_positioned, model, kind)


def _positioned(model: Any, kind: str, x: Tensor) -> tuple[Tensor, list[Tensor]]:
    """PiT's stages with its position embedding added otherwise, or without its last norm."""
    x = model.patch_embed(x)
    times = 2.0 if kind == "positions twice" else 1.0
    positions = model.pos_embed
    if kind == "positions resized":
        larger = F.interpolate(positions, size=[14, 14], mode="bicubic")
        positions = F.interpolate(larger, size=list(model.pos_embed.shape[2:]), mode="bicubic")
    x = model.pos_drop(x + times * positions)
    tokens = model.cls_token.expand((x.shape[0], -1, -1))
    maps = []
    for stage, transformer in enumerate(model.transformers):
        if stage > 0:
            x, tokens = model.pools[stage - 1](x, tokens)
        x, tokens = transformer(x, tokens)
        maps.append(x)
    return (tokens if kind == "not normed" else model.norm(tokens)), maps


def _shortcut_around(_: Any, layer: Any) -> None:
    right = layer.forward

    def forward(x: Tensor, tokens: Tensor) -> tuple[Tensor, Tensor]:
        y, after_it = right(x, tokens)
        return x + y, after_it

    layer.forward = forward


def _fed(_: Any, layer: Any, scale: float, shift: float) -> None:
    """What goes into a layer is scaled and shifted first, as pixels that are normalised once more."""
    right = layer.forward
    layer.forward = lambda x: right(x * scale + shift)


def _deit(_: Any, model: Any, kind: str) -> None:
    def forward_blocks(x: Tensor) -> tuple[Tensor, list[Tensor]]:
        x = model.patch_embedding(x).flatten(2).transpose((0, 2, 1))
        own = [token.expand((x.shape[0], -1, -1)) for token in (model.cls_token, model.dist_token)]
        positions = model.pos_embed
        if kind == "tokens swapped":
            own.reverse()
        else:
            positions = paddle.concat((paddle.zeros_like(positions[:, :2]), positions[:, 2:]), 1)
        result: tuple[Tensor, list[Tensor]] = model.encoder(model.pos_drop(paddle.concat((*own, x), 1) + positions))
        return result

    model._forward_blocks = forward_blocks


def _regnet(_: Any, layer: Any, kind: str) -> None:
    """A bottleneck, its squeeze-and-excitation, its shortcut, or the mean over the map."""

    def bottleneck(x: Tensor) -> Tensor:
        y = layer.se(F.relu(layer.bn2(layer.conv2(F.relu(layer.bn1(layer.conv1(x)))))))
        return layer.bn3(layer.conv3(y)) + layer.downsample(x)

    def excited(x: Tensor) -> Tensor:
        squeezed = x.amax((2, 3), keepdim=True) if kind == "squeezed by the maximum" else x.mean((2, 3), keepdim=True)
        gate = F.hardsigmoid if kind == "hard sigmoid" else F.sigmoid
        return x * gate(layer.conv2_1x1(F.relu(layer.conv1_1x1(squeezed))))

    if kind == "stride moved":
        layer.conv1._stride, layer.conv2._stride = [2, 2], [1, 1]
    elif kind == "no last activation":
        layer.forward = bottleneck
    elif kind == "averaged shortcut":
        conv = layer.conv1x1
        layer.forward = lambda x: layer.bn(F.conv2d(F.avg_pool2d(x, 2, 2), conv.weight))
    else:
        layer.forward = (lambda x: x.amax((2, 3))) if kind == "maximum of the map" else excited


def _batch_normed(_: Any, layer: Any, kind: str) -> None:
    """BatchNorm in training mode, wrong in what it computes or in what it remembers."""
    right = layer.forward

    def normed(x: Tensor, unbiased: bool = False, detached: bool = False) -> Tensor:
        mean, variance = x.mean((0, 2, 3), keepdim=True), x.var((0, 2, 3), unbiased=unbiased, keepdim=True)
        variance = variance.detach() if detached else variance
        weight, bias = (each.reshape((1, -1, 1, 1)) for each in (layer.weight, layer.bias))
        return (x - mean) / (variance + layer._epsilon).sqrt() * weight + bias

    def forward(x: Tensor) -> Tensor:
        if not layer.training:
            return right(x)
        before = layer._mean.clone(), layer._variance.clone()
        y = right(x)
        if kind == "deviation remembered":
            kept = before[1] * layer._momentum
            batch = (layer._variance - kept) / (1 - layer._momentum)
            layer._variance.set_value(kept + (1 - layer._momentum) * batch.sqrt())
        if kind == "mean stays":
            layer._mean.set_value(before[0])
        if kind == "halves of the batch":
            half = x.shape[0] // 2
            return paddle.concat((normed(x[:half]), normed(x[half:])))
        if kind in ("unbiased", "variance detached"):
            return normed(x, unbiased=kind == "unbiased", detached=kind == "variance detached")
        return y

    layer.forward = forward


def _bounded_gradient(_: Any, layer: Any, limit: float) -> None:
    after(layer, lambda y: Gradient.apply(y, lambda gradient: gradient.clip(-limit, limit)))


def _criterion(_: Any, layer: Any, kind: str) -> None:
    """The loss that training uses, wrong in the process until `paddle_faults.restore`."""

    def loss(logits: Tensor, target: Tensor) -> Tensor:
        classes = logits.shape[-1]
        if kind == "smoothed again":
            target = target * 0.9 + 0.1 / classes
        if kind == "binary":
            return F.binary_cross_entropy_with_logits(logits, target)
        if kind == "focal":
            log_shares = F.log_softmax(logits)
            return -(target * (1 - log_shares.exp()).square() * log_shares).sum(-1).mean()
        value = F.cross_entropy(logits, target, soft_label=True)
        return value + 1e-4 * logits.logsumexp(-1).square().mean() if kind == "normaliser" else value

    backend_module._soft_target = loss


HELD_OUT_INJECTORS: Mapping[str, Callable[..., None]] = {
    "wired": _wired,
    "normed": _normed,
    "activated": _activated,
    "narrowed": _narrowed,
    "attended": _attended,
    "pooled": _pooled,
    "pit": _pit,
    "shortcut around": _shortcut_around,
    "fed": _fed,
    "deit": _deit,
    "regnet": _regnet,
    "batch normed": _batch_normed,
    "bounded gradient": _bounded_gradient,
    "criterion": _criterion,
}
"""Injectors by kind, for `alignment.selftest.inject.paddle_layers`."""

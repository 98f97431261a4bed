"""Mistakes to inject into how Paddle models put their layers together."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import sqrt
from typing import Any

import paddle
import paddle.nn.functional as F
from paddle import Tensor

from alignment.selftest.inject.paddle_tools import Change, with_gradient, wrap


def _block(layer: Any, kind: str) -> None:
    """Put a transformer block together otherwise: its first sum from `x`, then its second one from `x` and `y`."""
    attn, mlp, norm1, norm2 = layer.attn, layer.mlp, layer.norm1, layer.norm2
    first: Mapping[str, Change] = {
        "first residual lost": lambda x: attn(norm1(x)),
        "first norm skipped": lambda x: x + attn(x),
        "norms exchanged": lambda x: x + attn(norm2(x)),
        "shortcut detached": lambda x: x.detach() + attn(norm1(x)),
        "norms after the sums": lambda x: norm1(x + attn(x)),
        "norm after its branch": lambda x: x + norm1(attn(x)),
        "branch halved": lambda x: x + 0.5 * attn(norm1(x)),
        "sum scaled": lambda x: (x + attn(norm1(x))) * sqrt(0.5),
        "shortcut normed": lambda x: (normed := norm1(x)) + attn(normed),
        "mlp first": lambda x: x + mlp(norm2(x)),
        "gradient halved": lambda x: with_gradient(x, lambda gradient: gradient * 0.5) + attn(norm1(x)),
    }
    second: Mapping[str, Callable[[Tensor, Tensor], Tensor]] = {
        "second residual lost": lambda _, y: mlp(norm2(y)),
        "second norm skipped": lambda _, y: y + mlp(y),
        "second norm of input": lambda x, y: y + mlp(norm2(x)),
        "norms exchanged": lambda _, y: y + mlp(norm1(y)),
        "branch doubled": lambda _, y: y + 2 * mlp(norm2(y)),
        "norms after the sums": lambda _, y: norm2(y + mlp(y)),
        "mlp first": lambda _, y: y + attn(norm1(y)),
        "one norm for both": lambda _, y: y + mlp(norm1(y)),
    }
    one = first.get(kind, lambda x: x + attn(norm1(x)))
    two = second.get(kind, lambda _, y: y + mlp(norm2(y)))
    layer.forward = lambda x: two(x, one(x))


def _mlp(layer: Any, kind: str) -> None:
    def forward(x: Tensor) -> Tensor:
        hidden = layer.fc1(x)
        y = layer.fc2(hidden if kind == "no activation" else layer.act(hidden))
        return layer.act(y) if kind == "activation twice" else y

    layer.forward = forward


def _narrowed(layer: Any, share: float) -> None:
    """Leave out the last hidden units of an MLP, as with a smaller ratio."""

    def forward(x: Tensor) -> Tensor:
        hidden = layer.act(layer.fc1(x))
        kept = paddle.arange(hidden.shape[-1]) < round(share * hidden.shape[-1])
        return layer.fc2(hidden * kept.astype(hidden.dtype))

    layer.forward = forward


def _pit(model: Any, kind: str) -> None:
    """Change the heads of a PiT, its position embedding, or what its last norm takes."""
    head, norm, stages = model.forward_head, model.norm, model._forward_stages
    heads: Mapping[str, Change] = {
        "heads swapped": lambda tokens: head(tokens[:, [1, 0]]),
        "heads summed": lambda tokens: model.head(tokens[:, 0]) + model.head_dist(tokens[:, 1]),
        "one head": lambda tokens: model.head(tokens[:, 0]),
        "both from the class token": lambda tokens: (model.head(tokens[:, 0]) + model.head_dist(tokens[:, 0])) / 2,
        "heads weighted": lambda tokens: 0.7 * model.head(tokens[:, 0]) + 0.3 * model.head_dist(tokens[:, 1]),
        "shares averaged": lambda tokens: paddle.log(
            (F.softmax(model.head(tokens[:, 0])) + F.softmax(model.head_dist(tokens[:, 1]))) / 2
        ),
        "normed twice": lambda tokens: head(norm(tokens)),
    }

    def averaged(x: Tensor) -> tuple[Tensor, list[Tensor]]:
        tokens, maps = stages(x)
        mean = norm(maps[-1].flatten(2).mean(-1).unsqueeze(1))
        return mean.expand((-1, tokens.shape[1], -1)), maps

    if kind in heads:
        model.forward_head = heads[kind]
    else:
        model._forward_stages = averaged if kind == "patches averaged" else lambda x: _positioned(model, kind, x)


def _resized(positions: Tensor) -> Tensor:
    larger = F.interpolate(positions, size=[14, 14], mode="bicubic")
    return F.interpolate(larger, size=list(positions.shape[2:]), mode="bicubic")


_POSITIONED: Mapping[str, Callable[[Tensor, Tensor], Tensor]] = {
    "positions lost": lambda x, _: x,
    "positions turned": lambda x, positions: x + positions.transpose((0, 1, 3, 2)),
    "positions twice": lambda x, positions: x + 2.0 * positions,
    "positions resized": lambda x, positions: x + _resized(positions),
    "not normed": lambda x, positions: x + positions,
}


def _positioned(model: Any, kind: str, x: Tensor) -> tuple[Tensor, list[Tensor]]:
    """Run PiT's stages with its position embedding added otherwise, or without its last norm."""
    x = model.pos_drop(_POSITIONED[kind](model.patch_embed(x), model.pos_embed))
    tokens = model.cls_token.expand((x.shape[0], -1, -1))
    maps = []
    for stage, transformer in enumerate(model.transformers):
        if stage > 0:
            x, tokens = model.pools[stage - 1](x, tokens)
        x, tokens = transformer(x, tokens)
        maps.append(x)
    return (tokens if kind == "not normed" else model.norm(tokens)), maps


def _stage(layer: Any, kind: str) -> None:
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


def _shortcut_around(layer: Any) -> None:
    def make(stage: Callable[..., tuple[Tensor, Tensor]]) -> Callable[..., tuple[Tensor, Tensor]]:
        def forward(x: Tensor, tokens: Tensor) -> tuple[Tensor, Tensor]:
            y, changed = stage(x, tokens)
            return x + y, changed

        return forward

    wrap(layer, "forward", make)


def _pooled(layer: Any, kind: str) -> None:
    """Change a pooling of PiT."""
    conv = layer.conv
    if kind == "tokens repeated":
        width = layer.fc.weight.shape[1]
        layer.forward = lambda x, tokens: (conv(x), paddle.concat((tokens, tokens), -1)[:, :, :width])
        return
    stride, padding = (1, 2) if kind == "stride and padding swapped" else (2, "SAME")
    conv.forward = lambda x: F.conv2d(x, conv.weight, conv.bias, stride, padding, groups=conv._groups)


def _deit(model: Any, kind: str) -> None:
    def forward_blocks(x: Tensor) -> tuple[Tensor, list[Tensor]]:
        x = model.patch_embedding(x).flatten(2).transpose((0, 2, 1))
        tokens = [token.expand((x.shape[0], -1, -1)) for token in (model.cls_token, model.dist_token)]
        positions = model.pos_embed
        if kind == "tokens swapped":
            tokens.reverse()
        else:
            positions = paddle.concat((paddle.zeros_like(positions[:, :2]), positions[:, 2:]), 1)
        return model.encoder(model.pos_drop(paddle.concat((*tokens, x), 1) + positions))

    model._forward_blocks = forward_blocks


def _regnet(layer: Any, kind: str) -> None:
    """Change a bottleneck of RegNet, its squeeze-and-excitation, its shortcut, or the mean over the map."""

    def bottleneck(x: Tensor) -> Tensor:
        y = layer.se(F.relu(layer.bn2(layer.conv2(F.relu(layer.bn1(layer.conv1(x)))))))
        return layer.bn3(layer.conv3(y)) + layer.downsample(x)

    def excited(x: Tensor) -> Tensor:
        squeezed = x.amax((2, 3), keepdim=True) if kind == "squeezed by the maximum" else x.mean((2, 3), keepdim=True)
        gate = F.hardsigmoid if kind == "hard sigmoid" else F.sigmoid
        return x * gate(layer.conv2_1x1(F.relu(layer.conv1_1x1(squeezed))))

    if kind == "stride moved":
        layer.conv1._stride, layer.conv2._stride = [2, 2], [1, 1]
    else:
        forms: Mapping[str, Change] = {
            "no last activation": bottleneck,
            "averaged shortcut": lambda x: layer.bn(F.conv2d(F.avg_pool2d(x, 2, 2), layer.conv1x1.weight)),
            "maximum of the map": lambda x: x.amax((2, 3)),
        }
        layer.forward = forms.get(kind, excited)


BLOCK_INJECTORS: Mapping[str, Callable[..., None]] = {
    "block": _block,
    "wired": _block,
    "mlp": _mlp,
    "narrowed": _narrowed,
    "model": _pit,
    "pit": _pit,
    "stage": _stage,
    "shortcut around": _shortcut_around,
    "pooled": _pooled,
    "deit": _deit,
    "regnet": _regnet,
}
"""Functions that change a block or a model, by kind; each takes the layer and the fault's arguments."""

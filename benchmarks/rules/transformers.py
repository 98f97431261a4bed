"""Architectures of attention and MLPs, over images of `(batch, 3, 16, 16)`."""

from __future__ import annotations

import random
from typing import Any

from benchmarks.rules.attention import attention, mlp, window_attention
from benchmarks.rules.convolutional import CLASSES
from benchmarks.rules.leaves import conv, layer_norm, layer_scale, linear
from benchmarks.rules.sides import Parts, Side


def vit(side: Side, draw: random.Random) -> Any:
    """A vision transformer with a class token or the mean of all tokens, some with LayerScale or norms of q and k."""
    heads, classed = draw.choice((2, 4)), draw.random() < 0.6
    width, qk_norm, bias = heads * draw.choice((4, 8)), draw.random() < 0.2, draw.random() < 0.8
    scaled = draw.random() < 0.3
    tokens = 16 + classed
    blocks = []
    for index in range(side.depth(draw.randint(2, 4))):
        key = f"blocks.{index}"
        parts = {
            "norm1": layer_norm(side, f"{key}.norm1", width),
            "attn": attention(side, f"{key}.attn", width, heads, qk_norm=qk_norm, bias=bias),
            "norm2": layer_norm(side, f"{key}.norm2", width),
            "mlp": mlp(side, f"{key}.mlp", width, 2 * width),
            "ls1": layer_scale(side, f"{key}.ls1", width) if scaled else None,
            "ls2": layer_scale(side, f"{key}.ls2", width) if scaled else None,
        }
        blocks.append(side.module("Block", parts, pre_norm))
    parts = {
        "stem": conv(side, "stem", 3, width, 4, stride=4, bias=True),
        "cls": side.bare("cls", (1, 1, width)) if classed else None,
        "pos": side.bare("pos", (tokens, width), ones=True),
        "blocks": blocks,
        "norm": layer_norm(side, "norm", width),
        "head": linear(side, "head", width, CLASSES),
    }

    def forward(m: Parts, x: Any) -> Any:
        x = side.kit.permute(m.stem(x).flatten(2), (0, 2, 1))
        if classed:
            x = side.kit.cat((side.kit.expand(m.cls, (x.shape[0], 1, width)), x), 1)
        x = x + m.pos.reshape([1, tokens, width])
        for block in m.blocks:
            x = block(x)
        x = m.norm(x)
        return m.head(x[:, 0] if classed else x.mean(axis=1))

    return side.module("VisionTransformer", parts, forward)


def pre_norm(m: Parts, x: Any) -> Any:
    """A block whose norms come before attention and MLP."""
    y = m.attn(m.norm1(x))
    x = x + (y * m.ls1 if m.has("ls1") else y)
    y = m.mlp(m.norm2(x))
    return x + (y * m.ls2 if m.has("ls2") else y)


def post_norm(m: Parts, x: Any) -> Any:
    """A block whose norms come after attention and MLP."""
    x = m.norm1(x + m.attn(x))
    return m.norm2(x + m.mlp(x))


def swin(side: Side, draw: random.Random) -> Any:
    """Attention within windows, a table of relative positions and its index, and patches merged in between."""
    heads = draw.choice((1, 2))
    width, blocks = heads * 8, []
    depths = [draw.randint(1, 2) for _ in range(2)]
    for stage, drawn in enumerate(depths):
        wide = width * 2**stage
        for index in range(side.depth(drawn)):
            key = f"stage{stage}.{index}"
            parts = {
                "norm1": layer_norm(side, f"{key}.norm1", wide),
                "attn": window_attention(side, f"{key}.attn", wide, heads * 2**stage, 4 // 2**stage),
                "norm2": layer_norm(side, f"{key}.norm2", wide),
                "mlp": mlp(side, f"{key}.mlp", wide, 2 * wide),
            }
            blocks.append(side.module("SwinBlock", parts, pre_norm))
        if not stage:
            blocks.append(_merging(side, "merge", wide))
    parts = {
        "stem": conv(side, "stem", 3, width, 2, stride=2, bias=True),
        "blocks": blocks,
        "norm": layer_norm(side, "norm", 2 * width),
        "head": linear(side, "head", 2 * width, CLASSES),
    }

    def forward(m: Parts, x: Any) -> Any:
        x = side.kit.permute(m.stem(x), (0, 2, 3, 1))
        for block in m.blocks:
            x = block(x)
        return m.head(m.norm(x).mean(axis=(1, 2)))

    return side.module("Swin", parts, forward)


def _merging(side: Side, key: str, width: int) -> Any:
    parts = {
        "norm": layer_norm(side, f"{key}.norm", 4 * width),
        "reduction": linear(side, f"{key}.reduction", 4 * width, 2 * width, bias=False),
    }

    def forward(m: Parts, x: Any) -> Any:
        corners = [x[:, row::2, column::2] for column in (0, 1) for row in (0, 1)]
        return m.reduction(m.norm(side.kit.cat(corners, 3)))

    return side.module("PatchMerging", parts, forward)


def mixer(side: Side, draw: random.Random) -> Any:
    """MLPs over tokens and over channels in turn; some have as many tokens as channels."""
    width = draw.choice((8, 16))
    blocks = []
    for index in range(side.depth(draw.randint(2, 3))):
        key = f"blocks.{index}"
        parts = {
            "norm1": layer_norm(side, f"{key}.norm1", width),
            "tokens": mlp(side, f"{key}.tokens", 16, 2 * width),
            "norm2": layer_norm(side, f"{key}.norm2", width),
            "mlp": mlp(side, f"{key}.mlp", width, 32),
        }
        turn = side.kit.permute

        def forward(m: Parts, x: Any, turn: Any = turn) -> Any:
            x = x + turn(m.tokens(turn(m.norm1(x), (0, 2, 1))), (0, 2, 1))
            return x + m.mlp(m.norm2(x))

        blocks.append(side.module("MixerBlock", parts, forward))
    parts = {
        "stem": conv(side, "stem", 3, width, 4, stride=4, bias=True),
        "blocks": blocks,
        "norm": layer_norm(side, "norm", width),
        "head": linear(side, "head", width, CLASSES),
    }

    def whole(m: Parts, x: Any) -> Any:
        x = side.kit.permute(m.stem(x).flatten(2), (0, 2, 1))
        for block in m.blocks:
            x = block(x)
        return m.head(m.norm(x).mean(axis=1))

    return side.module("Mixer", parts, whole)

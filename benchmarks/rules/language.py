"""Architectures over tokens, `(batch, 8)` below `VOCABULARY`."""

from __future__ import annotations

import random
from typing import Any

from benchmarks.rules.attention import attention, gated, mixture, mlp
from benchmarks.rules.leaves import embedding, layer_norm, linear, rms_norm, tied_linear
from benchmarks.rules.sides import Parts, Side
from benchmarks.rules.transformers import post_norm, pre_norm

VOCABULARY = 13


def decoder(side: Side, draw: random.Random) -> Any:
    """A language model: grouped queries with rotary positions, gated MLPs or a mixture of experts, tied or not."""
    groups, shared, size = draw.choice((1, 2)), draw.choice((1, 2)), draw.choice((4, 8))
    heads = groups * shared
    width, tied, experts = heads * size, draw.random() < 0.4, draw.random() < 0.3
    rotary, square = draw.random() < 0.8, draw.random() < 0.3
    blocks = []
    for index in range(side.depth(draw.randint(2, 3))):
        key = f"blocks.{index}"
        hidden = width if square else 2 * width
        parts = {
            "norm1": rms_norm(side, f"{key}.norm1", width),
            "attn": attention(side, f"{key}.attn", width, heads, groups=groups, bias=False, rotary=rotary, causal=True),
            "norm2": rms_norm(side, f"{key}.norm2", width),
            "mlp": mixture(side, f"{key}.moe", width, hidden) if experts else gated(side, f"{key}.mlp", width, hidden),
        }
        blocks.append(side.module("DecoderLayer", parts, pre_norm))
    table = embedding(side, "embed", VOCABULARY, width)
    return _language_model(side, table, blocks, width, tied, rms_norm(side, "norm", width), {})


def _language_model(
    side: Side, table: Any, blocks: list[Any], width: int, tied: bool, norm: Any, more: dict[str, Any]
) -> Any:
    parts: dict[str, Any] = {"embed": table, "blocks": blocks, "norm": norm, **more}
    if not tied:
        parts["head"] = linear(side, "head", width, VOCABULARY, bias=False)
    elif side.choose("tied", "module", "function") == "module" and not side.kit.INTO_FIRST:
        parts["head"] = tied_linear(side, table, "embed", width, VOCABULARY)

    def forward(m: Parts, x: Any) -> Any:
        x = m.embed(x)
        x = x + m.pos.reshape([1, -1, width]) if m.has("pos") else x
        x = m.first(x) if m.has("first") else x
        for block in m.blocks:
            x = block(x)
        x = m.norm(x) if m.has("norm") else x
        return m.head(x) if m.has("head") else x @ side.kit.permute(m.embed.weight, (1, 0))

    return side.module("LanguageModel", parts, forward)


def encoder(side: Side, draw: random.Random) -> Any:
    """An encoder of text with norms after each part, as BERT has it, or before, as GPT-2 has it."""
    heads, tied, after = draw.choice((2, 4)), draw.random() < 0.4, draw.random() < 0.5
    width = heads * draw.choice((4, 8))
    blocks = []
    for index in range(side.depth(draw.randint(2, 4))):
        key = f"blocks.{index}"
        parts = {
            "attn": attention(side, f"{key}.attn", width, heads, causal=not after),
            "norm1": layer_norm(side, f"{key}.norm1", width),
            "mlp": mlp(side, f"{key}.mlp", width, 2 * width),
            "norm2": layer_norm(side, f"{key}.norm2", width),
        }
        blocks.append(side.module("Layer", parts, post_norm if after else pre_norm))
    more = {
        "pos": side.bare("pos", (8, width), ones=True),
        "first": layer_norm(side, "first", width) if after else None,
    }
    norm = None if after else layer_norm(side, "norm", width)
    return _language_model(side, embedding(side, "embed", VOCABULARY, width), blocks, width, tied, norm, more)

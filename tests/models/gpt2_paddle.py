"""GPT-2 in Paddle: Linears for transformers' `Conv1D`, the head is the embedding."""

from __future__ import annotations

from typing import Any

import paddle
from paddle import nn
from paddle.nn import functional as F

from tests.models.paddle_parts import attend, causal


class Attention(nn.Layer):
    """Causal attention, each of queries, keys and values a Linear."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.value, self.key, self.query = (nn.Linear(width, width) for _ in range(3))
        self.proj = nn.Linear(width, width)

    def forward(self, x: Any) -> Any:
        """Of the same shape."""
        bias = causal(x.shape[1], x)
        return self.proj(attend(self.query(x), self.key(x), self.value(x), self.heads, bias))


class Block(nn.Layer):
    """Attention and MLP, each after a norm."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.ln1, self.ln2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attention = Attention(width, heads)
        self.mlp = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(approximate=True), nn.Linear(4 * width, width))

    def forward(self, x: Any) -> Any:
        """Of the same shape."""
        x = x + self.attention(self.ln1(x))
        return x + self.mlp(self.ln2(x))


class GPT2(nn.Layer):
    """The language model."""

    def __init__(self, words: int = 29, width: int = 16, heads: int = 2, depth: int = 2, positions: int = 12) -> None:
        super().__init__()
        self.token_embedding = nn.Embedding(words, width)
        self.position_embedding = self.create_parameter([positions, width])
        self.blocks = nn.Sequential(*(Block(width, heads) for _ in range(depth)))
        self.norm = nn.LayerNorm(width)

    def forward(self, input_ids: Any) -> Any:
        """Logits `(batch, tokens, words)`."""
        x = self.token_embedding(input_ids) + self.position_embedding[: input_ids.shape[1]]
        x = self.norm(self.blocks(x))
        return F.linear(x, paddle.transpose(self.token_embedding.weight, [1, 0]))


def gpt2(**options: Any) -> Any:
    """The language model."""
    return GPT2(**options)

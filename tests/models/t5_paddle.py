"""T5 in Paddle: keys and values are one Linear, encoder and decoder are lists of parts."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import paddle
from paddle import nn
from paddle.nn import functional as F

from tests.models.paddle_parts import RMSNorm, attend, causal, masked

_BUCKETS, _FARTHEST = 32, 128


def _buckets(rows: int, columns: int, both_ways: bool) -> Any:
    """Bucket of the distance of every two positions, `(rows, columns)`."""
    distance = np.arange(columns)[None] - np.arange(rows)[:, None]
    buckets = _BUCKETS // 2 if both_ways else _BUCKETS
    first = (distance > 0) * buckets if both_ways else 0
    distance = np.abs(distance) if both_ways else np.maximum(-distance, 0)
    exact = buckets // 2
    far = np.log(np.maximum(distance, 1) / exact) / math.log(_FARTHEST / exact) * (buckets - exact)
    far = np.minimum(exact + far.astype(np.int64), buckets - 1)
    return first + np.where(distance < exact, distance, far)


class Attention(nn.Layer):
    """Attention without a bias and without a scale."""

    def __init__(self, width: int, heads: int, size: int) -> None:
        super().__init__()
        self.heads = heads
        self.query = nn.Linear(width, heads * size, bias_attr=False)
        self.key_value = nn.Linear(width, 2 * heads * size, bias_attr=False)
        self.out = nn.Linear(heads * size, width, bias_attr=False)

    def forward(self, x: Any, source: Any, bias: Any) -> Any:
        """`(batch, tokens, width)` of the tokens `x`, which look at `source`."""
        k, v = self.key_value(source).chunk(2, axis=-1)
        return self.out(attend(self.query(x), k, v, self.heads, bias, scale=1.0))


class FeedForward(nn.Layer):
    """Two Linears."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.up = nn.Linear(width, hidden, bias_attr=False)
        self.down = nn.Linear(hidden, width, bias_attr=False)

    def forward(self, x: Any) -> Any:
        """Of the same shape."""
        return self.down(F.relu(self.up(x)))


class Block(nn.Layer):
    """Attention to itself, in a decoder to the encoder, and an MLP, each after a norm."""

    def __init__(self, width: int, heads: int, size: int, *, crossed: bool) -> None:
        super().__init__()
        self.self_attention = Attention(width, heads, size)
        self.self_norm = RMSNorm(width)
        if crossed:
            self.cross_attention = Attention(width, heads, size)
            self.cross_norm = RMSNorm(width)
        self.mlp, self.mlp_norm = FeedForward(width, 2 * width), RMSNorm(width)

    def forward(self, x: Any, bias: Any, source: Any = None, source_bias: Any = None) -> Any:
        """Of the same shape."""
        y = self.self_norm(x)
        x = x + self.self_attention(y, y, bias)
        if source is not None:
            x = x + self.cross_attention(self.cross_norm(x), source, source_bias)
        return x + self.mlp(self.mlp_norm(x))


class Stack(nn.Layer):
    """Encoder or decoder; one table of relative positions for all its blocks."""

    def __init__(self, width: int, heads: int, size: int, depth: int, *, decoder: bool) -> None:
        super().__init__()
        self.decoder = decoder
        self.relative_bias = self.create_parameter([_BUCKETS, heads])
        self.blocks = nn.LayerList([Block(width, heads, size, crossed=decoder) for _ in range(depth)])
        self.final_norm = RMSNorm(width)

    def forward(self, x: Any, bias: Any, source: Any = None, source_bias: Any = None) -> Any:
        """Of the same shape."""
        length = x.shape[1]
        index = paddle.to_tensor(_buckets(length, length, not self.decoder))
        bias = bias + F.embedding(index, self.relative_bias).transpose([2, 0, 1])[None]
        for block in self.blocks:
            x = block(x, bias, source, source_bias)
        return self.final_norm(x)


class T5(nn.Layer):
    """The model; its head is its embedding."""

    def __init__(self, words: int = 29, width: int = 16, heads: int = 2, size: int = 6, depth: int = 2) -> None:
        super().__init__()
        self.embedding = nn.Embedding(words, width)
        self.encoder = Stack(width, heads, size, depth, decoder=False)
        self.decoder = Stack(width, heads, size, depth, decoder=True)

    def forward(self, input_ids: Any, attention_mask: Any, decoder_input_ids: Any) -> Any:
        """Logits `(batch, tokens of the decoder, words)`."""
        x, y = self.embedding(input_ids), self.embedding(decoder_input_ids)
        bias = masked(attention_mask, x)
        y = self.decoder(y, causal(y.shape[1], y), self.encoder(x, bias), bias)
        return paddle.matmul(y * y.shape[-1] ** -0.5, self.embedding.weight, transpose_y=True)


def t5() -> Any:
    """The model."""
    return T5()

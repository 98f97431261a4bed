"""Llama in Paddle, as the original code has it: rotary positions turn neighbouring pairs, not halves."""

from __future__ import annotations

from typing import Any

import paddle
from paddle import nn
from paddle.nn import functional as F

from tests.models.paddle_parts import RMSNorm, attend, causal


def _no_bias(into: int, out: int) -> Any:
    return nn.Linear(into, out, bias_attr=False)


class Attention(nn.Layer):
    """Causal attention with rotary positions and fewer heads of keys and values than of queries."""

    def __init__(self, width: int, heads: int, groups: int) -> None:
        super().__init__()
        size = width // heads
        self.heads, self.groups, self.size = heads, groups, size
        self.wq, self.wo = _no_bias(width, width), _no_bias(width, width)
        self.wk, self.wv = _no_bias(width, groups * size), _no_bias(width, groups * size)
        frequencies = 10000.0 ** (-paddle.arange(0, size, 2, dtype="float32") / size)
        self.register_buffer("frequencies", frequencies, persistable=False)

    def _turn(self, x: Any) -> Any:
        """Turn each pair of `(batch, tokens, heads, size)` by its position."""
        pairs = x.reshape([0, 0, 0, self.size // 2, 2])
        angles = paddle.arange(x.shape[1]).astype(x.dtype)[:, None, None] * self.frequencies.astype(x.dtype)
        cos, sin = angles.cos(), angles.sin()
        real, imaginary = pairs[..., 0], pairs[..., 1]
        turned = paddle.stack([real * cos - imaginary * sin, real * sin + imaginary * cos], -1)
        return turned.reshape(x.shape)

    def forward(self, x: Any) -> Any:
        """Of the same shape."""
        q = self._turn(self.wq(x).reshape([0, 0, self.heads, self.size]))
        k = self._turn(self.wk(x).reshape([0, 0, self.groups, self.size]))
        v = self.wv(x).reshape([0, 0, self.groups, self.size])
        k, v = (paddle.repeat_interleave(y, self.heads // self.groups, 2).flatten(2) for y in (k, v))
        return self.wo(attend(q.flatten(2), k, v, self.heads, causal(x.shape[1], x)))


class FeedForward(nn.Layer):
    """What `w3` gives passes the gate `w1`."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.w1, self.w2, self.w3 = _no_bias(width, hidden), _no_bias(hidden, width), _no_bias(width, hidden)

    def forward(self, x: Any) -> Any:
        """Of the same shape."""
        return self.w2(F.silu(self.w1(x)) * self.w3(x))


class Block(nn.Layer):
    """Attention and MLP, each after a norm."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.attention = Attention(width, 4, 2)
        self.feed_forward = FeedForward(width, 24)
        self.attention_norm, self.ffn_norm = RMSNorm(width), RMSNorm(width)

    def forward(self, x: Any) -> Any:
        """Of the same shape."""
        x = x + self.attention(self.attention_norm(x))
        return x + self.feed_forward(self.ffn_norm(x))


class Llama(nn.Layer):
    """The language model."""

    def __init__(self, words: int = 29, width: int = 16, depth: int = 2, positions: int = 16) -> None:
        super().__init__()
        self.positions = positions
        self.tok_embeddings = nn.Embedding(words, width)
        self.layers = nn.LayerList([Block(width) for _ in range(depth)])
        self.norm, self.output = RMSNorm(width), _no_bias(width, words)

    def forward(self, tokens: Any) -> Any:
        """Logits `(batch, tokens, words)` of at most so many tokens as there are positions."""
        assert tokens.shape[1] <= self.positions
        x = self.tok_embeddings(tokens)
        for layer in self.layers:
            x = layer(x)
        return self.output(self.norm(x))


def llama(**options: Any) -> Any:
    """The language model."""
    return Llama(**options)

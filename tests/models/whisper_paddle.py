"""Whisper's encoder in Paddle, under the names of the original code; positions are a buffer."""

from __future__ import annotations

from typing import Any

import paddle
from paddle import nn
from paddle.nn import functional as F

from tests.models.paddle_parts import attend


class Attention(nn.Layer):
    """Attention whose keys have no bias."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.n_head = heads
        self.query, self.key = nn.Linear(width, width), nn.Linear(width, width, bias_attr=False)
        self.value, self.out = nn.Linear(width, width), nn.Linear(width, width)

    def forward(self, x: Any) -> Any:
        """Of the same shape."""
        return self.out(attend(self.query(x), self.key(x), self.value(x), self.n_head))


class Block(nn.Layer):
    """Attention and MLP, each after a norm."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.attn, self.attn_ln = Attention(width, heads), nn.LayerNorm(width)
        self.mlp = nn.Sequential(nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width))
        self.mlp_ln = nn.LayerNorm(width)

    def forward(self, x: Any) -> Any:
        """Of the same shape."""
        x = x + self.attn(self.attn_ln(x))
        return x + self.mlp(self.mlp_ln(x))


class AudioEncoder(nn.Layer):
    """The encoder."""

    def __init__(self, mels: int = 8, width: int = 16, heads: int = 2, depth: int = 2, positions: int = 10) -> None:
        super().__init__()
        self.conv1 = nn.Conv1D(mels, width, 3, padding=1)
        self.conv2 = nn.Conv1D(width, width, 3, stride=2, padding=1)
        self.register_buffer("positional_embedding", paddle.zeros([positions, width]))
        self.blocks = nn.LayerList([Block(width, heads) for _ in range(depth)])
        self.ln_post = nn.LayerNorm(width)

    def forward(self, mel: Any) -> Any:
        """`(batch, positions, width)` of `(batch, mels, 2 * positions)`."""
        x = F.gelu(self.conv2(F.gelu(self.conv1(mel)))).transpose([0, 2, 1])
        x = x + self.positional_embedding
        for block in self.blocks:
            x = block(x)
        return self.ln_post(x)


def whisper(**options: Any) -> Any:
    """The encoder."""
    return AudioEncoder(**options)

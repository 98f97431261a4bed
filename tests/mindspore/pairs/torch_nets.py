"""A small transformer with torch's packed attention, and a small convolutional net."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Block(nn.Module):
    """A layer of the transformer."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.ln1 = nn.LayerNorm(width)
        self.attn = nn.MultiheadAttention(width, heads, batch_first=True)
        self.ln2 = nn.LayerNorm(width)
        self.mlp = nn.Sequential(nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width))

    def forward(self, x: Tensor) -> Tensor:
        """Takes and returns `(batch, tokens, width)`."""
        y = self.ln1(x)
        x = x + self.attn(y, y, y, need_weights=False)[0]
        return x + self.mlp(self.ln2(x))


class Transformer(nn.Module):
    """Classifies sequences of up to 16 tokens."""

    def __init__(self, width: int = 12, heads: int = 3, depth: int = 2) -> None:
        super().__init__()
        self.embed = nn.Embedding(20, width)
        self.pos = nn.Parameter(torch.randn(1, 16, width))
        self.blocks = nn.ModuleList(Block(width, heads) for _ in range(depth))
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, 5)

    def forward(self, ids: Tensor) -> Tensor:
        """Takes `(batch, tokens)`, returns `(batch, 5)`."""
        x = self.embed(ids) + self.pos[:, : ids.shape[1]]
        for block in self.blocks:
            x = block(x)
        return self.head(self.norm(x).mean(1))


class Gated(nn.Module):
    """An LSTM and a GRU with wide inputs."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm, self.gru = nn.LSTM(8, 6, batch_first=True), nn.GRU(6, 6, batch_first=True)
        self.pool, self.out = nn.Linear(6, 10), nn.Linear(10, 4)

    def forward(self, x: Tensor) -> Tensor:
        """Takes `(batch, steps, 8)`, returns `(batch, 4)`."""
        x = self.gru(self.lstm(5 * x)[0])[0]
        return self.out(torch.tanh(6 * self.pool(x)).softmax(-1).mean(1))


class Signal(nn.Module):
    """Convolutions in one dimension."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv1d(3, 8, 5, stride=2, padding=2), nn.GroupNorm(4, 8)
        self.deep, self.head = nn.Conv1d(8, 8, 3, padding=1, groups=8, bias=False), nn.Linear(8, 5)

    def forward(self, x: Tensor) -> Tensor:
        """Takes `(batch, 3, steps)`, returns `(batch, 5)`."""
        return self.head(nn.functional.gelu(self.deep(self.norm(self.conv(x)))).mean(-1))

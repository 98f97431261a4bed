"""The port of the scorer in `benchmarks.mistakes.nets`: an activation in place, and scores that a mask fills in."""

from __future__ import annotations

from typing import Any

import paddle
from paddle import nn
from paddle.nn import functional as F


class Block(nn.Layer):
    """An activation whose result the shortcut sees, too."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2D(3, 3, 3, padding=1)

    def forward(self, x: Any) -> Any:
        """Of the same shape."""
        y = F.leaky_relu(x, 0.2)
        return y + self.conv(y)


class Scorer(nn.Layer):
    """Scores of which every second one is filled in."""

    def __init__(self) -> None:
        super().__init__()
        self.block = Block()
        self.fc, self.far = nn.Linear(48, 12), nn.Linear(48, 12)

    def forward(self, x: Any) -> Any:
        """Two scores `(batch, 12)`, one with much larger fills than the other."""
        x = self.block(x * 1.0).flatten(1)
        even = paddle.arange(12) % 2 == 0
        near = paddle.where(even, paddle.full([1, 12], -1e9, x.dtype), self.fc(x))
        return near, paddle.where(even, paddle.full([1, 12], -1e12, x.dtype), self.far(x))


def scorer() -> Any:
    """The port."""
    return Scorer()

"""The port of `nets.decoder`."""

from __future__ import annotations

from typing import Any

import paddle
import paddle.nn.functional as F
from paddle import nn


class Grow(nn.Layer):
    """Twice the rows and columns."""

    def forward(self, x: Any) -> Any:
        """From `(batch, channels, rows, columns)`."""
        return F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)


class Unit(nn.Layer):
    """Descriptors of unit length."""

    def forward(self, x: Any) -> Any:
        """Of the same shape."""
        return F.normalize(x, axis=1)


class Standardise(nn.Layer):
    """Channels of standard deviation one."""

    def forward(self, x: Any) -> Any:
        """Of the same shape."""
        return x / (x.std((2, 3), unbiased=False, keepdim=True) + 0.1)


class Loss(nn.Layer):
    """The mean loss of fixed labels, those of 6 left out."""

    def forward(self, x: Any) -> Any:
        """Shape `(1, 1)`."""
        count = x.shape[0] * x.shape[2] * x.shape[3]
        labels = (paddle.arange(count) % 7).reshape([x.shape[0], x.shape[2], x.shape[3]])
        return F.cross_entropy(x.transpose([0, 2, 3, 1]), labels, ignore_index=6).reshape([1, 1])


class Decoder(nn.Layer):
    """The net."""

    def __init__(self) -> None:
        super().__init__()
        self.down, self.up = nn.Conv2D(3, 8, 3, 2, 1), nn.Conv2D(8, 8, 3, padding=1)
        self.norm, self.head = nn.GroupNorm(4, 8), nn.Conv2D(8, 7, 1)
        self.scale = Standardise()
        self.grow, self.unit, self.loss = Grow(), Unit(), Loss()

    def forward(self, x: Any) -> Any:
        """The loss."""
        x = self.grow(self.norm(self.down(x)))
        return self.loss(self.head(self.scale(self.unit(F.leaky_relu(self.up(x), 0.2)))))


def decoder() -> Any:
    """The net."""
    return Decoder()

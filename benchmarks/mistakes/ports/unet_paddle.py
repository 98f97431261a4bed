"""The port of `unet_torch`."""

from __future__ import annotations

from typing import Any

import paddle
import paddle.nn.functional as F
from paddle import nn


class Stage(nn.Layer):
    """Two convolutions with their norms, and what they get beside them."""

    def __init__(self, in_channels: int, channels: int, dilation: int = 1) -> None:
        super().__init__()
        self.body = nn.LayerList(
            [
                nn.Conv2D(in_channels, channels, 3, padding=dilation, dilation=dilation, bias_attr=False),
                nn.GroupNorm(4, channels),
                nn.Conv2D(channels, channels, 3, padding=1, padding_mode="reflect", bias_attr=False),
                nn.GroupNorm(4, channels),
            ]
        )
        self.project = nn.Conv2D(in_channels, channels, 1) if in_channels != channels else None

    def forward(self, x: Any) -> Any:
        """Shape `(batch, channels, rows, columns)`."""
        shortcut = x if self.project is None else self.project(x)
        y = F.silu(self.body[1](self.body[0](x)))
        y = self.body[3](self.body[2](y))
        return F.silu(y + shortcut)


class Segmenter(nn.Layer):
    """The net."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = Stage(3, 8)
        self.reduce = nn.Conv2D(8, 16, 3, stride=2, padding=1)
        self.middle = nn.LayerList([Stage(16, 16, dilation=2), Stage(16, 16)])
        self.pooling = nn.AvgPool2D(3, stride=2, padding=1, exclusive=True)
        self.norm = nn.InstanceNorm2D(16)
        self.grow = nn.Conv2DTranspose(16, 16, 3, stride=2, padding=1, output_padding=1)
        self.merge = nn.LayerList([Stage(32, 16), Stage(16, 8)])
        self.widen = nn.Conv2D(16, 32, 1)
        self.slope = nn.PReLU(8)
        self.classes = nn.Conv2D(8, 5, 1)
        self.range = nn.Conv2D(8, 1, 3, padding=1)

    def forward(self, image: Any) -> Any:
        """The logits of five classes for each pixel, and its depth."""
        fine = self.stem(image)
        coarse = self.middle[0](self.reduce(fine))
        deep = self.norm(self.middle[1](self.pooling(coarse)))
        y = self.merge[0](paddle.concat([coarse, self.grow(deep)], axis=1))
        y = self.merge[1](paddle.concat([fine, F.pixel_shuffle(self.widen(y), 2)], axis=1))
        y = self.slope(y)
        distance = F.softplus(self.range(y) * 2.0)
        distance = paddle.clip(distance, 0.05, 6.0)
        return {"mask": self.classes(y), "depth": paddle.log(distance)}


def unet() -> Any:
    """The net."""
    return Segmenter()

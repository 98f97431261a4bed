"""A U-Net with group norms: dilated convolutions, a transposed one, skips that are joined, and a map of depths."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import nn


class Double(nn.Module):
    """Two convolutions with their norms, and what they get beside them."""

    def __init__(self, into: int, out: int, dilation: int = 1) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(into, out, 3, padding=dilation, dilation=dilation, bias=False)
        self.norm1 = nn.GroupNorm(4, out)
        self.conv2 = nn.Conv2d(out, out, 3, padding=1, padding_mode="reflect", bias=False)
        self.norm2 = nn.GroupNorm(4, out)
        self.skip = nn.Conv2d(into, out, 1) if into != out else nn.Identity()

    def forward(self, x: Any) -> Any:
        """Shape `(batch, out, rows, columns)`."""
        y = F.silu(self.norm1(self.conv1(x)))
        return F.silu(self.norm2(self.conv2(y)) + self.skip(x))


class UNet(nn.Module):
    """The net."""

    def __init__(self) -> None:
        super().__init__()
        self.inc = Double(3, 8)
        self.down = nn.Conv2d(8, 16, 3, stride=2, padding=1)
        self.enc = Double(16, 16, dilation=2)
        self.pool = nn.AvgPool2d(3, stride=2, padding=1, count_include_pad=False)
        self.mid = Double(16, 16)
        self.inst = nn.InstanceNorm2d(16, affine=True)
        self.up1 = nn.ConvTranspose2d(16, 16, 3, stride=2, padding=1, output_padding=1)
        self.dec1 = Double(32, 16)
        self.expand = nn.Conv2d(16, 32, 1)
        self.shuffle = nn.PixelShuffle(2)
        self.dec2 = Double(16, 8)
        self.act = nn.PReLU(8)
        self.mask = nn.Conv2d(8, 5, 1)
        self.depth = nn.Conv2d(8, 1, 3, padding=1)

    def forward(self, x: Any) -> Any:
        """The logits of five classes for each pixel, and its depth."""
        first = self.inc(x)
        second = self.enc(self.down(first))
        y = self.inst(self.mid(self.pool(second)))
        y = self.dec1(torch.cat([second, self.up1(y)], 1))
        y = self.dec2(torch.cat([first, self.shuffle(self.expand(y))], 1))
        y = self.act(y)
        depth = F.softplus(self.depth(y) * 2.0).clamp(0.05, 6.0)
        return {"mask": self.mask(y), "depth": torch.log(depth)}


def unet() -> Any:
    """The net."""
    return UNet()

"""A classifier of blocks as in ConvNeXt V2 and in EfficientNet."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import nn


def drop_path(x: Any, rate: float, training: bool) -> Any:
    """What it gets, without some of the samples in training."""
    if not training or rate == 0.0:
        return x
    keep = 1 - rate
    return x * x.new_empty((x.shape[0], 1, 1, 1)).bernoulli_(keep) / keep


class DropPath(nn.Module):
    """Stochastic depth."""

    def __init__(self, drop_prob: float) -> None:
        super().__init__()
        self.drop_prob = drop_prob

    def forward(self, x: Any) -> Any:
        """Of the same shape."""
        return drop_path(x, self.drop_prob, self.training)


class LayerNorm2d(nn.LayerNorm):
    """A layer norm over the channels of a map."""

    def forward(self, x: Any) -> Any:
        """Of the same shape."""
        return F.layer_norm(x.permute(0, 2, 3, 1), self.normalized_shape, self.weight, self.bias, self.eps).permute(
            0, 3, 1, 2
        )


class Response(nn.Module):
    """Global response normalisation."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.gamma, self.beta = nn.Parameter(torch.zeros(width)), nn.Parameter(torch.zeros(width))

    def forward(self, x: Any) -> Any:
        """Of the same shape, channels last."""
        norms = torch.norm(x, p=2, dim=(1, 2), keepdim=True)
        return self.gamma * (x * norms / (norms.mean(-1, keepdim=True) + 1e-6)) + self.beta + x


class NextBlock(nn.Module):
    """A block of ConvNeXt."""

    def __init__(self, width: int, rate: float) -> None:
        super().__init__()
        self.dwconv = nn.Conv2d(width, width, 7, padding=3, groups=width)
        self.norm = nn.LayerNorm(width, eps=1e-6)
        self.pwconv1, self.pwconv2 = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)
        self.grn = Response(4 * width)
        self.layer_scale = nn.Parameter(torch.full((width,), 0.1))
        self.drop = DropPath(rate)

    def forward(self, x: Any) -> Any:
        """Of the same shape."""
        y = self.norm(self.dwconv(x).permute(0, 2, 3, 1))
        y = self.pwconv2(self.grn(F.gelu(self.pwconv1(y))))
        return x + self.drop((self.layer_scale * y).permute(0, 3, 1, 2))


class Excite(nn.Module):
    """Squeeze and excitation."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.reduce, self.expand = nn.Conv2d(width, hidden, 1), nn.Conv2d(hidden, width, 1)

    def forward(self, x: Any) -> Any:
        """Of the same shape."""
        return x * torch.sigmoid(self.expand(F.silu(self.reduce(x.mean((2, 3), keepdim=True)))))


class MobileBlock(nn.Module):
    """A block of EfficientNet."""

    def __init__(self, into: int, out: int, stride: int) -> None:
        super().__init__()
        width = 2 * into
        self.expand, self.bn1 = nn.Conv2d(into, width, 1, bias=False), nn.BatchNorm2d(width, eps=1e-3, momentum=0.01)
        self.depth = nn.Conv2d(width, width, 5, stride, 2, groups=width, bias=False)
        self.bn2 = nn.BatchNorm2d(width, eps=1e-3, momentum=0.01)
        self.se = Excite(width, into // 2)
        self.project, self.bn3 = nn.Conv2d(width, out, 1, bias=False), nn.BatchNorm2d(out, eps=1e-3, momentum=0.01)
        self.shortcut = stride == 1 and into == out

    def forward(self, x: Any) -> Any:
        """Shape `(batch, out, rows / stride, columns / stride)`."""
        y = F.silu(self.bn1(self.expand(x)))
        y = self.se(F.silu(self.bn2(self.depth(y))))
        y = self.bn3(self.project(y))
        return x + y if self.shortcut else y


class ConvNet(nn.Module):
    """The net."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 12, 4, stride=4), LayerNorm2d(12, eps=1e-6))
        self.stage1 = nn.Sequential(NextBlock(12, 0.0), NextBlock(12, 0.1))
        self.downsample = nn.Sequential(LayerNorm2d(12, eps=1e-6), nn.Conv2d(12, 16, 2, stride=2))
        self.stage2 = nn.Sequential(MobileBlock(16, 16, 1), MobileBlock(16, 20, 2))
        self.norm = nn.LayerNorm(20, eps=1e-6)
        self.dropout = nn.Dropout(0.2)
        self.head = nn.Linear(20, 10)

    def forward(self, x: Any) -> Any:
        """Logits `(batch, 10)`."""
        x = self.stage2(self.downsample(self.stage1(self.stem(x))))
        return self.head(self.dropout(self.norm(x.mean((2, 3)))))


def convnet() -> Any:
    """The net."""
    return ConvNet()

"""The port of `convnet_torch`."""

from __future__ import annotations

from typing import Any

import paddle
import paddle.nn.functional as F
from paddle import nn


class StochasticDepth(nn.Layer):
    """What it gets, without some of the samples in training."""

    def __init__(self, p: float) -> None:
        super().__init__()
        self.p = p

    def forward(self, x: Any) -> Any:
        """Of the same shape."""
        if not self.training or self.p == 0.0:
            return x
        keep = 1 - self.p
        mask = paddle.bernoulli(paddle.full([x.shape[0], 1, 1, 1], keep, x.dtype))
        return x / keep * mask


class ChannelNorm(nn.Layer):
    """A layer norm over the channels of a map."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width, epsilon=1e-6)

    def forward(self, x: Any) -> Any:
        """Of the same shape."""
        return self.norm(x.transpose([0, 2, 3, 1])).transpose([0, 3, 1, 2])


class Grn(nn.Layer):
    """Global response normalisation."""

    def __init__(self, width: int) -> None:
        super().__init__()
        zeros = nn.initializer.Constant(0.0)
        self.scale = self.create_parameter([width], default_initializer=zeros)
        self.shift = self.create_parameter([width], default_initializer=zeros)

    def forward(self, x: Any) -> Any:
        """Of the same shape, channels last."""
        norms = paddle.sqrt((x * x).sum([1, 2], keepdim=True))
        share = norms / (norms.mean(-1, keepdim=True) + 1e-6)
        return self.scale * (x * share) + self.shift + x


class ConvBlock(nn.Layer):
    """A block of ConvNeXt."""

    def __init__(self, width: int, rate: float) -> None:
        super().__init__()
        self.spatial = nn.Conv2D(width, width, 7, padding=3, groups=width)
        self.ln = nn.LayerNorm(width, epsilon=1e-6)
        self.wide, self.narrow = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)
        self.act, self.response = nn.GELU(), Grn(4 * width)
        self.gamma = self.create_parameter([width], default_initializer=nn.initializer.Constant(0.1))
        self.path = StochasticDepth(rate)

    def forward(self, x: Any) -> Any:
        """Of the same shape."""
        y = self.ln(self.spatial(x).transpose([0, 2, 3, 1]))
        y = self.narrow(self.response(self.act(self.wide(y))))
        y = (self.gamma * y).transpose([0, 3, 1, 2])
        return x + self.path(y)


class Gate(nn.Layer):
    """Squeeze and excitation."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.pool = nn.AdaptiveAvgPool2D(1)
        self.fc1, self.fc2 = nn.Conv2D(width, hidden, 1), nn.Conv2D(hidden, width, 1)

    def forward(self, x: Any) -> Any:
        """Of the same shape."""
        y = F.silu(self.fc1(self.pool(x)))
        return x * F.sigmoid(self.fc2(y))


def _norm(width: int) -> Any:
    return nn.BatchNorm2D(width, momentum=0.99, epsilon=1e-3)


class Inverted(nn.Layer):
    """A block of EfficientNet."""

    def __init__(self, width: int, out: int, stride: int) -> None:
        super().__init__()
        wide = 2 * width
        self.up = nn.Sequential(nn.Conv2D(width, wide, 1, bias_attr=False), _norm(wide), nn.Silu())
        self.mid = nn.Sequential(
            nn.Conv2D(wide, wide, 5, stride=stride, padding=2, groups=wide, bias_attr=False), _norm(wide), nn.Silu()
        )
        self.gate = Gate(wide, width // 2)
        self.down = nn.Sequential(nn.Conv2D(wide, out, 1, bias_attr=False), _norm(out))
        self.residual = stride == 1 and width == out

    def forward(self, x: Any) -> Any:
        """Shape `(batch, out, rows / stride, columns / stride)`."""
        y = self.down(self.gate(self.mid(self.up(x))))
        return x + y if self.residual else y


class Classifier(nn.Layer):
    """The net."""

    def __init__(self) -> None:
        super().__init__()
        self.patchify, self.patch_norm = nn.Conv2D(3, 12, 4, stride=4), ChannelNorm(12)
        self.blocks = nn.LayerList([ConvBlock(12, 0.0), ConvBlock(12, 0.1)])
        self.shrink_norm, self.shrink = ChannelNorm(12), nn.Conv2D(12, 16, 2, stride=2)
        self.late = nn.LayerList([Inverted(16, 16, 1), Inverted(16, 20, 2)])
        self.final_norm = nn.LayerNorm(20, epsilon=1e-6)
        self.drop = nn.Dropout(0.2)
        self.fc = nn.Linear(20, 10)

    def forward(self, x: Any) -> Any:
        """Logits `(batch, 10)`."""
        x = self.patch_norm(self.patchify(x))
        for block in self.blocks:
            x = block(x)
        x = self.shrink(self.shrink_norm(x))
        for block in self.late:
            x = block(x)
        x = self.final_norm(x.mean([2, 3]))
        return self.fc(self.drop(x))


def convnet() -> Any:
    """The net."""
    return Classifier()

"""Layers of the models in Paddle: timm's blocks, with torch's initial values instead of Paddle's."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import sqrt
from typing import Any, ClassVar, TypeAlias

import numpy as np
import numpy.typing as npt
import paddle
from paddle import Tensor, nn
from paddle.nn import initializer

from paddle_impl.kernels import linear, self_attention


class Linear(nn.Linear):
    """`paddle.nn.Linear` with torch's initial values: weight and bias uniform within 1 / sqrt(fan-in)."""

    def __init__(self, in_features: int, out_features: int) -> None:
        initial = _uniform(in_features)
        super().__init__(in_features, out_features, weight_attr=initial, bias_attr=initial)

    def forward(self, x: Tensor) -> Tensor:
        """Takes `(..., in)`, returns `(..., out)`."""
        return linear(x, self.weight, self.bias)


class Conv2D(nn.Conv2D):
    """`paddle.nn.Conv2D` with torch's initial values: weight and bias uniform within 1 / sqrt(fan-in)."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int,
        stride: int = 1,
        padding: int = 0,
        groups: int = 1,
        *,
        bias: bool = True,
    ) -> None:
        initial = _uniform(in_channels // groups * kernel_size**2)
        super().__init__(
            in_channels,
            out_channels,
            kernel_size,
            stride,
            padding,
            groups=groups,
            weight_attr=initial,
            bias_attr=initial if bias else False,
        )


def _uniform(fan_in: int) -> paddle.ParamAttr:
    """Torch's default: Kaiming uniform with a = sqrt(5), which is this bound, and the same bound for the bias."""
    bound = 1 / sqrt(fan_in)
    return paddle.ParamAttr(initializer=initializer.Uniform(-bound, bound))


class Renamed(nn.Layer):
    """Mixin of a layer that stores some attributes under the names of a published layout.

    The code uses the attribute's own name; the state dict has the published one.

    Attributes:
        published: Name in the state dict of each attribute.
    """

    published: ClassVar[Mapping[str, str]] = {}

    def __setattr__(self, name: str, value: Any) -> None:
        super().__setattr__(self.published.get(name, name), value)

    def __getattr__(self, name: str) -> Any:
        return super().__getattr__(self.published.get(name, name))


def drop_path_rates(rate: float, blocks: int) -> list[float]:
    """The rates of so many blocks in a row, linearly from 0 to `rate`: bit by bit those of timm.

    timm takes them from `torch.linspace` in float32, which counts up to the middle, then down from the end, and rounds
    once. A rate that is off by 1e-9 scales a whole branch by that much, which shows in float64.
    """
    last, step = max(blocks - 1, 1), float(np.float32(rate) / np.float32(max(blocks - 1, 1)))
    rates = [step * i if i < blocks // 2 else float(np.float32(rate)) - step * (last - i) for i in range(blocks)]
    return [float(np.float32(value)) for value in rates] if blocks > 1 else [0.0] * blocks


Uniform: TypeAlias = Callable[[tuple[int, ...]], npt.NDArray[np.float64]]
"""Draws numbers of this shape, uniform in [0, 1)."""


def _mask(draw: Uniform, x: Tensor, shape: tuple[int, ...], rate: float) -> Tensor:
    """Zero or 1 / (1 - rate) for each entry of `shape`, in the type of `x`."""
    kept = np.asarray(draw(shape) < 1 - rate, np.float64) / (1 - rate)
    return paddle.to_tensor(kept, place=x.place).astype(x.dtype)


class Dropout(nn.Dropout):
    """`paddle.nn.Dropout` whose draws can be injected.

    Attributes:
        draw: Draws the mask of each call; None leaves it to Paddle's generator.
    """

    draw: Uniform | None = None

    def forward(self, x: Tensor) -> Tensor:
        """Takes and returns a tensor of any shape; the same tensor in evaluation."""
        if self.draw is None or self.p == 0 or not self.training:
            return super().forward(x)
        return x * _mask(self.draw, x, tuple(x.shape), self.p)


class DropPath(nn.Layer):
    """Drops the residual branch of whole samples in training (arXiv 1603.09382), and scales up the other samples'.

    Args:
        rate: Probability that a sample loses the branch.

    Attributes:
        draw: Draws the mask of each call; None leaves it to Paddle's generator.
    """

    draw: Uniform | None = None

    def __init__(self, rate: float) -> None:
        super().__init__()
        self.drop_prob = rate

    def forward(self, x: Tensor) -> Tensor:
        """Takes and returns `(batch, ...)`; the same tensor in evaluation."""
        if self.drop_prob == 0.0 or not self.training:
            return x
        if self.draw is not None:
            return x * _mask(self.draw, x, (x.shape[0],) + (1,) * (x.ndim - 1), self.drop_prob)
        keep = 1 - self.drop_prob
        mask = paddle.bernoulli(paddle.full([x.shape[0]] + [1] * (x.ndim - 1), keep, dtype=x.dtype))
        return x * (mask / keep)


class Attention(nn.Layer):
    """Multi-head self-attention.

    Args:
        width: Channels.
        heads: Attention heads.
        attn_drop: Dropout rate of the attention weights.
        proj_drop: Dropout rate after the projection.
    """

    def __init__(self, width: int, heads: int, attn_drop: float = 0.0, proj_drop: float = 0.0) -> None:
        super().__init__()
        self.num_heads = heads
        self.qkv = Linear(width, width * 3)
        self.attn_drop = Dropout(attn_drop)
        self.proj = Linear(width, width)
        self.proj_drop = Dropout(proj_drop)

    def forward(self, x: Tensor) -> Tensor:
        """Takes and returns tokens `(batch, tokens, width)`."""
        drops = self.attn_drop if self.attn_drop.draw is not None else None
        dropout = self.attn_drop.p if self.training else 0.0
        return self.proj_drop(self.proj(self_attention(self.qkv(x), self.num_heads, dropout, drops)))


class Mlp(nn.Layer):
    """Two layers with an exact (erf) GELU between.

    Args:
        width: Channels in and out.
        hidden: Channels between.
        drop: Dropout rate after each layer.
    """

    def __init__(self, width: int, hidden: int, drop: float = 0.0) -> None:
        super().__init__()
        self.fc1 = Linear(width, hidden)
        self.act = nn.GELU()
        self.drop1 = Dropout(drop)
        self.fc2 = Linear(hidden, width)
        self.drop2 = Dropout(drop)

    def forward(self, x: Tensor) -> Tensor:
        """Takes and returns `(..., width)`."""
        return self.drop2(self.fc2(self.drop1(self.act(self.fc1(x)))))


class Block(nn.Layer):
    """A transformer block that norms first.

    Args:
        width: Channels.
        heads: Attention heads.
        mlp_ratio: Width of the MLP over the channels.
        proj_drop: Dropout rate after each projection.
        attn_drop: Dropout rate of the attention weights.
        drop_path: Drop path rate of both branches.
        norm_layer: Makes a norm over this many channels.
        attn_layer: Makes the attention: `Attention`, or a subclass of it.
    """

    def __init__(
        self,
        width: int,
        heads: int,
        mlp_ratio: float = 4.0,
        *,
        proj_drop: float = 0.0,
        attn_drop: float = 0.0,
        drop_path: float = 0.0,
        norm_layer: Callable[[int], nn.Layer] = nn.LayerNorm,
        attn_layer: Callable[[int, int, float, float], nn.Layer] = Attention,
    ) -> None:
        super().__init__()
        self.norm1 = norm_layer(width)
        self.attn = attn_layer(width, heads, attn_drop, proj_drop)
        self.drop_path1 = DropPath(drop_path)
        self.norm2 = norm_layer(width)
        self.mlp = Mlp(width, int(width * mlp_ratio), proj_drop)
        self.drop_path2 = DropPath(drop_path)

    def forward(self, x: Tensor) -> Tensor:
        """Takes and returns tokens `(batch, tokens, width)`."""
        x = x + self.drop_path1(self.attn(self.norm1(x)))
        return x + self.drop_path2(self.mlp(self.norm2(x)))

"""PiT as it is usually ported to Paddle, from Paddle's own layers: the baseline of `twins.py` and `train.py`."""

from __future__ import annotations

from itertools import pairwise

import paddle
from paddle import Tensor, nn

CONFIGS = {
    "pit_ti": (16, 8, (64, 128, 256), (2, 6, 4), (2, 4, 8)),
    "pit_xs": (16, 8, (96, 192, 384), (2, 6, 4), (2, 4, 8)),
    "pit_s": (16, 8, (144, 288, 576), (2, 6, 4), (3, 6, 12)),
    "pit_b": (14, 7, (256, 512, 1024), (3, 6, 4), (4, 8, 16)),
}
"""Patch, stride, widths, depths and heads."""


class Attention(nn.Layer):
    """Multi-head self-attention on `(batch, tokens, width)`."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.scale = (width // heads) ** -0.5
        self.qkv = nn.Linear(width, width * 3)
        self.attn_drop = nn.Dropout(0.0)
        self.proj = nn.Linear(width, width)
        self.proj_drop = nn.Dropout(0.0)

    def forward(self, x: Tensor) -> Tensor:
        """Takes and returns `(batch, tokens, width)`."""
        batch, tokens, width = x.shape
        qkv = self.qkv(x).reshape((batch, tokens, 3, self.heads, width // self.heads)).transpose((2, 0, 3, 1, 4))
        q, k, v = qkv[0], qkv[1], qkv[2]
        attn = nn.functional.softmax(paddle.matmul(q, k.transpose((0, 1, 3, 2))) * self.scale, axis=-1)
        x = paddle.matmul(self.attn_drop(attn), v).transpose((0, 2, 1, 3)).reshape((batch, tokens, width))
        return self.proj_drop(self.proj(x))


class Block(nn.Layer):
    """A pre-norm transformer block on `(batch, tokens, width)`."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(width, epsilon=1e-6)
        self.attn = Attention(width, heads)
        self.norm2 = nn.LayerNorm(width, epsilon=1e-6)
        self.mlp = nn.Sequential(nn.Linear(width, width * 4), nn.GELU(), nn.Linear(width * 4, width))

    def forward(self, x: Tensor) -> Tensor:
        """Takes and returns `(batch, tokens, width)`."""
        x = x + self.attn(self.norm1(x))
        return x + self.mlp(self.norm2(x))


class Pooling(nn.Layer):
    """Strided depthwise convolution of the map, widening of the class token."""

    def __init__(self, narrow: int, wide: int) -> None:
        super().__init__()
        self.conv = nn.Conv2D(narrow, wide, 3, stride=2, padding=1, groups=narrow)
        self.fc = nn.Linear(narrow, wide)

    def forward(self, x: Tensor, token: Tensor) -> tuple[Tensor, Tensor]:
        """Takes the map `(batch, narrow, rows, columns)` and the token `(batch, 1, narrow)`."""
        return self.conv(x), self.fc(token)


class PlainPit(nn.Layer):
    """PiT at 224 pixels and 1000 classes.

    Args:
        name: One of `CONFIGS`.
    """

    def __init__(self, name: str) -> None:
        super().__init__()
        patch, stride, widths, depths, heads = CONFIGS[name]
        side = (224 - patch) // stride + 1
        self.patch_embed = nn.Conv2D(3, widths[0], patch, stride=stride)
        self.pos_embed = self.create_parameter((1, widths[0], side, side))
        self.cls_token = self.create_parameter((1, 1, widths[0]))
        self.transformers = nn.LayerList(
            nn.Sequential(*(Block(width, heads[stage]) for _ in range(depths[stage])))
            for stage, width in enumerate(widths)
        )
        self.pools = nn.LayerList(Pooling(*pair) for pair in pairwise(widths))
        self.norm = nn.LayerNorm(widths[-1], epsilon=1e-6)
        self.head = nn.Linear(widths[-1], 1000)

    def forward(self, x: Tensor) -> Tensor:
        """Turns images `(batch, 3, 224, 224)` into logits `(batch, 1000)`."""
        x = self.patch_embed(x) + self.pos_embed
        token = self.cls_token.expand((x.shape[0], -1, -1))
        for stage, blocks in enumerate(self.transformers):
            if stage > 0:
                x, token = self.pools[stage - 1](x, token)
            batch, width, rows, columns = x.shape
            x = blocks(paddle.concat((token, x.flatten(2).transpose((0, 2, 1))), axis=1))
            token, x = x[:, :1], x[:, 1:].transpose((0, 2, 1)).reshape((batch, width, rows, columns))
        return self.head(self.norm(token)[:, 0])

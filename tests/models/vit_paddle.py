"""A ViT in Paddle, as PaddleViT and PaddleClas write it: queries, keys and values are one Linear."""

from __future__ import annotations

from typing import Any

import paddle
from paddle import nn

from tests.models.paddle_parts import attend


class Attention(nn.Layer):
    """Attention."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.num_heads = heads
        self.qkv, self.proj = nn.Linear(width, 3 * width), nn.Linear(width, width)

    def forward(self, x: Any) -> Any:
        """Of the same shape."""
        qkv = self.qkv(x).reshape([0, x.shape[1], 3, -1])
        return self.proj(attend(qkv[:, :, 0], qkv[:, :, 1], qkv[:, :, 2], self.num_heads))


class Mlp(nn.Layer):
    """Two Linears."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.fc1, self.act, self.fc2 = nn.Linear(width, hidden), nn.GELU(), nn.Linear(hidden, width)

    def forward(self, x: Any) -> Any:
        """Of the same shape."""
        return self.fc2(self.act(self.fc1(x)))


class Block(nn.Layer):
    """Attention and MLP, each after a norm."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.attn_norm, self.mlp_norm = (nn.LayerNorm(width, epsilon=1e-12) for _ in range(2))
        self.attn, self.mlp = Attention(width, heads), Mlp(width, 2 * width)

    def forward(self, x: Any) -> Any:
        """Of the same shape."""
        x = x + self.attn(self.attn_norm(x))
        return x + self.mlp(self.mlp_norm(x))


class VisionTransformer(nn.Layer):
    """The classifier."""

    def __init__(
        self, width: int = 16, heads: int = 2, depth: int = 2, classes: int = 5, *, size: int = 16, patch: int = 4
    ) -> None:
        super().__init__()
        self.patch_embedding = nn.Conv2D(3, width, patch, patch)
        self.position_embedding = self.create_parameter([1, 1 + (size // patch) ** 2, width])
        self.class_token = self.create_parameter([1, 1, width])
        self.layers = nn.Sequential(*(Block(width, heads) for _ in range(depth)))
        self.encoder_norm = nn.LayerNorm(width, epsilon=1e-12)
        self.head = nn.Linear(width, classes)

    def forward(self, image: Any) -> Any:
        """Logits `(batch, classes)` of images `(batch, 3, size, size)`."""
        x = self.patch_embedding(image).flatten(2).transpose([0, 2, 1])
        x = paddle.concat([self.class_token.expand([x.shape[0], -1, -1]), x], 1) + self.position_embedding
        return self.head(self.encoder_norm(self.layers(x))[:, 0])


def vit(**options: Any) -> Any:
    """The classifier."""
    return VisionTransformer(**options)

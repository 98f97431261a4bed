"""What the twins in this folder share: how attention is computed once queries, keys and values are there."""

from __future__ import annotations

from typing import Any

import paddle
from paddle import nn
from paddle.nn import functional as F


def attend(q: Any, k: Any, v: Any, heads: int, bias: Any = None, scale: float | None = None) -> Any:
    """Attention.

    Args:
        q: `(batch, tokens, width)`.
        k: `(batch, others, width)`.
        v: `(batch, others, width)`.
        heads: Number of heads.
        bias: Added to the scores `(batch, heads, tokens, others)`.
        scale: Of the scores; one over the square root of the size of a head unless it is given.
    """
    q, k, v = (x.reshape([0, x.shape[1], heads, -1]).transpose([0, 2, 1, 3]) for x in (q, k, v))
    scores = paddle.matmul(q, k, transpose_y=True) * (q.shape[-1] ** -0.5 if scale is None else scale)
    if bias is not None:
        scores = scores + bias
    mixed = paddle.matmul(F.softmax(scores, -1), v).transpose([0, 2, 1, 3])
    return mixed.reshape([0, mixed.shape[1], -1])


def masked(attention_mask: Any, like: Any) -> Any:
    """What is added to the scores where a mask `(batch, tokens)` is 0."""
    return (1 - attention_mask.astype(like.dtype))[:, None, None] * -1e9


def causal(length: int, like: Any) -> Any:
    """What is added to the scores so that no token sees a later one."""
    return paddle.triu(paddle.full([length, length], -1e9, like.dtype), 1)


class RMSNorm(nn.Layer):
    """Root mean square norm over the last axis."""

    def __init__(self, width: int, epsilon: float = 1e-6) -> None:
        super().__init__()
        self.scale = self.create_parameter([width], default_initializer=nn.initializer.Constant(1.0))
        self.epsilon = epsilon

    def forward(self, x: Any) -> Any:
        """Of the same shape."""
        return x * paddle.rsqrt(x.square().mean(-1, keepdim=True) + self.epsilon) * self.scale

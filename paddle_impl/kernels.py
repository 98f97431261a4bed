"""The two products that take most of PiT's time, arranged for Paddle's CPU kernels.

Only the order of the work differs from Paddle's own operators, not the function. On another device, and in a static
graph, Paddle's operators are used. Gradients are left to autograd: with a backward written by hand (`PyLayer`) a step
takes a tenth less, but in Paddle 3.3 a second backward through one (`retain_graph=True`) crashes the process.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import paddle
import paddle.nn.functional as F
from paddle import Tensor
from paddle.base.dygraph.base import in_sot_simulation_mode

_CHUNK = 1 << 20
"""Attention weights computed at a time: few enough to stay in the cache and to be allocated without page faults."""


def linear(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """`x @ weight + bias`.

    The bias is added as a product with a column of ones, whose gradient is a product too: 0.1 ms over 5840 rows of 192,
    where the reduction in the gradient of a broadcast sum takes 1.0 ms.

    Args:
        x: `(..., in)`.
        weight: `(in, out)`.
        bias: `(out,)`.
    """
    if not _eager_on_cpu():
        return F.linear(x, weight, bias)
    ones = paddle.ones((*x.shape[:-1], 1), x.dtype)
    return paddle.matmul(x, weight) + paddle.matmul(ones, bias.unsqueeze(0))


def self_attention(
    qkv: Tensor, heads: int, dropout: float = 0.0, drops: Callable[[Tensor], Tensor] | None = None
) -> Tensor:
    """Softmax attention of every head, scaled by 1 / sqrt(head width).

    Args:
        qkv: Queries, keys and values, `(batch, tokens, 3 * width)`, each of them split into heads.
        heads: Number of heads.
        dropout: Dropout rate of the attention weights; 0 in evaluation.
        drops: Replaces the dropout, applied to all attention weights at once, `(batch, heads, tokens, tokens)`.

    Returns:
        `(batch, tokens, width)`.
    """
    width = qkv.shape[-1] // 3 // heads
    if drops is not None or not _eager_on_cpu():
        q, k, v = qkv.reshape((0, 0, 3, heads, width)).transpose((2, 0, 3, 1, 4)).unbind(0)
        return _attend(q, k, v, drops or partial(F.dropout, p=dropout)).transpose((0, 2, 1, 3)).flatten(2)
    batch, tokens, _ = qkv.shape
    chunks = _chunks(_swap(qkv.reshape((batch, tokens, 3 * heads, width))))
    drop = partial(F.dropout, p=dropout)
    output = paddle.stack([_attend(q, k, v, drop) for q, k, v in chunks])
    return _swap(output.reshape((batch, heads, tokens, width))).flatten(2)


def _eager_on_cpu() -> bool:
    return paddle.in_dynamic_mode() and not in_sot_simulation_mode() and paddle.get_device() == "cpu"


def _attend(q: Tensor, k: Tensor, v: Tensor, drop: Callable[[Tensor], Tensor]) -> Tensor:
    """Takes and returns `(..., tokens, width)`."""
    weights = F.softmax(paddle.matmul(q * q.shape[-1] ** -0.5, k, transpose_y=True))
    return paddle.matmul(drop(weights), v)


def _swap(x: Tensor) -> Tensor:
    """Swaps the middle axes of `(batch, a, b, width)`.

    Channel shuffle is exactly this permutation. A transpose would be a view, which the next operator copies element by
    element: 5.1 ms instead of 0.1 ms at 197 tokens.
    """
    batch, a, b, width = x.shape
    return F.channel_shuffle(x.reshape((batch, a * b, 1, width)), a).reshape((batch, b, a, width))


def _chunks(qkv: Tensor) -> list[tuple[Tensor, ...]]:
    """Queries, keys and values of some heads of one sample at a time, from `(batch, 3 * heads, tokens, width)`."""
    _, heads, tokens, width = qkv.shape
    group = _heads_a_chunk(heads // 3, tokens)
    parts = qkv.reshape((-1, group, tokens, width)).unbind(0)
    groups = heads // 3 // group
    chunks: list[tuple[Tensor, ...]] = []
    for start in range(0, len(parts), 3 * groups):
        q, k, v = (parts[start + at * groups :][:groups] for at in range(3))
        chunks += zip(q, k, v, strict=True)
    return chunks


def _heads_a_chunk(heads: int, tokens: int) -> int:
    """Largest divisor of the number of heads whose attention weights, of one sample, fit into `_CHUNK`."""
    group = min(heads, max(1, _CHUNK // tokens**2))
    while heads % group:
        group -= 1
    return group

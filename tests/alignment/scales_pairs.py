"""A net with positions from powers, queries that are read as a table, and a loop over two scales; and wrong ports."""

from __future__ import annotations

from typing import Any

from alignment.pair import Pair, Side

_FILE = "scales_pairs.py"


def reference() -> Any:
    """Targets begin at zero; each scale has its own sizes."""
    import torch
    from torch import nn

    class Layer(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.own, self.other = nn.Linear(8, 8), nn.Linear(8, 8)

        def forward(self, x: Any, memory: Any) -> Any:
            return torch.tanh(self.own(x) + self.other(memory).mean(1, keepdim=True))

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.into, self.query, self.layer, self.head = nn.Linear(3, 8), nn.Embedding(4, 8), Layer(), nn.Linear(8, 2)
            self.register_buffer("sizes", torch.tensor([[1.0, 2.0], [3.0, 5.0]]), persistent=False)

        def forward(self, x: Any) -> Any:
            turns = 10000 ** (-torch.arange(0, 8, 2).to(x) / 8)
            angles = torch.arange(x.shape[1]).to(x)[:, None] * turns[None]
            x = self.into(x) + torch.cat([angles.sin(), angles.cos()], -1)
            queries = self.query.weight[None].expand(len(x), -1, -1)
            y = self.head(self.layer(torch.zeros_like(queries), x + 1) + queries)
            return torch.cat([(y + scale).sigmoid() * self.sizes[scale] for scale in range(2)], 1)

    return Net()


def candidate(base: int = 10000, *, zeros: bool = True, turned: bool = False) -> Any:
    """The port."""
    import paddle
    from paddle import nn

    class Layer(nn.Layer):
        def __init__(self) -> None:
            super().__init__()
            self.own, self.other = nn.Linear(8, 8), nn.Linear(8, 8)

        def forward(self, x: Any, memory: Any) -> Any:
            return paddle.tanh(self.own(x) + self.other(memory).mean(1, keepdim=True))

    class Net(nn.Layer):
        def __init__(self) -> None:
            super().__init__()
            self.into, self.query, self.layer, self.head = nn.Linear(3, 8), nn.Embedding(4, 8), Layer(), nn.Linear(8, 2)
            self.register_buffer("sizes", paddle.to_tensor([[1.0, 2.0], [3.0, 5.0]]), persistable=False)

        def forward(self, x: Any) -> Any:
            turns = base ** (-paddle.arange(0, 8, 2).astype(x.dtype) / 8)
            angles = paddle.arange(x.shape[1]).astype(x.dtype)[:, None] * turns[None]
            x = self.into(x) + paddle.concat([angles.sin(), angles.cos()], -1)
            queries = self.query.weight.unsqueeze(0).expand([len(x), -1, -1])
            y = self.head(self.layer(paddle.zeros_like(queries) if zeros else queries, x + 1) + queries)
            return paddle.concat(
                [(y + scale).sigmoid() * self.sizes[1 - scale if turned else scale] for scale in range(2)], 1
            )

    return Net()


def _pair(**options: Any) -> Pair:
    sides = Side("torch", f"{_FILE}:reference"), Side("paddle", f"{_FILE}:candidate", options=options)
    return Pair("scales", *sides, input_shape=(6, 3), rules="auto")


RIGHT, BASE, QUERIES, TURNED = _pair(), _pair(base=20), _pair(zeros=False), _pair(turned=True)

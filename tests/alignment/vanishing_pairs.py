"""Attention whose scores are computed in two ways: the gradient of its keys' bias is zero in exact arithmetic."""

from __future__ import annotations

from typing import Any

from alignment.pair import Pair, Side


def _attention(*, scaled_first: bool) -> Any:
    import torch
    from torch import nn

    class Attention(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.q, self.k, self.v, self.o = (nn.Linear(8, 8) for _ in range(4))

        def forward(self, x: Any) -> Any:
            q, k, v = self.q(x), self.k(x), self.v(x)
            if scaled_first:
                scores = torch.einsum("bij,bkj->bik", q * 8**-0.5, k)
            else:
                scores = q @ k.transpose(1, 2) / 8**0.5
            return self.o(scores.softmax(-1) @ v).mean(1)

    return Attention()


def reference() -> Any:
    return _attention(scaled_first=False)


def candidate() -> Any:
    return _attention(scaled_first=True)


PAIR = Pair(
    name="attention",
    reference=Side("torch", f"{__file__}:reference"),
    candidate=Side("torch", f"{__file__}:candidate"),
    input_shape=(6, 8),
    rules="auto",
)

"""An attention whose tokens see a window of those before them, and ports with another window."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from alignment.pair import Pair, Side

_FILE = "attention_window_pairs.py"
_TOKENS, _WINDOW = 9, 3
_SEES: dict[str, Callable[[Any], Any]] = {
    "right": lambda before: (before >= 0) & (before < _WINDOW),
    "longer": lambda before: (before >= 0) & (before < _WINDOW + 2),
    "shorter": lambda before: (before >= 0) & (before < _WINDOW - 1),
    "no_window": lambda before: before >= 0,
    "all": lambda before: before > -_TOKENS,
    "later": lambda before: (before <= 0) & (before > -_WINDOW),
    "both_ways": lambda before: (before < _WINDOW) & (before > -_WINDOW),
}


def torch_net(sees: str = "right") -> Any:
    import torch
    from torch import nn

    class Attention(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.q, self.k, self.v = nn.Linear(16, 16), nn.Linear(16, 16), nn.Linear(16, 16)

        def forward(self, x: Any) -> Any:
            scores = self.q(x) @ self.k(x).transpose(1, 2) / 4
            places = torch.arange(_TOKENS)
            mask = _SEES[sees](places[:, None] - places)
            return scores.masked_fill(~mask, float("-inf")).softmax(-1) @ self.v(x)

    return nn.Sequential(nn.Linear(16, 16), Attention(), nn.LayerNorm(16))


def paddle_net(sees: str = "right", by: str = "add") -> Any:
    import paddle
    from paddle import nn

    class Attention(nn.Layer):
        def __init__(self) -> None:
            super().__init__()
            self.q, self.k, self.v = nn.Linear(16, 16), nn.Linear(16, 16), nn.Linear(16, 16)
            places = paddle.arange(_TOKENS)
            self._seen = _SEES[sees](places.unsqueeze(1) - places)

        def forward(self, x: Any) -> Any:
            scores = paddle.matmul(self.q(x), self.k(x), transpose_y=True) / 4
            if by == "add":
                scores = scores + (~self._seen).astype(scores.dtype) * -1e9
            else:
                scores = paddle.where(self._seen.expand_as(scores), scores, paddle.full_like(scores, -1e9))
            return paddle.matmul(nn.functional.softmax(scores, -1), self.v(x))

    return nn.Sequential(nn.Linear(16, 16), Attention(), nn.LayerNorm(16))


def _pair(sees: str, by: str = "add", meant: str = "right") -> Pair:
    reference = Side("torch", f"{_FILE}:torch_net", options={"sees": meant})
    candidate = Side("paddle", f"{_FILE}:paddle_net", options={"sees": sees, "by": by})
    return Pair(f"window_{sees}", reference, candidate, input_shape=(_TOKENS, 16), rules="auto")


RIGHT, LONGER, SHORTER, NO_WINDOW = (_pair(sees) for sees in ("right", "longer", "shorter", "no_window"))
CHOSEN, ALL, LATER, BOTH_WAYS = _pair("shorter", "where"), _pair("all"), _pair("later"), _pair("both_ways")
TOO_MANY = _pair("right", meant="no_window")

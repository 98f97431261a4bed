"""An attention with a mask, and ports that use the mask in another way."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from alignment.pair import Mask, Pair, Side, Tokens

_FILE = "attention_mask_pairs.py"
_USES: dict[str, Callable[[Any, Any, Any], Any]] = {
    "right": lambda paddle, scores, mask: scores + (1 - mask) * -1e9,
    "added": lambda paddle, scores, mask: scores + mask,
    "multiplied": lambda paddle, scores, mask: scores * mask,
    "turned": lambda paddle, scores, mask: scores + mask * -1e9,
    "chosen": lambda paddle, scores, mask: paddle.where(
        mask.expand_as(scores) == 0, scores, paddle.full_like(scores, -1e9)
    ),
    "filled": lambda paddle, scores, mask: scores.masked_fill(mask.expand_as(scores) == 1, -1e9),
}


def torch_net() -> Any:
    import torch
    from torch import nn

    class Attention(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.q, self.k, self.v = nn.Linear(16, 16), nn.Linear(16, 16), nn.Linear(16, 16)

        def forward(self, x: Any, mask: Any) -> Any:
            scores = self.q(x) @ self.k(x).transpose(1, 2) / 4
            scores = scores.masked_fill(mask == 0, torch.finfo(scores.dtype).min)
            return scores.softmax(-1) @ self.v(x)

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.words, self.attention, self.norm = nn.Embedding(30, 16), Attention(), nn.LayerNorm(16)

        def forward(self, ids: Any, mask: Any) -> Any:
            x = self.words(ids)
            return self.norm(x + self.attention(x, mask[:, None]))

    return Net()


def paddle_net(use: str = "right") -> Any:
    import paddle
    from paddle import nn

    class Attention(nn.Layer):
        def __init__(self) -> None:
            super().__init__()
            self.q, self.k, self.v = nn.Linear(16, 16), nn.Linear(16, 16), nn.Linear(16, 16)

        def forward(self, x: Any, mask: Any) -> Any:
            scores = paddle.matmul(self.q(x), self.k(x), transpose_y=True) / 4
            scores = _USES[use](paddle, scores, mask.astype(scores.dtype))
            return paddle.matmul(nn.functional.softmax(scores, -1), self.v(x))

    class Net(nn.Layer):
        def __init__(self) -> None:
            super().__init__()
            self.words, self.attention, self.norm = nn.Embedding(30, 16), Attention(), nn.LayerNorm(16)

        def forward(self, ids: Any, mask: Any) -> Any:
            x = self.words(ids)
            return self.norm(x + self.attention(x, mask.unsqueeze(1)))

    return Net()


def _pair(use: str) -> Pair:
    inputs = {"ids": Tokens(30, (7,)), "mask": Mask((7,))}
    side = Side("paddle", f"{_FILE}:paddle_net", options={"use": use})
    return Pair(f"mask_{use}", Side("torch", f"{_FILE}:torch_net"), side, inputs=inputs, rules="auto")


RIGHT, ADDED, MULTIPLIED = _pair("right"), _pair("added"), _pair("multiplied")
TURNED, CHOSEN, FILLED = _pair("turned"), _pair("chosen"), _pair("filled")

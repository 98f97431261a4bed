"""Embeddings with and without a `padding_idx`."""

from dataclasses import replace
from typing import Any

from alignment.pair import Pair, Side

_FILE = "padding_pairs.py"


def torch_net(*, words: int = 20_000) -> Any:
    from torch import nn

    return nn.Sequential(nn.Embedding(words, 4, padding_idx=1), nn.Flatten(), nn.Linear(32, 5))


def paddle_net(*, words: int = 20_000, padding: int | None = None) -> Any:
    from paddle import nn

    return nn.Sequential(nn.Embedding(words, 4, padding_idx=padding), nn.Flatten(), nn.Linear(32, 5))


def tied_torch() -> Any:
    """A head that shares the weight of the embedding, and so updates the row of padding."""
    from torch import nn

    class Tied(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embed, self.head = nn.Embedding(50, 4, padding_idx=1), nn.Linear(4, 50, bias=False)
            self.head.weight = self.embed.weight

        def forward(self, ids: Any) -> Any:
            return self.head(self.embed(ids).tanh().mean(1))

    return Tied()


def tied_paddle(*, padding: int | None = None, stopped: bool = False) -> Any:
    from paddle import nn

    class Tied(nn.Layer):
        def __init__(self) -> None:
            super().__init__()
            self.embed = nn.Embedding(50, 4, padding_idx=padding)

        def forward(self, ids: Any) -> Any:
            weight = self.embed.weight.detach() if stopped else self.embed.weight
            return self.embed(ids).tanh().mean(1) @ weight.T

    return Tied()


RIGHT = Pair(
    "padding",
    Side("torch", f"{_FILE}:torch_net"),
    Side("paddle", f"{_FILE}:paddle_net", options={"padding": 1}),
    input_shape=(8,),
    rules="auto",
    tokens=20_000,
)
MISSING = replace(RIGHT, candidate=Side("paddle", f"{_FILE}:paddle_net"))
FEW_WORDS = replace(
    RIGHT,
    reference=Side("torch", f"{_FILE}:torch_net", options={"words": 3}),
    candidate=Side("paddle", f"{_FILE}:paddle_net", options={"words": 3, "padding": 1}),
    tokens=3,
)
TIED = replace(
    RIGHT,
    reference=Side("torch", f"{_FILE}:tied_torch"),
    candidate=Side("paddle", f"{_FILE}:tied_paddle", options={"padding": 1}),
    tokens=50,
)
STOPPED = replace(TIED, candidate=Side("paddle", f"{_FILE}:tied_paddle", options={"stopped": True}))

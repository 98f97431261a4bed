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

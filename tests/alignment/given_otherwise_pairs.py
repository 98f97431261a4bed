"""Modules that are right, and are given the wrong things or cut otherwise: what is around them is to be blamed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from alignment.pair import Pair, Side, Tokens
from porting.rules import rule

_FILE = Path(__file__).name


def cells(exchanged: bool) -> Any:
    """A recurrent cell that is given a message and its state, or the state and the message."""
    import torch
    from torch import nn

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.message, self.cell, self.head = nn.Linear(6, 6), nn.GRUCell(6, 6), nn.Linear(6, 4)

        def forward(self, x: Any) -> Any:
            message = torch.tanh(self.message(x))
            return self.head(self.cell(x, message) if exchanged else self.cell(message, x))

    return Net()


def bags(embedded: bool, summed: bool = False) -> Any:
    """The mean of the embeddings of some ids: a bag of embeddings, or an embedding and its mean."""
    from torch import nn

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.words = nn.Embedding(11, 6) if embedded else nn.EmbeddingBag(11, 6, mode="mean")
            self.head = nn.Linear(6, 4)

        def forward(self, ids: Any) -> Any:
            x = self.words(ids)
            return self.head((x.sum(1) if summed else x.mean(1)) if embedded else x)

    return Net()


def _pair(build: str, right: dict[str, Any], wrong: dict[str, Any], **given: Any) -> Pair:
    sides = (Side("torch", f"{_FILE}:{build}", options=options) for options in (right, wrong))
    return Pair(build, *sides, **{"rules": "auto", **given})


_NAMES = [f"{module}.{part}" for module in ("message", "head") for part in ("weight", "bias")]
_NAMES += [f"cell.{part}_{gate}" for part in ("weight", "bias") for gate in ("ih", "hh")]
CELL = _pair(
    *("cells", {"exchanged": False}, {"exchanged": True}),
    input_shape=(6,),
    rules=[rule(name, name) for name in _NAMES],
)
BAG = _pair("bags", {"embedded": False}, {"embedded": True}, inputs={"ids": Tokens(11, (5,))})
SUMMED = _pair("bags", {"embedded": False}, {"embedded": True, "summed": True}, inputs={"ids": Tokens(11, (5,))})

"""A candidate that keeps a weight twice as large and halves what goes in, as a dropout of Paddle's old kind needs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from alignment.pair import Pair, Side
from porting.operations import Scale
from porting.rules import rule

_FILE = Path(__file__).name


def net(halved: bool = False, stopped: bool = False) -> Any:
    """Two Linears; the second is given the half of what the first gives, and its gradient may be stopped."""
    import torch
    from torch import nn

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.second = nn.Linear(6, 7), nn.Linear(7, 5)

        def forward(self, x: Any) -> Any:
            x = torch.tanh(self.first(x))
            x = x / 2 if halved else x
            return self.second(0.5 * (x + x.detach()) if stopped else x)

    return Net()


def _pair(**options: bool) -> Pair:
    sides = Side("torch", f"{_FILE}:net"), Side("torch", f"{_FILE}:net", options={"halved": True, **options})
    names = [f"{module}.{part}" for module in ("first", "second") for part in ("weight", "bias")]
    rules = [rule(name, name, *([Scale(2)] if name == "second.weight" else [])) for name in names]
    return Pair("scaled", *sides, input_shape=(6,), rules=rules)


RIGHT = _pair()
STOPPED = _pair(stopped=True)

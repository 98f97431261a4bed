"""Ports of a net that makes a table in float32 when it is built, by another formula of its numbers; one is wrong."""

from typing import Any

from alignment.pair import Pair, Side

_FILE = "built_table_pairs.py"


def net(*, divides: bool = True, period: float = 7.0) -> Any:
    """A Linear of what it is given and a table of positions."""
    import torch
    from torch import nn

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc = nn.Linear(6, 4)
            places = torch.arange(1, 7).to(torch.float32)
            table = torch.sin(places / period if divides else places * (1 / period))
            self.register_buffer("table", table, persistent=False)

        def forward(self, x: Any) -> Any:
            return self.fc(x + self.table)

    return Net()


def _pair(**options: Any) -> Pair:
    sides = Side("torch", f"{_FILE}:net"), Side("torch", f"{_FILE}:net", options={"divides": False, **options})
    return Pair("table", *sides, input_shape=(6,), rules="auto")


RIGHT = _pair()
WRONG = _pair(period=7.00001)
"""Its table differs by about as little as rounding to float32 makes."""

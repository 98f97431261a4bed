"""A right port that makes its positions on the first call, and keeps them in all the ways that models do."""

import functools
from typing import Any

from alignment.pair import Pair, Side

_FILE = "table_pairs.py"
_TABLES: dict[int, Any] = {}


@functools.lru_cache
def _waves(length: int) -> Any:
    import torch

    return torch.cos(torch.arange(length) / 7.0)


def net(*, keeps: bool = False) -> Any:
    """A Linear of what it is given and positions, which are made in every call or kept."""
    import torch
    from torch import nn

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc, self.table = nn.Linear(6, 4), None

        def forward(self, x: Any) -> Any:
            length = x.shape[-1]
            if not keeps:
                return self.fc(x + _made(length) + _made(length, 3.0) + torch.cos(torch.arange(length) / 7.0))
            if self.table is None:
                self.table = _made(length)
            if length not in _TABLES:
                _TABLES[length] = _made(length, 3.0)
            return self.fc(x + self.table + _TABLES[length] + _waves(length))

    def _made(length: int, period: float = 10.0) -> Any:
        return torch.sin(torch.arange(length) / period)

    return Net()


TABLES = Pair(
    "tables",
    Side("torch", f"{_FILE}:net"),
    Side("torch", f"{_FILE}:net", options={"keeps": True}),
    input_shape=(6,),
    rules="auto",
)

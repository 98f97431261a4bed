"""A net and a port of it in which modules without parameters have other names, one of them another padding."""

from __future__ import annotations

from typing import Any

from alignment.pair import Pair, Side

_HERE = __file__


def reference() -> Any:
    """A pooling, an activation and a dropout between two convolutions."""
    from torch import nn

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.one, self.two = nn.Conv2d(3, 4, 3), nn.Conv2d(4, 5, 3)
            self.act, self.pool, self.drop = nn.GELU(), nn.AvgPool2d(3, 2, 1), nn.Dropout(0.1)

        def forward(self, x: Any) -> Any:
            return self.two(self.drop(self.pool(self.act(self.one(x))))).mean((2, 3))

    return Net()


def candidate(*, right: bool = False) -> Any:
    """The port; its pooling leaves the padding out unless it is right."""
    from torch import nn

    class Port(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.nonlinearity, self.regular = nn.Conv2d(3, 4, 3), nn.GELU(), nn.Dropout(0.1)
            self.smaller = nn.AvgPool2d(3, 2, 1, count_include_pad=right)
            self.second = nn.Conv2d(4, 5, 3)

        def forward(self, x: Any) -> Any:
            x = self.smaller(self.nonlinearity(self.first(x)))
            return self.second(self.regular(x)).mean((2, 3))

    return Port()


PAIR = Pair(
    "parameterless",
    Side("torch", f"{_HERE}:reference"),
    Side("torch", f"{_HERE}:candidate"),
    input_shape=(3, 12, 12),
    rules="auto",
)

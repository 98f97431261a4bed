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


def gated() -> Any:
    """Two convolutions, SiLU and a Hardswish between."""
    from torch import nn

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.one, self.act, self.two = nn.Conv2d(3, 4, 3, 2, 1), nn.SiLU(), nn.Conv2d(4, 5, 3, padding=1)
            self.bend, self.three = nn.Hardswish(), nn.Conv2d(5, 6, 3)

        def forward(self, x: Any) -> Any:
            return self.three(self.bend(self.two(self.act(self.one(x))))).mean((2, 3))

    return Net()


def gated_by_hand() -> Any:
    """The port, whose activations are classes of its own with activations in them; its first stride starts too late."""
    from torch import nn

    class Swish(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.sigmoid = nn.Sigmoid()

        def forward(self, x: Any) -> Any:
            return x * self.sigmoid(x)

    class Bent(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.relu = nn.ReLU6()

        def forward(self, x: Any) -> Any:
            return x * self.relu(x + 3) / 6

    class Port(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.gate, self.second = nn.Conv2d(3, 4, 3, 2), Swish(), nn.Conv2d(4, 5, 3, padding=1)
            self.bent, self.third = Bent(), nn.Conv2d(5, 6, 3)

        def forward(self, x: Any) -> Any:
            x = self.first(nn.functional.pad(x, (0, 1, 0, 1)))
            return self.third(self.bent(self.second(self.gate(x)))).mean((2, 3))

    return Port()


GATED = Pair(
    "gated",
    Side("torch", f"{_HERE}:gated"),
    Side("torch", f"{_HERE}:gated_by_hand"),
    input_shape=(3, 12, 12),
    rules="auto",
)

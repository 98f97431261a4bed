"""A net whose modules have settings of their own, and ports in which one of them is another."""

from __future__ import annotations

from typing import Any

from alignment.pair import Pair, Side

_FILE = "settings_pairs.py"


def reference() -> Any:
    """A norm of neighbours, a pooling whose windows are rounded up, and a layer that counts its parts."""
    from torch import nn

    class Parts(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.parts, self.reach = 2, (2, 3)

        def forward(self, x: Any) -> Any:
            return x.roll(self.reach, (2, 3)) - x[:, : self.parts].square().sum(1, keepdim=True)

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.norm = nn.Conv2d(3, 6, 1), nn.LocalResponseNorm(5, alpha=0.5)
            self.pool, self.own, self.head = nn.MaxPool2d(2, ceil_mode=True), Parts(), nn.Linear(6, 5)

        def forward(self, x: Any) -> Any:
            return self.head(self.own(self.pool(self.norm(self.conv(x)))).tanh().mean((2, 3)))

    return Net()


def candidate(alpha: float = 0.5, parts: int = 2, *, up: bool = True) -> Any:
    """The port."""
    from paddle import nn

    class Parts(nn.Layer):
        def __init__(self) -> None:
            super().__init__()
            self.parts, self.reach = parts, [2, 3]

        def forward(self, x: Any) -> Any:
            return x.roll(self.reach, (2, 3)) - x[:, : self.parts].square().sum(1, keepdim=True)

    class Net(nn.Layer):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.norm = nn.Conv2D(3, 6, 1), nn.LocalResponseNorm(5, alpha=alpha)
            self.pool, self.own, self.head = nn.MaxPool2D(2, ceil_mode=up), Parts(), nn.Linear(6, 5)

        def forward(self, x: Any) -> Any:
            return self.head(self.own(self.pool(self.norm(self.conv(x)))).tanh().mean([2, 3]))

    return Net()


def _pair(**options: Any) -> Pair:
    sides = Side("torch", f"{_FILE}:reference"), Side("paddle", f"{_FILE}:candidate", options=options)
    return Pair("settings", *sides, input_shape=(3, 7, 7), rules="auto")


ALPHA, PARTS, UP = _pair(alpha=1e-4), _pair(parts=3), _pair(up=False)

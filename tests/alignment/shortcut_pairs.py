"""A block whose last module passes on what it gets; the port has no shortcut, and its framework rounds a norm later."""

from __future__ import annotations

from typing import Any

from alignment.pair import Pair, Side

_FILE = "shortcut_pairs.py"


def reference() -> Any:
    """Two blocks, of which the first has a shortcut, a residual norm, and a head."""
    from torch import nn

    class Block(nn.Module):
        def __init__(self, into: int, out: int) -> None:
            super().__init__()
            self.short = into == out
            self.body = nn.Sequential(nn.Conv2d(into, out, 3, padding=1), nn.Identity())

        def forward(self, x: Any) -> Any:
            return x + self.body(x) if self.short else self.body(x)

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.second = Block(3, 3), Block(3, 4)
            self.norm, self.head = nn.GroupNorm(2, 4, eps=1e-3), nn.Linear(4, 5)

        def forward(self, x: Any) -> Any:
            x = self.second(self.first(x))
            return self.head((x + self.norm(x)).mean((2, 3)))

    return Net()


def candidate(*, short: bool = True) -> Any:
    """The port."""
    from paddle import nn

    class Block(nn.Layer):
        def __init__(self, into: int, out: int) -> None:
            super().__init__()
            self.joined = into == out and short
            self.body = nn.Sequential(nn.Conv2D(into, out, 3, padding=1), nn.Identity())

        def forward(self, x: Any) -> Any:
            return x + self.body(x) if self.joined else self.body(x)

    class Net(nn.Layer):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.second = Block(3, 3), Block(3, 4)
            self.norm, self.head = nn.GroupNorm(2, 4, epsilon=1e-3), nn.Linear(4, 5)

        def forward(self, x: Any) -> Any:
            x = self.second(self.first(x))
            return self.head((x + self.norm(x)).mean([2, 3]))

    return Net()


MISSING = Pair(
    "shortcut",
    Side("torch", f"{_FILE}:reference"),
    Side("paddle", f"{_FILE}:candidate", options={"short": False}),
    input_shape=(3, 6, 6),
    rules="auto",
)

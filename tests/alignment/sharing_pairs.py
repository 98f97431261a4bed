"""Two layers and two norms that are called by turns, and ports that share one of them or call the wrong one."""

from __future__ import annotations

from typing import Any

from alignment.pair import Pair, Side
from porting.operations import Transpose
from porting.rules import Rule, rule

_FILE = "sharing_pairs.py"


def reference() -> Any:
    """The first layer is called again after the second; each branch has a norm of its own."""
    from torch import nn

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layers = nn.ModuleList([nn.Linear(6, 6) for _ in range(3)])
            self.norms = nn.ModuleList([nn.BatchNorm1d(6) for _ in range(2)])
            self.head = nn.Linear(6, 5)

        def forward(self, x: Any) -> Any:
            for place in (0, 1, 0, 2):
                x = x + self.layers[place](x).tanh()
            return self.head(self.norms[0](x).relu() + self.norms[1](x))

    return Net()


def candidate(places: tuple[int, ...] = (0, 1, 0, 2), norm: int = 1) -> Any:
    """The port."""
    from paddle import nn

    class Net(nn.Layer):
        def __init__(self) -> None:
            super().__init__()
            self.layers = nn.LayerList([nn.Linear(6, 6) for _ in range(3)])
            self.norms = nn.LayerList([nn.BatchNorm1D(6) for _ in range(2)])
            self.head = nn.Linear(6, 5)

        def forward(self, x: Any) -> Any:
            for place in places:
                x = x + self.layers[place](x).tanh()
            return self.head(nn.functional.relu(self.norms[0](x)) + self.norms[norm](x))

    return Net()


_STATISTICS = {"weight": "weight", "bias": "bias", "running_mean": "_mean", "running_var": "_variance"}
RULES: tuple[Rule | str, ...] = (
    "auto",
    *(rule(f"layers.{place}.weight", f"layers.{place}.weight", Transpose()) for place in range(3)),
    *(rule(f"layers.{place}.bias", f"layers.{place}.bias") for place in range(3)),
    *(rule(f"norms.{place}.{a}", f"norms.{place}.{b}") for place in range(2) for a, b in _STATISTICS.items()),
)
"""By name, since a wrong port calls them in another order."""


def _pair(**options: Any) -> Pair:
    sides = Side("torch", f"{_FILE}:reference"), Side("paddle", f"{_FILE}:candidate", options=options)
    return Pair("sharing", *sides, input_shape=(6,), rules=RULES)


RIGHT, LAYER, NORM = _pair(), _pair(places=(0, 1, 1, 2)), _pair(norm=0)

"""Models in which an activation in place changes what a skip sees, and one that looks at its own hooks."""

from __future__ import annotations

from typing import Any

from alignment.pair import Pair, Side


def reference(kind: str = "") -> Any:
    """The skip adds what the activation left there; `hooked` doubles its input while it is watched."""
    import torch
    from torch import nn

    class Block(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.keep, self.act = nn.Identity(), nn.LeakyReLU(0.2, inplace=True)
            self.conv, self.fc = nn.Conv2d(3, 3, 3, padding=1), nn.Linear(48, 10)

        def forward(self, x: Any) -> Any:
            if kind == "hooked" and self.conv._forward_hooks:
                x = x * 2
            if kind == "random":
                x = x * torch.rand(1, dtype=x.dtype)
            x = x if kind == "given" else x * 1.0
            return self.fc((x + self.conv(self.act(self.keep(x)))).flatten(1))

    return Block()


def given() -> Any:
    """The activation changes the input of the model itself."""
    return reference("given")


def hooked() -> Any:
    """What it gives changes when its modules are watched."""
    return reference("hooked")


def random() -> Any:
    """What it gives is another each time."""
    return reference("random")


def candidate(kind: str = "") -> Any:
    """The same in Paddle: `in place` does it in place as well, `wrong` lets the skip see the input as it was."""
    import paddle.nn.functional as F
    from paddle import nn

    class Block(nn.Layer):
        def __init__(self) -> None:
            super().__init__()
            self.act = nn.LeakyReLU(0.2)
            self.conv, self.fc = nn.Conv2D(3, 3, 3, padding=1), nn.Linear(48, 10)

        def forward(self, x: Any) -> Any:
            if kind == "in place":
                x = x * 1.0
                F.leaky_relu_(x, 0.2)
                return self.fc((x + self.conv(x)).flatten(1))
            active = self.act(x)
            return self.fc(((x if kind == "wrong" else active) + self.conv(active)).flatten(1))

    return Block()


def in_place() -> Any:
    """Right, and in place."""
    return candidate("in place")


def wrong() -> Any:
    """Wrong: the skip sees the input as it was."""
    return candidate("wrong")


def _pair(name: str, theirs: str, ours: str) -> Pair:
    sides = Side("torch", f"inplace_pairs.py:{theirs}"), Side("paddle", f"inplace_pairs.py:{ours}")
    return Pair(name, *sides, input_shape=(3, 4, 4), rules="auto")


RIGHT = _pair("right", "reference", "candidate")
IN_PLACE = _pair("in_place", "given", "in_place")
WRONG = _pair("wrong", "reference", "wrong")
HOOKED = _pair("hooked", "hooked", "candidate")
RANDOM = _pair("random", "random", "candidate")

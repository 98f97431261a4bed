"""Pairs whose models draw random numbers in training mode, loaded by the workers."""

from typing import Any

from alignment.pair import Pair, Side


def torch_net(*, way: str = "module") -> Any:
    """A dropout as a module, called as a function, or written by hand."""
    import torch
    from torch import nn

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.bn = nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8)
            self.drop, self.head = nn.Dropout(0.5), nn.Linear(8, 5)

        def forward(self, x: Any) -> Any:
            x = self.bn(self.conv(x)).relu().mean((2, 3))
            if way == "module":
                x = self.drop(x)
            elif way == "function":
                x = nn.functional.dropout(x, 0.5, self.training)
            elif self.training:
                x = x * (torch.rand_like(x) < 0.5) * 2
            return self.head(x)

    return Net()


def paddle_net() -> Any:
    from paddle import nn

    from paddle_impl.norms import BatchNorm2D

    class Net(nn.Layer):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.bn = nn.Conv2D(3, 8, 3), BatchNorm2D(8)
            self.drop, self.head = nn.Dropout(0.5), nn.Linear(8, 5)

        def forward(self, x: Any) -> Any:
            return self.head(self.drop(nn.functional.relu(self.bn(self.conv(x))).mean((2, 3))))

    return Net()


def _pair(**options: Any) -> Pair:
    reference = Side("torch", "random_pairs.py:torch_net", options=options)
    candidate = Side("paddle", "random_pairs.py:paddle_net")
    return Pair("drops", reference, candidate, input_shape=(3, 8, 8), rules="auto")


DROPS = _pair()
CALLED = _pair(way="function")
DRAWS = _pair(way="by hand")

"""Pairs whose models draw random numbers in training mode, loaded by the workers."""

from typing import Any

from alignment.pair import Pair, Side


def torch_net(*, functional: bool = False) -> Any:
    from torch import nn

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.bn = nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8)
            self.drop, self.head = nn.Dropout(0.5), nn.Linear(8, 5)

        def forward(self, x: Any) -> Any:
            x = self.bn(self.conv(x)).relu().mean((2, 3))
            return self.head(nn.functional.dropout(x, 0.5, self.training) if functional else self.drop(x))

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
DRAWS = _pair(functional=True)

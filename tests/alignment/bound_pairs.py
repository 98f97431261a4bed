"""Candidates without a bound that the reference has, and that no value of order 1 reaches."""

from typing import Any

from alignment.pair import Pair, Side

_FILE = "bound_pairs.py"


def net(*, bounded: bool = True) -> Any:
    """A norm and a Linear, with an activation that is a function."""
    import torch.nn.functional as F
    from torch import nn

    class Body(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc = nn.Linear(6, 8)

        def forward(self, x: Any) -> Any:
            x = self.fc(x)
            return F.relu6(x) if bounded else F.relu(x)

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.norm, self.body, self.head = nn.LayerNorm(6), Body(), nn.Linear(8, 4)

        def forward(self, x: Any) -> Any:
            return self.head(self.body(self.norm(x)))

    return Net()


WITHOUT = Pair(
    "without_bound",
    Side("torch", f"{_FILE}:net"),
    Side("torch", f"{_FILE}:net", options={"bounded": False}),
    input_shape=(6,),
    rules="auto",
)


def scaled() -> Any:
    """A net whose logits are multiplied by the exponential of a number, which is kept below 100."""
    import math

    import torch
    from torch import nn

    class Head(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc, self.scale = nn.Linear(8, 4), nn.Parameter(torch.ones(2))

        def forward(self, x: Any) -> Any:
            return self.fc(x) * torch.clamp(self.scale, max=math.log(100.0)).exp().sum()

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body, self.head = nn.Linear(6, 8), Head()

        def forward(self, x: Any) -> Any:
            return self.head(self.body(x).tanh())

    return Net()


def scaled_paddle() -> Any:
    """The same in Paddle, where nothing keeps the number."""
    import paddle
    from paddle import nn

    class Head(nn.Layer):
        def __init__(self) -> None:
            super().__init__()
            self.fc, self.scale = nn.Linear(8, 4), paddle.create_parameter([2], "float32")

        def forward(self, x: Any) -> Any:
            return self.fc(x) * self.scale.exp().sum()

    class Net(nn.Layer):
        def __init__(self) -> None:
            super().__init__()
            self.body, self.head = nn.Linear(6, 8), Head()

        def forward(self, x: Any) -> Any:
            return self.head(paddle.tanh(self.body(x)))

    return Net()


UNCLIPPED = Pair(
    "unclipped",
    Side("torch", f"{_FILE}:scaled"),
    Side("paddle", f"{_FILE}:scaled_paddle"),
    input_shape=(6,),
    rules="auto",
)

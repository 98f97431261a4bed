"""A candidate without the bound of the reference's ReLU6, which no value of order 1 reaches."""

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

"""A candidate that keeps the mean of its first inputs, and one that keeps nothing of them."""

from typing import Any

from alignment.pair import Pair, Side

_FILE = "kept_pairs.py"


def net(*, kept: bool = False) -> Any:
    """A net of two Linears; what the second is given depends on earlier calls where something is kept."""
    import torch
    from torch import nn

    class Tail(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc = nn.Linear(8, 4)
            self.first: Any = None

        def forward(self, x: Any) -> Any:
            mean = x.detach().mean()
            self.first = mean if self.first is None else self.first
            return self.fc(x + (mean - self.first) if kept else x)

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.head, self.tail = nn.Linear(6, 8), Tail()

        def forward(self, x: Any) -> Any:
            return self.tail(torch.tanh(self.head(x)))

    return Net()


KEPT = Pair(
    "kept",
    Side("torch", f"{_FILE}:net"),
    Side("torch", f"{_FILE}:net", options={"kept": True}),
    input_shape=(6,),
    rules="auto",
)

"""A net that rounds on purpose, by adding a number in float32 and taking it off, and a candidate that does not."""

from typing import Any

from alignment.pair import Pair, Side

_FILE = "rounding_pairs.py"


def net(*, rounds: bool) -> Any:
    import torch
    from torch import nn

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.last = nn.Linear(6, 8), nn.Linear(8, 5)

        def forward(self, x: Any) -> Any:
            x = self.first(x).tanh()
            if rounds:
                x = ((x.to(torch.float32) + 1536.0) - 1536.0).to(self.last.weight.dtype)
            return self.last(x)

    return Net()


MISSED = Pair(
    name="rounding",
    reference=Side("torch", f"{_FILE}:net", options={"rounds": True}),
    candidate=Side("torch", f"{_FILE}:net", options={"rounds": False}),
    input_shape=(6,),
    rules="auto",
)

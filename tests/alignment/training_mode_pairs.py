"""Models that agree in evaluation and differ in training mode only."""

from typing import Any

from alignment.pair import Pair, Side

_FILE = "training_mode_pairs.py"


def net(*, rate: float = 0.0, factor: float = 1.0, hook: bool = False) -> Any:
    from torch import nn

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc, self.drop, self.head = nn.Linear(6, 12), nn.Dropout(rate), nn.Linear(12, 5)

        def forward(self, x: Any) -> Any:
            x = self.drop(self.fc(x).tanh()) * (factor if self.training else 1.0)
            if hook and self.training and x.requires_grad:
                x.register_hook(lambda gradient: gradient * 2)
            return self.head(x)

    return Net()


def _pair(rate: float = 0.0, **options: Any) -> Pair:
    reference = Side("torch", f"{_FILE}:net", options={"rate": rate})
    candidate = Side("torch", f"{_FILE}:net", options={"rate": rate, **options})
    return Pair("training_mode", reference, candidate, input_shape=(6,), rules="auto")


RIGHT = _pair(0.5)
FACTOR = _pair(factor=3.0)
HOOK = _pair(hook=True)

RATE = Pair("training_mode", _pair().reference, RIGHT.candidate, input_shape=(6,), rules="auto")

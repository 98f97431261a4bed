"""A net with batch normalisation, and ports of it that use the layer of the framework as it is."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from alignment.pair import Pair, Side

_FILE = "batch_norm_pairs.py"


def reference(frozen: bool = False) -> Any:
    """Two convolutions with their norms, and a mean over windows of nine; the first norm may never train."""
    from torch import nn

    class Net(nn.Sequential):
        def train(self, mode: bool = True) -> Net:
            super().train(mode)
            self[1].train(mode and not frozen)
            return self

    return Net(
        *(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Conv2d(4, 4, 3), nn.BatchNorm2d(4)),
        *(nn.AvgPool2d(3, 1), nn.Flatten(), nn.Linear(16, 5)),
    )


def candidate(momentum: float = 0.9, frozen: bool = False) -> Any:
    """The port; the momentum is that of the second norm, and the first one may never train."""
    from paddle import nn

    class Net(nn.Sequential):
        def train(self) -> None:
            super().train()
            if frozen:
                self[1].eval()

    return Net(
        *(nn.Conv2D(3, 4, 3), nn.BatchNorm2D(4), nn.ReLU(), nn.Conv2D(4, 4, 3), nn.BatchNorm2D(4, momentum=momentum)),
        *(nn.AvgPool2D(3, 1), nn.Flatten(), nn.Linear(16, 5)),
    )


RIGHT = Pair(
    name="batch_norm",
    reference=Side("torch", f"{_FILE}:reference"),
    candidate=Side("paddle", f"{_FILE}:candidate"),
    input_shape=(3, 8, 8),
    rules="auto",
)
MOMENTUM = replace(RIGHT, candidate=Side("paddle", f"{_FILE}:candidate", options={"momentum": 0.1}))
FROZEN = replace(
    RIGHT,
    reference=Side("torch", f"{_FILE}:reference", options={"frozen": True}),
    candidate=Side("paddle", f"{_FILE}:candidate", options={"frozen": True}),
)
FROZEN_IN_REFERENCE = replace(FROZEN, candidate=RIGHT.candidate)
FROZEN_IN_CANDIDATE = replace(FROZEN, reference=RIGHT.reference)

"""A net with batch normalisation, and ports of it that use the layer of the framework as it is."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from alignment.pair import Pair, Side

_FILE = "batch_norm_pairs.py"


def reference() -> Any:
    """Two convolutions with their norms, and a mean over windows of nine."""
    from torch import nn

    return nn.Sequential(
        *(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Conv2d(4, 4, 3), nn.BatchNorm2d(4)),
        *(nn.AvgPool2d(3, 1), nn.Flatten(), nn.Linear(16, 5)),
    )


def candidate(momentum: float = 0.9) -> Any:
    """The port; the momentum is that of the second norm."""
    from paddle import nn

    return nn.Sequential(
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

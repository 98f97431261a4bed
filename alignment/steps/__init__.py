"""The check points, each written once for every framework against `alignment.backends.base.Backend`."""

from __future__ import annotations

from collections.abc import Mapping

from alignment.steps import backward, forward, loss, metric
from alignment.steps.base import Quantity, Step, Trial

__all__ = ["STEPS", "Quantity", "Step", "Trial"]

STEPS: Mapping[str, Step] = {
    "forward": forward.run,
    "metric": metric.run,
    "loss": loss.run,
    "bp": backward.run,
}
"""Steps by the name they have on the command line, in the order in which `all` runs them."""

"""Loss: cross entropy, label smoothing and soft targets of the model's logits."""

from __future__ import annotations

from collections.abc import Iterator

from alignment.recordings.recording import Entry
from alignment.steps.base import Quantity, Trial, remark

_LOSS = Entry("loss", "loss")


def run(trial: Trial) -> Iterator[Quantity]:
    """Record `loss/cross_entropy`, `loss/label_smoothing` and `loss/soft_target`.

    Of logits that frameworks take in different ways there is no loss, but `loss/untaken` with the reason.
    """
    logits, inputs = trial.outputs.logits, trial.inputs
    if trial.untaken:
        yield remark("loss/untaken", trial.untaken)
        return
    targets = {
        "cross_entropy": inputs.labels,
        "label_smoothing": inputs.labels,
        "soft_target": inputs.soft_targets,
    }
    for name, target in targets.items():
        yield Quantity(f"loss/{name}", trial.backend.loss(name, logits, target), _LOSS)

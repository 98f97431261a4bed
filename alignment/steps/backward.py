"""Backward: the loss, the gradient of every parameter and of the input, and the losses of the next AdamW steps.

The loss is the one with soft targets, which training with mixup has. It does not vanish as the updates fit the batch,
so that its relative error keeps its meaning.
"""

from __future__ import annotations

from collections.abc import Iterator

from alignment.backends.base import AdamW
from alignment.recording import Entry
from alignment.steps.base import Quantity, Trial

_LOSS = Entry("loss", "bp")
_UPDATES = 2


def run(trial: Trial) -> Iterator[Quantity]:
    """Record `bp/loss_0`, `bp/gradient/input`, `bp/gradient/<canonical name>`, then `bp/loss_1` and so on.

    The later losses are those of the same batch after one and two updates.
    """
    backend, images, targets = trial.backend, trial.inputs.images, trial.inputs.soft_targets
    kind = Entry("gradient", "bp", jumps=not trial.pair.smooth)
    trial.reset()
    backend.start_optimizer(AdamW())
    yield Quantity("bp/loss_0", backend.backward(images, targets), _LOSS)
    yield Quantity("bp/gradient/input", backend.input_gradient(), kind)
    for name, gradient in trial.canonical(backend.gradients()).items():
        if name not in trial.pair.architecture.buffers:
            yield Quantity(f"bp/gradient/{name}", gradient, kind)
    for update in range(1, _UPDATES):
        backend.optimizer_step()
        yield Quantity(f"bp/loss_{update}", backend.backward(images, targets), _LOSS)
    backend.optimizer_step()
    logits = backend.forward(images, None).logits
    yield Quantity(f"bp/loss_{_UPDATES}", backend.loss("soft_target", logits, targets), _LOSS)

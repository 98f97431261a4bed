"""Backward: the loss, the gradient of every parameter and of the input, and the losses of the next AdamW steps.

The loss is the one with soft targets, which training with mixup has. It does not vanish as the updates fit the batch,
so that its relative error keeps its meaning. Models that give no logits have the sum of what they give, weighted.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from alignment.arrays import HALVES, Array, is_floating
from alignment.backends.base import UNREACHED, AdamW
from alignment.frameworks import FRAMEWORKS
from alignment.pair import ROLES, Pair
from alignment.pair.layouts import inward
from alignment.recordings.recording import Entry
from alignment.steps.base import Quantity, Trial, remark
from alignment.steps.side_trial import scaled_in

_LOSS = Entry("loss", "bp")
_UPDATES = 2
UNUPDATED = "bp/not_updated"
"""Key of the remark that nothing is updated, with the tensors that are kept multiplied."""
APART = "bp/apart/"
"""Start of the keys of remarks on tensors that a side keeps as several, with the names of these."""


def run(trial: Trial) -> Iterator[Quantity]:
    """Record `bp/loss_0`, `bp/gradient/input`, `bp/gradient/<canonical name>`, then `bp/loss_1` and so on.

    Where the pair names its inputs, each floating-point one has its gradient: `bp/gradient/input/<name>`. The later
    losses are those of the same batch after one and two updates; in half precision there are none, since training keeps
    its weights in float32 there. `bp/untrained/<canonical name>` says why no optimizer updates a tensor, and
    `bp/apart/<canonical name>` which tensors a side has in the place of one.

    Nor are there later losses where one side keeps a parameter multiplied by a number: AdamW's step does not grow with
    the parameter, so that both sides are trained otherwise.
    """
    backend = trial.backend
    architecture, contract = trial.pair.architecture, trial.pair.contract
    apart = {*contract.constants, *contract.empty} if contract else set()
    parameters = [name for name in architecture.tensors if name not in architecture.buffers | apart]
    kind = Entry("gradient", "bp", jumps=not trial.pair.smooth)
    trial.reset()
    if parameters:
        backend.start_optimizer(AdamW())
    yield Quantity("bp/loss_0", trial.backward(), _LOSS)
    for key, gradient in trial.input_gradients("bp"):
        yield Quantity(key, gradient, kind)
    for name, gradient in trial.gradients(backend.gradients(), parameters).items():
        if is_floating(gradient):
            yield Quantity(f"bp/gradient/{name}", gradient, kind)
    if trial.record_parameters:
        yield from _untrained(trial)
    yield from (remark(f"{APART}{name}", ", ".join(own)) for name, own in trial.copies.items())
    if not parameters or trial.inputs.dtype in HALVES:
        return
    if scaled := scaled_tensors(trial.pair):
        yield remark(UNUPDATED, ", ".join(scaled))
        return
    for update in range(1, _UPDATES):
        backend.optimizer_step()
        yield Quantity(f"bp/loss_{update}", trial.backward(), _LOSS)
    backend.optimizer_step()
    yield Quantity(f"bp/loss_{_UPDATES}", _loss(trial), _LOSS)


def scaled_tensors(pair: Pair) -> list[str]:
    """Canonical names of the tensors that one side keeps multiplied by a number."""
    return sorted({name for role in ROLES for name in scaled_in(inward(pair, role))})


def _untrained(trial: Trial) -> Iterator[Quantity]:
    """Yield `bp/untrained/<canonical name>` of what no optimizer updates: buffers, frozen and unreached parameters.

    Tensors that are part of another one on either side are left out, and so are unreached ones where a framework gives
    these zeros.
    """
    tells = all(FRAMEWORKS[trial.pair.side(role).framework].tells_unreached for role in ROLES)
    untrained = trial.backend.untrained()
    for name, own in trial.one_to_one.items():
        why = untrained.get(own, "")
        if why and (tells or why != UNREACHED):
            yield remark(f"bp/untrained/{name}", why)


def _loss(trial: Trial) -> Array:
    """The loss without gradients: by the framework of the one output, as `backward` has it of several."""
    targets = trial.inputs.targets
    if isinstance(targets, Mapping):
        return trial.backward()
    return trial.backend.loss(trial.loss, trial.forward().logits, targets)

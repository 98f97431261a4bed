"""Training mode: what the model gives and how its gradients flow there, and the rates of what draws at random.

Evaluation never shows a factor, a hook or a branch that is on in training only. Dropouts and drop paths are switched
off, since each framework draws its own numbers, and their rates are compared instead, as the modules hold them or as
functions are called with them: every rate that one side uses anywhere, the other uses too. What those of a class of the
user's own do otherwise, such as keeping without a factor, is compared as well. A model that draws
nevertheless is not compared.

Rates say nothing of places: a dropout that is missing, or stands elsewhere, hides behind another one of its rate. So
the model runs once more with each dropout as a multiplication by one plus its rate.

The step is recorded in float64 only, or in float32 too where a framework has no float64. All gradients are one
quantity: those that vanish in exact arithmetic are rounding by themselves, and no noise of training mode is measured
that would tell. Where the models have running statistics, the step `batchnorm` runs them in training mode.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from alignment.arrays import is_floating
from alignment.backends.randomness import rates
from alignment.frameworks import FRAMEWORKS
from alignment.pair import ROLES, Pair
from alignment.recordings.recording import Entry
from alignment.steps.base import Quantity, Trial, differs

DRAWS, HIDDEN, DROPOUTS = "train_mode/draws", "train_mode/hidden", "train_mode/dropouts/"
"""Keys of a model that draws though its dropouts are off, of one of which some dropouts cannot be scaled, and the start
of the keys of what one gives with scaled dropouts."""
_RATE, _DRAWS = Entry("setting", "train_mode"), Entry("count", "train_mode")
_OUTPUT = Entry("output", "train_mode", limit=1e-10)
_GRADIENT = Entry("gradient", "train_mode", limit=1e-9)


def run(trial: Trial) -> Iterator[Quantity]:
    """Record rates, ways of dropping, outputs and the gradient of everything.

    The keys are `train_mode/rate_<rate>`, `train_mode/rate_<rate>_unscaled`, `train_mode/<output>`,
    `train_mode/gradient` and `train_mode/dropouts/<output>`. A model that still draws has `train_mode/draws` instead of
    outputs and gradients, and one of which some dropouts cannot be scaled has `train_mode/hidden` instead of the last.
    """
    if trial.inputs.dtype != "float64" and not (trial.inputs.dtype == "float32" and _without_float64(trial.pair)):
        return
    quantities = [] if trial.pair.architecture.statistics else list(_passes(trial))
    if trial.pair.architecture.statistics:
        _one_pass(trial)
    modules = trial.backend.taps().modules.values()
    known = {rate for module in modules for rate in rates(module.kind, module.bases, module.settings).values()}
    used = (known - trial.backend.idle_rates) | trial.backend.drawn
    for digits in sorted({f"{rate:.6g}" for rate in used}):  # 0.1, and what a table in float32 holds of it, are one
        yield Quantity(f"train_mode/rate_{digits}", np.asarray(float(digits)), _RATE)
    for way in sorted(trial.backend.ways_of_dropping()):
        yield Quantity(f"train_mode/rate_{way}", np.asarray(1), _DRAWS)
    yield from quantities
    if used and not any(quantity.key == DRAWS for quantity in quantities):
        yield from _with_scaled_dropouts(trial)


def _with_scaled_dropouts(trial: Trial) -> Iterator[Quantity]:
    """Yield what the model gives with each dropout as a multiplication by one plus its rate."""
    trial.reset()
    trial.backend.train(True, scaled=True)
    try:
        outputs = trial.forward().by_name
        hidden = trial.backend.hides_dropouts
    finally:
        trial.backend.train(False)
    trial.reset()
    if hidden:
        yield Quantity(HIDDEN, np.asarray(1), _DRAWS)
        return
    for name, array in outputs.items():
        if name in trial.outputs.by_name and is_floating(array):
            yield Quantity(f"{DROPOUTS}{name}", array, _GRADIENT if trial.pair.architecture.statistics else _OUTPUT)


def _without_float64(pair: Pair) -> bool:
    return any("float64" not in FRAMEWORKS[pair.side(role).framework].dtypes for role in ROLES)


def _one_pass(trial: Trial) -> None:
    """Run the model once, so that it calls the dropouts that are no modules."""
    trial.backend.train(True)
    try:
        trial.forward()
        trial.reset()
    finally:
        trial.backend.train(False)


def _passes(trial: Trial) -> Iterator[Quantity]:
    evaluated = trial.outputs.by_name
    trial.reset()
    trial.backend.train(True)
    try:
        first = trial.forward().by_name
        trial.reset()  # what training updates, such as the vectors of a spectral norm, is no random number
        second = trial.forward().by_name
        trial.reset()
        if any(differs(first[name], array) for name, array in second.items()):
            yield Quantity(DRAWS, np.asarray(1), _DRAWS)
            return
        for name, array in first.items():
            if name in evaluated:  # further outputs of training alone have no names that both sides share
                yield Quantity(f"train_mode/{name}", array, _OUTPUT)
        trial.backward()
        gradients = trial.gradients(trial.backend.gradients(), _parameters(trial))
    finally:
        trial.backend.train(False)
    floating = [array.ravel() for array in gradients.values() if np.issubdtype(array.dtype, np.floating)]
    if floating:
        yield Quantity("train_mode/gradient", np.concatenate(floating), _GRADIENT)


def _parameters(trial: Trial) -> list[str]:
    architecture, contract = trial.pair.architecture, trial.pair.contract
    apart = {*contract.constants, *contract.empty, *contract.dropped} if contract else set()
    return [name for name in architecture.tensors if name not in architecture.buffers | apart]

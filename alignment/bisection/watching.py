"""Runs of a whole model whose modules are watched, compared bit by bit with a run that is not watched.

The gradient of one use of a tensor can be had only if every module is handed copies, which is tried first. In a model
where an activation in place changes what a skip sees, copies change the result: then the modules are watched with the
very tensors that they are handed otherwise, and the gradients of their inputs are left out.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from alignment.arrays import Array
from alignment.backends.base import Tap, Taps, Visit
from alignment.bisection.modes import set_mode
from alignment.steps.base import Trial

_ROUNDING = {"float64": 1e-7, "float32": 1e-2}
"""By precision, relative L2 above which the difference of two runs of the same model is no rounding."""
_ORDER = {"float64": 1e-13, "float32": 1e-6}
"""By precision, share of the largest gradient's norm that one may change by where its parts are added in another order,
as copies have it."""
_REPEATS = 4
"""Times the difference of two runs that are not watched, up to which a watched run is taken for the same."""


@dataclass(frozen=True)
class Results:
    """What one run of a whole model gave.

    Attributes:
        outputs: The floating-point outputs, in order.
        loss: The loss, shape `()`; None without a backward pass.
        gradients: Gradient of every tensor of the state dict; empty without a backward pass.
        state: The state dict after the run; empty in evaluation mode.
    """

    outputs: list[Array] = field(default_factory=list)
    loss: Array | None = None
    gradients: Mapping[str, Array] = field(default_factory=dict)
    state: Mapping[str, Array] = field(default_factory=dict)

    def by_name(self) -> dict[str, Array]:
        """Every array by what it is, for messages."""
        named = {f"output {index}": array for index, array in enumerate(self.outputs)}
        named |= {"the loss": self.loss} if self.loss is not None else {}
        named |= {f"the gradient of {name}": array for name, array in self.gradients.items()}
        return named | {f"{name} after it": array for name, array in self.state.items()}


@dataclass(frozen=True)
class Watched:
    """A model that was watched.

    Attributes:
        results: Results of the run that was not watched.
        usable: False if every watched run gave something else, so that nothing that was seen may be judged.
        apart: True if the gradient of each use of a tensor was seen.
        repeats: False if two runs that are not watched differ by more than rounding.
        notes: What a reader has to know: results that change when they are looked at, or from run to run.
    """

    results: Results
    usable: bool
    apart: bool
    repeats: bool
    notes: tuple[str, ...] = ()


def watch(trial: Trial, taps: Taps, mode: str, start: Callable[[], Visit], *, backward: bool | None = None) -> Watched:
    """Run a model with and without taps.

    Args:
        trial: The side, in one precision.
        taps: Its modules.
        mode: `eval` or `train`.
        start: Called before every watched run, of which only the last one counts; returns what is called with
            everything that is seen.
        backward: Whether gradients are computed; by default where the taps can watch them.
    """
    backward = taps.gradients if backward is None else backward
    plain = _run(trial, taps, mode, backward=backward)
    who, name, what, error, noise = f"the {trial.side.framework} model", "", "", 0.0, 0.0
    for count, apart in enumerate((True, False) if taps.gradients else (False,)):
        seen = _run(trial, taps, mode, start(), backward=backward, apart=apart)
        name, error = difference(plain, seen)
        if error and not count:
            what, noise = difference(plain, _run(trial, taps, mode, backward=backward))
        if error <= _REPEATS * noise or _differ_by_order(plain, seen, _ORDER[trial.inputs.dtype]):
            repeats = noise <= _ROUNDING[trial.inputs.dtype]
            notes = (_unsteady(who, mode, what, noise),) if noise else ()
            return Watched(plain, True, apart, repeats, notes)
    note = (
        f"{who} gives something else in {mode} mode when its modules are watched ({name}, relative L2 {error:.1e}), so "
        "none of them is judged; the whole model is"
    )
    return Watched(plain, False, False, noise <= _ROUNDING[trial.inputs.dtype], (note,))


def _unsteady(who: str, mode: str, what: str, noise: float) -> str:
    return (
        f"two runs of {who} on the same input differ in {mode} mode ({what}, relative L2 {noise:.1e}): it draws at "
        "random, keeps something between calls, or uses kernels that are not deterministic"
    )


def difference(one: Results, other: Results) -> tuple[str, float]:
    """Name and relative L2 of what differs most between two runs; 0 if they agree bit by bit, infinite without size."""
    worst = ("", 0.0)
    ours, theirs = one.by_name(), other.by_name()
    for name in {**ours, **theirs}:
        a, b = ours.get(name), theirs.get(name)
        if a is None or b is None or a.shape != b.shape or a.dtype != b.dtype:
            return name, float("inf")
        if a.tobytes() == b.tobytes():
            continue
        error = _relative(a, b)
        worst = (name, error) if error > worst[1] else worst
    return worst


def _differ_by_order(one: Results, other: Results, share: float) -> bool:
    """True if two runs differ in the rounding of gradients only; one that is zero but for rounding counts as small."""
    if difference(replace(one, gradients={}), replace(other, gradients={}))[1]:
        return False
    if one.gradients.keys() != other.gradients.keys():
        return False
    pairs = [(array, other.gradients[name]) for name, array in one.gradients.items()]
    if any(a.shape != b.shape for a, b in pairs):
        return False
    with np.errstate(all="ignore"):
        apart = [float(np.linalg.norm(np.asarray(a, np.float64) - b)) for a, b in pairs]
        largest = max((float(np.linalg.norm(np.asarray(a, np.float64))) for a, _ in pairs), default=0.0)
    return all(error <= share * largest for error in apart)


def _relative(one: Array, other: Array) -> float:
    """Relative L2 of two arrays whose bits differ; infinite where a value is not finite."""
    with np.errstate(all="ignore"):
        wide = [np.asarray(array, np.float64) for array in (one, other)]
        error = float(np.linalg.norm(wide[0] - wide[1]) / max(float(np.linalg.norm(wide[0])), 1e-300))
    if np.isfinite(error):
        return max(error, 1e-300)
    return 0.0 if np.array_equal(wide[0], wide[1], equal_nan=True) else float("inf")


def _run(
    trial: Trial, taps: Taps, mode: str, visit: Visit | None = None, *, backward: bool, apart: bool = False
) -> Results:
    """Run a model on the inputs of its trial; without `visit` nothing but its outputs is looked at."""
    backend, outputs, loss = trial.backend, list[Array](), None

    def show(tap: Tap, array: Array) -> None:
        if not tap.path and tap.what == "output" and not tap.call:
            outputs.append(array)
        if visit is not None:
            visit(tap, array)

    if backward:
        _ = trial.loss  # which may run the model once to find out, and is not to do so in training mode
    trial.reset()
    set_mode(backend, mode)
    try:
        with taps.watch(show, apart=apart, paths=("",) if visit is None else None):
            if backward:
                loss = trial.backward()
            else:
                trial.forward()
        gradients = backend.gradients() if backward else {}
        return Results(outputs, loss, gradients, backend.state() if mode == "train" else {})
    finally:
        backend.train(False)

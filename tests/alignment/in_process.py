"""Both sides of a pair run in this process: a step of small models, without workers and files."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from alignment import backends
from alignment.arrays import Array
from alignment.backends.base import Backend, Runtime
from alignment.backends.building import in_finest
from alignment.judging.judge import judge
from alignment.pair import ROLES, Pair, Side
from alignment.pair.feeds import Feed
from alignment.pair.inputs import Inputs, finished, random_batch
from alignment.recordings.recording import Manifest, Recorder, Recording
from alignment.results.report import Report
from alignment.rules.in_process import derive_here
from alignment.running.worker import note_spreads
from alignment.steps import STEPS
from alignment.steps.base import Trial
from porting.checkpoint.tensor import LazyTensor

MODELS: dict[str, Any] = {}


class Recorded(NamedTuple):
    """What both sides recorded, by key."""

    reference: dict[str, Array]
    candidate: dict[str, Array]

    @property
    def differing(self) -> set[str]:
        """Keys of both sides whose arrays differ."""
        return {
            key
            for key in self.reference.keys() & self.candidate.keys()
            if self.reference[key].shape != self.candidate[key].shape
            or not np.allclose(self.reference[key], self.candidate[key], rtol=1e-9, atol=1e-12, equal_nan=True)
        }


def recorded(
    step: str,
    reference: Any,
    candidate: Any,
    shape: tuple[int, ...] = (),
    inputs: dict[str, Feed] | None = None,
    frameworks: tuple[str, str] = ("torch", "torch"),
    batch: int = 3,
) -> Recorded:
    """Record a step of two models in float64, the candidate with the reference's weights.

    Args:
        step: Name of the step.
        reference: The reference's model.
        candidate: The candidate's.
        shape: Shape of the input; or `inputs`, by name.
        inputs: The inputs by name.
        frameworks: Those of both sides.
        batch: Number of inputs in the batch.
    """
    prepared = _prepared(reference, candidate, shape, inputs, frameworks, batch)
    with in_finest(*prepared.backends):
        found = [
            {quantity.key: quantity.array for quantity in STEPS[step].run(trial)}
            for trial in prepared.trials("float64")
        ]
    return Recorded(found[0], found[1])


def judged(
    reference: Any,
    candidate: Any,
    shape: tuple[int, ...],
    *,
    folder: Path,
    dtypes: tuple[str, ...],
    steps: tuple[str, ...] = ("forward",),
    batch: int = 3,
) -> Report:
    """The report of two torch models in these precisions, the reference in float64 too, and its noise measured.

    Args:
        reference: The reference's model.
        candidate: The candidate's.
        shape: Shape of the input.
        folder: Where the recordings go.
        dtypes: Precisions of the candidate.
        steps: Names of steps.
        batch: Number of inputs in the batch.
    """
    prepared = _prepared(reference, candidate, shape, None, ("torch", "torch"), batch)
    recordings: dict[str, dict[str, Recording]] = {role: {} for role in ROLES}
    with in_finest(*prepared.backends):
        for dtype in dict.fromkeys((*dtypes, "float64")):
            for role, backend, trial in zip(ROLES, prepared.backends, prepared.trials(dtype), strict=True):
                backend.use(dtype)
                recorder = Recorder()
                for step in steps:
                    for quantity in STEPS[step].run(trial):
                        recorder.add(quantity.key, quantity.array, quantity.entry)
                if role == "reference" and dtype != "float64":
                    moved = trial.moved(np.random.default_rng(1))
                    again = [quantity for step in steps for quantity in STEPS[step].run(moved)]
                    note_spreads(recorder, again, ("output", "gradient", "loss"), _change)
                manifest = Manifest("torch", dtype, role=role)
                recordings[role][dtype] = recorder.write(folder / f"{role}-{dtype}", manifest)
    theirs = {dtype: recordings["candidate"][dtype] for dtype in dtypes}
    return judge(recordings["reference"], theirs)


class _Prepared(NamedTuple):
    """Both sides, with the rules between them and weights that are the same."""

    pair: Pair
    backends: list[Backend]
    states: tuple[dict[str, Array], dict[str, Array]]
    inputs: Inputs

    def trials(self, dtype: str) -> list[Trial]:
        """One trial a side."""
        return [
            Trial(backend, self.pair, role, self.inputs.cast(dtype), state, once=True)
            for backend, role, state in zip(self.backends, ROLES, self.states, strict=True)
        ]


def _prepared(
    reference: Any,
    candidate: Any,
    shape: tuple[int, ...],
    inputs: dict[str, Feed] | None,
    frameworks: tuple[str, str],
    batch: int,
) -> _Prepared:
    MODELS.update(reference=reference, candidate=candidate)
    sides = [Side(frameworks[place], f"{__name__}:same", options={"role": role}) for place, role in enumerate(ROLES)]
    pair = Pair("in_process", sides[0], sides[1], input_shape=shape, inputs=inputs or {}, rules="auto")
    built = [_built(framework, model) for framework, model in zip(frameworks, (reference, candidate), strict=True)]
    weights = built[0].state()
    contract = derive_here(pair, built[0], built[1])
    pair = replace(pair, contract=contract, architecture=contract.architecture(pair.name, pair.picture))
    table = contract.table.apply({name: LazyTensor.of(array) for name, array in weights.items()})
    states = weights, {**built[1].state(), **{name: np.asarray(tensor.load()) for name, tensor in table.items()}}
    return _Prepared(pair, built, states, finished(pair, random_batch(pair, batch, seed=0), seed=0))


def _change(before: Array, after: Array) -> tuple[float, float]:
    difference = after.astype(np.float64) - before.astype(np.float64)
    return float(np.linalg.norm(difference)), float(np.abs(difference).max(initial=0))


def same(role: str) -> Any:
    """The model of a side once more, where it is to be built again."""
    return MODELS[role]


def _built(framework: str, model: Any) -> Backend:
    backend = backends.create(framework, Runtime(threads=1))
    backend.build(lambda: model, {})
    backend.use("float32")
    return backend

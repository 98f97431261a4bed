"""Recordings of the reference's modules, and judgements of the candidate's by them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np

from alignment.arrays import Array
from alignment.errors import AlignmentError
from alignment.judging.measuring import measure
from alignment.judging.noise import noise_floor
from alignment.judging.tolerance import Judgement, certify, rounding
from alignment.pair.layouts import to_side
from alignment.recordings.recording import Recording
from alignment.results.report import DIVERGENCE
from alignment.steps.base import Trial
from porting.checkpoint.tensor import LazyTensor

Arrange: TypeAlias = Callable[[Array], Array]
"""What makes the candidate's shape of a tensor of the reference."""


@dataclass(frozen=True)
class Reference:
    """Recordings of the reference's modules.

    Attributes:
        float64: The recording in float64.
        float32: The recording in float32; its distance from float64 is the rounding noise.
        aliases: Keys of arrays that are stored under another key.
    """

    float64: Recording
    float32: Recording
    aliases: Mapping[str, str]

    def get(self, key: str, dtype: str) -> Array | None:
        """An array in the precision of the candidate; None where the reference has none."""
        recording = self.float64 if dtype == "float64" else self.float32
        key = self.aliases.get(f"{dtype} {key}", key)
        return recording.get(key)

    def has(self, key: str, dtype: str) -> bool:
        """True if there is an array of this key in a precision."""
        return self.get(key, dtype) is not None

    def judge(self, key: str, kind: str, array: Array, dtype: str, arrange: Arrange | None = None) -> Judgement | None:
        """The verdict on the candidate's array for a key; None where the reference has none.

        Args:
            key: Key of the reference's array.
            kind: `output`, `gradient`, `loss` or `parameter`.
            array: The candidate's array.
            dtype: Its precision.
            arrange: What makes its shape of the reference's array; None where it has the same.
        """
        exact, rounded = self.get(key, "float64"), self.get(key, "float32")
        if arrange is not None:
            exact, rounded = (one if one is None else arrange(one) for one in (exact, rounded))
        expected = exact if dtype == "float64" else rounded
        if expected is None:
            return None
        measured = measure(expected, array, infinities=kind == "output")
        if measured.problem is not None:
            return Judgement(DIVERGENCE, measured.problem)
        if exact is None or rounded is None:
            return certify(kind, measured)
        noise = noise_floor(measure(exact, rounded, mixed=True, infinities=True), None, None)
        if dtype == "float64":
            return certify(kind, measured, noise)
        return rounding(measured, measure(exact, array, mixed=True, infinities=True), noise)


@dataclass
class CallJudgements:
    """Judgements of one call of a module.

    Attributes:
        forward: Judgements of the outputs and running statistics.
        backward: Judgements of the gradients.
        problem: Why the call could not be judged; empty where it could.
    """

    forward: dict[str, Judgement] = field(default_factory=dict)
    backward: dict[str, Judgement] = field(default_factory=dict)
    problem: str = ""

    @property
    def failures(self) -> dict[str, Judgement]:
        """The judgements that say divergence, forward first."""
        return {**failures(self.forward), **failures(self.backward)}

    @property
    def misshapen(self) -> bool:
        """True if an array cannot be compared at all, since its shape differs."""
        return any(judgement.error is None for judgement in self.failures.values())

    @property
    def error(self) -> float | None:
        """The largest relative error of the outputs; None without one."""
        errors = [judgement.error for judgement in self.forward.values()]
        return max((error for error in errors if error is not None), default=None)


def reference_weights(trial: Trial, reference: Reference) -> dict[str, Array]:
    """The reference's weights as the candidate's state dict.

    Raises:
        AlignmentError: The reference did not record them.
    """
    architecture = trial.pair.architecture
    tensors = {}
    for name, spec in architecture.tensors.items():
        array = reference.get(f"eval/parameter/{name}", "float32")
        if array is None and name not in architecture.counters:
            raise AlignmentError(f"the reference did not record its {name}")
        tensors[name] = LazyTensor.of(np.zeros(spec.shape, np.int64) if array is None else array)
    translated = to_side(trial.pair, trial.role, tensors)
    return {name: np.asarray(tensor.load()) for name, tensor in translated.items()}


def failures(judged: Mapping[str, Judgement]) -> dict[str, Judgement]:
    """The judgements that say divergence."""
    return {what: judgement for what, judgement in judged.items() if judgement.verdict == DIVERGENCE}


def in_another_order(reference: Array, candidate: Array) -> bool:
    """True if a matrix of the candidate, either way round, has the rows of the reference's in another order."""
    if sorted(reference.shape) != sorted(candidate.shape):
        return False
    expected = [row.tobytes() for row in np.ascontiguousarray(reference, np.float32)]
    ways = [np.ascontiguousarray(one, np.float32) for one in (candidate, candidate.T) if one.shape == reference.shape]
    rows = [[row.tobytes() for row in one] for one in ways]
    return expected not in rows and any(sorted(one) == sorted(expected) for one in rows)

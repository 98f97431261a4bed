"""Search for the modules of a candidate that are wrong by themselves.

Every module is judged twice. End to end its input is what the modules before it computed from the images, so that one
mistake shows in everything after it. In isolation its input, weights and output gradients are those of the reference's
module: a difference then comes from the module itself.

A module that differs in isolation and has no children that do is guilty. One that has such children is run again, with
their outputs replaced by the reference's: if it agrees then, they explain the difference; else it is guilty as well.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TypeAlias

import numpy as np

from alignment.arrays import Array
from alignment.backends.base import Tap, Taps, Visit
from alignment.bisection.counterparts import Counterparts
from alignment.bisection.evidence import CallJudgements, Reference, failures
from alignment.bisection.watching import Watched, watch
from alignment.judging.tolerance import Judgement
from alignment.results.findings import Evidence, Finding, ModuleRow, Status
from alignment.results.report import DIVERGENCE
from alignment.steps.base import Trial

Call: TypeAlias = tuple[str, int]
"""Path of a module of the candidate, and number of its calls before this one."""


class Localiser:
    """Judges one candidate in one mode.

    Args:
        trial: The candidate, in the precision in which it is judged.
        taps: Its modules.
        counterparts: The matching modules of the reference.
        reference: Recordings of the reference's modules.
        mode: `eval` or `train`.

    Attributes:
        held: Path in the candidate to the canonical names of the tensors in the module.
        statistics_names: Canonical names of the running statistics.
        weights: State dict of modules that run alone.
        end_to_end: Judgements of every call in a run on the images.
        isolated: Judgements of every call alone.
        differing: The guilty calls, which differ by themselves, with the reason.
        children_differ: Calls that differ because of modules in them, with the reason.
        incomparable: Calls that are not meant to compute the same, with the reason.
        loss: Judgement of the loss.
        gradients: Judgements of the gradients, by parameter.
        statistics: Judgements of the running statistics, by name.
    """

    def __init__(self, trial: Trial, taps: Taps, counterparts: Counterparts, reference: Reference, mode: str) -> None:
        self.trial, self.taps, self.paths, self.reference = trial, taps, counterparts.paths, reference
        self.mode, self.dtype = mode, trial.inputs.dtype
        self.statistics_names = trial.pair.architecture.statistics
        self.weights: Mapping[str, Array] = {}
        self.held = counterparts.held
        self.end_to_end: dict[Call, CallJudgements] = {}
        self.isolated: dict[Call, CallJudgements] = {}
        self.differing: dict[Call, str] = {}
        self.children_differ: dict[Call, str] = {}
        self.incomparable: dict[Call, str] = {}
        self.loss: Judgement | None = None
        self.gradients: dict[str, Judgement] = {}
        self.statistics: dict[str, Judgement] = {}

    @property
    def model_diverges(self) -> bool:
        """True if outputs, loss, gradients or statistics of the whole model differ end to end."""
        return self._differs(call for call in self.end_to_end if not call[0])

    @property
    def diverges(self) -> bool:
        """True if anything differs end to end."""
        return self._differs(self.end_to_end)

    def _differs(self, calls: Iterable[Call]) -> bool:
        """True if any of these calls, the loss, a gradient or a statistic differs end to end."""
        judged = [*self.gradients.values(), *self.statistics.values(), *([self.loss] if self.loss else [])]
        return any(judgement.verdict == DIVERGENCE for judgement in judged) or any(
            self.end_to_end[call].failures for call in calls
        )

    def run_end_to_end(self) -> Watched:
        """Run the candidate on the images, with its own weights, and judge everything that the taps see.

        Of a candidate that gives something else when it is watched, only the whole model is judged.
        """

        def start() -> Visit:
            self.end_to_end.clear()
            return self._judge_end_to_end

        watched = watch(self.trial, self.taps, self.mode, start)
        results = watched.results
        if not watched.usable:
            self.end_to_end.clear()
            for index, array in enumerate(results.outputs):
                self._judge_end_to_end(Tap("", 0, "output", index), array)
        if results.loss is not None:
            self.loss = self.reference.judge(f"{self.mode}/loss", "loss", results.loss, self.dtype)
            self.gradients = self._judged("gradient", self.trial.canonical(results.gradients))
        if self.mode == "train":
            state = self.trial.canonical(results.state)
            self.statistics = self._judged("output", {name: state[name] for name in self.statistics_names})
        return watched

    def run_isolated(self, weights: Mapping[str, Array]) -> None:
        """Run every module alone, and classify those that differ.

        Args:
            weights: The reference's weights, as the candidate's state dict.
        """
        backend, self.weights = self.trial.backend, weights
        backend.train(self.mode == "train")
        try:
            backend.set_state(weights)
            for call in self.end_to_end:
                if self.mode == "train":
                    backend.set_state(weights)
                self.isolated[call] = self._isolate(call)
            for call in sorted(self.isolated, key=lambda call: -_depth(call[0])):
                self._classify(call)
        finally:
            backend.train(False)
            backend.set_state(weights)

    def inputs_of(self, call: Call) -> list[Array]:
        """Floating-point inputs of the reference's module."""
        return self._recorded(call, "input")

    def integers_of(self, call: Call) -> list[Array]:
        """Inputs of integers and booleans of the reference's module."""
        return self._recorded(call, "integers")

    def outputs_of(self, call: Call) -> list[Array]:
        """Outputs of the reference's module."""
        return self._recorded(call, "output")

    def findings(self) -> Iterator[Finding]:
        """The guilty modules, in the order of execution."""
        for call, reason in self.differing.items():
            judged = self.isolated[call]
            failed = failures(judged.forward)
            direction = "forward" if failed else "backward"
            evidence = [
                Evidence(f"{what}, given the reference's input and weights", judgement.error, judgement.reason)
                for what, judgement in (failed or judged.failures).items()
            ]
            evidence.append(Evidence("blame", None, reason))
            path, candidate = self.paths[call[0]], call[0]
            yield Finding("module", path, candidate, self.mode, direction, tuple(evidence))

    def rows(self) -> Iterator[ModuleRow]:
        """A row for every call of every module that both sides have, in the order of execution."""
        modules = self.taps.modules
        for call, judged in self.end_to_end.items():
            status, reason = self._status(call, judged)
            alone = self.isolated.get(call)
            yield ModuleRow(
                path=self.paths[call[0]],
                candidate=call[0],
                call=call[1],
                kind=modules[call[0]].kind,
                mode=self.mode,
                status=status,
                end_to_end=judged.error,
                isolated=alone.error if alone else None,
                reason=reason,
            )

    def _judge_end_to_end(self, tap: Tap, array: Array) -> None:
        if tap.path not in self.paths or tap.what in ("input", "integers"):
            return
        self._judge(self.end_to_end.setdefault((tap.path, tap.call), CallJudgements()), tap, array)

    def _judge(self, judged: CallJudgements, tap: Tap, array: Array) -> None:
        key = self._key((tap.path, tap.call), tap.what, tap.index)
        kind = "gradient" if tap.what.endswith("gradient") else "output"
        judgement = self.reference.judge(key, kind, array, self.dtype)
        if judgement is not None:
            by_kind = judged.forward if kind == "output" else judged.backward
            by_kind[f"{tap.what.replace('_', ' ')} {tap.index}"] = judgement

    def _judged(self, kind: str, arrays: Mapping[str, Array]) -> dict[str, Judgement]:
        what = "gradient" if kind == "gradient" else "statistic"
        judged = {
            name: self.reference.judge(f"{self.mode}/{what}/{name}", kind, array, self.dtype)
            for name, array in arrays.items()
        }
        return {name: judgement for name, judgement in judged.items() if judgement is not None}

    def _isolate(self, call: Call) -> CallJudgements:
        path, number = call
        judged, inputs, expected = CallJudgements(), self.inputs_of(call), self.outputs_of(call)
        integers = self.integers_of(call)
        if not (inputs or integers) or not expected:
            judged.problem = "the reference's module was not called, or takes no tensors"
            return judged
        try:
            result = self.taps.isolate(path, number, inputs, self.gradients_of(call), integers=integers)
        except Exception as error:  # whatever a framework raises of a tensor that does not fit
            judged.problem = f"cannot be run on the reference's input: {str(error).strip().splitlines()[0]}"
            return judged
        if len(result.outputs) != len(expected):
            judged.problem = f"returns {len(result.outputs)} tensors, the reference's {len(expected)}"
            return judged
        for index, array in enumerate(result.outputs):
            self._judge(judged, Tap(path, number, "output", index), array)
        if self.taps.gradients:
            for index, gradient in enumerate(result.input_gradients):
                if gradient is not None or self.recorded_one(call, "input_gradient", index) is not None:
                    gradient = np.zeros_like(inputs[index]) if gradient is None else gradient
                    self._judge(judged, Tap(path, number, "input_gradient", index), gradient)
            self._judge_own_gradients(judged, call)
        if self.mode == "train":
            self._judge_own_statistics(judged, call)
        return judged

    def _judge_own_gradients(self, judged: CallJudgements, call: Call) -> None:
        """Judge the gradients of the module's parameters, if no other call contributes to them."""
        within = self.held[call[0]]
        if not within or any(other[0] == call[0] and other[1] != call[1] for other in self.end_to_end):
            return
        own = self.trial.canonical(self.trial.backend.gradients(), within - self.trial.pair.architecture.buffers)
        gradients = self._judged("gradient", own)
        judged.backward.update({f"gradient of {name}": judgement for name, judgement in gradients.items()})

    def _judge_own_statistics(self, judged: CallJudgements, call: Call) -> None:
        names = [name for name in self.statistics_names if name in self.held[call[0]]]
        if names:
            statistics = self._judged("output", self.trial.canonical(self.trial.backend.state(), names))
            judged.forward.update({f"running statistic {name}": judgement for name, judgement in statistics.items()})

    def _classify(self, call: Call) -> None:
        judged = self.isolated[call]
        failed = failures(judged.forward)
        if not failed and not failures(judged.backward):
            return
        around = self._nearest_around(call)
        if around is not None and self._agrees(around) and (around[0] or judged.misshapen):
            self.incomparable[call] = (
                f"does something else than the reference's, and {around[0] or 'the model'} is right"
            )
            return
        below = [other for other in self.isolated if other != call and inside(other[0], call[0])]
        failing = [
            other
            for other in below
            if other not in self.incomparable
            and failures(self.isolated[other].forward if failed else self.isolated[other].backward)
        ]
        if not failing:
            self.differing[call] = "no module in it differs" if below else "it has no modules that could be compared"
            return
        names = ", ".join(sorted({self.paths[other[0]] for other in failing if other in self.differing}))
        if failed and self._fails_with_right_children(call, outermost(failing)):
            self.differing[call] = f"it differs even where {names} return what they should"
            return
        self.children_differ[call] = f"because of {names}" if names else "because of modules in it"

    def _nearest_around(self, call: Call) -> Call | None:
        around = [other for other in self.isolated if inside(call[0], other[0])]
        return max(around, key=lambda other: _depth(other[0]), default=None)

    def _agrees(self, call: Call) -> bool:
        judged = self.isolated[call]
        return bool(judged.forward) and not judged.failures

    def _fails_with_right_children(self, call: Call, children: Sequence[Call]) -> bool:
        """True if a module differs with the outputs of these children replaced by the reference's."""
        replaced = self.replacing(children)
        try:
            inputs, integers = self.inputs_of(call), self.integers_of(call)
            result = self.taps.isolate(*call, inputs, replaced=replaced, integers=integers)
        except Exception:  # a child whose outputs have another form than the reference's
            return False
        judged = CallJudgements()
        for index, array in enumerate(result.outputs):
            self._judge(judged, Tap(*call, "output", index), array)
        return bool(judged.failures)

    def replacing(self, calls: Sequence[Call]) -> dict[Call, list[Array]]:
        """The reference's outputs of some calls; calls are counted within the run of a module that holds them all."""
        first = {path: min(number for other, number in calls if other == path) for path, _ in calls}
        return {(path, number - first[path]): self.outputs_of((path, number)) for path, number in calls}

    def _status(self, call: Call, judged: CallJudgements) -> tuple[Status, str]:
        alone = self.isolated.get(call)
        if call in self.differing:
            return "guilty", self.differing[call]
        if call in self.incomparable:
            return "not compared", self.incomparable[call]
        if call in self.children_differ:
            return "children", self.children_differ[call]
        if alone is not None and alone.problem:
            return "not compared", alone.problem
        if judged.failures:
            return "inherits", "right by itself" if alone is not None else "not run alone"
        if not judged.forward:
            return "not compared", "the reference's module was not called"
        return "agrees", ""

    def _key(self, call: Call, what: str, index: int) -> str:
        return f"{self.mode}/tap/{Tap(self.paths[call[0]], call[1], what, index)}"

    def recorded_one(self, call: Call, what: str, index: int) -> Array | None:
        """One array that the reference recorded of its module; None where it has none."""
        return self.reference.get(self._key(call, what, index), self.dtype)

    def _recorded(self, call: Call, what: str) -> list[Array]:
        arrays: list[Array] = []
        while (array := self.recorded_one(call, what, len(arrays))) is not None:
            arrays.append(array)
        return arrays

    def gradients_of(self, call: Call) -> list[Array | None]:
        """Gradients of the outputs of the reference's module; None where none arrived."""
        if not self.taps.gradients:
            return []
        count = len(self.outputs_of(call))
        return [self.recorded_one(call, "output_gradient", index) for index in range(count)]


def outermost(calls: Sequence[Call]) -> list[Call]:
    """Those of the calls whose modules are in no other module of them."""
    paths = {path for path, _ in calls}
    return [call for call in calls if not any(path != call[0] and inside(call[0], path) for path in paths)]


def inside(path: str, parent: str) -> bool:
    """True if a module is in another one."""
    return path != parent and (not parent or path.startswith(f"{parent}."))


def _depth(path: str) -> int:
    return path.count(".") + 1 if path else 0

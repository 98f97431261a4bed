"""Which modules of a candidate are wrong by themselves.

Every module is judged twice. End to end it gets what the modules before it made of the images, so that one mistake
shows in everything after it. In isolation it gets what the reference's module was given, with the reference's weights,
and for the way back the gradients that arrived there: what differs then is made in the module.

A module that differs in isolation and has no children that do is guilty. One that has such children is run again, with
what these return replaced by what they should: if it is right then, they explain it; else it is guilty as well.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TypeAlias

import numpy as np

from alignment.arrays import Array
from alignment.backends.base import Tap, Taps
from alignment.bisection.counterparts import Counterparts
from alignment.bisection.evidence import Reference, Seen, failures, tap_key
from alignment.judging.tolerance import Judgement
from alignment.results.findings import Evidence, Finding, ModuleRow, Status
from alignment.results.report import DIVERGENCE
from alignment.steps.base import Trial

Call: TypeAlias = tuple[str, int]
"""A module of the candidate, and how many calls of it came before."""


class Localiser:
    """Judges one candidate in one mode.

    Args:
        trial: The candidate, in the precision in which it is judged.
        taps: Its modules.
        counterparts: Which modules of the reference they stand for.
        reference: What the reference recorded.
        mode: `eval` or `train`.

    Attributes:
        held: Path in the candidate to the canonical names of the tensors in the module.
        weights: The weights that modules run alone have.
        end_to_end: What was judged of every call, from the images on.
        isolated: What was judged of it alone.
        guilty: The calls that are to blame, with the reason.
        explained: Those that differ because of modules in them, with the reason.
        absolved: Those that are not meant to do the same, with the reason.
        loss: The verdict on the loss.
        gradients: On the gradient of every parameter.
        statistics: On every running statistic.
    """

    def __init__(self, trial: Trial, taps: Taps, counterparts: Counterparts, reference: Reference, mode: str) -> None:
        self.trial, self.taps, self.paths, self.reference = trial, taps, counterparts.paths, reference
        self.mode, self.dtype = mode, trial.inputs.dtype
        self._modules = taps.modules
        self.weights: Mapping[str, Array] = {}
        self.held = counterparts.held
        self.end_to_end: dict[Call, Seen] = {}
        self.isolated: dict[Call, Seen] = {}
        self.guilty: dict[Call, str] = {}
        self.explained: dict[Call, str] = {}
        self.absolved: dict[Call, str] = {}
        self.loss: Judgement | None = None
        self.gradients: dict[str, Judgement] = {}
        self.statistics: dict[str, Judgement] = {}

    @property
    def model_diverges(self) -> bool:
        """Whether what the whole model gives differs end to end."""
        judged = [*self.gradients.values(), *self.statistics.values(), *([self.loss] if self.loss else [])]
        for (path, _), seen in self.end_to_end.items():
            judged += [*seen.forward.values(), *seen.backward.values()] if not path else []
        return any(each.verdict == DIVERGENCE for each in judged)

    @property
    def diverges(self) -> bool:
        """Whether anything differs end to end."""
        judged = [
            each for seen in self.end_to_end.values() for each in (*seen.forward.values(), *seen.backward.values())
        ]
        judged += [*self.gradients.values(), *self.statistics.values(), *([self.loss] if self.loss else [])]
        return any(each.verdict == DIVERGENCE for each in judged)

    def run_end_to_end(self) -> None:
        """Run the candidate on the images, with its own weights, and judge all that can be seen."""
        trial, backend = self.trial, self.trial.backend
        trial.reset()
        backend.train(self.mode == "train")
        try:
            with self.taps.watch(self._judge_end_to_end):
                if self.taps.gradients:
                    loss = backend.backward(trial.inputs.images, trial.inputs.soft_targets, trial.pair.loss)
                    self.loss = self.reference.judge(f"{self.mode}/loss", "loss", loss, self.dtype)
                else:
                    backend.forward(trial.inputs.images, None)
            if self.taps.gradients:
                self.gradients = self._judged("gradient", trial.canonical(backend.gradients()))
            if self.mode == "train":
                state = trial.canonical(backend.state())
                self.statistics = self._judged("output", {name: state[name] for name in self.statistics_names})
        finally:
            backend.train(False)

    def run_isolated(self, weights: Mapping[str, Array]) -> None:
        """Run every module alone, and find out which are guilty.

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
                self._charge(call)
        finally:
            backend.train(False)
            backend.set_state(weights)

    def inputs_of(self, call: Call) -> list[Array]:
        """What the reference's module was given."""
        return self._recorded(call, "input")

    def outputs_of(self, call: Call) -> list[Array]:
        """What the reference's module made of it."""
        return self._recorded(call, "output")

    def findings(self) -> Iterator[Finding]:
        """The guilty modules, in the order of execution."""
        for call, reason in self.guilty.items():
            seen = self.isolated[call]
            failed = failures(seen.forward)
            direction = "forward" if failed else "backward"
            evidence = [
                Evidence(f"{what}, given the reference's input and weights", each.error, each.reason)
                for what, each in (failed or seen.failures).items()
            ]
            evidence.append(Evidence("blame", None, reason))
            path, candidate = self.paths[call[0]], call[0]
            yield Finding("module", path, candidate, self.mode, direction, tuple(evidence))

    def rows(self) -> Iterator[ModuleRow]:
        """Every call of every module that both sides have, in the order of execution."""
        for call, seen in self.end_to_end.items():
            status, reason = self._status(call, seen)
            alone = self.isolated.get(call)
            yield ModuleRow(
                path=self.paths[call[0]],
                candidate=call[0],
                call=call[1],
                kind=self._modules[call[0]].kind,
                mode=self.mode,
                status=status,
                end_to_end=seen.error,
                isolated=alone.error if alone else None,
                reason=reason,
            )

    @property
    def statistics_names(self) -> list[str]:
        """The canonical names of the running statistics."""
        return list(self.trial.pair.architecture.statistics)

    def _judge_end_to_end(self, tap: Tap, array: Array) -> None:
        if tap.path not in self.paths or tap.what == "input":
            return
        call = (tap.path, tap.call)
        seen = self.end_to_end.setdefault(call, Seen())
        self._judge(seen, tap, array)

    def _judge(self, seen: Seen, tap: Tap, array: Array) -> None:
        key = self._key((tap.path, tap.call), tap.what, tap.index)
        kind = "gradient" if tap.what.endswith("gradient") else "output"
        judged = self.reference.judge(key, kind, array, self.dtype)
        if judged is not None:
            (seen.forward if kind == "output" else seen.backward)[_words(tap)] = judged

    def _judged(self, kind: str, arrays: Mapping[str, Array]) -> dict[str, Judgement]:
        what = "gradient" if kind == "gradient" else "statistic"
        judged = {
            name: self.reference.judge(f"{self.mode}/{what}/{name}", kind, array, self.dtype)
            for name, array in arrays.items()
        }
        return {name: each for name, each in judged.items() if each is not None}

    def _isolate(self, call: Call) -> Seen:
        path, number = call
        seen, inputs, expected = Seen(), self.inputs_of(call), self.outputs_of(call)
        if not inputs or not expected:
            seen.problem = "the reference's module was not called, or takes no tensors"
            return seen
        try:
            result = self.taps.isolate(path, number, inputs, self.gradients_of(call))
        except Exception as error:  # whatever a framework raises of a tensor that does not fit
            seen.problem = f"cannot be run on the reference's input: {str(error).strip().splitlines()[0]}"
            return seen
        if len(result.outputs) != len(expected):
            seen.problem = f"returns {len(result.outputs)} tensors, the reference's {len(expected)}"
            return seen
        for index, array in enumerate(result.outputs):
            self._judge(seen, Tap(path, number, "output", index), array)
        if self.taps.gradients:
            for index, gradient in enumerate(result.input_gradients):
                if gradient is not None or self.recorded_one(call, "input_gradient", index) is not None:
                    gradient = np.zeros_like(inputs[index]) if gradient is None else gradient
                    self._judge(seen, Tap(path, number, "input_gradient", index), gradient)
            self._judge_own_gradients(seen, call)
        if self.mode == "train":
            self._judge_own_statistics(seen, call)
        return seen

    def _judge_own_gradients(self, seen: Seen, call: Call) -> None:
        """The gradients of the parameters in the module, where this call is all that reaches them."""
        within = self.held[call[0]]
        if not within or any(other[0] == call[0] and other[1] != call[1] for other in self.end_to_end):
            return
        own = self.trial.canonical(self.trial.backend.gradients(), within - self.trial.pair.architecture.buffers)
        judged = self._judged("gradient", own)
        seen.backward.update({f"gradient of {name}": each for name, each in judged.items()})

    def _judge_own_statistics(self, seen: Seen, call: Call) -> None:
        names = [name for name in self.statistics_names if name in self.held[call[0]]]
        if names:
            judged = self._judged("output", self.trial.canonical(self.trial.backend.state(), names))
            seen.forward.update({f"running statistic {name}": each for name, each in judged.items()})

    def _charge(self, call: Call) -> None:
        seen = self.isolated[call]
        failed = failures(seen.forward)
        if not failed and not failures(seen.backward):
            return
        around = self._nearest_around(call)
        if around is not None and self._right(around) and (around[0] or seen.misshapen):
            self.absolved[call] = f"does something else than the reference's, and {around[0] or 'the model'} is right"
            return
        below = [other for other in self.isolated if other != call and inside(other[0], call[0])]
        blamed = [other for other in below if other not in self.absolved and self._fails(other, forward=bool(failed))]
        if not blamed:
            self.guilty[call] = "no module in it differs" if below else "it has no modules that could be compared"
            return
        names = ", ".join(sorted({self.paths[other[0]] for other in blamed if other in self.guilty}))
        if failed and self._fails_with_right_children(call, outermost(blamed)):
            self.guilty[call] = f"it differs even where {names} return what they should"
            return
        self.explained[call] = f"because of {names}" if names else "because of modules in it"

    def _nearest_around(self, call: Call) -> Call | None:
        around = [other for other in self.isolated if inside(call[0], other[0])]
        return max(around, key=lambda other: _depth(other[0]), default=None)

    def _right(self, call: Call) -> bool:
        seen = self.isolated[call]
        return bool(seen.forward) and not seen.failures

    def _fails(self, call: Call, *, forward: bool) -> bool:
        seen = self.isolated[call]
        return bool(failures(seen.forward) if forward else failures(seen.backward))

    def _fails_with_right_children(self, call: Call, children: Sequence[Call]) -> bool:
        """Whether a module differs with what these children return put right."""
        replaced = self.replacing(children)
        try:
            result = self.taps.isolate(call[0], call[1], self.inputs_of(call), replaced=replaced)
        except Exception:  # a child whose outputs have another form than the reference's
            return False
        for index, array in enumerate(result.outputs):
            judged = self.reference.judge(self._key(call, "output", index), "output", array, self.dtype)
            if judged is not None and judged.verdict == DIVERGENCE:
                return True
        return False

    def replacing(self, calls: Sequence[Call]) -> dict[Call, list[Array]]:
        """What calls are made to return, counted within the run of a module that holds them all."""
        first = {path: min(number for other, number in calls if other == path) for path, _ in calls}
        return {(path, number - first[path]): self.outputs_of((path, number)) for path, number in calls}

    def _status(self, call: Call, seen: Seen) -> tuple[Status, str]:
        alone = self.isolated.get(call)
        if call in self.guilty:
            return "guilty", self.guilty[call]
        if call in self.absolved:
            return "not compared", self.absolved[call]
        if call in self.explained:
            return "children", self.explained[call]
        if alone is not None and alone.problem:
            return "not compared", alone.problem
        if seen.failures:
            return "inherits", "right by itself" if alone is not None else "not run alone"
        if not seen.forward:
            return "not compared", "the reference's module was not called"
        return "agrees", ""

    def _key(self, call: Call, what: str, index: int) -> str:
        return tap_key(self.mode, Tap(self.paths[call[0]], call[1], what, index))

    def recorded_one(self, call: Call, what: str, index: int) -> Array | None:
        """One tensor that the reference recorded of its module."""
        return self.reference.get(self._key(call, what, index), self.dtype)

    def _recorded(self, call: Call, what: str) -> list[Array]:
        found: list[Array] = []
        while (array := self.recorded_one(call, what, len(found))) is not None:
            found.append(array)
        return found

    def gradients_of(self, call: Call) -> list[Array | None]:
        """The gradients that arrived at the outputs of the reference's module."""
        if not self.taps.gradients:
            return []
        count = len(self.outputs_of(call))
        return [self.recorded_one(call, "output_gradient", index) for index in range(count)]


def _words(tap: Tap) -> str:
    return f"{tap.what.replace('_', ' ')} {tap.index}"


def outermost(calls: Sequence[Call]) -> list[Call]:
    """The calls of modules that are in none of the others."""
    paths = {path for path, _ in calls}
    return [call for call in calls if not any(path != call[0] and inside(call[0], path) for path in paths)]


def inside(path: str, parent: str) -> bool:
    """Whether a module is in another one."""
    return path != parent and (not parent or path.startswith(f"{parent}."))


def _depth(path: str) -> int:
    return path.count(".") + 1 if path else 0

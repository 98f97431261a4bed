"""Which modules of a candidate are wrong by themselves.

Every module is judged twice. End to end it gets what the modules before it made of the images, so that one mistake
shows in everything after it. In isolation it gets what the reference's module was given, with the reference's weights,
and for the way back the gradients that arrived there: what differs then is made in the module.

A module that differs in isolation and has no children that do is guilty. One that has such children is run again, with
what these return replaced by what they should: if it is right then, they explain it; else it is guilty as well.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from alignment.backends.base import Array, Isolated, Tap, Taps
from alignment.compare import measure
from alignment.counterparts import Counterparts, holdings
from alignment.errors import AlignmentError
from alignment.findings import Evidence, Finding, ModuleRow, Status
from alignment.recording import Recording
from alignment.report.model import DIVERGENCE
from alignment.steps.base import Trial
from alignment.tolerance import Judgement, certify, noise_floor, rounding
from porting.checkpoint.tensor import LazyTensor
from porting.convert import translate

MODES = ("eval", "train")


@dataclass(frozen=True)
class Reference:
    """What the reference recorded.

    Attributes:
        float64: Its recording in float64.
        float32: Its recording in float32, which tells the noise.
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

    def judge(self, key: str, kind: str, found: Array, dtype: str) -> Judgement | None:
        """The verdict on what the candidate has for a key; None where the reference has nothing there."""
        expected = self.get(key, dtype)
        if expected is None:
            return None
        measured = measure(expected, found)
        if measured.problem is not None:
            return Judgement(DIVERGENCE, measured.problem)
        exact, rounded = self.get(key, "float64"), self.get(key, "float32")
        if exact is None or rounded is None:
            return certify(kind, measured)
        noise = noise_floor(measure(exact, rounded, mixed=True), None, None)
        if dtype == "float64":
            return certify(kind, measured, noise)
        return rounding(measured, measure(exact, found, mixed=True), noise)


@dataclass
class Seen:
    """What was judged of one call of a module.

    Attributes:
        forward: Judgements of what comes out.
        backward: Judgements of the gradients.
        problem: Why it could not be judged.
    """

    forward: dict[str, Judgement] = field(default_factory=dict)
    backward: dict[str, Judgement] = field(default_factory=dict)
    problem: str = ""

    @property
    def failures(self) -> dict[str, Judgement]:
        """What diverges, forward first."""
        return {**_failures(self.forward), **_failures(self.backward)}

    @property
    def misshapen(self) -> bool:
        """Whether something cannot be compared at all: its shape is another one."""
        return any(each.error is None for each in self.failures.values())

    @property
    def error(self) -> float | None:
        """The largest relative error of what comes out."""
        return max((each.error for each in self.forward.values() if each.error is not None), default=None)


Call = tuple[str, int]


class Localiser:
    """Judges one candidate in one mode.

    Args:
        trial: The candidate, in the precision in which it is judged.
        taps: Its modules.
        counterparts: Which modules of the reference they stand for.
        reference: What the reference recorded.
        mode: `eval` or `train`.
    """

    def __init__(self, trial: Trial, taps: Taps, counterparts: Counterparts, reference: Reference, mode: str) -> None:
        self._trial, self._taps, self._paths, self._reference = trial, taps, counterparts.paths, reference
        self._mode, self._dtype = mode, str(trial.inputs.images.dtype)
        self._modules = taps.modules
        self._weights: Mapping[str, Array] = {}
        self._held = holdings(trial.pair, "candidate", self._modules)
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
        trial, backend = self._trial, self._trial.backend
        trial.reset()
        backend.train(self._mode == "train")
        try:
            with self._taps.watch(self._judge_end_to_end):
                if self._taps.gradients:
                    loss = backend.backward(trial.inputs.images, trial.inputs.soft_targets)
                    self.loss = self._reference.judge(f"{self._mode}/loss", "loss", loss, self._dtype)
                else:
                    backend.forward(trial.inputs.images, None)
            if self._taps.gradients:
                self.gradients = self._judged("gradient", trial.canonical(backend.gradients()))
            if self._mode == "train":
                state = trial.canonical(backend.state())
                self.statistics = self._judged("output", {name: state[name] for name in self._statistics})
        finally:
            backend.train(False)

    def run_isolated(self, weights: Mapping[str, Array]) -> None:
        """Run every module alone, and find out which are guilty.

        Args:
            weights: The reference's weights, as the candidate's state dict.
        """
        backend, self._weights = self._trial.backend, weights
        backend.train(self._mode == "train")
        try:
            backend.set_state(weights)
            for call in self.end_to_end:
                if self._mode == "train":
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

    def rerun(self, call: Call) -> tuple[Isolated, dict[str, Array], dict[str, Array]]:
        """Run a module alone once more, its guilty children replaced.

        Returns:
            The result; what went through the modules in it, by path within the module; and what goes through them in
            the reference, under the same names.
        """
        seen: dict[str, Array] = {}
        recorded: dict[str, Array] = {}
        path = call[0]

        def visit(tap: Tap, array: Array) -> None:
            if tap.what in ("input", "output"):
                name = str(tap)[len(path) :].lstrip(".") if path else str(tap)
                seen[name] = array
                if tap.path in self._paths:
                    right = self._recorded_one((tap.path, tap.call), tap.what, tap.index)
                    if right is not None:
                        recorded[name] = right

        if self._mode == "train":
            self._trial.backend.set_state(self._weights)
        self._trial.backend.train(self._mode == "train")
        try:
            gradients = self._gradients_of(call)
            guilty = [other for other in self.guilty if _inside(other[0], path)]
            replaced = self._replacing(_outermost(guilty))
            result = self._taps.isolate(path, call[1], self.inputs_of(call), gradients, replaced, visit)
            return result, seen, recorded
        finally:
            self._trial.backend.train(False)

    def beside(self, call: Call, result: Isolated | None) -> dict[str, Array]:
        """What hypotheses about gradients and statistics need of a module that was just run again."""
        if result is None:
            return {}
        found: dict[str, Array] = {}
        if self._taps.gradients:
            found |= self._gradients_beside(call, result)
        if self._mode == "train":
            names = [name for name in self._statistics if name in self._held[call[0]]]
            after = self._trial.canonical(self._trial.backend.state(), names)
            found |= self._both("statistic", "running statistic", after)
            for name in names:
                before = self._reference.get(f"eval/parameter/{name}", self._dtype)
                if before is not None:
                    found[f"before/running statistic {name}"] = before
        return found

    def _gradients_beside(self, call: Call, result: Isolated) -> dict[str, Array]:
        trial, found = self._trial, dict[str, Array]()
        for index, gradient in enumerate(result.input_gradients):
            expected = self._recorded_one(call, "input_gradient", index)
            if expected is not None:
                found[f"expected/input gradient {index}"] = expected
                found[f"found/input gradient {index}"] = np.zeros_like(expected) if gradient is None else gradient
        wanted = self._held[call[0]] - trial.pair.architecture.buffers
        found |= self._both("gradient", "gradient of", trial.canonical(trial.backend.gradients(), wanted))
        for index, gradient in enumerate(self._gradients_of(call)):
            if gradient is not None:
                found[f"given/output gradient {index}"] = gradient
        for other in (other for other in self.isolated if _inside(other[0], call[0])):
            for what in ("input_gradient", "output_gradient"):
                gradient = self._recorded_one(other, what, 0)
                if gradient is not None:
                    found[f"within/{what.replace('_', ' ')} of {self._paths[other[0]]}"] = gradient
        return found

    def _both(self, what: str, words: str, arrays: Mapping[str, Array]) -> dict[str, Array]:
        found: dict[str, Array] = {}
        for name, array in arrays.items():
            expected = self._reference.get(f"{self._mode}/{what}/{name}", self._dtype)
            if expected is not None:
                found[f"expected/{words} {name}"], found[f"found/{words} {name}"] = expected, array
        return found

    def findings(self) -> Iterator[Finding]:
        """The guilty modules, in the order of execution."""
        for call, reason in self.guilty.items():
            seen = self.isolated[call]
            failed = _failures(seen.forward)
            direction = "forward" if failed else "backward"
            evidence = [
                Evidence(f"{what}, given the reference's input and weights", each.error, each.reason)
                for what, each in (failed or seen.failures).items()
            ]
            evidence.append(Evidence("blame", None, reason))
            path, candidate = self._paths[call[0]], call[0]
            yield Finding("module", path, candidate, self._mode, direction, tuple(evidence))

    def rows(self) -> Iterator[ModuleRow]:
        """Every call of every module that both sides have, in the order of execution."""
        for call, seen in self.end_to_end.items():
            status, reason = self._status(call, seen)
            alone = self.isolated.get(call)
            yield ModuleRow(
                path=self._paths[call[0]],
                candidate=call[0],
                call=call[1],
                kind=self._modules[call[0]].kind,
                mode=self._mode,
                status=status,
                end_to_end=seen.error,
                isolated=alone.error if alone else None,
                reason=reason,
            )

    @property
    def _statistics(self) -> list[str]:
        return list(self._trial.pair.architecture.statistics)

    def _judge_end_to_end(self, tap: Tap, array: Array) -> None:
        if tap.path not in self._paths or tap.what == "input":
            return
        call = (tap.path, tap.call)
        seen = self.end_to_end.setdefault(call, Seen())
        self._judge(seen, tap, array)

    def _judge(self, seen: Seen, tap: Tap, array: Array) -> None:
        key = self._key((tap.path, tap.call), tap.what, tap.index)
        kind = "gradient" if tap.what.endswith("gradient") else "output"
        judged = self._reference.judge(key, kind, array, self._dtype)
        if judged is not None:
            (seen.forward if kind == "output" else seen.backward)[_words(tap)] = judged

    def _judged(self, kind: str, arrays: Mapping[str, Array]) -> dict[str, Judgement]:
        what = "gradient" if kind == "gradient" else "statistic"
        judged = {
            name: self._reference.judge(f"{self._mode}/{what}/{name}", kind, array, self._dtype)
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
            result = self._taps.isolate(path, number, inputs, self._gradients_of(call))
        except Exception as error:  # whatever a framework raises of a tensor that does not fit
            seen.problem = f"cannot be run on the reference's input: {str(error).strip().splitlines()[0]}"
            return seen
        if len(result.outputs) != len(expected):
            seen.problem = f"returns {len(result.outputs)} tensors, the reference's {len(expected)}"
            return seen
        for index, array in enumerate(result.outputs):
            self._judge(seen, Tap(path, number, "output", index), array)
        if self._taps.gradients:
            for index, gradient in enumerate(result.input_gradients):
                if gradient is not None or self._recorded_one(call, "input_gradient", index) is not None:
                    gradient = np.zeros_like(inputs[index]) if gradient is None else gradient
                    self._judge(seen, Tap(path, number, "input_gradient", index), gradient)
            self._judge_own_gradients(seen, call)
        if self._mode == "train":
            self._judge_own_statistics(seen, call)
        return seen

    def _judge_own_gradients(self, seen: Seen, call: Call) -> None:
        """The gradients of the parameters in the module, where this call is all that reaches them."""
        inside = self._held[call[0]]
        if not inside or any(other[0] == call[0] and other[1] != call[1] for other in self.end_to_end):
            return
        own = self._trial.canonical(self._trial.backend.gradients(), inside - self._trial.pair.architecture.buffers)
        judged = self._judged("gradient", own)
        seen.backward.update({f"gradient of {name}": each for name, each in judged.items()})

    def _judge_own_statistics(self, seen: Seen, call: Call) -> None:
        names = [name for name in self._statistics if name in self._held[call[0]]]
        if names:
            judged = self._judged("output", self._trial.canonical(self._trial.backend.state(), names))
            seen.forward.update({f"running statistic {name}": each for name, each in judged.items()})

    def _charge(self, call: Call) -> None:
        seen = self.isolated[call]
        failed = _failures(seen.forward)
        if not failed and not _failures(seen.backward):
            return
        around = self._nearest_around(call)
        if around is not None and self._right(around) and (around[0] or seen.misshapen):
            self.absolved[call] = f"does something else than the reference's, and {around[0] or 'the model'} is right"
            return
        below = [other for other in self.isolated if other != call and _inside(other[0], call[0])]
        blamed = [other for other in below if other not in self.absolved and self._fails(other, forward=bool(failed))]
        if not blamed:
            self.guilty[call] = "no module in it differs" if below else "it has no modules that could be compared"
            return
        names = ", ".join(sorted({self._paths[other[0]] for other in blamed if other in self.guilty}))
        if failed and self._fails_with_right_children(call, _outermost(blamed)):
            self.guilty[call] = f"it differs even where {names} return what they should"
            return
        self.explained[call] = f"because of {names}" if names else "because of modules in it"

    def _nearest_around(self, call: Call) -> Call | None:
        around = [other for other in self.isolated if _inside(call[0], other[0])]
        return max(around, key=lambda other: _depth(other[0]), default=None)

    def _right(self, call: Call) -> bool:
        seen = self.isolated[call]
        return bool(seen.forward) and not seen.failures

    def _fails(self, call: Call, *, forward: bool) -> bool:
        seen = self.isolated[call]
        return bool(_failures(seen.forward) if forward else _failures(seen.backward))

    def _fails_with_right_children(self, call: Call, children: Sequence[Call]) -> bool:
        """Whether a module differs with what these children return put right."""
        replaced = self._replacing(children)
        try:
            result = self._taps.isolate(call[0], call[1], self.inputs_of(call), replaced=replaced)
        except Exception:  # a child whose outputs have another form than the reference's
            return False
        for index, array in enumerate(result.outputs):
            judged = self._reference.judge(self._key(call, "output", index), "output", array, self._dtype)
            if judged is not None and judged.verdict == DIVERGENCE:
                return True
        return False

    def _replacing(self, calls: Sequence[Call]) -> dict[Call, list[Array]]:
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
        return tap_key(self._mode, Tap(self._paths[call[0]], call[1], what, index))

    def _recorded_one(self, call: Call, what: str, index: int) -> Array | None:
        return self._reference.get(self._key(call, what, index), self._dtype)

    def _recorded(self, call: Call, what: str) -> list[Array]:
        found: list[Array] = []
        while (array := self._recorded_one(call, what, len(found))) is not None:
            found.append(array)
        return found

    def _gradients_of(self, call: Call) -> list[Array | None]:
        if not self._taps.gradients:
            return []
        count = len(self.outputs_of(call))
        return [self._recorded_one(call, "output_gradient", index) for index in range(count)]


def tap_key(mode: str, tap: Tap) -> str:
    """The key of what a tap of the reference shows."""
    return f"{mode}/tap/{tap}"


def reference_weights(trial: Trial, reference: Reference) -> dict[str, Array]:
    """The reference's weights as the candidate's state dict.

    Raises:
        AlignmentError: The reference did not record them.
    """
    architecture = trial.pair.architecture
    found = {}
    for name, spec in architecture.tensors.items():
        array = reference.get(f"eval/parameter/{name}", "float32")
        if array is None and name not in architecture.counters:
            raise AlignmentError(f"the reference did not record its {name}")
        found[name] = LazyTensor.of(np.zeros(spec.shape, np.int64) if array is None else array)
    translated = translate(found, architecture, "canonical", trial.side.layout)
    return {name: np.asarray(tensor.load()) for name, tensor in translated.items()}


def _failures(judged: Mapping[str, Judgement]) -> dict[str, Judgement]:
    return {what: each for what, each in judged.items() if each.verdict == DIVERGENCE}


def _words(tap: Tap) -> str:
    return f"{tap.what.replace('_', ' ')} {tap.index}"


def _outermost(calls: Sequence[Call]) -> list[Call]:
    paths = {path for path, _ in calls}
    return [call for call in calls if not any(path != call[0] and _inside(call[0], path) for path in paths)]


def _inside(path: str, parent: str) -> bool:
    return path != parent and (not parent or path.startswith(f"{parent}."))


def _depth(path: str) -> int:
    return path.count(".") + 1 if path else 0

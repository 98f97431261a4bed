"""Search for the modules of a candidate that are wrong by themselves.

Every module is judged twice. End to end its input is what the modules before it computed from the images, so that one
mistake shows in everything after it. In isolation its input, weights and output gradients are those of the reference's
module: a difference then comes from the module itself.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence

import numpy as np

from alignment.arrays import Array
from alignment.backends.base import Isolated, Module, Tap, Taps, Visit
from alignment.bisection.counterparts import Counterparts
from alignment.bisection.evidence import CallJudgements, Reference, failures
from alignment.bisection.modes import set_mode
from alignment.bisection.twins import Call, Cut, Twins
from alignment.bisection.used_elsewhere import used_elsewhere
from alignment.bisection.watching import Watched, watch
from alignment.judging.tolerance import Judgement
from alignment.pair import ROLES
from alignment.results.report import DIVERGENCE
from alignment.steps.base import Trial

_ATTENDING = frozenset(
    ("multiheadattention", *(f"transformer{of}" for of in ("", "encoder", "decoder", "encoderlayer", "decoderlayer")))
)
"""Classes of the frameworks that take masks of booleans, in lower case."""


class Localiser:
    """Judges one candidate in one mode.

    Args:
        trial: The candidate, in the precision in which it is judged.
        taps: Its modules.
        counterparts: The matching modules of the reference.
        reference: Recordings of the reference's modules.
        modules: The reference's modules.
        mode: `eval` or `train`.
        exact: Whether exact versions stand in for the framework's own kernels: running statistics may then also be as
            the candidate's framework takes them up.

    Attributes:
        twins: What the reference recorded for each call.
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
        other_statistics: Names of running statistics that agree only with what the candidate's framework takes up.
    """

    def __init__(
        self,
        trial: Trial,
        taps: Taps,
        counterparts: Counterparts,
        reference: Reference,
        modules: Mapping[str, Module],
        mode: str,
        *,
        exact: bool = False,
    ) -> None:
        self.trial, self.taps, self.paths, self.reference = trial, taps, counterparts.paths, reference
        self.mode, self.dtype, self._exact = mode, trial.inputs.dtype, exact
        self.other_statistics: set[str] = set()
        self.twins = Twins(reference, modules, counterparts.paths, mode, self.dtype)
        self._entered: dict[tuple[str, Call], list[Array]] = {}
        self._left: tuple[Call, list[Array]] | None = None
        self._own: dict[tuple[str, Call], dict[int, Array]] = {}
        self.statistics_names = trial.pair.architecture.statistics
        self.weights: Mapping[str, Array] = {}
        self._changing: list[str] = []
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
        self._judge_outputs()
        if results.loss is not None:
            self.loss = self.reference.judge(f"{self.mode}/loss", "loss", results.loss, self.dtype)
            self.gradients = self._judged("gradient", self.trial.gradients(results.gradients))
        if self.mode == "train":
            self._changing = [name for name, array in results.state.items() if self._is_changed(name, array)]
            state = self.trial.canonical(results.state)
            self.statistics = self._judged("output", {name: state[name] for name in self.statistics_names})
        return watched

    def _is_changed(self, name: str, array: Array) -> bool:
        before = self.trial.weights[name].astype(array.dtype)
        return not np.array_equal(array, before, equal_nan=array.dtype.kind == "f")

    def run_isolated(self, weights: Mapping[str, Array], classify: Callable[[Localiser], None]) -> None:
        """Run every module alone, and classify those that differ.

        Args:
            weights: The reference's weights, as the candidate's state dict.
            classify: Sorts the calls that differ, see `alignment.bisection.classifying`.
        """
        backend, self.weights = self.trial.backend, weights
        set_mode(backend, self.mode)
        try:
            backend.set_state(weights)
            for call in self.end_to_end:
                self.isolated[call] = self.isolate(call)
            self._use_cuts_of_others()
            classify(self)
        finally:
            backend.train(False)
            backend.set_state(weights)

    def inputs_of(self, call: Call) -> list[Array]:
        """Floating-point inputs of the reference's module, in the candidate's order.

        One that the reference's module does not take is the candidate's own.
        """
        return self._given(call, "input")

    def integers_of(self, call: Call) -> list[Array]:
        """Inputs of integers and booleans of the reference's module, likewise."""
        return self._given(call, "integers")

    def _given(self, call: Call, what: str) -> list[Array]:
        places = self.twins.orders[what].get(call)
        if places is None:
            return self.twins.all(call, what)
        own = self._own.get((what, call), {})
        arrays = [own.get(index, self.twins.get(call, what, index)) for index in range(len(places))]
        return [array for array in arrays if array is not None]

    def outputs_of(self, call: Call) -> list[Array]:
        """Outputs of the reference's module, in the candidate's order."""
        return self.twins.all(call, "output")

    def _judge_end_to_end(self, tap: Tap, array: Array) -> None:
        if tap.path not in self.paths:
            return
        call = (tap.path, tap.call)
        if self._left is not None and (tap.what != "output" or call != self._left[0]):
            self._judge_outputs()
        if tap.what in ("input", "integers"):
            self._entered.setdefault((tap.what, call), []).append(array)
        elif tap.what == "output":
            self._left = (call, [*(self._left[1] if self._left else ()), array])
        elif tap.what == "output_gradient" or not any(tap.index in places for places in self.twins.tied.get(call, ())):
            self.judge(self.end_to_end.setdefault(call, CallJudgements()), tap, array)

    def _judge_outputs(self) -> None:
        """Judge what a call returned, once all of it is known, and note the order of its inputs and outputs."""
        if self._left is None:
            return
        call, outputs = self._left
        self._left = None
        for what in ("input", "integers"):
            entered = self._entered.pop((what, call), [])
            self.twins.order(call, what, entered)
            places = self.twins.orders[what].get(call, ())
            own = {index: entered[index] for index, place in enumerate(places) if place is None}
            if own:
                self._own[what, call] = own
        self.twins.order(call, "output", outputs)
        judged = self.end_to_end.setdefault(call, CallJudgements())
        self._judge_forward(judged, call, outputs)
        if judged.failures:
            cut = self._other_cut(call, outputs)
            if cut is not None:
                self.twins.cuts[call] = cut
                judged.forward.clear()
                self._judge_forward(judged, call, outputs)

    def _other_cut(self, call: Call, outputs: Sequence[Array]) -> Cut | None:
        """The tensor of the reference that a module gives which gives something else than its counterpart."""
        if len(outputs) != 1 or call in self.twins.cuts or call in self.twins.uncut:
            return None
        cuts = (cut for cut in self.twins.other_cuts(call) if self.twins.has(cut))
        return next((cut for cut in cuts if self._gives(call, cut, outputs)), None)

    def _gives(self, call: Call, cut: Cut, outputs: Sequence[Array]) -> bool:
        self.twins.cuts[call] = cut
        try:
            judged = CallJudgements()
            self._judge_forward(judged, call, outputs)
            return bool(judged.forward) and not judged.failures
        finally:
            del self.twins.cuts[call]

    def _use_cuts_of_others(self) -> None:
        """Compare modules that differ with what others of the same kinds that are cut otherwise are compared with."""
        kinds, own = self.twins.kinds, self.taps.modules
        known: dict[tuple[str, str], Counter[str]] = {}
        for call, cut in self.twins.cuts.items():
            if cut.within:
                pair = own[call[0]].kind, kinds[self.paths[call[0]]]
                known.setdefault(pair, Counter())[cut.within] += 1
        for call in [call for call in self.isolated if failures(self.isolated[call].forward)]:
            ways = known.get((own[call[0]].kind, kinds[self.paths[call[0]]]))
            like = self.twins.like(call, ways.most_common(1)[0][0]) if ways else None
            if like is not None and call not in self.twins.cuts and self.twins.has(like):
                self.twins.cuts[call] = like
                self.trial.backend.set_state(self.weights)
                self.isolated[call] = self.isolate(call)

    def _judge_forward(self, judged: CallJudgements, call: Call, outputs: Sequence[Array]) -> None:
        for index, array in enumerate(outputs):
            self.judge(judged, Tap(*call, "output", index), array)

    def judge(self, judged: CallJudgements, tap: Tap, array: Array) -> None:
        """Judge an array of the candidate by the reference's, if there is one for it.

        Args:
            judged: Where the judgement is added.
            tap: What the array is.
            array: The array.
        """
        key = self.twins.key((tap.path, tap.call), tap.what, tap.index)
        kind = "gradient" if tap.what.endswith("gradient") else "output"
        arrange = self.twins.arrangement((tap.path, tap.call), tap.what, tap.index)
        judgement = None if key is None else self.reference.judge(key, kind, array, self.dtype, arrange)
        if judgement is not None:
            by_kind = judged.forward if kind == "output" else judged.backward
            by_kind[f"{tap.what.replace('_', ' ')} {tap.index}"] = judgement

    def _judged(self, kind: str, arrays: Mapping[str, Array]) -> dict[str, Judgement]:
        what = "gradient" if kind == "gradient" else "statistic"
        judged = {
            name: self.reference.judge(f"{self.mode}/{what}/{name}", kind, array, self.dtype)
            for name, array in arrays.items()
        }
        known = {name: judgement for name, judgement in judged.items() if judgement is not None}
        return self._by_other_statistics(known, arrays) if what == "statistic" and self._exact else known

    def _by_other_statistics(self, judged: dict[str, Judgement], arrays: Mapping[str, Array]) -> dict[str, Judgement]:
        """Judge running statistics that differ by those that the candidate's framework makes of the same batch."""
        for name in failures(judged):
            again = self.reference.judge(f"{self.mode}/other statistic/{name}", "output", arrays[name], self.dtype)
            if again is not None and again.verdict != DIVERGENCE:
                judged[name] = again
                self.other_statistics.add(name)
        return judged

    def isolate(self, call: Call) -> CallJudgements:
        """Judge a call alone; one that differs is right if it is so with its inputs in an order that is possible."""
        judged = self._isolate_once(call)
        orders, known = self.twins.orders["input"], self.twins.orders["input"].get(call)
        for places in self.twins.other_orders(call) if judged.failures else ():
            orders[call] = places
            again = self._isolate_once(call)
            if not again.failures and not again.problem:
                return again
            orders.pop(call)
            if known is not None:
                orders[call] = known
        return self._with_inverted_masks(call, judged) if judged.failures else judged

    def _with_inverted_masks(self, call: Call, judged: CallJudgements) -> CallJudgements:
        """Judge a call that differs with its masks the other way round, where it may mean them so: the nearer counts.

        Paddle's attentions show where a mask of booleans is true, torch's hide there.
        """
        twins = self.twins
        masks = {place for place in twins.opposite if place[0] == call} - twins.inverted
        kinds = self.taps.modules[call[0]].kind, twins.kinds[self.paths[call[0]]]
        frameworks = {self.trial.pair.side(role).framework for role in ROLES}
        if not masks and len(frameworks) > 1 and all(kind.lower() in _ATTENDING for kind in kinds):
            bools = enumerate(array.dtype == np.bool_ for array in self.integers_of(call))
            masks = {(call, "integers", index) for index, is_mask in bools if is_mask}
        if not masks:
            return judged
        twins.inverted |= masks
        again = self._isolate_once(call)
        if again.problem or (again.failures and not (again.error or 0.0) < (judged.error or 0.0)):
            twins.inverted -= masks
            return judged
        return again

    def _isolate_once(self, call: Call) -> CallJudgements:
        path, number = call
        judged, inputs, expected = CallJudgements(), self.inputs_of(call), self.outputs_of(call)
        integers = self.integers_of(call)
        if not (inputs or integers) or not expected:
            judged.problem = "the reference's module was not called, or takes no tensors"
            return judged
        self.trial.backend.set_state({name: self.weights[name] for name in self._changing if name in self.weights})
        try:
            result = self.taps.isolate(path, number, inputs, self.gradients_of(call), integers=integers)
        except Exception as error:  # whatever a framework raises of a tensor that does not fit
            judged.problem = f"cannot be run on the reference's input: {str(error).strip().splitlines()[0]}"
            return judged
        if len(result.outputs) != len(expected) and call not in self.twins.orders["output"]:
            judged.problem = f"returns {len(result.outputs)} tensors, the reference's {len(expected)}"
            return judged
        self._judge_forward(judged, call, result.outputs)
        if judged.failures:
            cut = self._other_cut(call, result.outputs)
            if cut is not None:
                self.twins.cuts[call] = cut
                return self._isolate_once(call)
        self._judge_backward(judged, call, inputs, result)
        if judged.failures and any((what, call) in self._own for what in ("input", "integers")):
            return CallJudgements(problem="is given something that the reference's module is not")
        return judged

    def _judge_backward(self, judged: CallJudgements, call: Call, inputs: Sequence[Array], result: Isolated) -> None:
        """Judge what a module that ran alone gives its inputs, its parameters and its running statistics."""
        if self.mode == "train":
            self._judge_own_statistics(judged, call)
        if self.taps.gradients:
            order = self.twins.counterparts(call, result.input_gradients)
            for index, gradient in zip(order, result.input_gradients, strict=True):
                if self.twins.bypassed(call):
                    continue
                if gradient is not None or self.recorded_one(call, "input_gradient", index) is not None:
                    gradient = np.zeros_like(inputs[index]) if gradient is None else gradient
                    self.judge(judged, Tap(*call, "input_gradient", index), gradient)
            self._judge_own_gradients(judged, call)

    def _judge_own_gradients(self, judged: CallJudgements, call: Call) -> None:
        """Judge the gradients of the module's parameters, if no other call contributes to them on either side."""
        within = self.held[call[0]]
        if (
            not within
            or self.twins.is_called_again(call)
            or any(other[0] == call[0] and other[1] != call[1] for other in self.end_to_end)
        ):
            return
        own = self.trial.some_gradients(self.trial.backend.gradients, within - self.trial.pair.architecture.buffers)
        gradients = self._judged("gradient", own)
        wrong = failures(gradients)
        given = self.trial, self.taps, self.weights, self.mode
        elsewhere = used_elsewhere(*given, call, wrong) if wrong and call[0] else set()
        kept = {name: judgement for name, judgement in gradients.items() if name not in elsewhere}
        judged.backward.update({f"gradient of {name}": judgement for name, judgement in kept.items()})

    def _judge_own_statistics(self, judged: CallJudgements, call: Call) -> None:
        names = [name for name in self.statistics_names if name in self.held[call[0]]]
        if names:
            statistics = self._judged("output", self.trial.some(self.trial.backend.state, names))
            judged.forward.update({f"running statistic {name}": judgement for name, judgement in statistics.items()})

    def recorded_one(self, call: Call, what: str, index: int) -> Array | None:
        """One array that the reference recorded of its module; None where it has none."""
        return self.twins.get(call, what, index)

    def gradients_of(self, call: Call) -> list[Array | None]:
        """Gradients of the outputs of the reference's module; None where none arrived."""
        if not self.taps.gradients:
            return []
        count = len(self.twins.orders["output"].get(call, ())) or len(self.outputs_of(call))
        return [self.recorded_one(call, "output_gradient", index) for index in range(count)]

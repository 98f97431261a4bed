"""Worker of one side of a bisection.

The reference records inputs and outputs of its modules. The candidate is compared with that recording in its own
process, since what is run next depends on what differs; the result is a JSON file.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from alignment.arrays import Array
from alignment.backends.base import Backend, Module, Outputs, Tap, Taps, Visit
from alignment.bisection.counterparts import Counterparts, match
from alignment.bisection.evidence import Reference, reference_weights
from alignment.bisection.localise import Localiser
from alignment.bisection.recorded import Deduplicator, add_input_gradients
from alignment.bisection.reruns import beside, rerun
from alignment.bisection.telling import findings_of, rows_of
from alignment.bisection.watching import Watched, watch
from alignment.errors import AlignmentError
from alignment.hypotheses.base import Case
from alignment.hypotheses.explain import agree, explain
from alignment.pair import Pair
from alignment.pair.inputs import Inputs
from alignment.processes.serving import Advance, serve
from alignment.recordings.recording import Kind, open_recording
from alignment.results.findings import Bisection, Evidence, Finding, ModuleRow
from alignment.results.report import DIVERGENCE
from alignment.running.request import Request
from alignment.running.worker import Job, load_job, manifest_of
from alignment.steps import STEPS
from alignment.steps.base import Quantity, Trial
from porting.fields import encode

REFERENCE_DTYPES = ("float64", "float32")
_MODULES, _ALIASES, _NOTES = "modules.json", "aliases.json", "notes.json"
_LOGITS = "logits"
"""Key, behind the mode, of the logits among several outputs; those of a model with one are that of its tap."""
_KINDS: Mapping[str, Kind] = {"input_gradient": "gradient", "output_gradient": "gradient", "integers": "input"}


def record(job: Job, folder: Path, advance: Advance) -> None:
    """Run the reference with its modules tapped, and record everything that the taps see.

    Args:
        job: The reference, its model built and loaded.
        folder: Folder for the recordings, `float64` and `float32`, and for descriptions of the modules.
        advance: Called after each precision.
    """
    taps = job.backend.taps()
    modules = {path: encode(module) for path, module in taps.modules.items()}
    (folder / _MODULES).write_text(json.dumps(modules), encoding="utf-8")
    aliases: dict[str, str] = {}
    notes: list[str] = []
    for number, dtype in enumerate(REFERENCE_DTYPES):
        job.backend.use(dtype)
        recorder = Deduplicator(folder, dtype, aliases)
        for mode in modes_of(job.pair):
            notes += _record_mode(job.trial(dtype), taps, mode, recorder)
        recorder.recorder.write(folder / dtype, manifest_of(job, dtype)).close()
        advance(f"modules {dtype}", number + 1, len(REFERENCE_DTYPES))
    (folder / _ALIASES).write_text(json.dumps(aliases), encoding="utf-8")
    (folder / _NOTES).write_text(json.dumps(list(dict.fromkeys(notes))), encoding="utf-8")


def modes_of(pair: Pair) -> tuple[str, ...]:
    """The modes in which modules are compared: also training mode where the pair has running statistics."""
    return ("eval", "train") if pair.architecture.statistics else ("eval",)


def _record_mode(trial: Trial, taps: Taps, mode: str, recorder: Deduplicator) -> tuple[str, ...]:
    """Record one mode in one precision; returns notes for the reader."""
    watched = _record_taps(trial, taps, mode, recorder)
    if not watched.repeats:
        return *watched.notes, f"nothing is compared in {mode} mode"
    results = watched.results
    if results.loss is not None:
        recorder.add(f"{mode}/loss", results.loss, "loss", mode)
    for name, array in trial.canonical(results.gradients).items():
        recorder.add(f"{mode}/gradient/{name}", array, "gradient", mode)
    if mode == "train":
        state = trial.canonical(results.state)
        for name in trial.pair.architecture.statistics:
            recorder.add(f"{mode}/statistic/{name}", state[name], "output", mode)
        trial.reset()
    else:
        _record_whole(trial, mode, recorder)
    return watched.notes


def _record_taps(trial: Trial, taps: Taps, mode: str, recorder: Deduplicator) -> Watched:
    """Record what the taps see, or of a model that does not bear them its outputs alone.

    Raises:
        AlignmentError: The model gives something else every time in evaluation mode.
    """
    mark = recorder.mark()

    def visit(tap: Tap, array: Array) -> None:
        recorder.add(f"{mode}/tap/{tap}", array, _KINDS.get(tap.what, "output"), mode)

    def start() -> Visit:
        recorder.rewind(mark)
        return visit

    watched = watch(trial, taps, mode, start, backward=True)
    if not watched.repeats and mode == "eval":
        raise AlignmentError(
            "the reference gives something else every time, so nothing can be compared with it; make it repeat itself",
            watched.notes,
        )
    if not (watched.usable and watched.repeats):
        recorder.rewind(mark)
        for index, array in enumerate(watched.results.outputs if watched.repeats else ()):
            visit(Tap("", 0, "output", index), array)
    elif not watched.apart and taps.gradients:
        add_input_gradients(trial, taps, mode, recorder)
    return watched


def _record_whole(trial: Trial, mode: str, recorder: Deduplicator) -> None:
    """Record the weights, and what losses and metrics make of the logits."""
    for name, array in trial.canonical(trial.backend.state()).items():
        recorder.add(f"{mode}/parameter/{name}", array, "parameter", mode)
    if trial.outputs.named:
        recorder.add(f"{mode}/{_LOGITS}", trial.outputs.logits, "output", mode)
    for quantity in _function_quantities(trial, trial.outputs.logits):
        entry = replace(quantity.entry, step=mode, scores=None)
        recorder.recorder.add(f"{mode}/{quantity.key}", quantity.array, entry)


@dataclass(frozen=True)
class ReferenceModules:
    """The recordings of a reference that a candidate is compared with.

    Attributes:
        reference: The recordings.
        modules: The modules of the reference, by path.
        notes: What a reader has to know of the recording.
    """

    reference: Reference
    modules: Mapping[str, Module]
    notes: tuple[str, ...] = ()

    @classmethod
    def read(cls, folder: Path) -> ReferenceModules:
        """Open what `record` wrote."""
        modules = json.loads((folder / _MODULES).read_text(encoding="utf-8"))
        aliases = json.loads((folder / _ALIASES).read_text(encoding="utf-8"))
        notes = json.loads((folder / _NOTES).read_text(encoding="utf-8"))
        float64, float32 = (open_recording(folder / dtype) for dtype in REFERENCE_DTYPES)
        decoded = {
            path: Module(value["kind"], tuple(value["parameters"]), value["settings"])
            for path, value in modules.items()
        }
        return cls(Reference(float64, float32, aliases), decoded, tuple(notes))


def localise(job: Job, recorded: ReferenceModules, *, hypotheses: bool) -> Bisection:
    """Find what is wrong with a candidate.

    Args:
        job: The candidate, its model built and loaded.
        recorded: The recordings of the reference.
        hypotheses: Try known mistakes on every finding.
    """
    dtype = job.request.dtypes[0]
    job.backend.use(dtype)
    return _Search(job.trial(dtype), job.backend.taps(), recorded, hypotheses).run(job)


class _Search:
    """Search for what is wrong with one candidate, in all modes."""

    def __init__(self, trial: Trial, taps: Taps, recorded: ReferenceModules, hypotheses: bool) -> None:
        self._trial, self._taps, self._recorded, self._hypotheses = trial, taps, recorded, hypotheses
        self._reference = recorded.reference
        self._counterparts: Counterparts = match(trial.pair, recorded.modules, taps.modules)

    def run(self, job: Job) -> Bisection:
        dtype = job.request.dtypes[0]
        trial = self._trial
        trial.reset()
        findings = [self._explained(case) for case in self._parameters()]
        rows: list[ModuleRow] = []
        diverges, all_usable, seen = bool(findings), True, list[str]()
        expected_weights = reference_weights(trial, self._reference)
        for mode in modes_of(trial.pair):
            localiser = Localiser(trial, self._taps, self._counterparts, self._reference, self._recorded.modules, mode)
            watched = localiser.run_end_to_end()
            seen += watched.notes
            all_usable &= watched.usable
            if localiser.diverges:
                diverges |= localiser.model_diverges
            if localiser.diverges and watched.usable:
                localiser.run_isolated(expected_weights)
                known = {(finding.path, finding.direction) for finding in findings}
                findings += [
                    self._explained(case)
                    for case in self._modules(localiser)
                    if (case.finding.path, case.finding.direction) not in known
                ]
            rows += rows_of(localiser)
        findings += [self._explained(case) for case in self._functions()]
        notes = [*job.request.notes, *self._recorded.notes, *seen]
        if diverges and not findings and all_usable:
            notes.append("it differs end to end, and every module that could be run alone is right by itself")
        return Bisection(
            model=trial.pair.name,
            sides=(trial.pair.reference.framework, trial.side.framework),
            dtype=dtype,
            diverges=diverges or bool(findings),
            findings=tuple(agree(findings)),
            modules=tuple(rows),
            reference_only=self._counterparts.reference_only,
            candidate_only=self._counterparts.candidate_only,
            hypotheses=self._hypotheses,
            notes=tuple(dict.fromkeys(notes)),
            command=job.request.command,
        )

    def _explained(self, case: Case) -> Finding:
        return explain(case) if self._hypotheses else case.finding

    def _parameters(self) -> Iterator[Case]:
        trial, dtype = self._trial, self._trial.inputs.dtype
        state = trial.canonical(trial.backend.state())
        recorded = {name: self._reference.get(f"eval/parameter/{name}", dtype) for name in state}
        parameters = {name: expected for name, expected in recorded.items() if expected is not None}
        for name, expected in parameters.items():
            array = state[name]
            if expected.shape == array.shape and np.array_equal(expected, array):
                continue
            error = float(np.linalg.norm(expected - array) / max(np.linalg.norm(expected), 1e-300))
            differing = int(np.count_nonzero(expected != array))
            evidence = Evidence("weight", error, f"{differing} of {array.size} elements differ")
            finding = Finding("parameter", name, name, "eval", "forward", (evidence,))
            yield Case(finding, (expected,), (array,), parameters=parameters)

    def _modules(self, localiser: Localiser) -> Iterator[Case]:
        candidate = self._taps.modules
        findings = {finding.candidate: finding for finding in findings_of(localiser)}
        for call in localiser.differing:
            finding = findings[call[0]]
            result, children, recorded = rerun(localiser, call) if self._hypotheses else (None, {}, {})
            reference = self._recorded.modules[finding.path]
            yield Case(
                finding,
                expected=tuple(localiser.outputs_of(call)),
                found=() if result is None else result.outputs,
                kind=reference.kind,
                settings=reference.settings,
                candidate_kind=candidate[finding.candidate].kind,
                candidate_settings=candidate[finding.candidate].settings,
                parameters=self._parameters_under(finding.path),
                inputs=tuple(localiser.inputs_of(call) or localiser.integers_of(call)),
                children=children,
                reference_children=recorded,
                extra=beside(localiser, call, result),
            )

    def _parameters_under(self, path: str) -> dict[str, Array]:
        dtype, prefix = self._trial.inputs.dtype, f"{path}." if path else ""
        names = [name for name in self._trial.pair.architecture.tensors if name.startswith(prefix)]
        recorded = {name: self._reference.get(f"eval/parameter/{name}", dtype) for name in names}
        return {name.removeprefix(prefix): array for name, array in recorded.items() if array is not None}

    def _functions(self) -> Iterator[Case]:
        trial, reference = self._trial, self._reference
        dtype = trial.inputs.dtype
        among_others = reference.get(f"eval/{_LOGITS}", dtype)
        logits = reference.get("eval/tap/:0/output/0", dtype) if among_others is None else among_others
        if logits is None:
            return
        for quantity in _function_quantities(trial, logits):
            expected = reference.get(f"eval/{quantity.key}", dtype)
            if expected is None:
                continue
            if quantity.entry.kind == "loss":
                judged = reference.judge(f"eval/{quantity.key}", "loss", np.asarray(quantity.array), dtype)
                wrong = judged is not None and judged.verdict == DIVERGENCE
                error, reason = (judged.error, judged.reason) if judged else (None, "")
            else:
                wrong = expected.shape != quantity.array.shape or not np.array_equal(expected, quantity.array)
                error, reason = None, f"{_short(quantity.array)} instead of {_short(expected)}"
            if wrong:
                evidence = Evidence("given the reference's logits", error, reason)
                finding = Finding("function", quantity.key, quantity.key, "eval", "forward", (evidence,))
                yield self._function_case(finding, expected, np.asarray(quantity.array), logits)
        if self._taps.gradients and trial.pair.classifies and among_others is None:
            yield from self._loss_gradient(logits)

    def _loss_gradient(self, logits: Array) -> Iterator[Case]:
        trial, dtype = self._trial, self._trial.inputs.dtype
        loss, gradient = _gradient_of_loss(trial.backend, self._taps, trial.inputs, logits)
        expected = self._reference.get("eval/tap/:0/output_gradient/0", dtype)
        value = self._reference.get("eval/loss", dtype)
        if expected is None or value is None:
            return
        gradient = np.zeros_like(expected) if gradient is None else gradient
        judged = [
            ("loss", self._reference.judge("eval/loss", "loss", loss, dtype)),
            ("gradient", self._reference.judge("eval/tap/:0/output_gradient/0", "gradient", gradient, dtype)),
        ]
        failed = [(what, judgement) for what, judgement in judged if judgement and judgement.verdict == DIVERGENCE]
        if failed:
            evidence = tuple(
                Evidence(f"{what}, given the reference's logits", judgement.error, judgement.reason)
                for what, judgement in failed
            )
            direction = "forward" if failed[0][0] == "loss" else "backward"
            finding = Finding("function", "bp/soft_target", "bp/soft_target", "eval", direction, evidence)
            case = self._function_case(finding, value, loss, logits)
            yield replace(case, extra={**case.extra, "expected_gradient": expected, "found_gradient": gradient})

    def _function_case(self, finding: Finding, expected: Array, computed: Array, logits: Array) -> Case:
        inputs = self._trial.inputs
        extra = {
            "logits": logits,
            "labels": inputs.labels,
            "soft_targets": inputs.soft_targets,
            "planted_scores": inputs.planted_scores,
            "planted_labels": inputs.planted_labels,
        }
        return Case(finding, (expected,), (computed,), extra=extra)


def _function_quantities(trial: Trial, logits: Array) -> Iterator[Quantity]:
    """What the loss and metric steps record of these logits; nothing if the model does not classify."""
    if not trial.pair.classifies:
        return
    with_logits = replace(trial, computed=Outputs(logits, ()))
    for step in ("loss", "metric"):
        for quantity in STEPS[step].run(with_logits):
            if quantity.key != "metric/logits":
                yield quantity


def _gradient_of_loss(backend: Backend, taps: Taps, inputs: Inputs, logits: Array) -> tuple[Array, Array | None]:
    """The training loss of these logits, and its gradient with respect to them; None if no gradient arrives there."""
    gradients: list[Array] = []

    def visit(tap: Tap, array: Array) -> None:
        if tap.path == "" and tap.what == "output_gradient":
            gradients.append(array)

    with taps.watch(visit, {("", 0): [logits]}):
        loss = backend.backward(inputs.batch, inputs.soft_targets)
    return loss, gradients[0] if gradients else None


def _short(array: Array) -> str:
    return np.array2string(np.asarray(array), precision=6, threshold=6, edgeitems=2).replace("\n", "")


def main(arguments: list[str]) -> int:
    """Carry out one side: REQUEST record FOLDER, or REQUEST localise|diagnose FOLDER RESULT; returns the exit code."""
    request, what, folder, *rest = arguments

    def work(advance: Advance) -> None:
        job = load_job(Request.read(Path(request)))
        if what == "record":
            record(job, Path(folder), advance)
            return
        advance("model built, weights loaded", 1, 2)
        localise(job, ReferenceModules.read(Path(folder)), hypotheses=what == "diagnose").write(rest[0])
        advance("modules compared", 2, 2)

    return serve(work)

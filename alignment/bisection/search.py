"""Search for what is wrong with one candidate, in all modes, and a second time without the framework's own kernels.

A framework may lose precision inside its kernels, or take up a running variance otherwise than the reference's does.
That is no mistake of the port: where fewer places differ with exact versions of the kernels, and none besides, or less
of the same places, that search counts.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Set
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TypeAlias

import numpy as np

from alignment.arrays import Array
from alignment.backends.base import Taps
from alignment.bisection.bench import SECONDS, Budget, ModuleBench
from alignment.bisection.classifying import classify
from alignment.bisection.counterparts import Counterparts, match
from alignment.bisection.criteria import function_cases
from alignment.bisection.dropouts import other_places, other_rates
from alignment.bisection.evidence import CallJudgements, failures, reference_weights
from alignment.bisection.localise import Localiser
from alignment.bisection.modes import DROPOUTS, EVAL, MODES, TRAIN
from alignment.bisection.parameterless import with_parameterless
from alignment.bisection.recorded import ReferenceModules
from alignment.bisection.reruns import beside, rerun
from alignment.bisection.telling import findings_of, rows_of
from alignment.bisection.twins import Call, inside
from alignment.bisection.watching import Watched
from alignment.errors import AlignmentError
from alignment.hypotheses.base import Case
from alignment.hypotheses.explain import agree, explain
from alignment.results.findings import Bisection, Evidence, Finding, cause_line
from alignment.results.summary import plural
from alignment.running.worker import Job
from alignment.steps.base import Trial

_Place: TypeAlias = tuple[str, str, str]
_SMALL = 1e-3
"""Relative L2 of a module that no kernel's float32 constant explains."""


def localise(job: Job, recorded: ReferenceModules, *, hypotheses: bool, seconds: float = SECONDS) -> Bisection:
    """Find what is wrong with a candidate.

    Args:
        job: The candidate, its model built and loaded.
        recorded: The recordings of the reference.
        hypotheses: Try known mistakes on every finding.
        seconds: Time for those that run modules again and again, in all.
    """
    dtype = job.request.dtypes[0]
    job.backend.use(dtype)
    search = _Search(job.trial(dtype), job.backend.taps(), recorded, hypotheses, seconds)
    with ExitStack() as stack:
        attempt = search.attempt()
        if dtype == job.backend.finest and attempt.may_be_kernels:
            kernels = stack.enter_context(job.backend.exact("kernels"))
            exact = search.attempt(exact=True)
            used = [kernel for kernel in kernels.values() if kernel.calls]
            if (used or exact.by_other_statistics) and _less(exact, attempt):
                names = [f"{kernel.name} ({plural(kernel.calls, 'call')})" for kernel in used]
                names += ["running variances that take up the biased one"] if exact.by_other_statistics else []
                exact.notes.append(f"the framework's own differences are left out: {', '.join(names)}")
                attempt = exact
            else:
                stack.close()
        return search.result(attempt, job)


@dataclass
class _Attempt:
    """What one search through the modules found.

    Attributes:
        modes: The search of each mode.
        notes: What a reader has to know.
        usable: False if watching the modules changes what the model gives.
        diverges: True if the whole model differs.
        places: Path, mode and direction of every module that differs by itself, and of the model.
    """

    modes: list[Localiser] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    usable: bool = True
    diverges: bool = False
    places: set[_Place] = field(default_factory=set)

    @property
    def may_be_kernels(self) -> bool:
        """True if something differs by as little as a kernel may, or a running statistic does.

        So may what differs beside modules in it that differ by more.
        """
        for localiser in self.modes:
            if localiser.model_diverges and not localiser.differing:
                return True
            if any(inside(other, path) for path, _ in localiser.differing for other, _ in localiser.differing):
                return True
            for call in localiser.differing:
                failed = localiser.isolated[call].failures
                errors = [judgement.error for judgement in failed.values() if judgement.error is not None]
                if any(error < _SMALL for error in errors) or any("running statistic" in what for what in failed):
                    return True
        return False

    @property
    def is_unexplained(self) -> bool:
        """True if the model differs by more than a kernel makes in a mode in which nothing that is blamed does.

        Where a module after the mistake differs by little, giving it the reference's output covers the mistake.
        """
        return any(
            _is_large(judged for (path, _), judged in localiser.end_to_end.items() if not path)
            and not _is_large(localiser.isolated[call] for call in localiser.differing)
            for localiser in self.modes
        )

    @property
    def failed(self) -> int:
        """Number of quantities that differ in the modules that differ by themselves, and in the model."""
        return sum(
            len(localiser.isolated[call].failures) for localiser in self.modes for call in localiser.differing
        ) + sum(len(judged.failures) for localiser in self.modes for judged in localiser.end_to_end.values())

    @property
    def by_other_statistics(self) -> bool:
        """True if a running statistic agrees only with what the candidate's framework makes of the same batch."""
        return any(localiser.other_statistics for localiser in self.modes)


def _is_large(judged: Iterable[CallJudgements]) -> bool:
    """True if something that calls return differs by more than a kernel's float32 constant makes."""
    errors = [judgement.error for one in judged for judgement in failures(one.forward).values()]
    return any(error is not None and error >= _SMALL for error in errors)


def _less(exact: _Attempt, plain: _Attempt) -> bool:
    """Whether a search with exact kernels finds less than one with the framework's own: fewer places, or less there.

    It counts, too, where it alone finds what makes the model differ by much. What it finds in a mode that the other
    search did not come to is neither less nor more.
    """
    further = {localiser.mode for localiser in exact.modes} - {localiser.mode for localiser in plain.modes}
    if further:
        modes = [localiser for localiser in exact.modes if localiser.mode not in further]
        exact = replace(exact, modes=modes, places={place for place in exact.places if place[1] not in further})
    if plain.is_unexplained and not exact.is_unexplained:
        return True
    if exact.places == plain.places:
        return exact.failed < plain.failed
    return _fewer(exact.places, plain.places)


def _fewer(exact: Set[_Place], plain: Set[_Place]) -> bool:
    """Whether a search with exact kernels finds less, and nothing besides.

    A module is nothing besides where it was found in another mode or direction, or where one within it was blamed.

    Args:
        exact: What differs with exact kernels.
        plain: What differs with the framework's own.
    """
    paths = {path for path, _, _ in plain}
    around = {
        (path, mode) for path, mode, _ in exact for other, same, _ in plain if same == mode and inside(other, path)
    }
    besides = [(path, mode) for path, mode, _ in exact if path not in paths and (path, mode) not in around]
    worse = any((path, mode, "backward") in plain for path, mode, direction in exact - plain if direction == "forward")
    return not besides and not worse and exact != plain and len(exact) <= len(plain)


class _Search:
    """Search for what is wrong with one candidate."""

    def __init__(self, trial: Trial, taps: Taps, recorded: ReferenceModules, hypotheses: bool, seconds: float) -> None:
        self._budget = Budget(seconds)
        self._trial, self._taps, self._recorded, self._hypotheses = trial, taps, recorded, hypotheses
        self._reference = recorded.reference
        self._all_matched = False
        self._counterparts: Counterparts = match(trial.pair, recorded.modules, taps.modules)

    def attempt(self, *, exact: bool = False) -> _Attempt:
        """Search all modes; training mode of a model without running statistics only if the other one agrees.

        Places of dropouts are searched only if nothing else differs.
        """
        attempt, trial, dtype = _Attempt(), self._trial, self._trial.inputs.dtype
        trial.reset()
        weights = reference_weights(trial, self._reference)
        for mode in MODES:
            optional = mode == DROPOUTS or (mode == TRAIN and not trial.pair.architecture.statistics)
            unknown = mode != EVAL and not self._reference.has(f"{mode}/loss", dtype)
            if unknown or (optional and (attempt.diverges or attempt.places)):
                break
            try:
                localiser, watched = self._end_to_end(mode, exact=exact)
            except AlignmentError as error:
                if not optional:
                    raise
                attempt.notes.append(f"nothing is compared in {mode} mode: {error.summary}")
                break
            if mode == DROPOUTS and trial.backend.hides_dropouts:
                break
            attempt.notes += watched.notes
            attempt.usable &= watched.usable
            attempt.modes.append(localiser)
            if localiser.diverges:
                attempt.diverges |= localiser.model_diverges
                if localiser.model_diverges:
                    attempt.places.add(("", mode, "end to end"))
                if watched.usable:
                    localiser.run_isolated(weights, classify)
                    for call in localiser.differing:
                        forward = failures(localiser.isolated[call].forward)
                        attempt.places.add((call[0], mode, "forward" if forward else "backward"))
        return attempt

    def _end_to_end(self, mode: str, *, exact: bool) -> tuple[Localiser, Watched]:
        """Run the model in a mode; where it differs, modules without parameters are matched that were not before."""
        for again in (False, True):
            localiser = Localiser(
                *(self._trial, self._taps, self._counterparts, self._reference, self._recorded.modules, mode),
                exact=exact,
            )
            watched = localiser.run_end_to_end()
            if again or self._all_matched or not (localiser.diverges and watched.usable):
                break
            self._all_matched, before = True, self._counterparts
            self._trial.reset()
            self._counterparts = with_parameterless(
                before, self._trial, self._taps, self._reference, self._recorded.modules
            )
            self._trial.reset()
            if self._counterparts is before:
                break
        return localiser, watched

    def result(self, attempt: _Attempt, job: Job) -> Bisection:
        """The findings of a search, explained by known mistakes if these are asked for."""
        trial = self._trial
        trial.reset()
        findings = [self._explained(case) for case in self._parameters()]
        of_parameters = bool(findings)
        for localiser in attempt.modes:
            known = {(finding.path, finding.direction) for finding in findings}
            findings += [
                self._explained(case)
                for case in self._modules(localiser)
                if (case.finding.path, case.finding.direction) not in known
            ]
        trial.reset()
        findings += [self._explained(case) for case in function_cases(trial, self._taps, self._reference)]
        known = {(finding.path, finding.direction) for finding in findings}
        findings += [finding for finding in self._rates(attempt) if (finding.path, finding.direction) not in known]
        notes = [*job.request.notes, *self._recorded.notes, *attempt.notes]
        if attempt.diverges and not findings and attempt.usable:
            notes.append("it differs end to end, and every module that could be run alone is right by itself")
        ordered = tuple(agree(findings))
        return Bisection(
            model=trial.pair.name,
            sides=(trial.pair.reference.framework, trial.side.framework),
            dtype=trial.inputs.dtype,
            diverges=attempt.diverges or of_parameters or bool(findings),
            cause=cause_line(ordered),
            findings=ordered,
            modules=tuple(row for localiser in attempt.modes for row in rows_of(localiser)),
            reference_only=self._counterparts.reference_only,
            candidate_only=self._counterparts.candidate_only,
            hypotheses=self._hypotheses,
            notes=tuple(dict.fromkeys(notes)),
            command=job.request.command,
        )

    def _rates(self, attempt: _Attempt) -> Iterator[Finding]:
        """Findings of dropouts whose rates differ, without a cause where none is asked for."""
        called = {path for localiser in attempt.modes for path, _ in localiser.end_to_end}
        modules = self._recorded.modules, self._taps.modules
        for finding in other_rates(*modules, self._counterparts.paths, called):
            yield finding if self._hypotheses else replace(finding, causes=())

    def _explained(self, case: Case) -> Finding:
        return explain(case) if self._hypotheses and not case.finding.causes else case.finding

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
            if localiser.mode == DROPOUTS:
                finding = other_places(finding, self._recorded.modules, candidate, self._hypotheses)
            explained = finding.causes or not self._hypotheses
            result, children, recorded = (None, {}, {}) if explained else rerun(localiser, call)
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
                bench=partial(self._bench, localiser, call),
            )

    def _bench(self, localiser: Localiser, call: Call) -> ModuleBench | None:
        functions = self._trial.backend.functions()
        return None if functions is None else ModuleBench(localiser, call, functions, self._budget)

    def _parameters_under(self, path: str) -> dict[str, Array]:
        dtype, prefix = self._trial.inputs.dtype, f"{path}." if path else ""
        names = [name for name in self._trial.pair.architecture.tensors if name.startswith(prefix)]
        recorded = {name: self._reference.get(f"eval/parameter/{name}", dtype) for name in names}
        return {name.removeprefix(prefix): array for name, array in recorded.items() if array is not None}

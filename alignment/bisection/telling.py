"""What a search found, as the findings and rows of its result."""

from __future__ import annotations

from collections.abc import Iterator

from alignment.bisection.evidence import CallJudgements, failures
from alignment.bisection.localise import Localiser
from alignment.bisection.modes import in_report
from alignment.bisection.twins import Call
from alignment.results.findings import Evidence, Finding, ModuleRow, Status


def findings_of(search: Localiser) -> Iterator[Finding]:
    """The guilty modules, in the order of execution."""
    for call, reason in search.differing.items():
        judged = search.isolated[call]
        failed = failures(judged.forward)
        direction = "forward" if failed else "backward"
        evidence = [
            Evidence(f"{what}, given the reference's input and weights", judgement.error, judgement.reason)
            for what, judgement in (failed or judged.failures).items()
        ]
        evidence.append(Evidence("blame", None, reason))
        path, candidate = search.paths[call[0]], call[0]
        yield Finding("module", path, candidate, in_report(search.mode), direction, tuple(evidence))


def rows_of(search: Localiser) -> Iterator[ModuleRow]:
    """A row for every call of every module that both sides have, in the order of execution."""
    modules = search.taps.modules
    for call, judged in search.end_to_end.items():
        status, reason = _status(search, call, judged)
        alone = search.isolated.get(call)
        yield ModuleRow(
            path=search.paths[call[0]],
            candidate=call[0],
            call=call[1],
            kind=modules[call[0]].kind,
            mode=in_report(search.mode),
            status=status,
            end_to_end=judged.error,
            isolated=alone.error if alone else None,
            reason=reason,
        )


def _status(search: Localiser, call: Call, judged: CallJudgements) -> tuple[Status, str]:
    alone = search.isolated.get(call)
    if call in search.differing:
        return "guilty", search.differing[call]
    if call in search.incomparable:
        return "not compared", search.incomparable[call]
    if call in search.children_differ:
        return "children", search.children_differ[call]
    if alone is not None and alone.problem:
        return "not compared", alone.problem
    if judged.failures:
        return "inherits", "right by itself" if alone is not None else "not run alone"
    if not judged.forward:
        return "not compared", "the reference's module was not called"
    return "agrees", ""

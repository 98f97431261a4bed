"""The candidate's process: plants one mistake after the other, and writes what `diagnose` says of each.

Where the batch shows nothing, the steps of `pit-align all` are run, and modules are compared on one input alone where
that input differs.

Usage: python -m benchmarks.mistakes.worker FOLDER RESULTS NET [NAME ...]
"""

from __future__ import annotations

import json
import re
import sys
import time
from dataclasses import asdict, replace
from fnmatch import fnmatchcase
from pathlib import Path

from alignment.bisection.bench import SECONDS
from alignment.bisection.recorded import ReferenceModules
from alignment.bisection.search import localise
from alignment.bisection.worker import after_a_call
from alignment.errors import AlignmentError
from alignment.judging.compare_paths import compare_paths
from alignment.judging.other_inputs import failing_batch
from alignment.pair.variations import ONE
from alignment.results.findings import Bisection
from alignment.running.prepare import EXACT, INPUTS, RECORDINGS
from alignment.running.request import Request
from alignment.running.worker import load_job, run
from benchmarks.mistakes.mistake import SINGLE, Mistake, Outcome
from benchmarks.mistakes.nets import NET_PAIRS
from benchmarks.mistakes.planting import planted
from benchmarks.mistakes.tables import MISTAKES, NETS


def main(arguments: list[str]) -> None:
    """Try the mistakes of one net, the port as it is first."""
    folder, results, net, *names = arguments
    known = {mistake.name: mistake for mistake in MISTAKES if mistake.net == net}
    with Path(results).open("a", encoding="utf-8") as file:
        for name in names:
            started = time.perf_counter()
            try:
                outcome = _tried(Path(folder), net, known.get(name))
            except AlignmentError as error:  # the port fails, which nobody misses
                says, took = error.summary, time.perf_counter() - started
                outcome = Outcome(net, known[name].name, True, False, False, False, (), says, "", took)
            file.write(json.dumps(asdict(outcome)) + "\n")
            file.flush()


def _tried(folder: Path, net: str, mistake: Mistake | None) -> Outcome:
    started = time.perf_counter()
    label = NET_PAIRS[net].label("candidate")
    with planted(NETS[net].modules, mistake):
        asked = Request.read(folder / "workers" / f"{label}.json")
        found = localise(load_job(asked), ReferenceModules.read(folder / RECORDINGS), hypotheses=True)
        if not found.diverges:
            found = _by_steps(folder, label, found)
    return _outcome(net, mistake, found, time.perf_counter() - started)


def _by_steps(folder: Path, label: str, found: Bisection) -> Bisection:
    """What `pit-align all` says of a candidate that agrees on the batch: its first row, or modules on one input."""
    run(Request.read(folder / "workers" / f"{label}-exact.json"), lambda *_: None)
    failures = compare_paths(folder / EXACT, folder / EXACT).failures
    if not failures:
        return found
    if failing_batch([row.key for row in failures]) == ONE and "refused" not in failures[0].key:
        asked = Request.read(folder / SINGLE / "workers" / f"{label}.json")
        seen = ReferenceModules.read(folder / SINGLE / RECORDINGS)
        alone = localise(load_job(asked), seen, hypotheses=True)
        if not alone.diverges:
            alone = after_a_call(load_job(asked), folder / INPUTS, seen, hypotheses=True, seconds=SECONDS)
        return replace(alone, diverges=True, cause=alone.cause or failures[0].reason)
    return replace(found, diverges=True, cause=f"{failures[0].key}: {failures[0].reason}")


def _outcome(net: str, mistake: Mistake | None, found: Bisection, seconds: float) -> Outcome:
    guilty = tuple(finding.candidate for finding in found.findings)
    causes = [(finding.causes[0].says, finding.causes[0].look_at) for finding in found.findings if finding.causes]
    says, look_at = causes[0] if causes else (found.cause, "")
    if mistake is None:
        return Outcome(net, "", found.diverges, not guilty, not causes, bool(causes), guilty, says, look_at, seconds)
    sentences = [sentence for sentence, _ in causes] or [found.cause]
    right = [bool(re.search(mistake.cause, sentence)) for sentence in sentences if sentence]
    return Outcome(
        net,
        mistake.name,
        detected=found.diverges,
        localised=all(_matches(path, mistake.guilty) for path in guilty) if guilty else any(right),
        named=bool(right) and right[0],
        wrong=bool(causes) and not all(right),
        guilty=guilty,
        says=says,
        look_at=look_at,
        seconds=seconds,
    )


def _matches(path: str, patterns: str) -> bool:
    return any(fnmatchcase(path, pattern) for pattern in patterns.split("|"))


if __name__ == "__main__":
    main(sys.argv[1:])

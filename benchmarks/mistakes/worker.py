"""The candidate's process: plants one mistake after the other, and writes what `diagnose` says of each.

Usage: python -m benchmarks.mistakes.worker REQUEST RECORDINGS RESULTS NET [NAME ...]
"""

from __future__ import annotations

import json
import re
import sys
import time
from dataclasses import asdict
from fnmatch import fnmatchcase
from pathlib import Path

from alignment.bisection.recorded import ReferenceModules
from alignment.bisection.search import localise
from alignment.errors import AlignmentError
from alignment.results.findings import Bisection
from alignment.running.request import Request
from alignment.running.worker import load_job
from benchmarks.mistakes.mistake import Mistake, Outcome
from benchmarks.mistakes.planting import planted
from benchmarks.mistakes.tables import MISTAKES, NETS


def main(arguments: list[str]) -> None:
    """Try the mistakes of one net, the port as it is first."""
    request, recorded, results, net, *names = arguments
    known = {mistake.name: mistake for mistake in MISTAKES if mistake.net == net}
    with Path(results).open("a", encoding="utf-8") as file:
        for name in names:
            started = time.perf_counter()
            try:
                outcome = _tried(Path(request), Path(recorded), net, known.get(name))
            except AlignmentError as error:  # the port fails, which nobody misses
                says, took = error.summary, time.perf_counter() - started
                outcome = Outcome(net, known[name].name, True, False, False, False, (), says, "", took)
            file.write(json.dumps(asdict(outcome)) + "\n")
            file.flush()


def _tried(request: Path, recorded: Path, net: str, mistake: Mistake | None) -> Outcome:
    started = time.perf_counter()
    with planted(NETS[net].modules, mistake):
        job = load_job(Request.read(request))
        found = localise(job, ReferenceModules.read(recorded), hypotheses=True)
    return _outcome(net, mistake, found, time.perf_counter() - started)


def _outcome(net: str, mistake: Mistake | None, found: Bisection, seconds: float) -> Outcome:
    guilty = tuple(finding.candidate for finding in found.findings)
    causes = [(finding.causes[0].says, finding.causes[0].look_at) for finding in found.findings if finding.causes]
    says, look_at = causes[0] if causes else ("", "")
    if mistake is None:
        return Outcome(net, "", found.diverges, not guilty, not causes, bool(causes), guilty, says, look_at, seconds)
    right = [bool(re.search(mistake.cause, sentence)) for sentence, _ in causes]
    return Outcome(
        net,
        mistake.name,
        detected=found.diverges,
        localised=bool(guilty) and all(fnmatchcase(path, mistake.guilty) for path in guilty),
        named=bool(right) and right[0],
        wrong=not all(right),
        guilty=guilty,
        says=says,
        look_at=look_at,
        seconds=seconds,
    )


if __name__ == "__main__":
    main(sys.argv[1:])

"""Measures the cases in MindSpore: torch runs here, MindSpore in an interpreter of its own, and both are compared.

MindSpore has many kernels in float32 only, and some that lose precision in float32 alone: each case is compared in both
precisions, where it runs.
"""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import NamedTuple

from alignment.framework_facts import BEHAVIOUR, LIMIT, PRECISION, SAME, Difference, Fact
from benchmarks.frameworks import torch_side
from benchmarks.frameworks.case import LAYER, Case, Outcome
from benchmarks.frameworks.measure import distance, once, rounded
from benchmarks.frameworks.mindspore.notes import in_words, note_of
from benchmarks.frameworks.mindspore.texts import texts
from benchmarks.frameworks.mindspore.worker import DONE, Job, read_outcome, write_jobs, write_weights
from benchmarks.frameworks.tables import TABLES

_ROOT = Path(__file__).parents[3]
_DTYPES = ("float64", "float32")
_ROUNDING, _LEAST = 8.0, 5e-7
"""In float32, times torch's own error that MindSpore's may be, and an error that is always rounding."""
_MOST_PRECISION = {"float64": 1e-5, "float32": 2e-4}
"""Largest error that a kernel of less precision explains, where nothing else is known of it."""
_ENDED = "the process ends (a fault in memory)"


_torch = cache(torch_side.run)
"""What torch computes, once for all of MindSpore's texts of a case."""


class _Run(NamedTuple):
    """One case with one of MindSpore's texts, and the numbers of its jobs by precision and mode."""

    group: str
    case: Case
    text: str
    jobs: Mapping[tuple[str, bool], int]


def measured(python: str, groups: Sequence[str] = ()) -> list[Fact]:
    """Return what MindSpore does of the cases that it has a counterpart for.

    Args:
        python: The interpreter that has MindSpore.
        groups: Kinds of layers, as the page has them; all by default.

    Raises:
        RuntimeError: The interpreter has no MindSpore, or cannot run the worker.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        runs, jobs = _planned(groups or tuple(TABLES))
        for job in jobs.values():
            case = TABLES[job.group][job.position]
            outcome = _torch(case, "float64", job.training)
            if outcome.error:
                raise ValueError(f"{case.key}: torch raises {outcome.error}")
            write_weights(folder, job, dict(outcome.weights))
        write_jobs(folder, jobs)
        _work(python, folder)
        return [_fact(run, {key: read_outcome(folder, number) for key, number in run.jobs.items()}) for run in runs]


def _planned(groups: Sequence[str]) -> tuple[list[_Run], dict[int, Job]]:
    """What is to be run: each text of MindSpore once for a case of torch's."""
    runs: list[_Run] = []
    jobs: dict[int, Job] = {}
    seen: set[tuple[str, str]] = set()
    for group in groups:
        for position, case in enumerate(TABLES[group]):
            for text in texts(case.torch):
                if (case.key, text) in seen:
                    continue
                seen.add((case.key, text))
                numbers = {}
                for dtype in _DTYPES:
                    for training in (False, True) if case.kind == LAYER else (False,):
                        numbers[dtype, training] = len(jobs)
                        jobs[len(jobs)] = Job(group, position, text, dtype, training)
                runs.append(_Run(group, case, text, numbers))
    return runs, jobs


def _work(python: str, folder: Path) -> None:
    """Run the worker until all jobs are begun: a case that ends its process is left out by the next one."""
    command = [python, "-W", "ignore", "-m", "benchmarks.frameworks.mindspore.worker", str(folder)]
    environment = {**os.environ, "PYTHONPATH": str(_ROOT)}
    before = -1
    while not (folder / DONE).exists():  # MindSpore leaves folders of its own where it runs
        done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=folder, env=environment)
        begun = len([*folder.glob("begun-*")])
        if done.returncode and begun == before:
            raise RuntimeError(f"{python} ended with exit code {done.returncode}: {done.stderr.strip()[-2000:]}")
        before = begun


def _fact(run: _Run, outcomes: Mapping[tuple[str, bool], Outcome | None]) -> Fact:
    differences: list[Difference] = []
    errors: dict[str, list[str]] = {dtype: [] for dtype in _DTYPES}
    largest = [0.0, 0.0]
    for (dtype, training), outcome in outcomes.items():
        error = _ENDED if outcome is None else outcome.error
        if outcome is None or error:
            errors[dtype].append(error)
            continue
        for name, theirs, own in _errors(run.case, outcome, training):
            limit = LIMIT if dtype == "float64" else max(_LEAST, _ROUNDING * own)
            if theirs is None or theirs > limit:
                differences.append(Difference(name, training, rounded(theirs), dtype))
            if dtype == "float32" and not training:
                largest = [max(largest[0], rounded(theirs) or 0.0), max(largest[1], rounded(own) or 0.0)]
    told = errors["float32"]
    note = note_of(run.case.torch, run.text)
    kind = _kind(differences, told, note)
    otherwise = kind == BEHAVIOUR
    return Fact(
        run.group,
        run.case.torch,
        run.text,
        tuple(given.label for given in run.case.inputs),
        kind,
        tuple(_without_doubles(differences)),
        (note or "; ".join(dict.fromkeys(map(in_words, told)))) if otherwise else "",
        None if otherwise else (largest[0], largest[1]),
        "float32" if errors["float64"] and not told else "",
    )


def _kind(differences: Sequence[Difference], told: Sequence[str], note: str) -> str:
    if not differences and not told:
        return SAME
    most = dict.fromkeys(_DTYPES, _LEAST) if note else _MOST_PRECISION
    wide = any(one.error is None or one.error > most[one.dtype] for one in differences)
    return BEHAVIOUR if wide or told else PRECISION


def _errors(case: Case, outcome: Outcome, training: bool) -> Iterator[tuple[str, float | None, float]]:
    """Yield each quantity with its error from torch's float64 result, and the error of torch's own float32 result."""
    exact = _torch(case, "float64", training)
    float32 = _torch(case, "float32", training)
    for ours, theirs, own in (
        (outcome.quantities, exact.quantities, float32.quantities),
        (outcome.gradients, exact.gradients, float32.gradients),
        (outcome.buffers, exact.buffers, float32.buffers),
    ):
        for name, value in ours.items():
            expected = theirs.get(name)
            if ours is outcome.gradients and expected is not None and value.size == expected.size:
                value = value.reshape(expected.shape)
            label = f"gradient of {name}" if ours is outcome.gradients else name
            yield label, distance(value, expected), (distance(own[name], expected) if name in own else None) or 0.0


def _without_doubles(differences: Sequence[Difference]) -> list[Difference]:
    """Leave out what is the same in training, and in float32 what float64 shows already."""
    kept = once(differences)
    exact = {(one.quantity, one.training) for one in kept if one.dtype == "float64"}
    return [one for one in kept if one.dtype == "float64" or (one.quantity, one.training) not in exact]

"""A bench around a small torch model in this process, whose reference is the model itself."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any, TypeAlias

import pytest

from alignment.backends.base import Runtime
from alignment.backends.building import build_model
from alignment.pair import Pair, Side
from alignment.pair.inputs import finished, random_batch
from alignment.power.bench import Bench, subject_of
from alignment.power.catalogue import mistakes_of
from alignment.power.mistakes import Mistake, Subject
from alignment.recordings.recording import Held
from alignment.rules.in_process import derive_here
from alignment.running.request import Request
from alignment.running.worker import Job, manifest_of
from alignment.steps import STEPS, hindrances

MakeBench: TypeAlias = Callable[..., Bench]
HERE = "tests.alignment.power.small_models"


def request_of(steps: list[str], seed: int = 0) -> Request:
    """The request of a candidate in float64; its files are not there."""
    return Request(
        *("", {}, "candidate", "torch", steps, ["float64"], "cpu", 1, True, False, seed, 0),
        *("", True, "", "", "", ""),
    )


@pytest.fixture
def bench() -> Iterator[MakeBench]:
    """Makes a bench of a model of `small_models`."""
    jobs: list[Job] = []

    def make(build: str, *, labels: Any = None, given: Any = None, without: Any = (), **fields: Any) -> Bench:
        side = Side("torch", f"{HERE}:{build}")
        pair = Pair("small", side, side, rules="auto", **{"input_shape": (3, 6, 6), **fields})
        reference, candidate = (build_model(side, Runtime(threads=1)) for _ in range(2))
        contract = derive_here(pair, reference, candidate)
        pair = replace(pair, contract=contract, architecture=contract.architecture("small", pair.picture))
        hindered = hindrances(STEPS, STEPS, pair)
        request = request_of([step for step in STEPS if step not in {*hindered, *without}])
        batch = random_batch(pair, 3, seed=0) if given is None else dict(zip(pair.inputs, given, strict=True))
        inputs = finished(pair, batch, labels, seed=0)
        job = Job(request, pair, candidate, inputs, candidate.state())
        jobs.append(job)
        subject = subject_of(job, "float64")
        held = Held(manifest_of(job, "float64"))
        for step in request.steps:
            for quantity in STEPS[step].run(replace(subject.trial)):
                held.add(quantity.key, quantity.array, quantity.entry)
        bench = Bench(subject, {"float64": held})
        bench.start()
        return bench

    yield make
    for job in jobs:
        job.backend.use("float32")


def find(subject: Subject, kind: str, path: str | None = None) -> Mistake:
    """The mistake of a kind, in a place if it is given."""
    return next(mistake for mistake in mistakes_of(subject) if mistake.kind == kind and path in (None, mistake.path))

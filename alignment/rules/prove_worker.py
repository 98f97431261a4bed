"""The rules between two described models, settled in the process of the candidate's framework, which it is run in."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from alignment.backends.base import Backend, Runtime
from alignment.backends.building import build_model, in_finest
from alignment.pair import Origin, locate
from alignment.pair.contract import Contract
from alignment.pair.model_description import ModelDescription
from alignment.processes.serving import Advance, JsonRequest, serve
from alignment.rules.choosing import Settled
from alignment.rules.evidence import Evidence
from alignment.rules.model import Model
from alignment.rules.proof import PASSES, decide
from alignment.rules.proposals import Link
from alignment.rules.structure import derive_by_structure
from alignment.rules.trial import Trial
from porting.fields import decode
from porting.rules import Rule

_SECONDS = 45.0
"""Time to try options of a pair of models: seconds of work of this thread, so that a busy machine decides alike."""
_SHARE = 2 / 3
"""Share of the time left that each way to see the models may take, so that the others have some too."""


@dataclass(frozen=True)
class Question(JsonRequest):
    """Which rules to settle; plain JSON values.

    Attributes:
        target: Where the pair is declared, see `alignment.pair.Origin`.
        arguments: Arguments of the declaration, if it is a function.
        threads: CPU threads.
        reference: File with the reference's description.
        candidate: File with the candidate's.
        evidence: File with what the reference gave.
        contract: File for the contract.
    """

    target: str
    arguments: Mapping[str, Any]
    threads: int
    reference: str
    candidate: str
    evidence: str
    contract: str


def settle_rules(
    reference: ModelDescription,
    candidate: ModelDescription,
    rules: Sequence[Rule],
    backend: Backend,
    evidence: Evidence,
    advance: Advance = lambda *_: None,
) -> Contract:
    """The contract between two models, of which the candidate is at hand.

    Args:
        reference: The reference.
        candidate: The candidate.
        rules: Rules of the user's, which go first.
        backend: The candidate.
        evidence: What the reference gave.
        advance: Called after each pass of the candidate.

    Raises:
        AlignmentError: As for `derive_by_structure`.
    """

    def report(passes: int) -> None:
        advance("tried rules", passes, max(passes, PASSES + 1))

    end = time.thread_time() + _SECONDS

    def tried(theirs: Model, ours: Model, given: Sequence[Link]) -> Settled:
        trial = Trial(backend, theirs, ours, evidence)
        begun = time.thread_time()
        return decide(theirs, ours, trial, given, report, begun + _SHARE * (end - begun))

    with in_finest(backend):
        return derive_by_structure(reference, candidate, rules, tried)


def main(arguments: list[str]) -> int:
    """Answer the question in the file that is named; returns the exit code."""

    def work(advance: Advance) -> None:
        question = decode(Question, json.loads(Path(arguments[0]).read_text(encoding="utf-8")))
        pair = locate(Origin(question.target, question.arguments))
        backend = build_model(pair.candidate, Runtime(threads=question.threads))
        reference, candidate = (
            decode(ModelDescription, json.loads(Path(path).read_text(encoding="utf-8")))
            for path in (question.reference, question.candidate)
        )
        rules = [rule for rule in pair.rules if isinstance(rule, Rule)]
        evidence = Evidence.read(Path(question.evidence))
        settle_rules(reference, candidate, rules, backend, evidence, advance).write(question.contract)

    return serve(work)

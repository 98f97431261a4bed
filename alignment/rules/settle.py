"""A pair of a user's made ready to run: both models described, and their rules derived or checked."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from alignment.errors import AlignmentError
from alignment.frameworks import FRAMEWORKS
from alignment.pair import AUTO, ROLES, Origin, Pair, Role, locate
from alignment.pair.contract import Contract
from alignment.pair.model_description import ModelDescription
from alignment.pair.targets import split
from alignment.processes.processes import Launch, Progress, run_all
from alignment.processes.settings import Settings
from alignment.rules.derive import derive
from alignment.rules.describe_worker import Question as DescribeQuestion
from alignment.rules.prove_worker import Question
from porting.fields import decode
from porting.rules import Rule

CONTRACT_FILE, EVIDENCE_FILE = "rules.json", "rules-evidence.safetensors"


def settle(pair: Pair, folder: Path, settings: Settings, progress: Progress | None = None) -> Pair:
    """The pair with names, shapes and rules of its weights; a published one is returned as it is.

    Args:
        pair: From `alignment.pair.load_pair`.
        folder: Where the run writes; the rules go to its `workers/rules.json`.
        settings: Interpreters and threads.
        progress: Called as the sides report.

    Raises:
        AlignmentError: A model cannot be built or run, or a tensor is unaccounted for; all that are come in one error.
    """
    if pair.settled:
        return pair
    if pair.origin is None:
        raise AlignmentError(f"{pair.name}: declare it in a file, and take it from alignment.pair.load_pair")
    if isinstance(pair.rules, str) and pair.rules not in ("", AUTO):
        contract = Contract.read(pair.rules, allowed=[Path(split(pair.origin.target)[0]).stem])
        _check_pinned(pair, contract)
    else:
        contract = _derived(pair, folder, settings, progress)
    path = folder / "workers" / CONTRACT_FILE
    contract.write(path)
    return _settled(pair, contract, {"target": pair.origin.target, "given": dict(pair.origin.arguments)}, path)


def settled(target: str, given: Mapping[str, Any], rules: str) -> Pair:
    """A pair with rules that were settled before; the workers find it by this function.

    Args:
        target: Where the pair is declared.
        given: Arguments of the declaration.
        rules: The contract's file.
    """
    pair = locate(Origin(target, given))  # first, since operations of the user's own may be beside it
    return _settled(pair, Contract.read(rules, allowed=None), {"target": target, "given": given}, Path(rules))


def _settled(pair: Pair, contract: Contract, declared: Mapping[str, Any], path: Path) -> Pair:
    return replace(
        pair,
        architecture=contract.architecture(pair.name, pair.picture),
        contract=contract,
        smooth=pair.smooth and contract.smooth,
        origin=Origin("alignment.rules.settle:settled", {**declared, "rules": str(path)}),
    )


def _derived(pair: Pair, folder: Path, settings: Settings, progress: Progress | None) -> Contract:
    described = _described(pair, folder, settings, progress)
    if AUTO in pair.rules and all(model.before for model in described.values()):
        return _proved(pair, folder, settings, progress)
    untraced = [role for role, model in described.items() if not model.before]
    if untraced:
        described = _described(pair, folder, settings, progress, modules=True)
    rules = [rule for rule in pair.rules if isinstance(rule, Rule)]
    try:
        return derive(described["reference"], described["candidate"], rules, auto=AUTO in pair.rules)
    except AlignmentError as error:
        reasons = [_untraced(pair, role) for role in untraced] if AUTO in pair.rules else []
        raise AlignmentError(error.summary, [*error.details, *reasons]) from None


def _untraced(pair: Pair, role: Role) -> str:
    """Why names and the order of execution are all that rules are derived from."""
    title = FRAMEWORKS[pair.side(role).framework].title
    return (
        f"the data flow of the {role} is not known, since {title} cannot compile it to one graph: with code that it "
        "can compile (no NumPy, no branch that depends on data), more is found"
    )


def _proved(pair: Pair, folder: Path, settings: Settings, progress: Progress | None) -> Contract:
    """The rules of described models, settled in the process of the candidate's framework."""
    assert pair.origin is not None  # noqa: S101 - what loading a pair fills
    workers = folder / "workers"
    question, answer = workers / "rules-question.json", workers / "rules-answer.json"
    files = {name: str(workers / f"{name}-described.json") for name in ROLES}
    Question(
        *(pair.origin.target, pair.origin.arguments, settings.threads_of(len(ROLES))),
        *(files["reference"], files["candidate"], str(workers / EVIDENCE_FILE), str(answer)),
    ).write(question)
    run_all([_started(pair, "candidate", "prove_worker", question, settings)], progress)
    (workers / EVIDENCE_FILE).unlink(missing_ok=True)
    return Contract.read(answer)


def _check_pinned(pair: Pair, contract: Contract) -> None:
    frameworks = contract.reference.framework, contract.candidate.framework
    expected = pair.reference.framework, pair.candidate.framework
    if frameworks != expected:
        raise AlignmentError(
            f"{pair.rules}: rules between {' and '.join(frameworks)}, the pair is {' and '.join(expected)}"
        )
    _ = contract.table


def _described(
    pair: Pair, folder: Path, settings: Settings, progress: Progress | None, *, modules: bool = False
) -> dict[Role, ModelDescription]:
    """Both models, with the order of their tensors where the frameworks tell it, or else that of their modules."""
    answers = {role: folder / "workers" / f"{role}-described.json" for role in ROLES}
    run_all([_launch(pair, role, answers[role], settings, modules) for role in ROLES], progress)
    return {
        role: decode(ModelDescription, json.loads(path.read_text(encoding="utf-8"))) for role, path in answers.items()
    }


def _launch(pair: Pair, role: Role, answer: Path, settings: Settings, modules: bool) -> Launch:
    assert pair.origin is not None  # noqa: S101 - what loading a pair fills
    question = answer.with_name(f"{role}-question.json")
    threads = settings.threads_of(len(ROLES))
    wanted = role == "reference" and AUTO in pair.rules and not modules
    evidence = str(answer.with_name(EVIDENCE_FILE)) if wanted else ""
    declared = pair.origin.target, pair.origin.arguments
    DescribeQuestion(*declared, role, threads, str(answer), evidence, modules).write(question)
    return _started(pair, role, "describe_worker", question, settings)


def _started(pair: Pair, role: Role, worker: str, question: Path, settings: Settings) -> Launch:
    """A worker of a side that answers a question."""
    return Launch(
        name=pair.label(role),
        python=settings.python(pair.side(role).framework),
        module=f"alignment.rules.{worker}",
        arguments=(str(question),),
        log=question.with_suffix(".log"),
        environment=settings.environment(len(ROLES)),
        imports=settings.imports(pair.side(role).framework),
    )

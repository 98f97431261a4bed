"""What the self-test takes for a result, and what it counts as named."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import pytest

from alignment.errors import FileError
from alignment.processes import fingerprint
from alignment.processes.settings import Settings
from alignment.selftest.faults import FAULTS, NO_CAUSE, Fault
from alignment.selftest.faults.expected_sentences import SAYS
from alignment.selftest.results import (
    CorrectRun,
    FaultResult,
    Keys,
    correct_file,
    fault_file,
    is_done,
    read_result,
    write_json,
)
from alignment.selftest.run import SelftestPlan, selftest
from porting.fields import encode

EPS, TANH = (
    next(fault for fault in FAULTS if fault.name == name)
    for name in ("LayerNorm eps 1e-5 for 1e-6, the last norm", "tanh GELU in one block")
)


@pytest.fixture(scope="module")
def keys() -> Keys:
    return Keys.of(Settings())


def outcome(fault: Fault, key: str) -> FaultResult:
    return FaultResult(fault.name, fault.step, True, True, True, (), (), (), True, True, True, key=key)


def written(folder: Path, fault: Fault, keys: Keys) -> Path:
    path = fault_file(folder, fault)
    write_json(path, encode(outcome(fault, keys.of_fault(fault))))
    return path


def test_result_with_the_same_key_is_reused(tmp_path: Path, keys: Keys) -> None:
    path = written(tmp_path, EPS, keys)
    assert is_done(path, keys.of_fault(EPS))
    assert read_result(FaultResult, path, keys.of_fault(EPS)).name == EPS.name
    assert not is_done(fault_file(tmp_path, TANH), keys.of_fault(TANH))


def test_result_of_another_fault_code_or_version_is_not_reused(
    tmp_path: Path, keys: Keys, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = fault_file(tmp_path, TANH)
    write_json(path, encode(outcome(TANH, keys.of_fault(EPS))))
    assert not is_done(path, keys.of_fault(TANH)), "what was measured of another fault"
    path = written(tmp_path, EPS, keys)
    assert not is_done(path, keys.of_fault(replace(EPS, arguments={"attribute": "_epsilon", "value": 1e-4})))
    monkeypatch.setattr(fingerprint, "digest_of_code", lambda: "other code")
    assert not is_done(path, Keys.of(Settings()).of_fault(EPS))
    monkeypatch.undo()
    monkeypatch.setattr(fingerprint, "versions_in", lambda python, framework: "torch 1.0")
    other = Keys.of(Settings())
    assert not is_done(path, other.of_fault(EPS))
    with pytest.raises(FileError, match=rf"{path.name}: is of another version .*; remove it, and it is run again"):
        read_result(FaultResult, path, other.of_fault(EPS))


def test_file_that_is_no_result_raises_an_error_with_its_path(tmp_path: Path, keys: Keys) -> None:
    path = fault_file(tmp_path, EPS)
    path.parent.mkdir()
    path.write_text("{", encoding="utf-8")
    with pytest.raises(FileError, match=r"eps-1e-5.*json: is no result .* not valid JSON .* remove it"):
        is_done(path, keys.of_fault(EPS))
    write_json(path, {"name": EPS.name, "key": keys.of_fault(EPS)})
    with pytest.raises(FileError, match=r"eps-1e-5.*json: is no result .* field 'step' is missing; remove it"):
        read_result(FaultResult, path, keys.of_fault(EPS))
    write_json(path, {"name": EPS.name})
    assert not is_done(path, keys.of_fault(EPS)), "a file of an earlier version is run again"


def test_only_correct_runs_of_the_plan_are_counted(tmp_path: Path, keys: Keys) -> None:
    written(tmp_path, EPS, keys)
    run = CorrectRun("pit_ti-32-seed7", "pit_ti", 7, 2, 10, (), 1.0, key=keys.of_correct("pit_ti-32-seed7"))
    write_json(correct_file(tmp_path, run.name), encode(run))
    result = selftest(tmp_path, SelftestPlan((EPS,), seeds=0))
    assert (result.runs, result.correct) == (0, ())
    assert [fault.name for fault in result.faults] == [EPS.name]


def test_interpreter_of_another_environment_reports_its_versions(tmp_path: Path) -> None:
    wrapper = tmp_path / "python"
    wrapper.write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
    wrapper.chmod(0o755)
    same = Keys.of(Settings(pythons={"torch": str(wrapper)}))
    assert same == Keys.of(Settings()), "the same versions, found in another way"


def test_cause_must_match_in_full_with_its_value() -> None:
    fault = Fault(
        "a fault", "train", "training", "setting", "train/loss_0", "epsilon", says="epsilon is 1e-06, not 1e-08"
    )
    assert fault.names("epsilon", "epsilon is 1e-06, not 1e-08")
    assert not fault.names("epsilon", "epsilon is 1e-05, not 1e-08")
    assert not fault.names("epsilon", "")
    assert not fault.names("layernorm epsilon", "epsilon is 1e-06, not 1e-08")
    scaled = replace(fault, cause=("scaled", "rate scaled"), says=r"0\.5 times")
    assert scaled.names("rate scaled", "every rate is 0.5 times what it should be")
    assert not scaled.names("decay scaled", "it is 0.5 times that")
    assert not scaled.names("scaled", "it is 10.5 times that")
    assert not replace(fault, cause="clip", says=r"a norm of 0\.1").names("clip", "clipped to a norm of 0.15")
    assert replace(fault, cause="clip", says=r"a norm of 0\.1").names("clip", "clipped to a norm of 0.1.")
    unknown = replace(fault, cause=NO_CAUSE, says="")
    assert not unknown.names(NO_CAUSE)
    assert not unknown.names("")


def test_catalogue_expects_exact_places_causes_and_sentences() -> None:
    """Places without wildcards, causes without patterns, and values of faults that there are."""
    for fault in FAULTS:
        causes = (fault.cause,) if isinstance(fault.cause, str) else fault.cause
        assert not any(sign in each for sign in "*|[" for each in (*fault.expected, *causes)), fault.name
    assert set(SAYS) <= {fault.name for fault in FAULTS}

"""Faults of training, put into small recipes in this process: each is seen, found and named."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TypeAlias

import numpy as np
import pytest

from alignment.hypotheses.base import Prediction
from alignment.hypotheses.training import TRAINING_HYPOTHESES, Change, RecipeCase
from alignment.hypotheses.training.base import of_all
from alignment.judging.judge import judge
from alignment.processes.settings import Settings
from alignment.recordings.recording import open_recording
from alignment.results.findings import Finding
from alignment.selftest import training, training_worker
from alignment.selftest.faults import FAULTS, Fault
from alignment.selftest.faults.training import RECIPES
from alignment.selftest.inject import paddle_training_data
from alignment.selftest.results import CorrectRun, FaultResult
from alignment.selftest.training_worker import Task, pair_of, side_of
from alignment.steps.training import TRAINING_STEPS
from alignment.training import explain
from alignment.training.reruns import TrainingSide
from porting.fields import decode
from recipe.loading import load

FAULTS_IN_TRAINING = [fault for fault in FAULTS if fault.place == "training"]
PUBLISHED = (
    "filter of what decays",
    "LinearWarmup",
    "divergence of logarithms",
    "before the pretrained weights",
    "each micro-batch",
    "number of classes",
    "sampler's epoch",
    "label smoothing is ignored",
    "padded with duplicates",
    "initial values",
    "constant 1.0",
    "deviation of .2",
    "absolute 100 pixels",
    "black fill",
)
"""Of the mistakes that published ports make, what those do that a check point can show."""
Explain: TypeAlias = Callable[[Fault], tuple[Finding, ...]]


def test_every_check_point_and_every_published_mistake_has_a_fault() -> None:
    assert {fault.step for fault in FAULTS_IN_TRAINING} == set(TRAINING_STEPS)
    told = [fault.published for fault in FAULTS_IN_TRAINING]
    assert [words for words in PUBLISHED if not any(words in each for each in told)] == []


@pytest.mark.parametrize("fault", FAULTS_IN_TRAINING, ids=lambda fault: fault.name)
def test_a_fault_in_training_is_well_formed(fault: Fault) -> None:
    assert fault.kind in {"setting", *paddle_training_data.FAULTS}
    assert fault.model == RECIPES[fault.recipe].model
    assert all(place.startswith(f"{fault.step}/") for place in fault.expected)
    maker = paddle_training_data.target(fault.name).partition(":")[2]
    assert callable(getattr(paddle_training_data, maker))


def test_a_fault_that_is_not_known_is_no_attribute() -> None:
    with pytest.raises(AttributeError, match="fault_of_nobody"):
        paddle_training_data.fault_of_nobody  # noqa: B018 (reading the attribute is the test)


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Explain:
    """Records a fault beside its reference, and says what is found; a reference is recorded once."""
    folder = tmp_path_factory.mktemp("faults")
    tasks: dict[str, Task] = {}

    def run(fault: Fault) -> tuple[Finding, ...]:
        if fault.recipe not in tasks:
            work = folder / fault.recipe
            training._prepare(work, fault.recipe, Settings(steps=("forward",), batch_size=4, threads=1))
            tasks[fault.recipe] = Task(fault.recipe, str(work), str(folder))
        task, pair = tasks[fault.recipe], pair_of(fault.recipe)
        right, wrong = task.recorded("reference", fault.step), task.recorded(fault.name, fault.step)
        if not right.exists():
            training_worker.record(task, "reference", pair, fault.step, right)
        training_worker.record(task, "candidate", training_worker.faulty(pair, fault), fault.step, wrong)
        with open_recording(right) as reference, open_recording(wrong) as candidate:
            report = judge({"float64": reference}, {"float64": candidate})
            return explain.explain(report, reference, candidate, side_of(task, "reference", pair, fault.step))

    return run


@pytest.mark.parametrize("fault", [each for each in FAULTS_IN_TRAINING if each.quick], ids=lambda fault: fault.name)
def test_a_mistake_in_training_is_found_and_named(recorded: Explain, fault: Fault) -> None:
    findings = recorded(fault)
    assert findings
    for finding in findings:
        assert finding.path in fault.expected
        assert fault.names(finding.causes[0].name, finding.causes[0].says)
        assert finding.causes[0].after < finding.causes[0].before / 4


@pytest.mark.parametrize("name", ["soft distillation that vanishes", "targets of 1000 classes"])
def test_published_mistakes_of_other_recipes_and_shapes_are_named(recorded: Explain, name: str) -> None:
    fault = next(fault for fault in FAULTS_IN_TRAINING if fault.name == name)
    findings = recorded(fault)
    assert {each.causes[0].name for each in findings} == {fault.cause}


def test_two_mistakes_are_two_findings(recorded: Explain) -> None:
    """One of the images, one of the list; neither hides the other."""
    fault = next(fault for fault in FAULTS_IN_TRAINING if fault.name == "labels counted from 1")
    assert {finding.path: finding.causes[0].name for finding in recorded(fault)} == {
        "data/listing": "labels shifted",
        "data/labels": "labels shifted",
    }


@pytest.mark.parametrize("name", ["erasing of 0.25 for 0.5", "one bias that decays"])
def test_cause_also_explains_what_does_not_differ(recorded: Explain, name: str) -> None:
    """Another share erases images that this one does not; where every parameter decays, more than one does."""
    fault = next(fault for fault in FAULTS_IN_TRAINING if fault.name == name)
    (finding,) = recorded(fault)
    assert fault.says
    assert fault.names(finding.causes[0].name, finding.causes[0].says), finding.causes[0].says


def test_failing_hypothesis_does_not_stop_the_others(recorded: Explain, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a framework as of a hypothesis: an assertion of timm's ended the whole diagnosis."""
    right = TrainingSide._record

    def record(side: TrainingSide, step: str, change: Change) -> Mapping[str, object]:
        if any("smoothing" in each for each in change.settings):
            raise RuntimeError("mat1 and mat2 shapes cannot be multiplied")
        return right(side, step, change)

    def confused(case: RecipeCase) -> Iterator[Prediction]:
        yield Prediction("of too many", "says", "place", [*case.found.values(), np.zeros(3)])
        raise KeyError("what is not there")

    hypotheses = {"train_data": (confused, *TRAINING_HYPOTHESES["train_data"])}
    monkeypatch.setattr(explain, "TRAINING_HYPOTHESES", hypotheses)
    monkeypatch.setattr(TrainingSide, "_record", record)
    fault = next(fault for fault in FAULTS_IN_TRAINING if fault.name == "mixup's alpha of 0.9 for 0.8")
    (finding,) = recorded(fault)
    assert [cause.name for cause in finding.causes] == ["mixup"]


def test_unexplained_finding_has_no_cause(recorded: Explain, monkeypatch: pytest.MonkeyPatch) -> None:
    nothing: Mapping[str, tuple[object, ...]] = dict.fromkeys(TRAINING_STEPS, ())
    monkeypatch.setattr(explain, "TRAINING_HYPOTHESES", nothing)
    fault = next(fault for fault in FAULTS_IN_TRAINING if fault.name == "one bias decays")
    (finding,) = recorded(fault)
    assert (finding.path, finding.causes) == ("regularisation/decay/head.bias", ())


def test_the_right_candidate_leaves_nothing_to_explain(recorded: Explain) -> None:
    right = replace(
        next(fault for fault in FAULTS_IN_TRAINING if fault.name == "no warm-up"),
        name="a deviation of 0.226 for 0.225",
        step="schedule",
    )
    assert recorded(right) == (), "a fault of the images leaves the schedule as it is"


def test_training_part_writes_a_file_a_fault_and_resumes(tmp_path: Path) -> None:
    faults = [fault for fault in FAULTS_IN_TRAINING if fault.name in ("one bias decays", "no warm-up")]
    training.run(tmp_path, faults, Settings(), None)
    files = sorted((tmp_path / "faults").glob("*.json"))
    assert [path.stem for path in files] == ["no-warm-up", "one-bias-decays"]
    for path in files:
        found = decode(FaultResult, json.loads(path.read_text()))
        assert (found.detected, found.localised, found.named) == (True, True, True)
    for step in ("regularisation", "schedule"):
        path = tmp_path / "correct" / f"training-mixed-{step}.json"
        right = decode(CorrectRun, json.loads(path.read_text()))
        assert (right.runs, right.accused) == (1, ())
    before = [path.stat().st_mtime_ns for path in files]
    training.run(tmp_path, faults, Settings(), None)
    assert [path.stat().st_mtime_ns for path in files] == before
    files[1].write_bytes(files[0].read_bytes())
    (tmp_path / "correct" / "training-mixed-schedule.json").unlink()
    training.run(tmp_path, faults, Settings(), None)
    assert decode(FaultResult, json.loads(files[1].read_text())).name == "one bias decays", "a copy is no result"
    assert files[0].stat().st_mtime_ns == before[0]
    assert (tmp_path / "correct" / "training-mixed-schedule.json").exists()


def test_one_flipped_sample_does_not_name_a_probability(recorded: Explain) -> None:
    fault = next(fault for fault in FAULTS_IN_TRAINING if fault.name == "a flip of 0.4 for 0.5")
    (finding,) = recorded(fault)
    assert (finding.path, finding.causes[0].says) == ("train_data/sample_15", "images are flipped horizontally")
    assert not fault.names(finding.causes[0].name, finding.causes[0].says)
    assert not fault.contradicts(finding.causes[0].name, finding.causes[0].says)


@pytest.mark.parametrize(("moment", "named"), [(1.0, True), (1.002, False)])
def test_cause_leaves_float32_the_rounding_of_what_agrees(moment: float, named: bool) -> None:
    """A second moment is off by the rounding of 1 - 0.999; another beta, which explains the weight, is no cause."""
    second, weight = "optimizer/step_1/second_moment/w", "optimizer/step_1/parameter/w"
    ones = np.ones(8, np.float32)
    case = RecipeCase(
        finding=Finding("quantity", "optimizer/all", "optimizer/all", "train", "forward", ()),
        keys=(weight,),
        expected={second: ones, weight: ones},
        found={second: ones * np.float32(1 + 1.3e-5), weight: 1.5 * ones},
        config=load("deit"),
        rerun=lambda change: {},
        diverging=frozenset({weight}),
    )
    predicted = {second: ones * np.float32(moment), weight: 1.5 * ones}
    cause = explain._cause(case, of_all(case, "epsilon", "epsilon is 1", "epsilon", predicted, predicted))
    assert (cause is not None) is named

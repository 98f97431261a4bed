"""The held-out faults hold together, and what is said of a few of them."""

from __future__ import annotations

import io
from dataclasses import replace

import pytest
from click.testing import CliRunner
from rich.console import Console

import cli
from alignment.processes.settings import Settings
from alignment.selftest.faults import FAULTS, HELD_OUT, KNOWN, NO_CAUSE, Fault
from alignment.selftest.faults.arrays import WEIGHT_FAULTS
from alignment.selftest.faults.functions import ACCURACIES, LOSSES, RANKINGS
from alignment.selftest.faults.training import RECIPES
from alignment.selftest.inject import paddle_layers, paddle_training_data
from alignment.selftest.results import FaultResult, Selftest, slug
from alignment.selftest.run import MODELS, SelftestPlan, pair_of, selftest
from alignment.selftest.terminal import print_selftest
from alignment.steps import STEPS
from alignment.steps.training import TRAINING_STEPS

KINDS = {
    "module": {*paddle_layers.INJECTORS},
    "weights": {*WEIGHT_FAULTS, "swapped", "copied"},
    "function": {*LOSSES, *ACCURACIES, *RANKINGS},
    "training": {"setting", *paddle_training_data.FAULTS},
}
UNNAMED, WEIGHTED, STRIDES = (
    "nobody sees the class token",
    "half of an attention added",
    "the stride in the first convolution",
)


def test_held_out_faults_cover_every_step_and_are_not_in_the_catalogue() -> None:
    steps = {*STEPS, *TRAINING_STEPS} - {"train_mode", "other_inputs"}  # see running/test_training_mode.py, steps
    assert {fault.step for fault in HELD_OUT} == steps
    assert len({slug(fault.name) for fault in KNOWN.values()}) == len(FAULTS) + len(HELD_OUT)


@pytest.mark.parametrize("fault", HELD_OUT, ids=lambda fault: fault.name)
def test_held_out_fault_is_well_formed(fault: Fault) -> None:
    assert fault.cause
    assert fault.kind in KINDS[fault.place]
    assert not any(map(fault.names, fault.allowed))
    if fault.place == "training":
        assert fault.recipe in RECIPES
    else:
        assert fault.model in MODELS
    if fault.place == "weights":
        assert {fault.path, *fault.expected} <= set(pair_of(fault.model).architecture.tensors)


def test_fault_without_known_cause_is_never_named() -> None:
    fault = replace(HELD_OUT[0], cause=NO_CAUSE, allowed=("rows reordered",))
    assert not fault.names(NO_CAUSE)
    assert not fault.names("causal mask")
    assert fault.contradicts("causal mask")
    assert not fault.contradicts("rows reordered")
    assert not fault.contradicts("")


def test_terminal_prints_the_count_of_misnamed_faults() -> None:
    right = FaultResult("a", "bp", True, True, True, ("x",), ("y",), ("z",), True, True, True)
    console = Console(width=200, file=io.StringIO(), record=True)
    print_selftest(Selftest((right, replace(right, name="b", named=False, misnamed=True)), ()), console)
    text = console.export_text()
    assert "given a cause that is not theirs: 1 of 2 (bp 1)" in text
    assert "b (bp): detected, localised, NOT named, MISNAMED" in text


def test_quick_and_held_out_exclude_each_other() -> None:
    done = CliRunner().invoke(cli.pit_align, ["selftest", "--quick", "--held-out"], prog_name="pit-align")
    assert done.exit_code == 2
    assert "give one of them" in done.output


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> dict[str, FaultResult]:
    plan = SelftestPlan.held_out(Settings())
    chosen = tuple(fault for fault in plan.faults if fault.name in {UNNAMED, WEIGHTED, STRIDES})
    result = selftest(tmp_path_factory.mktemp("held-out"), replace(plan, faults=chosen))
    assert result.passed
    return {fault.name: fault for fault in result.faults}


@pytest.mark.parametrize(
    ("name", "located", "cause"),
    [
        (UNNAMED, ("transformers.1.blocks.0.attn",), ""),
        (WEIGHTED, ("transformers.1.blocks.0",), "weighted otherwise"),
        (STRIDES, ("s3.b1.conv1.conv", "s3.b1.conv2.conv"), None),
    ],
)
def test_held_out_fault_is_located_and_given_its_cause(
    results: dict[str, FaultResult], name: str, located: tuple[str, ...], cause: str | None
) -> None:
    result = results[name]
    assert result.guilty == located
    assert cause is None or result.causes == (cause,)
    assert not result.misnamed

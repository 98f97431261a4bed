"""A candidate that agrees on the batch and not on further ones: the module is named for which that is so."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("torch")

from alignment.bisection.explaining import with_cause
from alignment.judging.other_inputs import failing_batch
from alignment.pair import load_pair
from alignment.processes.settings import Settings
from alignment.results.findings import Bisection
from alignment.results.report import DIVERGENCE
from alignment.running.run import align

PAIRS = Path(__file__).parents[1] / "kept_pairs.py"
BOUNDS = Path(__file__).parents[1] / "bound_pairs.py"


def test_module_that_keeps_something_of_other_inputs_is_blamed(tmp_path: Path) -> None:
    pair = load_pair(f"{PAIRS}:KEPT")
    settings = Settings(threads=1, steps=("forward", "other_inputs"), dtypes=("float64",))
    report = align(pair, tmp_path, settings)
    assert report.verdict == DIVERGENCE
    assert {row.step for row in report.failures} == {"other_inputs"}
    explained = with_cause(report, pair, tmp_path, settings)
    assert explained.cause.startswith("tail")
    notes = Bisection.read(tmp_path / "diagnosis" / "bisection.json").notes
    assert "it differs only after a call with other inputs, of which the candidate keeps something" in notes


def test_bound_that_only_larger_values_reach_is_named(tmp_path: Path) -> None:
    pair = load_pair(f"{BOUNDS}:WITHOUT")
    settings = Settings(threads=1, steps=("forward", "other_inputs"), dtypes=("float64",))
    report = align(pair, tmp_path, settings)
    assert [row.key for row in report.failures] == ["other_inputs/larger/logits"]
    explained = with_cause(report, pair, tmp_path, settings)
    assert explained.cause.startswith("body: it computes relu where the reference computes relu6")


def test_losses_of_logits_far_apart_are_no_cause(tmp_path: Path) -> None:
    pytest.importorskip("paddle")
    pair = load_pair(f"{BOUNDS}:UNCLIPPED")
    settings = Settings(threads=1, steps=("forward", "other_inputs"), dtypes=("float64",))
    report = align(pair, tmp_path, settings)
    assert [row.key for row in report.failures] == ["other_inputs/larger/logits"]
    assert with_cause(report, pair, tmp_path, settings).cause.startswith("head")
    findings = Bisection.read(tmp_path / "diagnosis" / "bisection.json").findings
    assert [finding.candidate for finding in findings] == ["head"]


@pytest.mark.parametrize(
    ("keys", "name"),
    [
        (["other_inputs/one/logits", "other_inputs/again/logits"], "one"),
        (["other_inputs/other/logits"], "other"),
        (["other_inputs/refused/two"], "two"),
        (["other_inputs/larger/logits"], "larger"),
        (["other_inputs/size_14x12/logits"], ""),
        (["other_inputs/one/logits", "forward/logits"], ""),
        ([], ""),
    ],
)
def test_failing_batch_is_told_where_nothing_else_differs(keys: list[str], name: str) -> None:
    assert failing_batch(keys) == name

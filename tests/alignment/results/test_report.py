"""The report as a value: JSON in and out, and the verdict on the whole."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest

from alignment.errors import FileError
from alignment.results.report import (
    CHECK_POINTS,
    DIVERGENCE,
    ROUNDING,
    SAME_FUNCTION,
    WITHIN_TOLERANCE,
    Report,
    Row,
    Verdict,
    dumps,
    overall,
    read_report,
    write_report,
)
from alignment.results.summary import identical_rows
from alignment.steps import STEPS
from alignment.steps.training import TRAINING_STEPS


def row(key: str, dtype: str, verdict: Verdict, **numbers: float | None) -> Row:
    return Row(
        key=key,
        step="forward",
        kind="output",
        dtype=dtype,
        mean=numbers.get("mean", 1e-7),
        max=numbers.get("max", 1e-6),
        rel_l2=numbers.get("rel_l2", 1e-7),
        verdict=verdict,
        reason="why",
        margin=numbers.get("margin"),
    )


REPORT = Report(
    verdict=DIVERGENCE,
    model="pit_ti",
    steps=("forward",),
    rows=(
        row("forward/logits", "float64", SAME_FUNCTION),
        row("forward/stage_0", "float32", DIVERGENCE, mean=None, max=math.inf, rel_l2=None),
    ),
    environments={"reference": {"backend": "torch", "torch": "2.13.0"}},
    command="pit-align forward --model pit_ti",
    created="2026-01-01T00:00:00+00:00",
    notes=("a note",),
)


def test_report_is_read_as_it_was_written(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "report.json"
    write_report(REPORT, path)
    assert read_report(path) == REPORT
    assert [item.name for item in path.parent.iterdir()] == ["report.json"]
    json.loads(path.read_text(), parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"schema_version": 2}, "schema version 2, this version reads 1"),
        ({"rows": [{}]}, r"rows\[0\]: field 'key' is missing"),
        ({"verdict": "fine"}, "verdict: 'fine' is not known here; known: same function, rounding"),
        ({"modell": "x"}, "modell: unknown field; did you mean 'model'"),
    ],
)
def test_a_report_that_is_not_valid_is_refused(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    path = tmp_path / "report.json"
    path.write_text(json.dumps({**json.loads(dumps(REPORT)), **change}))
    with pytest.raises(FileError, match=message):
        read_report(path)


@pytest.mark.parametrize("text", ["", "<html>", "[]", "1"])
def test_file_that_is_no_report_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "report.json").write_text(text)
    with pytest.raises(FileError, match="not a report"):
        read_report(tmp_path / "report.json")
    with pytest.raises(FileError, match="cannot be read"):
        read_report(tmp_path / "none.json")


@pytest.mark.parametrize(
    ("verdicts", "expected"),
    [
        ([], DIVERGENCE),
        ([("a", SAME_FUNCTION), ("a", ROUNDING)], SAME_FUNCTION),
        ([("a", SAME_FUNCTION), ("b", ROUNDING)], ROUNDING),
        ([("a", SAME_FUNCTION), ("b", ROUNDING), ("c", WITHIN_TOLERANCE)], WITHIN_TOLERANCE),
        ([("a", SAME_FUNCTION), ("a", DIVERGENCE)], DIVERGENCE),
    ],
)
def test_one_divergence_decides_else_the_weakest_quantity(verdicts: list[tuple[str, Verdict]], expected: str) -> None:
    assert overall(tuple(row(key, "float32", verdict) for key, verdict in verdicts)) == expected


def test_a_report_without_rows_has_not_passed() -> None:
    assert not Report(SAME_FUNCTION, "", (), ()).passed
    assert not REPORT.passed
    assert [failure.key for failure in REPORT.failures] == ["forward/stage_0"]


def test_check_points_are_those_that_there_are() -> None:
    assert {*STEPS, *TRAINING_STEPS} == CHECK_POINTS


def test_identical_results_are_named() -> None:
    same = row("forward/logits", "float64", SAME_FUNCTION, max=0.0)
    assert "equal bit by bit in all 1 results" in identical_rows([same])
    assert not identical_rows([same, row("forward/stage_0", "float64", SAME_FUNCTION)])
    assert not identical_rows([])

"""A proof, then planted mistakes in a worker: with a limit, without time, and of a pair that differs."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from alignment.errors import NothingComparedError
from alignment.pair import load_pair
from alignment.power.run import Budget, measure, power_of
from alignment.processes.settings import Settings
from alignment.results.power import Power
from alignment.results.report import DIVERGENCE, Report, read_report
from alignment.running.prepare import Prepared
from alignment.running.run import align

PAIRS = Path(__file__).parents[1] / "training_mode_pairs.py"
SETTINGS = Settings(batch_size=2, threads=1, perturbations=1)


def test_mistakes_are_planted_into_the_candidate_of_the_run(tmp_path: Path) -> None:
    seen: list[Power] = []

    def then(prepared: Prepared, report: Report) -> Report:
        with pytest.raises(NothingComparedError, match="no mistake was planted within 1e-06 s") as caught:
            power_of(prepared, report, Budget(seconds=1e-6), 1.0)
        assert "give --seconds" in caught.value.details[0]
        differs = power_of(prepared, replace(report, verdict=DIVERGENCE), Budget(), 1.0)
        assert differs.problem.startswith("nothing was planted, since the pair differs")
        assert not differs.planted
        seen.append(power_of(prepared, report, Budget(limit=24), 1.0))
        return replace(report, power=seen[0])

    report = align(load_pair(f"{PAIRS}:RIGHT"), tmp_path, SETTINGS, then=then)
    (power,) = seen
    assert len(power.planted) == 24 < power.possible
    assert power.dtype == "float64"
    assert {"gradient stopped", "bias off", "rate"} <= {mistake.kind for mistake in power.planted}
    assert {mistake.path for mistake in power.missed} <= {"loss/cross_entropy", "metric/top5_classes"}
    assert read_report(tmp_path / "report.json") == report


def test_pair_that_differs_is_not_planted_into(tmp_path: Path) -> None:
    report = measure(load_pair(f"{PAIRS}:FACTOR"), tmp_path, replace(SETTINGS, dtypes=("float64",)))
    assert report.verdict == DIVERGENCE
    assert report.power is not None
    assert report.power.problem.startswith("nothing was planted, since the pair differs: ")
    assert not (tmp_path / "workers" / "power.json").exists()

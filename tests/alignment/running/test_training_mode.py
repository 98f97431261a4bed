"""Mistakes that evaluation never shows are found in training mode."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("torch")

from alignment.bisection.bisect import bisect
from alignment.pair import load_pair
from alignment.processes.settings import Settings
from alignment.running.run import align

PAIRS = Path(__file__).parents[1] / "training_mode_pairs.py"
SETTINGS = Settings(threads=1, dtypes=("float64",), steps=("forward", "train_mode"))


@pytest.mark.parametrize(
    ("name", "diverging"),
    [
        ("RIGHT", set()),
        ("FACTOR", {"train_mode/logits", "train_mode/gradient"}),
        ("HOOK", {"train_mode/gradient"}),
        ("RATE", {"train_mode/rate_0.5"}),
        ("SAME_PATHS", set()),
        ("UNSCALED", {"train_mode/rate_0.1_unscaled"}),
        ("WHOLE_BATCH", {"train_mode/rate_0.1_whole_batch"}),
        ("UNUSED", {"train_mode/rate_0.3"}),
        ("OTHER_RATE", {"train_mode/rate_0.1", "train_mode/rate_0.25"}),
        ("BY_FUNCTION", set()),
        ("OWN_CHANNELS", set()),
        ("CHANNELS_BY_FUNCTION", set()),
        ("PIXEL", set()),
        ("ELEMENTS", {"train_mode/rate_0.25_channels"}),
        ("TABLE", set()),
        ("MISSING", {"train_mode/dropouts/logits"}),
        ("EXCHANGED", {"train_mode/dropouts/logits"}),
        ("FUNCTIONS", set()),
        ("ATTENTION", set()),
        ("NO_DROPOUT_OF_WEIGHTS", {"train_mode/dropouts/logits"}),
    ],
)
def test_difference_in_training_mode_alone_diverges_there(name: str, diverging: set[str], tmp_path: Path) -> None:
    report = align(load_pair(f"{PAIRS}:{name}"), tmp_path, SETTINGS)
    assert {row.key for row in report.failures} == diverging
    assert any(row.step == "train_mode" for row in report.rows)


@pytest.mark.parametrize("name", ["COMPUTED", "RECURRENT"])
def test_places_of_dropouts_that_cannot_be_seen_are_not_compared_and_a_note_says_so(name: str, tmp_path: Path) -> None:
    report = align(load_pair(f"{PAIRS}:{name}"), tmp_path, SETTINGS)
    assert not report.failures
    assert any("places of dropouts are not compared" in note for note in report.notes)


@pytest.mark.parametrize(
    ("name", "place", "says"),
    [
        ("MISSING", "3", "missing, is one too many, or stands at another place"),
        ("EXCHANGED", "1", "its rate is 0.3, not 0.1"),
    ],
)
def test_dropout_at_another_place_is_found_in_its_module(name: str, place: str, says: str, tmp_path: Path) -> None:
    settings = Settings(threads=1, dtypes=("float64", "float32"))
    bisection = bisect(load_pair(f"{PAIRS}:{name}"), tmp_path, settings, hypotheses=True)
    finding = bisection.findings[0]
    assert (finding.candidate.partition(".")[0], finding.mode) == (place, "train")
    assert says in finding.causes[0].says

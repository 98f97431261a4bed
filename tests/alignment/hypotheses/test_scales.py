"""Bases of powers, tables that are read as they are, and loops that take parts in another order are named."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.alignment.hypotheses.diagnosing import diagnosed

PAIRS = Path(__file__).parents[1] / "scales_pairs.py"


@pytest.mark.parametrize(
    ("pair", "says"),
    [
        ("BASE", "the base of its power is 20, not 10000"),
        ("QUERIES", "what layer gets is query.weight, not nothing"),
        ("TURNED", "in turn it takes [1], [0], where [0], [1] is meant"),
    ],
)
def test_mistake_between_modules_is_named(pair: str, says: str, tmp_path: Path) -> None:
    (finding,) = diagnosed(f"{PAIRS}:{pair}", tmp_path)
    assert (finding.candidate, finding.causes[0].says) == ("", says)

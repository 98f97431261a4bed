"""Gradients that are nothing but rounding, in a run without float32, whose noise would tell that."""

from __future__ import annotations

from pathlib import Path

import pytest

from alignment.pair import load_pair
from alignment.processes.settings import Settings
from alignment.results.report import SAME_FUNCTION
from alignment.running.run import align

pytest.importorskip("torch")
PAIRS = Path(__file__).parents[1] / "vanishing_pairs.py"


def test_gradient_that_is_zero_in_exact_arithmetic_is_not_accused_in_float64_alone(tmp_path: Path) -> None:
    settings = Settings(steps=("bp",), dtypes=("float64",), threads=1)
    report = align(load_pair(f"{PAIRS}:PAIR"), tmp_path, settings)
    assert report.verdict == SAME_FUNCTION
    (row,) = [row for row in report.rows if row.key == "bp/gradient/k.bias"]
    assert "rounding noise of float64" in row.reason
    assert row.floor is not None

"""Reduced precision is named, mistakes and correct ports are not taken for it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from alignment.judging import reduced_precision
from alignment.judging.reduced_precision import PROFILES, recognise
from alignment.pair import Origin, locate
from alignment.processes.settings import Settings
from alignment.results.report import DIVERGENCE, ROUNDING, SAME_FUNCTION, Row
from alignment.running.run import align

TF32, BFLOAT16 = PROFILES


def rows(bits: float, spread: float = 0.5, count: int = 20, kind: str = "gradient") -> list[Row]:
    """Rows of both precisions, the float32 ones off by 2 ** bits noise floors, give or take half of the spread."""
    found = []
    for number, offset in enumerate(np.linspace(-spread / 2, spread / 2, count)):
        key = f"bp/gradient/{number}"
        error = 1e-7 * 2.0 ** (bits + offset)
        found.append(Row(key, "bp", kind, "float64", 1e-16, 1e-16, 1e-15, SAME_FUNCTION, "", 1e-15))
        verdict = DIVERGENCE if bits > 3 else ROUNDING
        found.append(Row(key, "bp", kind, "float32", error, error, error, verdict, "", error, 1e-7, 2.0**bits, 8.0))
    return found


@pytest.mark.parametrize(
    ("bits", "spread", "profile"),
    [
        (9.9, 1.5, TF32), (10.5, 0.3, TF32), (12.9, 1.5, BFLOAT16), (13.4, 0.5, BFLOAT16),
        (0.0, 1.0, None), (6.4, 1.0, None), (20.0, 1.0, None), (10.0, 7.0, None),
    ],
)  # fmt: skip
def test_uniform_loss_of_bits_is_recognised(
    bits: float, spread: float, profile: reduced_precision.Profile | None
) -> None:
    assert recognise(rows(bits, spread)) is profile
    said = reduced_precision.note(rows(bits, spread))
    assert (said is None) == (profile is None)
    assert profile is None or (said is not None and profile.name in said and profile.remedy in said)


def test_no_profile_fits_where_float64_diverges_or_is_missing() -> None:
    wrong = rows(10)
    wrong[0] = replace(wrong[0], verdict=DIVERGENCE)
    assert recognise(wrong) is None
    assert recognise([row for row in rows(10) if row.dtype == "float32"]) is None
    assert recognise(rows(10, count=7)) is None
    assert recognise(rows(10, kind="loss")) is None
    assert recognise([]) is None


HERE = Path(__file__).parents[1]


@pytest.mark.parametrize(("pair", "profile"), [("RIGHT", None), ("TENSOR_FLOAT", TF32), ("BFLOAT", BFLOAT16)])
def test_a_model_with_cut_operands_is_recognised(
    tmp_path: Path, pair: str, profile: reduced_precision.Profile | None
) -> None:
    steps = Settings(steps=("forward", "bp"), batch_size=2)
    report = align(locate(Origin(str(HERE / "cut_pairs.py") + f":{pair}", {})), tmp_path, steps)
    assert bool(report.failures) == (profile is not None)
    assert not [row for row in report.failures if row.dtype == "float64"]
    named = [note for note in report.notes if "times the rounding noise" in note]
    assert len(named) == (profile is not None)
    assert profile is None or profile.name in named[0]

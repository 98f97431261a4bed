"""A mask that is used in another way is named."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.alignment.hypotheses.diagnosing import diagnosed

pytest.importorskip("torch")
pytest.importorskip("paddle")
PAIRS = Path(__file__).parents[1] / "attention_mask_pairs.py"
AS_IT_IS = "its mask of ones and zeros is {} the scores as it is: take out the scores where it is zero"
TURNED = "its mask takes out the scores that are to be kept, and keeps the others: turn the mask around"


@pytest.mark.parametrize(
    ("pair", "says"),
    [
        ("ADDED", AS_IT_IS.format("added to")),
        ("MULTIPLIED", AS_IT_IS.format("multiplied with")),
        ("TURNED", TURNED),
        ("CHOSEN", TURNED),
        ("FILLED", TURNED),
        ("RIGHT", ""),
    ],
)
def test_use_of_the_mask_is_named(pair: str, says: str, tmp_path: Path) -> None:
    found = diagnosed(f"{PAIRS}:{pair}", tmp_path)
    assert [one.candidate for one in found] == ["attention"] * bool(says)
    assert all(one.causes[0].says.startswith(says) for one in found)

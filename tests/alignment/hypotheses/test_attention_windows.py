"""A window of an attention that is another one is named, with what it is to hold."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.alignment.hypotheses.diagnosing import diagnosed

pytest.importorskip("torch")
pytest.importorskip("paddle")
PAIRS = Path(__file__).parents[1] / "attention_window_pairs.py"
THREE = "the window of its mask is to hold 3: each token sees itself and the 2 before it, and no others"


@pytest.mark.parametrize(
    ("pair", "says"),
    [
        ("LONGER", THREE),
        ("SHORTER", THREE),
        ("CHOSEN", THREE),
        ("NO_WINDOW", THREE),
        ("ALL", THREE),
        ("BOTH_WAYS", THREE),
        ("LATER", "its window reaches to later tokens"),
        ("TOO_MANY", "its mask has a window where none is meant"),
        ("RIGHT", ""),
    ],
)
def test_window_that_is_another_one_is_named(pair: str, says: str, tmp_path: Path) -> None:
    found = diagnosed(f"{PAIRS}:{pair}", tmp_path)
    assert [one.candidate for one in found] == ["1"] * bool(says)
    assert all(one.causes[0].says.startswith(says) for one in found), [one.causes for one in found]

"""A setting of a module that is another than the reference's is named, in classes of the user's own too."""

from __future__ import annotations

from pathlib import Path

import pytest

from alignment.hypotheses.settings import _is_other
from tests.alignment.hypotheses.diagnosing import diagnosed

PAIRS = Path(__file__).parents[1] / "settings_pairs.py"


@pytest.mark.parametrize(
    ("pair", "module", "says"),
    [
        ("ALPHA", "norm", "its alpha is 0.0001, not 0.5: give it alpha=0.5"),
        ("PARTS", "own", "its parts is 3, not 2: give it parts=2"),
        ("UP", "pool", "its ceil_mode is False, not True: give it ceil_mode=True"),
    ],
)
def test_setting_that_is_another_is_named_with_that_of_the_reference(
    pair: str, module: str, says: str, tmp_path: Path
) -> None:
    found = diagnosed(f"{PAIRS}:{pair}", tmp_path)
    assert [(finding.candidate, finding.causes[0].says) for finding in found] == [(module, says)]


@pytest.mark.parametrize(
    ("value", "right", "other"),
    [
        ((2, 2), [2, 2], False),
        (2, [2, 2], False),
        ([2, 3], (3, 2), True),
        (1, True, False),
        ("zeros", "reflect", True),
        ("same", 1, False),
        (1, 1.0, False),
        (0.1, 0.2, True),
    ],
)
def test_settings_are_compared_by_value_and_not_by_form(value: object, right: object, other: bool) -> None:
    assert _is_other(value, right) is other

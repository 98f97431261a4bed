"""A layer that is called in the place of another one is named, with the call."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.alignment.hypotheses.diagnosing import diagnosed

PAIRS = Path(__file__).parents[1] / "sharing_pairs.py"


@pytest.mark.parametrize(
    ("pair", "says"),
    [
        ("LAYER", "layers.1 is called where layers.0 is meant, in its call 2"),
        ("NORM", "norms.0 is called where norms.1 is meant, in its call 2"),
        ("NORM", "its norms.1 takes no part in what it gives"),
    ],
)
def test_layer_that_is_called_in_the_place_of_another_is_named(pair: str, says: str, tmp_path: Path) -> None:
    (finding,) = diagnosed(f"{PAIRS}:{pair}", tmp_path, batch_size=4)
    assert finding.candidate == ""
    assert says in [cause.says for cause in finding.causes]

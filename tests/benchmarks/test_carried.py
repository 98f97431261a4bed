"""`python -m benchmarks.carried`: a run that was carried to Paddle and back equals one that never left."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner

pytest.importorskip("torch")
pytest.importorskip("paddle")

from benchmarks.carried import main


def test_run_carried_to_paddle_and_back_equals_one_that_stayed() -> None:
    done = CliRunner().invoke(main, ["--updates", "4", "--json"], catch_exceptions=False)
    at_once, later = json.loads(done.stdout).values()
    assert set(at_once.values()) == {0.0}
    assert set(later) == {"weights", "average", "moments"}
    assert max(later.values()) < 1e-9

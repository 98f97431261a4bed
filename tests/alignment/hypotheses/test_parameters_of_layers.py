"""Wrong parameters of layers are found in a net, with their values and what to pass."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

import cli
from alignment.hypotheses.base import Case
from alignment.hypotheses.explain import explain
from alignment.results.findings import Bisection, Evidence, Finding

PAIRS = Path(__file__).parents[1] / "parameter_pairs.py"
CAUSES = {
    "group": "its epsilon is 1e-05, not 0.001: pass epsilon=0.001",
    "leaky": "its negative_slope is 0.01, not 0.2: pass negative_slope=0.2",
    "pool": "the padding is left out of its means: pass exclusive=False to Paddle's, count_include_pad=True to torch's",
    "instance": "its epsilon is 1e-05, not 0.001: pass epsilon=0.001",
    "elu": "its alpha is 1, not 0.5: pass alpha=0.5",
    "other": "it has 4 groups, not 2: pass num_groups=2",
    "rms": "its epsilon is 1e-06, not 0.001: give it 0.001",
    "soft": "its beta is 1, not 2: pass beta=2",
    "hard": "its slope is 0.2, not 0.166667: pass slope=0.166667",
}
X = np.linspace(-3.0, 3.0, 24).reshape(2, 3, 4)


def test_forgotten_parameters_are_each_named_in_a_net(tmp_path: Path) -> None:
    words = ("diagnose", "--pair", f"{PAIRS}:PAIR", "--batch-size", "2", "--threads", "1", "--out", str(tmp_path))
    done = CliRunner().invoke(cli.pit_align, words, prog_name="pit-align")
    assert done.exit_code == 1, done.output
    found = Bisection.read(tmp_path / "bisection.json").findings
    assert {finding.path: finding.causes[0].says if finding.causes else "" for finding in found} == CAUSES


def causes(kind: str, found: np.ndarray[Any, Any], **settings: Any) -> list[str]:
    finding = Finding("module", "act", "act", "eval", "forward", (Evidence("output 0", 1.0, ""),))
    expected = np.where(X > 0, X, 0.2 * X)
    case = Case(finding, (expected,), (found,), kind=kind, settings=settings, candidate_kind="Own", inputs=(X,))
    return [cause.says for cause in explain(case).causes]


@pytest.mark.parametrize(
    ("found", "says"),
    [
        (np.maximum(X, 0), "it computes relu, where the reference has LeakyReLU"),
        (np.where(X > 0, X, 0.3 * X), "its negative_slope is 0.3, not 0.2: pass negative_slope=0.2"),
    ],
)
def test_cause_of_an_activation_has_values(found: np.ndarray[Any, Any], says: str) -> None:
    assert causes("LeakyReLU", found, negative_slope=0.2)[0] == says


def test_sentences_that_say_nothing_are_not_given() -> None:
    right = np.where(X > 0, X, 0.2 * X)
    for found in (right * (1 + 1e-9), np.where(X > 0, X, 0.01 * X)):
        said = causes("LeakyReLU", found, negative_slope=0.2)
        assert not [text for text in said if text.endswith("multiplied by 1") or "leaky relu" in text]

"""Models with several named inputs and outputs, run by the commands' own functions: judged, bisected, refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from alignment.bisection.bisect import bisect
from alignment.errors import AlignmentError
from alignment.pair import load_pair
from alignment.processes.settings import Settings
from alignment.results.report import DIVERGENCE
from alignment.running.run import align

_PAIRS = Path(__file__).parents[1] / "named_pairs.py"


def test_a_model_of_text_and_images_is_the_same_function_as_its_port(tmp_path: Path) -> None:
    report = align(load_pair(f"{_PAIRS}:MIXED"), tmp_path, Settings(threads=1))
    assert report.verdict == "same function"
    keys = {row.key for row in report.rows if row.dtype == "float64"}
    assert {"forward/logits", "forward/hidden.0", "forward/hidden.1", "bp/gradient/input/pixel_values"} <= keys
    assert {"loss/cross_entropy", "metric/acc_top1"} <= keys
    assert not [key for key in keys if "input_ids" in key or "attention_mask" in key]


def test_outputs_that_one_side_lacks_diverge(tmp_path: Path) -> None:
    settings = Settings(threads=1, steps=("forward", "bp"), dtypes=("float64",))
    report = align(load_pair(f"{_PAIRS}:MISSING"), tmp_path, settings)
    failed = {row.key: row.reason for row in report.rows if row.verdict == DIVERGENCE}
    assert set(failed) == {"forward/states.1", "forward/others"}
    assert "missing" in failed["forward/states.1"]
    assert any("cache (object)" in note for note in report.notes)


def test_a_wrong_row_of_padding_is_found_and_named_and_nothing_else_is(tmp_path: Path) -> None:
    result = bisect(load_pair(f"{_PAIRS}:PADDED"), tmp_path, Settings(threads=1), hypotheses=True)
    assert [finding.path for finding in result.findings] == ["words"]
    assert [cause.name for finding in result.findings for cause in finding.causes] == ["padding row"]
    by_path = {row.path: row for row in result.modules}
    assert by_path["block"].status == "inherits"  # run alone with its keyword arguments
    assert by_path["places"].status == "inherits"  # run alone on its integers; its gradient differs


@pytest.mark.parametrize(
    ("name", "summary", "details"),
    [
        ("FAILS", "the torch model fails in forward: RuntimeError: mat1 and mat2 shapes", "given x float32 (3, 6)"),
        ("MISSPELT", "forward takes no argument 'x_'; did you mean x?", "it takes: x"),
        ("NO_OUTPUT", "'logit', which the model does not give; did you mean logits?", "it gives: logits, states.0"),
    ],
)
def test_what_a_model_does_not_take_or_give_is_said(name: str, summary: str, details: str, tmp_path: Path) -> None:
    with pytest.raises(AlignmentError) as caught:
        align(load_pair(f"{_PAIRS}:{name}"), tmp_path, Settings(threads=1, steps=("forward",)))
    assert summary in caught.value.summary
    assert any(line.startswith(details) for line in caught.value.details)
    if name == "FAILS":
        assert caught.value.details[-1] == "  return self.fc(x)"

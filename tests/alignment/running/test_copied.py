"""A tensor that one side shares and the other keeps twice: the same outputs, and another training."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("torch")
pytest.importorskip("paddle")

from alignment.errors import AlignmentError
from alignment.pair import load_pair
from alignment.processes.settings import Settings
from alignment.results.report import SAME_FUNCTION
from alignment.rules.settle import settle
from alignment.running.prepare import workspace
from alignment.running.run import align

PAIRS = Path(__file__).parents[1] / "copied_pairs.py"
SETTINGS = Settings(threads=1, dtypes=("float64",), steps=("forward", "bp"))


@pytest.mark.parametrize("name", ["SHARED", "APART"])
def test_pairs_that_share_the_same_tensors_are_the_same_function(name: str, tmp_path: Path) -> None:
    assert align(load_pair(f"{PAIRS}:{name}"), tmp_path, SETTINGS).verdict == SAME_FUNCTION


@pytest.mark.parametrize(("name", "copies"), [("COPIED", 2), ("HEAD", 3)])
def test_copies_of_one_tensor_have_its_gradient_together_and_are_moved_apart(
    name: str, copies: int, tmp_path: Path
) -> None:
    report = align(load_pair(f"{PAIRS}:{name}"), tmp_path, SETTINGS)
    failures = [row.key for row in report.failures]
    assert failures == ["bp/apart/words.weight", "bp/loss_1", "bp/loss_2"]
    assert "it is one tensor in the reference, and several in the candidate" in report.failures[0].reason
    assert report.failures[0].reason.count("words.weight") == 2
    assert report.failures[0].reason.count("head.weight") == copies - 2
    assert "bp/gradient/words.weight" in {row.key for row in report.rows}


def test_rules_fill_each_copy_and_are_proven(tmp_path: Path) -> None:
    with workspace(tmp_path) as folder:
        contract = settle(load_pair(f"{PAIRS}:COPIED"), folder, SETTINGS).contract
    assert contract is not None
    assert contract.proven
    for name in ("source_words.weight", "target_words.weight"):
        assert contract.table.sources_of(name) == ("words.weight",)


def test_two_tensors_that_the_candidate_shares_are_refused(tmp_path: Path) -> None:
    with pytest.raises(AlignmentError) as caught, workspace(tmp_path) as folder:
        settle(load_pair(f"{PAIRS}:MERGED"), folder, SETTINGS)
    assert caught.value.details[0].startswith(
        ("only in the reference: words (30, 16)", "only in the reference: others")
    )

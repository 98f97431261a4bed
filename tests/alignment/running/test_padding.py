"""A `padding_idx` that one side lacks shows in the gradient of its row, however many ids there are."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("torch")
pytest.importorskip("paddle")

from alignment.bisection.explaining import with_cause
from alignment.pair import load_pair
from alignment.processes.settings import Settings
from alignment.results.report import SAME_FUNCTION
from alignment.rules.settle import settle
from alignment.running.prepare import workspace
from alignment.running.run import align

PAIRS = Path(__file__).parents[1] / "padding_pairs.py"
SETTINGS = Settings(threads=1, dtypes=("float64",), steps=("forward", "bp"))


def test_pair_with_the_same_padding_is_the_same_function(tmp_path: Path) -> None:
    assert align(load_pair(f"{PAIRS}:RIGHT"), tmp_path, SETTINGS).verdict == SAME_FUNCTION


def test_rules_of_a_pair_whose_every_sentence_has_padding_are_proven(tmp_path: Path) -> None:
    with workspace(tmp_path) as folder:
        contract = settle(load_pair(f"{PAIRS}:FEW_WORDS"), folder, SETTINGS).contract
    assert contract is not None
    assert contract.proven


def test_missing_padding_diverges_in_the_gradient_of_the_embedding(tmp_path: Path) -> None:
    report = align(load_pair(f"{PAIRS}:MISSING"), tmp_path, SETTINGS)
    assert report.failures[0].key == "bp/gradient/0.weight"
    assert not [row for row in report.failures if row.step == "forward"]


@pytest.mark.parametrize(
    ("name", "keys", "says"),
    [
        ("TIED", {"bp/loss_1", "bp/loss_2"}, "embed: it gives zeros for the id 1"),
        ("STOPPED", {"bp/gradient/embed.weight", "bp/loss_1", "bp/loss_2"}, "what is missing is that of another use"),
    ],
)
def test_embedding_with_a_shared_weight_is_named_where_only_its_other_use_shows_the_mistake(
    name: str, keys: set[str], says: str, tmp_path: Path
) -> None:
    pair = load_pair(f"{PAIRS}:{name}")
    report = align(pair, tmp_path, SETTINGS)
    assert {row.key for row in report.failures} == keys
    assert says in with_cause(report, pair, tmp_path, SETTINGS).cause

"""A model of transformers without a wrapper is the same function as its twin, whose rules are given."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

from alignment.pair import load_pair
from alignment.processes.settings import Settings
from alignment.running.run import align

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("transformers") is None, reason="transformers is not installed; the extra `dev` has it"
)


def test_bert_with_ids_mask_and_segments_is_the_same_function_forward_and_backward(tmp_path: Path) -> None:
    report = align(load_pair(f"{Path(__file__).with_name('named_pairs.py')}:BERT"), tmp_path, Settings(threads=1))
    assert report.verdict == "same function"
    keys = {row.key for row in report.rows}
    assert {"forward/last_hidden_state", "forward/pooler_output", "bp/loss_2"} <= keys
    assert any("0 is last_hidden_state, 1 is pooler_output" in note for note in report.notes)

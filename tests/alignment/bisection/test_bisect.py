"""What is wrong by itself, found in real models of both frameworks, and what the self-test says of a few faults."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from rich.console import Console

import cli
from alignment.report.bisection import print_bisection
from alignment.results.findings import Bisection
from alignment.selftest.faults import FAULTS
from alignment.selftest.results import Selftest
from alignment.selftest.run import SelftestPlan, selftest
from alignment.selftest.terminal import print_selftest

WRONG = Path(__file__).parents[1] / "wrong_pairs.py"
SMALL = ("--batch-size", "2", "--threads", "1")
CHOSEN = {
    "LayerNorm eps 1e-5 for 1e-6, the last norm": ("norm", "layernorm eps"),
    "no shortcut around an attention": ("transformers.0.blocks.1", "residual lost"),
    "distilled heads swapped": ("", "token order"),
    "the key's bias off by 1, which no output shows": ("transformers.0.blocks.1.attn.qkv.bias", "k bias shifted"),
    "no gradient through a shortcut": ("transformers.0.blocks.1", "way detached"),
    "label smoothing ignored": ("loss/label_smoothing", "label smoothing ignored"),
    "NaN in the candidate": ("forward/logits", "NaN"),
}


def pit_align(*words: str | Path) -> Result:
    return CliRunner().invoke(cli.pit_align, [str(word) for word in words], prog_name="pit-align")


def shown(bisection: Bisection) -> str:
    console = Console(width=200, file=io.StringIO(), record=True)
    print_bisection(bisection, console, verbose=True)
    return console.export_text()


def test_two_mistakes_are_both_named_and_explained(tmp_path: Path) -> None:
    done = pit_align("diagnose", "--pair", f"{WRONG}:TWO_MISTAKES", *SMALL, "--out", tmp_path)
    assert done.exit_code == 1, done.output
    found = Bisection.read(tmp_path / "bisection.json")
    assert [(finding.path, finding.causes[0].name) for finding in found.findings] == [
        ("transformers.1.blocks.3.mlp.act", "gelu tanh"),
        ("norm", "layernorm eps"),
    ]
    assert all(finding.causes[0].after < 1e-12 < finding.causes[0].before for finding in found.findings)
    status = {row.path: row.status for row in found.modules}
    assert next(row.end_to_end or 0 for row in found.modules if row.path == "transformers.1.blocks.3.mlp.fc1") < 1e-12
    assert status["transformers.1.blocks.3.mlp"] == status["transformers.1.blocks.3"] == "children"
    assert status["transformers.1.blocks.4.mlp"] == status["head"] == "inherits"
    text = shown(found)
    assert "GELU is approximated by tanh" in text
    assert "its epsilon is 1e-05, not 1e-06" in text


def test_a_correct_pair_of_other_names_exits_0(tmp_path: Path) -> None:
    words = ("--model", "deit_tiny", "--image-size", "32", "--num-classes", "10", *SMALL)
    done = pit_align("bisect", *words, "--out", tmp_path, "--json")
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    assert not found["findings"]
    assert {row["status"] for row in found["modules"]} == {"agrees"}
    assert {"blocks.11.mlp.act", "patch_embed.proj", "head"} <= {row["path"] for row in found["modules"]}


@pytest.fixture(scope="module")
def result(tmp_path_factory: pytest.TempPathFactory) -> Selftest:
    faults = tuple(fault for fault in FAULTS if fault.name in CHOSEN)
    return selftest(tmp_path_factory.mktemp("selftest"), SelftestPlan(faults, seeds=1))


@pytest.mark.parametrize("name", CHOSEN)
def test_a_fault_is_detected_localised_and_named(result: Selftest, name: str) -> None:
    guilty, cause = CHOSEN[name]
    (found,) = [fault for fault in result.faults if fault.name == name]
    assert (found.detected, found.localised, found.named) == (True, True, True), found
    assert found.guilty == (guilty,)
    assert any(cause.lower() in each.lower() for each in found.causes)


def test_correct_pairs_are_not_accused(result: Selftest) -> None:
    assert result.passed
    assert result.runs > 8
    console = Console(width=200, file=io.StringIO(), record=True)
    print_selftest(result, console)
    text = console.export_text()
    assert text.startswith("PASSED")
    assert "0 accused" in text

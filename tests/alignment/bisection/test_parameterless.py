"""Modules without parameters are matched by what they are given and by their order, and judged like any other."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

import cli
from alignment.bisection.parameterless import _by_order, family
from alignment.results.findings import Bisection

PAIRS = Path(__file__).parents[1] / "parameterless_pairs.py"


def test_pooling_of_another_name_is_the_one_that_is_named(tmp_path: Path) -> None:
    words = ("diagnose", "--pair", f"{PAIRS}:PAIR", "--batch-size", "2", "--threads", "1", "--out", str(tmp_path))
    done = CliRunner().invoke(cli.pit_align, words, prog_name="pit-align")
    assert done.exit_code == 1, done.output
    result = Bisection.read(tmp_path / "bisection.json")
    assert [(finding.candidate, finding.path) for finding in result.findings] == [("smaller", "pool")]
    assert result.findings[0].causes[0].says.startswith("the padding is left out of its means")
    paths = {row.candidate: row.path for row in result.modules}
    assert (paths["nonlinearity"], paths["regular"]) == ("act", "drop")


def test_activation_within_an_activation_is_no_counterpart(tmp_path: Path) -> None:
    words = ("diagnose", "--pair", f"{PAIRS}:GATED", "--batch-size", "2", "--threads", "1", "--out", str(tmp_path))
    done = CliRunner().invoke(cli.pit_align, words, prog_name="pit-align")
    assert done.exit_code == 1, done.output
    result = Bisection.read(tmp_path / "bisection.json")
    assert [finding.candidate for finding in result.findings] == ["first"]
    paths = {row.candidate: row.path for row in result.modules}
    assert (paths["gate"], paths["bent"]) == ("act", "bend")
    assert not {"gate.sigmoid", "bent.relu"} & set(paths)


@pytest.mark.parametrize(
    ("one", "other"),
    [("AvgPool2D", "MaxPool2d"), ("Silu", "SiLU"), ("ReLU", "GELU"), ("StochasticDepth", "DropPath"), ("Own", "OWN")],
)
def test_classes_of_one_family(one: str, other: str) -> None:
    assert family(one) == family(other)


@pytest.mark.parametrize(("one", "other"), [("Dropout", "ReLU"), ("AvgPool2D", "Upsample"), ("Flatten", "Identity")])
def test_classes_of_two_families(one: str, other: str) -> None:
    assert family(one) != family(other)


def test_order_tells_only_where_there_are_as_many() -> None:
    paths = {"": "", "block": "layer"}
    ours = {"block.a": "activation", "block.b": "activation", "block.drop": "random"}
    theirs = {"layer.x": "activation", "layer.y": "activation", "layer.p": "random", "layer.q": "random"}
    assert _by_order(ours, theirs, paths) == {"block.a": "layer.x", "block.b": "layer.y"}

"""Mistakes that others shipped, run through `pit-align` as a user would: each exits 1 and names what it breaks."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

import pytest
from click.testing import CliRunner, Result

import cli

HERE = Path(__file__).parents[1]
SMALL = ("--batch-size", "4", "--threads", "1", "--dtype", "float64")
Reference: TypeAlias = Callable[[str, str], Path]


def pit_align(*words: str | Path) -> Result:
    return CliRunner().invoke(cli.pit_align, [str(word) for word in words], prog_name="pit-align")


def record(step: str, backend: str, pair: str, out: Path) -> Result:
    return pit_align("record", step, "--backend", backend, "--pair", HERE / pair, *SMALL, "--out", out)


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> Reference:
    """The reference's recording of a step, made once."""
    made: dict[tuple[str, str], Path] = {}

    def get(step: str, pair: str) -> Path:
        if (step, pair) not in made:
            out = tmp_path_factory.mktemp("reference")
            done = record(step, "torch", pair, out)
            assert done.exit_code == 0, done.output
            made[step, pair] = out
        return made[step, pair]

    return get


@pytest.mark.parametrize(
    ("wrong", "step", "broken", "intact"),
    [
        ("deit_pairs.py:RIGHT", "forward", set(), {"stage_0", "stage_11", "logits"}),
        ("deit_pairs.py:GELU", "forward", {"stage_5", "logits"}, {"stage_4"}),
        ("deit_pairs.py:PROJECTION", "forward", {"stage_2", "logits"}, {"stage_1"}),
        ("deit_pairs.py:BIAS", "forward", {"stage_7", "logits"}, {"stage_6"}),
        ("regnet_pairs.py:EPSILON", "forward", {"stage_0", "logits"}, {"parameters/stem.bn.running_var"}),
        ("regnet_pairs.py:LATE_EXCITATION", "forward", {"stage_1", "logits"}, {"stage_0"}),
        ("regnet_pairs.py:BIAS", "forward", {"stage_2", "logits"}, {"stage_1"}),
        ("regnet_pairs.py:RIGHT", "batchnorm", set(), {"running/stem.bn.running_var", "gradient/input", "logits"}),
        (
            "regnet_pairs.py:MOMENTUM",
            "batchnorm",
            {"running/stem.bn.running_mean", "running/s4.b7.conv3.bn.running_var"},
            {"logits", "gradient/input"},
        ),
        (
            "regnet_pairs.py:BIASED_VARIANCE",
            "batchnorm",
            {"running/stem.bn.running_var", "running/s4.b7.conv3.bn.running_var"},
            set(),
        ),
        ("regnet_pairs.py:FROZEN", "batchnorm", {"gradient/input", "gradient/stem.bn.weight"}, set()),
    ],
)
def test_wrong_pair_exits_1_and_names_what_differs(
    reference: Reference, tmp_path: Path, wrong: str, step: str, broken: set[str], intact: set[str]
) -> None:
    right = reference(step, f"{wrong.split(':')[0]}:RIGHT")
    done = record(step, "paddle", wrong, tmp_path)
    assert done.exit_code == 0, done.output
    done = pit_align("compare", right, tmp_path, "--json")
    report = json.loads(done.stdout)
    assert (done.exit_code, report["verdict"]) == ((1, "divergence") if broken else (0, "same function"))
    failed = {row["key"].removeprefix(f"{step}/") for row in report["rows"] if row["verdict"] == "divergence"}
    assert broken <= failed
    assert not intact & failed
    assert intact <= {row["key"].removeprefix(f"{step}/") for row in report["rows"]}
    assert not {key for key in failed if key.startswith("parameters/")}


def test_head_of_timm_1_0_24_is_named(tmp_path: Path) -> None:
    """timm 0.9.0 to 1.0.24 fed the class token to both heads of a distilled PiT."""
    done = pit_align("forward", "--pair", HERE / "wrong_pairs.py:OLD_TIMM", *SMALL, "--out", tmp_path)
    assert done.exit_code == 1, done.output
    assert "DIVERGENCE" in done.stdout.splitlines()[0]
    rows = json.loads((tmp_path / "report.json").read_text())["rows"]
    assert {row["key"] for row in rows if row["verdict"] == "divergence"} == {"forward/logits"}
    assert "forward/logits" in done.stdout


def test_other_squeeze_ratio_is_refused_by_shape(tmp_path: Path) -> None:
    done = record("forward", "paddle", "regnet_pairs.py:RATIO", tmp_path)
    assert done.exit_code == 3
    assert "the weights do not fit the model that was built" in done.stderr
    assert "stages.0.blocks.0.se.conv1_1x1.weight: shape (8, 24, 1, 1) in the file, (4, 24, 1, 1)" in done.stderr

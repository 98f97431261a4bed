"""MindSpore as the candidate's side, run from here by the interpreter that has it: CI names it."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

import cli
from alignment.errors import AlignmentError
from alignment.frameworks import FRAMEWORKS
from alignment.pair.published import build as build_pair
from alignment.processes.settings import Settings
from alignment.running.run import align
from alignment.steps.training import TRAINING_STEPS
from porting.architectures import build
from porting.conversion import convert, write_random
from porting.errors import UnknownNameError
from porting.saved_rules import read_table

PYTHON = os.environ.get("PIT_MINDSPORE_PYTHON", "")
needs_mindspore = pytest.mark.skipif(
    not PYTHON, reason="PIT_MINDSPORE_PYTHON names no interpreter with MindSpore; .ci/run sets it"
)
PAIRS = Path(__file__).parent / "mindspore" / "pairs" / "pairs.py"
TRAININGS = PAIRS.with_name("trainings.py")
TRAINERS = PAIRS.with_name("trainers.py")
SMALL = ("--image-size", "64", "--num-classes", "7", "--batch-size", "2")
TINY = ("--image-size", "32", "--num-classes", "10", "--batch-size", "4")
AS_SHIPPED = """
from dataclasses import replace
from alignment.pair.published import build
_pair = build("pit_ti", image_size=64, num_classes=7, candidate="mindspore")
_candidate = replace(_pair.candidate, options={**_pair.candidate.options, "exact_gelu": False}, remark="")
PAIR = replace(_pair, name="mindcv_as_shipped", candidate=_candidate)
"""


def run(command: str, *words: str | Path) -> Result:
    tool = cli.pit_port if command == "pit-port" else cli.pit_align
    return CliRunner().invoke(tool, [str(word) for word in words], prog_name=command)


@needs_mindspore
@pytest.mark.parametrize("model", ["pit_ti", "pit_xs"])
def test_a_ckpt_is_verified_in_mindspore(model: str, tmp_path: Path) -> None:
    source, target = tmp_path / "a.pth", tmp_path / "a.ckpt"
    write_random(build(model, image_size=64, num_classes=7), source)
    convert(source, target)
    done = run("pit-port", "verify", source, target, "--out", tmp_path / "out")
    assert done.exit_code == 0, done.output
    assert f"verified: {target} (in mindspore), a port of {source} (in torch)" in done.stdout
    assert "rounding: float32 differs by rounding" in done.stdout
    assert "the exact one" in (tmp_path / "out" / "report.json").read_text()


@needs_mindspore
def test_a_model_of_text_and_images_computes_the_same_forward_and_backward(tmp_path: Path) -> None:
    declared = f"{Path(__file__).parent / 'alignment' / 'named_pairs.py'}:MINDSPORE"
    done = run("pit-align", "all", "--pair", declared, "--out", tmp_path)
    assert done.exit_code == 0, done.output
    keys = {row["key"] for row in json.loads((tmp_path / "report.json").read_text())["rows"]}
    assert {"forward/logits", "forward/hidden.1", "bp/gradient/input/pixel_values"} <= keys


@needs_mindspore
@pytest.mark.parametrize(("name", "operation"), [("MINDSPORE", []), ("PADDLE_MINDSPORE", ["transpose"])])
def test_a_users_pair_is_matched_and_computes_the_same(name: str, operation: list[str], tmp_path: Path) -> None:
    declared = f"{Path(__file__).parent / 'alignment' / 'own_pairs.py'}:{name}"
    done = run("pit-align", "forward", "--pair", declared, "--out", tmp_path)
    assert done.exit_code == 0, done.output
    rules = json.loads((tmp_path / "workers" / "rules.json").read_text())["rules"]
    found = {row["target"]: row["operations"] for row in rules}
    assert found["query.weight"] == operation
    assert {"norm.gamma", "norm.moving_variance", "factor"} <= found.keys()
    assert json.loads((tmp_path / "report.json").read_text())["verdict"] == "rounding"


@needs_mindspore
def test_mindcv_computes_the_same_with_the_exact_gelu_in_every_step(tmp_path: Path) -> None:
    done = run("pit-align", "all", "--model", "pit_ti", *SMALL, "--candidate", "mindspore", "--out", tmp_path)
    assert done.exit_code == 0, done.output
    report = json.loads((tmp_path / "report.json").read_text())
    assert report["verdict"] == "rounding"
    assert set(report["steps"]) == {"forward", "metric", "loss", "bp", "train_mode", "other_inputs"}
    assert {row["dtype"] for row in report["rows"]} == {"float32"}
    assert sum(row["kind"] == "gradient" for row in report["rows"]) == 162  # those of training mode are one quantity


@needs_mindspore
def test_mindcv_as_shipped_diverges(tmp_path: Path) -> None:
    declared = tmp_path / "shipped.py"
    declared.write_text(AS_SHIPPED)
    done = run("pit-align", "forward", "--pair", declared, "--batch-size", "2", "--out", tmp_path / "out")
    assert done.exit_code == 1, done.output
    rows = json.loads((tmp_path / "out" / "report.json").read_text())["rows"]
    verdicts = {row["key"]: row["verdict"] for row in rows if row["kind"] == "output"}
    assert verdicts["forward/logits"] == verdicts["forward/stage_0"] == "divergence"


@needs_mindspore
def test_each_gelu_of_mindcv_as_shipped_is_to_blame_and_its_tanh_is_named(tmp_path: Path) -> None:
    declared = tmp_path / "shipped.py"
    declared.write_text(AS_SHIPPED)
    done = run("pit-align", "diagnose", "--pair", declared, "--batch-size", "1", "--out", tmp_path / "out", "--json")
    assert done.exit_code == 1, done.output
    found = json.loads(done.stdout)
    depths = (2, 6, 4)
    acts = [f"transformers.{stage}.blocks.{block}.mlp.act" for stage in range(3) for block in range(depths[stage])]
    assert [(each["kind"], each["path"]) for each in found["findings"]] == [("module", path) for path in acts]
    for finding in found["findings"]:
        cause = finding["causes"][0]
        assert cause["name"] == "gelu tanh"
        assert "approximated by tanh, where the reference has the exact one (erf)" in cause["says"]
        assert cause["after"] < cause["before"] / 4


@needs_mindspore
def test_nothing_is_to_blame_in_mindcv_with_the_exact_gelu(tmp_path: Path) -> None:
    words = ("--model", "pit_ti", *SMALL, "--candidate", "mindspore", "--out", tmp_path, "--json")
    done = run("pit-align", "bisect", *words)
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["findings"] == []


def test_only_models_of_mindcv_have_a_side_there() -> None:
    assert build_pair("regnety_160", candidate="mindspore").candidate.layout == "mindcv"
    for model in ("pit_ti_distilled", "deit_tiny"):
        with pytest.raises(UnknownNameError, match="unknown framework 'mindspore'"):
            build_pair(model, candidate="mindspore")


def test_a_precision_that_mindspore_lacks_is_refused(tmp_path: Path) -> None:
    assert FRAMEWORKS["mindspore"].dtypes == ("float32",)
    with pytest.raises(AlignmentError, match=r"the mindspore side runs in float32 only"):
        align(build_pair("pit_ti", candidate="mindspore"), tmp_path, Settings(dtypes=("float64",)))


def test_an_interpreter_without_mindspore_names_the_command_and_the_option(tmp_path: Path) -> None:
    pytest.importorskip("torch", reason="torch is not installed here; `make test` has it")
    done = run(
        *("pit-align", "forward", "--model", "pit_ti", *SMALL, "--candidate", "mindspore"),
        *("--mindspore-python", sys.executable, "--out", tmp_path),
    )
    assert done.exit_code == 3
    assert "pip install 'mindspore>=" in done.stderr
    assert "--mindspore-python" in done.stderr


@needs_mindspore
@pytest.mark.parametrize("name", ["RIGHT", "BACK"])
def test_rules_with_mindspore_are_found_by_the_data_flow_both_ways(name: str, tmp_path: Path) -> None:
    """The packed weights of torch's attention are three Denses there, made in another order than q, k, v."""
    saved = tmp_path / "net.json"
    done = run("pit-align", "rules", "--pair", f"{PAIRS}:{name}", "--save", saved, "--out", tmp_path / "out")
    assert done.exit_code == 0, done.output
    assert "proven: with these rules both models give the same outputs in float32" in done.stdout
    plan = read_table(saved).plan("reference" if name == "RIGHT" else "candidate")
    for place, part in enumerate("qkv"):
        target = f"layers.1.attention.{part}.weight"
        assert plan.sources_of(target) == ("blocks.1.attn.in_proj_weight",)
        assert plan.part_of(target) == (place + 1, 3)


@needs_mindspore
def test_another_function_in_mindspore_is_not_proven(tmp_path: Path) -> None:
    done = run("pit-align", "rules", "--pair", f"{PAIRS}:OTHER", "--out", tmp_path)
    assert done.exit_code == 0, done.output
    assert "not proven: every tensor has its counterpart" in done.stdout


@needs_mindspore
def test_model_that_mindspore_cannot_compile_is_told_where_rules_are_not_found(tmp_path: Path) -> None:
    done = run("pit-align", "rules", "--pair", f"{PAIRS}:CHECKED", "--out", tmp_path)
    assert done.exit_code == 3, done.output
    assert "the data flow of the candidate is not known, since MindSpore cannot compile it to one graph" in done.output


@needs_mindspore
def test_what_mindspore_kernels_lose_is_named_and_no_divergence(tmp_path: Path) -> None:
    done = run("pit-align", "all", "--pair", f"{PAIRS}:GATED", "--out", tmp_path / "exact")
    assert done.exit_code == 0, done.output
    report = json.loads((tmp_path / "exact" / "report.json").read_text())
    assert report["verdict"] == "rounding"
    assert {"mindspore.ops.Tanh", "mindspore.ops.Sigmoid"} <= {kernel["name"] for kernel in report["kernels"]}
    assert 1e-6 < report["apart"] < 1e-3
    strict = run("pit-align", "forward", "--pair", f"{PAIRS}:GATED", "--strict", "--out", tmp_path / "strict")
    assert strict.exit_code == 1, strict.output
    bisected = run("pit-align", "bisect", "--pair", f"{PAIRS}:GATED", "--out", tmp_path / "bisected", "--json")
    assert bisected.exit_code == 0, bisected.output
    assert json.loads(bisected.stdout)["findings"] == []


@needs_mindspore
def test_mistake_smaller_than_what_mindspore_kernels_lose_is_a_divergence(tmp_path: Path) -> None:
    done = run("pit-align", "forward", "--pair", f"{PAIRS}:OTHER_FACTOR", "--out", tmp_path)
    assert done.exit_code == 1, done.output


@needs_mindspore
@pytest.mark.parametrize("name", ["ADAMW", "SGD"])
def test_training_in_mindspore_is_compared_with_float64(name: str, tmp_path: Path) -> None:
    done = run("pit-align", "training", "--pair", f"{TRAININGS}:{name}", "--out", tmp_path)
    assert done.exit_code == 0, done.output
    report = json.loads((tmp_path / "report.json").read_text())
    assert report["verdict"] == "rounding"
    rows = {row["key"]: row["verdict"] for row in report["rows"]}
    assert {rows["schedule/lr"], rows["optimizer/step_3/parameter/a.weight"], rows["train/loss_9"]} == {"rounding"}
    assert {key.partition("/")[0] for key in rows} >= {"init", "schedule", "regularisation", "optimizer", "train"}


@needs_mindspore
@pytest.mark.parametrize(
    ("name", "step", "says"),
    [
        ("ADAM", "optimizer", "epsilon is added before the bias of the second moment is corrected"),
        ("RMSPROP", "optimizer", "the mean of squares begins with one"),
        ("DECAYS_ALL", "regularisation", "decay by 0.05, and should not decay"),
    ],
)
def test_mistake_of_training_in_mindspore_is_named(name: str, step: str, says: str, tmp_path: Path) -> None:
    done = run("pit-align", step, "--pair", f"{TRAININGS}:{name}", "--diagnose", "--out", tmp_path, "--json")
    assert done.exit_code == 1, done.output
    assert says in json.loads((tmp_path / "report.json").read_text())["cause"]


@needs_mindspore
@pytest.mark.parametrize(
    ("name", "key"),
    [("RIGHT", ""), ("OTHER_RATE", "train_mode/rate_0.2"), ("OTHER_FACTOR", "train_mode/logits")],
)
def test_training_mode_in_mindspore_is_compared(name: str, key: str, tmp_path: Path) -> None:
    done = run("pit-align", "all", "--pair", f"{TRAININGS}:{name}", "--out", tmp_path)
    assert done.exit_code == bool(key), done.output
    rows = json.loads((tmp_path / "report.json").read_text())["rows"]
    assert "train_mode/gradient" in {row["key"] for row in rows}
    failed = {row["key"] for row in rows if row["verdict"] == "divergence"}
    assert key in failed if key else not failed


@needs_mindspore
def test_convolutions_in_one_dimension_are_matched_and_compute_the_same(tmp_path: Path) -> None:
    done = run("pit-align", "all", "--pair", f"{PAIRS}:SIGNAL", "--out", tmp_path)
    assert done.exit_code == 0, done.output
    rules = json.loads((tmp_path / "workers" / "rules.json").read_text())["rules"]
    assert {"stem.weight", "each.weight", "scale", "shift"} <= {row["target"] for row in rules}


@needs_mindspore
def test_training_of_a_published_model_in_mindspore_is_compared_with_float64(tmp_path: Path) -> None:
    done = run("pit-align", "training", "--model", "pit_micro", *TINY, "--candidate", "mindspore", "--out", tmp_path)
    assert done.exit_code == 0, done.output
    report = json.loads((tmp_path / "report.json").read_text())
    assert report["verdict"] == "rounding"
    assert {row["key"].partition("/")[0] for row in report["rows"]} == set(TRAINING_STEPS)


@needs_mindspore
@pytest.mark.parametrize(
    ("name", "step", "key"),
    [
        ("DECAYS_ALL", "regularisation", "regularisation/decay/head.bias"),
        ("HALVED_DROP_PATHS", "regularisation", "regularisation/drop_path/transformers.2.blocks.0.drop_path2"),
        ("EPOCH_LATE", "schedule", "schedule/lr"),
        ("OTHER_EPSILON", "optimizer", "optimizer/step_1/parameter/pos_embed"),
        ("DOUBLED_RATE", "train", "train/lr_0"),
        ("AVERAGE_OF_THE_START", "train", "train/ema/pos_embed"),
    ],
)
def test_mistake_in_the_training_of_a_published_model_in_mindspore_diverges(
    name: str, step: str, key: str, tmp_path: Path
) -> None:
    declared, few = f"{TRAINERS}:{name}", ("--steps", "3") if step in ("optimizer", "train") else ()
    diagnosed = ("--diagnose",) if name == "OTHER_EPSILON" else ()
    done = run("pit-align", step, "--pair", declared, "--batch-size", "4", *few, *diagnosed, "--out", tmp_path)
    assert done.exit_code == 1, done.output
    assert "cause: epsilon is 1e-06, not 1e-08" in done.output or not diagnosed
    rows = json.loads((tmp_path / "report.json").read_text())["rows"]
    assert key in {row["key"] for row in rows if row["verdict"] == "divergence"}


@needs_mindspore
def test_initial_values_of_mindcv_as_shipped_diverge(tmp_path: Path) -> None:
    as_shipped = ("--candidate", "mindspore", "--set", "mindspore.reference_init=false")
    done = run("pit-align", "init", "--model", "pit_micro", *TINY, *as_shipped, "--out", tmp_path)
    assert done.exit_code == 1, done.output
    rows = json.loads((tmp_path / "report.json").read_text())["rows"]
    failed = {row["key"] for row in rows if row["verdict"] == "divergence"}
    assert {"init/sample/head.weight", "init/sample/pools.0.conv.weight"} <= failed

"""`pit-align` as its users run it, on a small PiT: the real frameworks, the real files, the exit codes."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from click.testing import CliRunner, Result

import cli
from porting.architectures import build
from porting.checkpoint import write_checkpoint
from porting.checkpoint.tensor import LazyTensor
from porting.conversion import translate
from porting.synthetic import random_weights

ROOT = Path(__file__).parents[1]
SMALL = ("--image-size", "48", "--num-classes", "7", "--batch-size", "2")
Weights = dict[str, npt.NDArray[np.float32]]


def pit_align(*words: str | Path) -> Result:
    return CliRunner().invoke(cli.pit_align, [str(word) for word in words], prog_name="pit-align")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> tuple[Result, Path]:
    out = tmp_path_factory.mktemp("logs") / "pit_ti"
    return pit_align("all", "--model", "pit_ti", *SMALL, "--dtype", "both", "--out", out), out


def test_a_healthy_pair_is_the_same_function(run: tuple[Result, Path]) -> None:
    done, out = run
    assert done.exit_code == 0, done.output
    assert done.stdout.startswith("pit_ti: SAME FUNCTION\n")
    report = json.loads((out / "report.json").read_text())
    rows = {(row["key"], row["dtype"]): row for row in report["rows"]}
    for (key, dtype), row in rows.items():
        assert row["verdict"] in {"float64": ["same function"], "float32": ["same function", "rounding"]}[dtype], key
        if dtype == "float64":
            assert row["rel_l2"] < (1e-9 if row["kind"] == "gradient" else 1e-10), key
    gradients = {key for key, dtype in rows if dtype == "float64" and rows[key, dtype]["kind"] == "gradient"}
    of_all = {"train_mode/gradient"}
    assert gradients == of_all | {f"bp/gradient/{name}" for name in (*build("pit_ti").tensors, "input")}


def test_every_file_that_the_guides_ask_for_is_there(run: tuple[Result, Path]) -> None:
    out = run[1]
    for step in ("forward", "metric", "loss", "bp_align"):
        assert {f"{step}_torch.npy", f"{step}_paddle.npy", f"{step}_diff.log"} <= {path.name for path in out.iterdir()}
    assert "logits" in (out / "forward_diff.log").read_text()
    explained = (ROOT / "logs" / "README.md").read_text()
    for path in out.iterdir():
        if not path.name.startswith("."):
            assert path.name in explained, f"{path.name} is not in logs/README.md"


def test_the_gate_passes_it(run: tuple[Result, Path]) -> None:
    report = run[1] / "report.json"
    assert pit_align("gate", report, "--config", ROOT / "pit-align.toml").exit_code == 0
    assert json.loads(pit_align("gate", report, "--config", ROOT / "pit-align.toml", "--json").stdout)["passed"] is True


def test_the_gate_fails_a_report_that_lacks_a_step(run: tuple[Result, Path], tmp_path: Path) -> None:
    report: dict[str, Any] = json.loads((run[1] / "report.json").read_text())
    report["rows"] = [row for row in report["rows"] if row["step"] != "bp"]
    partial = tmp_path / "report.json"
    partial.write_text(json.dumps(report))
    done = pit_align("gate", partial, "--config", ROOT / "pit-align.toml")
    assert done.exit_code == 1
    assert "bp" in done.stdout


def test_the_gate_refuses_a_configuration_with_an_unknown_key(run: tuple[Result, Path], tmp_path: Path) -> None:
    config = tmp_path / "pit-align.toml"
    config.write_text((ROOT / "pit-align.toml").read_text().replace("max_margin", "max_margn"))
    done = pit_align("gate", run[1] / "report.json", "--config", config)
    assert done.exit_code == 3
    assert "max_margn" in done.stderr
    assert "max_margin" in done.stderr


def test_the_report_is_shown_again(run: tuple[Result, Path]) -> None:
    done = pit_align("report", run[1] / "report.json", "--verbose")
    assert done.exit_code == 0
    assert done.stdout.startswith("pit_ti: SAME FUNCTION\n")


def test_reprod_log_files_are_compared(run: tuple[Result, Path], tmp_path: Path) -> None:
    files = run[1] / "forward_torch.npy", run[1] / "forward_paddle.npy"
    done = pit_align("compare", *files)
    assert done.exit_code == 0
    assert "WITHIN TOLERANCE" in done.stdout.splitlines()[0]
    strict = pit_align("compare", *files, "--rtol", "logits:1e-12")
    assert strict.exit_code == 1
    assert "logits" in strict.stdout
    assert pit_align("compare", files[0], tmp_path / "none.npy").exit_code == 3
    empty = tmp_path / "empty.npy"
    np.save(empty, np.array({}, dtype=object), allow_pickle=True)
    assert pit_align("compare", empty, empty).exit_code == 5


def test_two_sides_recorded_apart_are_compared(tmp_path: Path) -> None:
    for backend in ("torch", "paddle"):
        done = pit_align(
            "record", "forward", "--backend", backend, "--model", "pit_ti", *SMALL, "--out", tmp_path / backend
        )
        assert done.exit_code == 0, done.output
    done = pit_align("compare", tmp_path / "torch", tmp_path / "paddle")
    assert done.exit_code == 0, done.output
    assert "SAME FUNCTION" in done.stdout.splitlines()[0]
    shutil.rmtree(tmp_path / "paddle")
    other = pit_align(
        *("record", "forward", "--backend", "paddle", "--model", "pit_ti", *SMALL),
        *("--seed", "1", "--dtype", "float32", "--out", tmp_path / "paddle"),
    )
    assert other.exit_code == 0, other.output
    refused = pit_align("compare", tmp_path / "torch", tmp_path / "paddle")
    assert refused.exit_code == 3
    assert "different inputs" in refused.stderr


def _untransposed(weights: Weights) -> None:
    name = "transformers.1.blocks.3.attn.proj.weight"
    weights[name] = weights[name].T.copy()


def _untransposed_deit(weights: Weights) -> None:
    name = "blocks.3.attn.proj.weight"
    weights[name] = weights[name].T.copy()


def _key_bias(weights: Weights) -> None:
    bias = weights["transformers.0.blocks.1.attn.qkv.bias"]
    bias[len(bias) // 3 : 2 * len(bias) // 3] += 1


def _swapped_heads(weights: Weights) -> None:
    for part in ("weight", "bias"):
        names = f"head.{part}", f"head_dist.{part}"
        weights[names[0]], weights[names[1]] = weights[names[1]], weights[names[0]]


@pytest.mark.parametrize(
    ("model", "break_it", "broken", "sound"),
    [
        ("pit_ti", _untransposed, ["parameters/transformers.1.blocks.3.attn.proj.weight", "logits"], ["stage_0"]),
        ("deit_tiny", _untransposed_deit, ["parameters/blocks.3.attn.proj.weight", "stage_3", "logits"], ["stage_2"]),
        ("pit_ti", _key_bias, ["parameters/transformers.0.blocks.1.attn.qkv.bias"], ["logits", "stage_0", "stage_2"]),
        ("pit_ti_distilled", _swapped_heads, ["parameters/head.weight", "logits"], ["stage_0", "stage_2"]),
    ],
)
def test_a_port_with_a_mistake_in_its_file_diverges_by_name(
    tmp_path: Path, model: str, break_it: Callable[[Weights], None], broken: list[str], sound: list[str]
) -> None:
    architecture = build(model, image_size=48, num_classes=7)
    weights = random_weights(architecture)
    files = tmp_path / "right.pth", tmp_path / "wrong.pdparams"
    for path, layout in zip(files, ("canonical", "paddlevit"), strict=True):
        tensors = {name: LazyTensor.of(values) for name, values in weights.items()}
        write_checkpoint(path, translate(tensors, architecture, "canonical", layout))
        break_it(weights)
    done = pit_align(
        *("forward", "--model", model, *SMALL, "--weights", files[0], "--candidate-weights", files[1]),
        *("--out", tmp_path / "out"),
    )
    assert done.exit_code == 1, done.output
    assert "DIVERGENCE" in done.stdout.splitlines()[0]
    verdicts: dict[str, set[str]] = {}
    for row in json.loads((tmp_path / "out" / "report.json").read_text())["rows"]:
        verdicts.setdefault(row["key"], set()).add(row["verdict"])
    for key in broken:
        assert "divergence" in verdicts[f"forward/{key}"], key
    for key in sound:
        assert "divergence" not in verdicts[f"forward/{key}"], key
    assert broken[0].split("/")[-1] in done.stdout.replace("\n", "").replace(" ", "")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["forward"], "nothing is named: give --model NAME"),
        (["forward", "--model", "pit_tii"], "did you mean pit_ti?"),
        (
            ["forward", "--model", "pit_ti", "--dtype", "both,float23"],
            "'float23' is not one of float32, float64, bfloat16",
        ),
        (["bisect", "--model", "pit_ti", "--dtype", "float16"], "'float16' is not one of float32, float64 and both"),
        (["train", "--model", "pit_ti", "--dtype", "bfloat16"], "'bfloat16' is not one of float32, float64 and both"),
        (["record", "forwrd", "--backend", "torch", "--model", "pit_ti"], "did you mean forward?"),
        (["record", "forward", "--backend", "tensorflow", "--model", "pit_ti"], "unknown backend"),
    ],
)
def test_unknown_words_exit_2(tmp_path: Path, words: list[str], message: str) -> None:
    done = pit_align(*words, "--out", tmp_path / "out")
    assert done.exit_code == 2, done.output
    assert message in done.stderr
    assert not (tmp_path / "out" / "report.json").exists()


def test_a_step_that_does_not_apply_exits_5(tmp_path: Path) -> None:
    done = pit_align("batchnorm", "--model", "deit_tiny", *SMALL, "--out", tmp_path / "out")
    assert done.exit_code == 5, done.output
    assert "the step batchnorm does not apply: deit_tiny has no running statistics" in done.stderr


def test_a_missing_framework_names_the_extra(tmp_path: Path) -> None:
    import venv

    venv.create(tmp_path / "bare", with_pip=False, system_site_packages=False)
    done = pit_align(
        *("forward", "--model", "pit_ti", *SMALL, "--out", tmp_path / "out"),
        *("--paddle-python", tmp_path / "bare" / "bin" / "python"),
    )
    assert done.exit_code == 3
    assert "paddle" in done.stderr
    assert "pip install" in done.stderr

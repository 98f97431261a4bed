"""`pit-port convert|plan|inspect|diff|verify --pair`: models of the user's own, from a checkpoint to a proven port."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

import cli
from porting.checkpoint import LazyTensor, open_checkpoint, write_checkpoint
from porting.saved_rules import read_table, write_table

_PAIR = """
from typing import Any
from alignment.pair import Pair, Side

def reference() -> Any:
    from torch import nn

    return nn.Sequential(nn.Linear(6, 6), nn.Tanh(), nn.Linear(6, 3))

def candidate() -> Any:
    import paddle
    from paddle import nn

    class Net(nn.Layer):
        def __init__(self):
            super().__init__()
            self.head, self.body = nn.Linear(6, 3), nn.Linear(6, 6)

        def forward(self, x):
            return self.head(paddle.tanh(self.body(x)))

    return Net()

SIDES = Side("torch", "my_pair.py:reference"), Side("paddle", "my_pair.py:candidate")
PAIR = Pair("net", *SIDES, input_shape=(6,), rules="auto")
PINNED = Pair("net", *SIDES, input_shape=(6,), rules="rules.json")
"""


def pit_port(*words: str | Path) -> Result:
    return CliRunner().invoke(cli.pit_port, [str(word) for word in words], prog_name="pit-port")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with the pair, a checkpoint, its port by `--pair`, and the rules that were derived."""
    folder = tmp_path_factory.mktemp("pair")
    (folder / "my_pair.py").write_text(_PAIR)
    generator = np.random.default_rng(0)
    shapes = {"0.weight": (6, 6), "0.bias": (6,), "2.weight": (3, 6), "2.bias": (3,)}
    tensors = {name: generator.standard_normal(shape).astype(np.float32) for name, shape in shapes.items()}
    write_checkpoint(folder / "mine.pth", {name: LazyTensor.of(array) for name, array in tensors.items()})
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        done = pit_port("convert", "mine.pth", "mine.pdparams", "--pair", "my_pair.py")
    assert done.exit_code == 0, done.output
    assert "layout candidate (paddle)" in done.output
    (folder / "logs" / "net-rules" / "workers" / "rules.json").rename(folder / "rules.json")
    return folder


@pytest.fixture
def folder(made: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(made)
    return made


def pin(folder: Path, proven: bool | None) -> None:
    """Say of the rules that the pair names what a run gave."""
    write_table(replace(read_table(folder / "rules.json"), proven=proven), folder / "rules.json")


def test_square_weight_is_transposed_and_names_are_the_candidates(folder: Path) -> None:
    with open_checkpoint(folder / "mine.pth") as source, open_checkpoint(folder / "mine.pdparams") as target:
        assert set(target.tensors) == {"head.weight", "head.bias", "body.weight", "body.bias"}
        expected = source.tensors["0.weight"].load().T
        np.testing.assert_array_equal(target.tensors["body.weight"].load(), expected)


def test_pinned_rules_port_back_and_every_command_takes_the_pair(folder: Path, tmp_path: Path) -> None:
    pair = ("--pair", "my_pair.py:PINNED")
    assert pit_port("convert", "mine.pdparams", tmp_path / "back.pth", *pair).exit_code == 0
    assert pit_port("diff", "mine.pth", tmp_path / "back.pth").exit_code == 0
    assert pit_port("diff", "mine.pdparams", tmp_path / "back.pth", *pair).exit_code == 0
    assert "reference (torch)" in pit_port("inspect", "mine.pth", *pair).output
    assert "the reference's side (torch) of my_pair.py:PINNED" in pit_port("plan", "mine.pth", *pair).output


@pytest.mark.parametrize("files", [("mine.pth", "mine.pdparams"), ("mine.pdparams", "mine.pth")])
def test_port_is_verified_by_both_models_whichever_side_the_source_is(files: tuple[str, str], folder: Path) -> None:
    done = pit_port("verify", *files, "--pair", "my_pair.py:PINNED", "--json")
    assert done.exit_code == 0, done.output
    result = json.loads(done.stdout)
    frameworks = [{"mine.pth": "torch", "mine.pdparams": "paddle"}[name] for name in files]
    assert [result["source_framework"], result["framework"]] == frameworks
    assert result["verdict"] == "same function"
    assert result["tensors"]["same"]


def test_port_with_another_value_is_not_verified(folder: Path, tmp_path: Path) -> None:
    with open_checkpoint("mine.pdparams") as good:
        arrays = {name: tensor.load() + (name == "body.bias") for name, tensor in good.tensors.items()}
    bad = {name: LazyTensor.of(array.astype(np.float32)) for name, array in arrays.items()}
    write_checkpoint(tmp_path / "bad.pdparams", bad)
    done = pit_port("verify", "mine.pth", tmp_path / "bad.pdparams", "--pair", "my_pair.py:PINNED")
    assert done.exit_code == 1
    assert "NOT verified" in done.output
    assert "0.bias" in done.output


def test_two_files_of_one_side_are_no_port_of_each_other(folder: Path) -> None:
    done = pit_port("verify", "mine.pth", "mine.pth", "--pair", "my_pair.py:PINNED")
    assert done.exit_code == 3
    assert "not a port of it" in done.output


def test_convert_verifies_afterwards_with_the_pair(folder: Path, tmp_path: Path) -> None:
    done = pit_port("convert", "mine.pth", tmp_path / "a.pdparams", "--pair", "my_pair.py:PINNED", "--verify")
    assert done.exit_code == 0, done.output
    assert "verified: " in done.output


@pytest.mark.parametrize("words", [("--pair", "my_pair.py:PINNED"), ("--rules", "rules.json")], ids=["pair", "rules"])
def test_rules_with_which_the_outputs_differ_write_nothing_unless_asked(
    words: tuple[str, str], folder: Path, tmp_path: Path
) -> None:
    pin(folder, False)
    try:
        target = tmp_path / "a.pdparams"
        done = pit_port("convert", "mine.pth", target, *words)
        assert done.exit_code == 1
        assert "nothing was written" in done.output
        assert "pit-align bisect" in done.output
        assert not target.exists()
        assert pit_port("convert", "mine.pth", target, *words, "--dry-run").exit_code == 0
        done = pit_port("convert", "mine.pth", target, *words, "--unproven")
        assert done.exit_code == 0
        assert "not proven" in done.output
        assert target.exists()
    finally:
        pin(folder, None)


def test_proof_is_told_and_is_of_these_rows_only(folder: Path, tmp_path: Path) -> None:
    pin(folder, True)
    done = pit_port("convert", "mine.pth", tmp_path / "a.pdparams", "--rules", "rules.json", "--dry-run")
    assert "proven in float64" in done.output
    value = json.loads((folder / "rules.json").read_text())
    row = next(row for row in value["rules"] if row["target"] == "body.weight")
    row["operations"] = []
    (tmp_path / "edited.json").write_text(json.dumps(value))
    pin(folder, None)
    assert read_table(tmp_path / "edited.json").proven is None


def _twice(folder: Path) -> list[str]:
    return ["convert", "mine.pth", "a.pdparams", "--pair", "my_pair.py", "--rules", "rules.json"]


def _existing(folder: Path) -> list[str]:
    return ["convert", "mine.pth", "mine.pdparams", "--pair", "my_pair.py"]


def _missing(folder: Path) -> list[str]:
    return ["convert", "none.pth", "a.pdparams", "--pair", "my_pair.py"]


def _published(folder: Path) -> list[str]:
    return ["convert", "mine.pth", "a.pdparams", "--pair", "my_pair.py", "--to", "timm"]


def _broken(folder: Path) -> list[str]:
    (folder / "broken.py").write_text("import nothing_of_this_name\n")
    return ["inspect", "mine.pth", "--pair", "broken.py"]


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (_twice, 2, "either --rules or --pair"),
        (_existing, 3, "exists"),
        (_missing, 3, "none.pth"),
        (_published, 2, "--to is for published models"),
        (_broken, 3, "nothing_of_this_name"),
    ],
)
def test_what_cannot_be_done_is_said_before_any_model_is_built(
    words: Callable[[Path], list[str]], code: int, message: str, folder: Path
) -> None:
    done = pit_port(*words(folder))
    assert done.exit_code == code, done.output
    assert message in done.output

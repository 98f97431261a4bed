"""The command that a command of `pit-port` ends with runs as it stands, or asks for the pair that it names."""

from __future__ import annotations

import shlex
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

import cli
from porting.checkpoint import LazyTensor, write_checkpoint
from porting.terminal.next_commands import file_in, port_of


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def pit_port(words: str) -> Result:
    return CliRunner().invoke(cli.pit_port, shlex.split(words), prog_name="pit-port")


def next_of(words: str, code: int = 0) -> str:
    done = pit_port(words)
    assert done.exit_code == code, done.output
    line = done.stdout.splitlines()[-1]
    assert line.startswith("next: pit-port ")
    return line.removeprefix("next: pit-port ")


def test_each_command_of_a_known_model_leads_to_the_next() -> None:
    words = next_of("random pit_micro m.pth --image-size 64")
    assert words == "convert m.pth m.pdparams"
    assert pit_port(words).exit_code == 0
    assert next_of("inspect m.pdparams") == "convert m.pdparams m.pth"
    assert next_of("plan m.pth --to timm --num-classes 5") == "convert m.pth m-timm.pth --to timm --num-classes 5"
    assert pit_port("convert m.pth m-timm.pth --to timm --num-classes 5").exit_code == 0
    assert next_of("inspect m.pth --weights model") == "convert m.pth m.pdparams --weights model"


def test_unknown_model_leads_to_a_pair() -> None:
    for file, name in (("a.npz", "first"), ("b.npz", "second")):
        tensors = {f"{name}_{number}.weight": LazyTensor.of(np.ones((2, 3), np.float32)) for number in range(20)}
        write_checkpoint(Path(file), tensors)
    assert next_of("inspect a.npz") == "convert a.npz a.pdparams --pair my_pair.py"
    assert next_of("diff a.npz b.npz", code=1) == "diff a.npz b.npz --pair my_pair.py"


def test_names_that_only_one_file_has_are_shown_in_full_only_if_asked() -> None:
    for file, name in (("a.npz", "first"), ("b.npz", "second")):
        tensors = {
            f"{name}_{number}.weight": LazyTensor.of(np.ones((2, number + 1), np.float32)) for number in range(20)
        }
        write_checkpoint(Path(file), tensors)
    lines = pit_port("diff a.npz b.npz").stdout.splitlines()
    assert len(lines) <= 10
    assert "  and 17 more: only in the first file; -v names all" in lines
    assert len(pit_port("diff a.npz b.npz -v").stdout.splitlines()) > 40


@pytest.mark.parametrize(
    ("source", "file_format", "port"),
    [
        ("a/b.pth", "torch-zip", "a/b.pdparams"),
        ("b.pdparams", "pdparams", "b.pth"),
        ("b.ckpt", "mindspore", "b.pth"),
        ("b.safetensors", "safetensors", "b.pdparams"),
        ("model.safetensors.index.json", "safetensors", "model.pdparams"),
        ("hf://timm/pit_b_224.in1k@main", "safetensors", "pit_b_224.pdparams"),
    ],
)
def test_usual_port_is_beside_the_file_in_the_other_framework(source: str, file_format: str, port: str) -> None:
    address = source if source.startswith("hf://") else Path(source)
    assert port_of(address, file_format) == port


def test_file_of_a_layout_is_never_the_source() -> None:
    assert file_in("paddlevit", Path("a.pth")) == "a.pdparams"
    assert file_in("mindcv", Path("a.pth")) == "a.ckpt"
    assert file_in("timm", Path("a.pth")) == "a-timm.pth"

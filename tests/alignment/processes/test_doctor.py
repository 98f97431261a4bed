"""The doctor: what is missing, what is known to be bad, and the command that helps."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from rich.console import Console

import cli
from alignment.processes.doctor import Environment, examine, examine_all, healthy
from alignment.report.doctor import print_doctor

_COMMON = {"numpy": "1.26.4", "safetensors": "0.5.0", "ml_dtypes": "0.5.0"}
_GOOD = {
    "torch": {"torch": "2.13.0+cpu", "timm": "1.0.31", "torchvision": "0.28.0"},
    "paddle": {"paddlepaddle": "3.3.1", "reprod-log": "1.0.1"},
    "mindspore": {"mindspore": "2.10.0", "mindcv": "0.3.0"},
}


def example(framework: str, *absent: str, python: str = "3.11.7", facts: Any = None, **versions: str) -> Environment:
    """A framework that is well but for what is given."""
    changed = {name.replace("_", "-") if name == "reprod_log" else name: version for name, version in versions.items()}
    complete = {**_GOOD[framework], **_COMMON, **changed}
    installed = {name: version for name, version in complete.items() if name not in absent}
    probed = {"python": python, "versions": installed, "error": None, "facts": facts or {"devices": ["cpu", "a GPU"]}}
    return examine(framework, True, "/env/bin/python", probed)


@pytest.mark.parametrize("framework", list(_GOOD))
def test_a_good_environment_has_no_problem(framework: str) -> None:
    good = example(framework)
    assert good.usable
    assert not good.problems


@pytest.mark.parametrize(
    ("examined", "summary", "fix"),
    [
        (example("torch", "timm"), "timm not installed", "-m pip install 'torch>=2.4,<3' 'timm>=1.0.25,<2'"),
        (example("paddle", "paddlepaddle"), "paddlepaddle not installed", "-m pip install 'paddlepaddle>=3.3,<4'"),
        (
            example("paddle", "ml_dtypes"),
            "ml_dtypes not installed, which every side needs",
            "pip install ml_dtypes",
        ),
        (example("torch", timm="0.9.0"), "both heads of a distilled PiT read", "pip install 'timm>=1.0.25'"),
        (example("torch", timm="1.0.24"), "both heads of a distilled PiT read", "pip install 'timm>=1.0.25'"),
        (example("torch", timm="0.6.13"), "timm 0.6.13, 1.0.25 or newer", "pip install 'timm>=1.0.25'"),
        (example("torch", torch="2.3.1"), "torch 2.3.1, 2.4 or newer is needed", "pip install 'torch>=2.4'"),
        (example("mindspore", numpy="2.4.6"), "MindSpore does not work with NumPy 2.4.6", "pip install 'numpy<2'"),
        (example("paddle", python="3.9.18"), "Python 3.9.18, 3.10 or newer is needed", "--paddle-python"),
    ],
)
def test_problem_that_makes_a_framework_unusable_has_a_fix(examined: Environment, summary: str, fix: str) -> None:
    assert not examined.usable
    assert not healthy([examined])
    assert any(summary in problem.summary and fix in problem.fix for problem in examined.problems), examined.problems


@pytest.mark.parametrize(
    ("examined", "summary"),
    [
        (
            example("torch", torchvision="0.20.1"),
            "torchvision 0.20.1 was not made for torch 2.13.0+cpu, which wants 0.28",
        ),
        (example("torch", facts={"torchvision": "RuntimeError: nms"}), "was built for another torch"),
        (
            example("torch", facts={"devices": ["cpu", "x"], "tf32": {"cudnn": True}}),
            "TensorFloat-32 is on by default",
        ),
        (example("paddle", "reprod-log"), "without reprod_log its official files are not written"),
        (
            example("paddle", facts={"devices": ["cpu"], "half": {"bfloat16": {"missing": ["sum"], "other": []}}}),
            "no bfloat16 on the CPU: PaddlePaddle has no sum in it; --dtype bfloat16 cannot run there",
        ),
        (
            example("paddle", facts={"devices": ["cpu"], "half": {"float16": {"missing": [], "other": ["autocast"]}}}),
            "float16 has no effect in autocast on the CPU: PaddlePaddle computes in float32 there",
        ),
    ],
)
def test_note_leaves_a_framework_usable(examined: Environment, summary: str) -> None:
    assert examined.usable
    assert any(summary in problem.summary for problem in examined.problems), examined.problems


@pytest.mark.parametrize("timm", ["1.0.25", "1.0.31", "1.1.0"])
def test_later_versions_of_timm_are_good(timm: str) -> None:
    assert not example("torch", timm=timm).problems


def test_a_broken_installation_is_named() -> None:
    probed = {"python": "3.11", "versions": _GOOD["paddle"] | _COMMON, "error": "ImportError: libfoo", "facts": {}}
    examined = examine("paddle", True, "python", probed)
    assert "cannot be imported: ImportError: libfoo" in examined.problems[0].summary


def test_bare_and_missing_interpreters(bare_python: str, tmp_path: Path) -> None:
    silent = tmp_path / "silent"
    silent.write_text("#!/bin/sh\nexit 9\n")
    silent.chmod(0o755)
    pythons = {"torch": bare_python, "paddle": str(tmp_path / "none"), "mindspore": str(silent)}
    torch, paddle, mindspore = examine_all(pythons, ())
    assert torch.problems[0].summary == "torch, timm not installed"
    assert "cannot be started: No such file" in paddle.problems[0].summary
    assert "says nothing of mindspore: it ended with 9" in mindspore.problems[0].summary
    assert not any(examined.usable for examined in (torch, paddle, mindspore))


def test_doctor_command_exits_1_if_a_needed_framework_is_missing(
    bare_python: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PIT_MINDSPORE_PYTHON", raising=False)  # naming an interpreter makes its framework needed
    words = ["doctor", "--torch-python", sys.executable, "--paddle-python", bare_python, "--json"]
    done = CliRunner().invoke(cli.pit_align, words)
    assert done.exit_code == 1, done.output
    value = json.loads(done.stdout)
    assert value["healthy"] is False
    torch, paddle, mindspore = value["frameworks"]
    assert (torch["usable"], torch["devices"][0]) == (True, "cpu")
    assert torch["versions"]["torch"]
    assert torch["threads"] >= 1
    assert (paddle["usable"], mindspore["needed"]) == (False, False)


def test_printed_examination_shows_problems_and_commands() -> None:
    console = Console(file=io.StringIO(), width=200)
    print_doctor([example("torch"), example("paddle", "paddlepaddle")], console)
    assert isinstance(console.file, io.StringIO)
    text = console.file.getvalue()
    assert "torch     usable  Python 3.11.7, /env/bin/python" in text
    assert "paddle    NOT USABLE" in text
    assert "/env/bin/python -m pip install 'paddlepaddle>=3.3,<4'" in text
    assert text.endswith("something that is needed is missing\n")


@pytest.mark.parametrize("printed", ["5", "{}", "null", '{"python": "3.11.7"}', '{"facts": 3}', "\\xff", ""])
def test_interpreter_with_unexpected_output_is_unusable(tmp_path: Path, printed: str) -> None:
    python = tmp_path / "python"
    python.write_text(f"#!/bin/sh\nprintf '{printed}\\n'\n")
    python.chmod(0o755)
    everyone = dict.fromkeys(_GOOD, str(python))
    for examined in examine_all(everyone, ["torch"]):
        assert not examined.usable
        assert f"the interpreter says nothing of {examined.framework}" in examined.problems[0].summary


def test_version_of_one_number_is_compared() -> None:
    assert not example("torch", torch="1").usable
    assert example("torch", torch="2").problems

"""A program of another framework, with one that stands for it: how it ends, what it leaves, and what it says."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from recipe import carrying_out, starting_program
from recipe.carrying_out import COULD_NOT_RUN, run_as_program
from recipe.programs import Request, run_program

ROOT = Path(__file__).parents[2]


class Failing:
    """A framework whose models cannot be opened."""

    latest, best = "latest.x", "best.x"

    def __init__(self, error: BaseException) -> None:
        self.error = error

    def open(self, config: Any) -> Any:
        raise self.error

    def run(self, config: Any) -> Any:
        raise self.error


def ended(error: BaseException, monkeypatch: pytest.MonkeyPatch) -> int:
    request = Request("eval", "model: {name: pit_micro, image_size: 32, weights: a.pth}")
    monkeypatch.setattr(sys, "stdin", io.StringIO(json.dumps(asdict(request))))
    return run_as_program(Failing(error))


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (ValueError("----\nno such operator\nmore"), "ValueError: no such operator, "),
        (RuntimeError(), "RuntimeError: RuntimeError, "),
        (KeyError("epoch"), "KeyError: it lacks 'epoch', "),
        (PermissionError(13, "Permission denied", "a.pth"), "Permission denied: 'a.pth'"),
    ],
)
def test_error_of_a_framework_is_one_line(
    error: Exception, line: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert ended(error, monkeypatch) == COULD_NOT_RUN
    said = capsys.readouterr().err
    assert said.startswith("pit-train: ")
    assert line in said
    assert said.count("\n") == 1


def test_error_is_json_too_where_json_is_asked_for(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    request = Request("eval", "model: {name: pit_micro, image_size: 32}", as_json=True)
    monkeypatch.setattr(sys, "stdin", io.StringIO(json.dumps(asdict(request))))
    assert run_as_program(Failing(AssertionError())) == 2
    error = json.loads(capsys.readouterr().out)["error"]
    assert error == {
        "summary": "an evaluation needs weights: set model.weights to a checkpoint",
        "details": [],
        "exit_code": 2,
    }
    monkeypatch.setattr(starting_program, "find_spec", lambda name: None)
    assert starting_program.main("torch", "--json") == COULD_NOT_RUN
    assert json.loads(capsys.readouterr().out)["error"]["summary"].startswith("--framework torch needs torch, timm")


def test_interruption_is_silent_here(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert ended(KeyboardInterrupt(), monkeypatch) == COULD_NOT_RUN
    assert capsys.readouterr().err == ""


def test_reader_that_has_enough_gets_no_traceback(tmp_path: Path) -> None:
    code = (
        "import sys\nfrom recipe import carrying_out\n"
        "carrying_out.carry_out = lambda *_: [print('x' * 100, flush=True) for _ in range(10000)]\n"
        "sys.exit(carrying_out.run_as_program(None))\n"
    )
    request = json.dumps(asdict(Request("eval", "")))
    with subprocess.Popen(
        [sys.executable, "-c", code],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        text=True,
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdin.write(request)
        process.stdin.close()
        process.stdout.readline()
        process.stdout.close()
        assert process.stderr.read() == ""
        assert process.wait() == COULD_NOT_RUN


class _Run:
    leads = True

    def save(self, epoch: int, path: Path) -> None:
        path.write_text("half")
        if epoch:
            raise KeyboardInterrupt


def test_draft_of_a_state_is_removed_and_the_old_state_kept(tmp_path: Path) -> None:
    run: Any = _Run()
    target = tmp_path / "latest.x"
    carrying_out._save(run, 0, target)
    with pytest.raises(KeyboardInterrupt):
        carrying_out._save(run, 1, target)
    assert [path.name for path in tmp_path.iterdir()] == ["latest.x"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_signal_reaches_the_process_of_the_framework(tmp_path: Path, number: signal.Signals) -> None:
    python = tmp_path / "python"
    python.write_text(f"#!/bin/sh\necho $$ > {tmp_path}/started\nexec sleep 60\n")
    python.chmod(0o755)
    code = (
        "import sys\nfrom recipe.programs import Request, run_program\n"
        f"sys.exit(run_program('torch', Request('eval', ''), {str(python)!r}))\n"
    )
    command = [sys.executable, "-c", code]
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)  # which is ignored where the tests themselves run under nohup
    started_program = subprocess.Popen(command, env={**os.environ, "PYTHONPATH": str(ROOT)})
    signal.signal(signal.SIGHUP, before)
    with started_program as process:
        started = tmp_path / "started"
        deadline = time.monotonic() + 30
        while not (started.exists() and started.read_text()) and time.monotonic() < deadline:
            time.sleep(0.01)
        process.send_signal(number)
        assert process.wait(30) == 128 + number
    with pytest.raises(ProcessLookupError):
        os.kill(int(started.read_text()), 0)


def test_missing_checkpoint_is_told_before_anything_is_prepared(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    config = f"model: {{name: pit_micro, image_size: 32}}\nrun: {{output: {tmp_path}}}\ndata: {{path: {tmp_path}}}"
    request = Request("train", config, resume=str(tmp_path / "absent.x"))
    monkeypatch.setattr(sys, "stdin", io.StringIO(json.dumps(asdict(request))))
    assert run_as_program(Failing(AssertionError("prepared"))) == COULD_NOT_RUN
    assert "absent.x: there is no checkpoint to resume; check the path" in capsys.readouterr().err


def test_interpreter_without_the_framework_is_told_with_what_installs_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(starting_program, "find_spec", lambda name: None if name in ("mindcv", "PIL") else name)
    assert starting_program.main("mindspore") == COULD_NOT_RUN
    said = capsys.readouterr().err
    assert said.startswith("pit-train: --framework mindspore needs mindcv, PIL, which ")
    assert "-m pip install 'mindspore>=2.10,<3' 'mindcv>=0.3,<1' 'numpy<2' 'pyyaml>=6,<7'" in said
    assert "export PIT_MINDSPORE_PYTHON=" in said
    assert said.count("\n") == 1


def test_exit_code_of_the_process_is_returned(tmp_path: Path) -> None:
    python = tmp_path / "python"
    python.write_text("#!/bin/sh\ncat > /dev/null\nexit 3\n")
    python.chmod(0o755)
    assert run_program("torch", Request("eval", ""), str(python)) == 3

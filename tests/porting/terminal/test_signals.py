"""SIGTERM and SIGHUP tidy up as Ctrl-C does, and then end the process by the signal."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from porting.terminal.tool import Tool

ROOT = Path(__file__).parents[3]
PROGRAM = """
import sys, time
from pathlib import Path
import click
from porting.checkpoint.file.target import drafted
from porting.terminal.tool import Tool

@click.group(cls=Tool)
def tool(): pass

@tool.command()
def write():
    draft = Path("draft.part")
    with drafted(draft):
        draft.write_bytes(b"half")
        print("begun", flush=True)
        time.sleep(30)

tool(prog_name="tool")
"""


def begun(folder: Path, **options: bool) -> subprocess.Popen[bytes]:
    program = [sys.executable, "-c", f"import sys; sys.path.insert(0, {str(ROOT)!r})\n{PROGRAM}", "write"]
    words = ["nohup", *program] if options else program
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)  # which is ignored where the tests themselves run under nohup
    process = subprocess.Popen(words, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    signal.signal(signal.SIGHUP, before)
    assert process.stdout is not None
    assert process.stdout.readline() == b"begun\n"
    assert (folder / "draft.part").exists()
    return process


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_signal_removes_drafts_and_ends_the_process_by_the_signal(number: signal.Signals, tmp_path: Path) -> None:
    process = begun(tmp_path)
    process.send_signal(number)
    _, errors = process.communicate(timeout=20)
    assert process.returncode == -number
    assert f"ended by {number.name}, and nothing was left half-written" in errors.decode()
    assert not list(tmp_path.iterdir())


def test_hangup_that_is_ignored_stays_ignored(tmp_path: Path) -> None:
    process = begun(tmp_path, nohup=True)
    process.send_signal(signal.SIGHUP)
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=20)
    assert process.returncode == -signal.SIGTERM


def test_interrupt_while_arguments_are_read_exits_with_130(monkeypatch: pytest.MonkeyPatch) -> None:
    tool = Tool("tool", commands=[click.Command("x")])

    def interrupt(*_: object) -> list[str]:
        raise KeyboardInterrupt

    monkeypatch.setattr(tool, "parse_args", interrupt)
    done = CliRunner().invoke(tool, ["x"], prog_name="tool")
    assert (done.exit_code, done.stderr) == (130, "tool: interrupted; nothing was begun\n")


def test_ctrl_c_after_the_command_exits_130_and_not_1(monkeypatch: pytest.MonkeyPatch) -> None:
    @click.group(cls=Tool)
    def tool() -> None: ...

    @tool.command()
    def done() -> None: ...

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(click.Context, "__exit__", interrupt)
    assert CliRunner().invoke(tool, ["done"]).exit_code == 130


def test_ctrl_c_within_an_import_that_fails_of_it_is_said_to_be_an_interruption() -> None:
    @click.group(cls=Tool)
    def tool() -> None: ...

    @tool.command()
    def done() -> None:
        try:
            raise KeyboardInterrupt
        except KeyboardInterrupt as error:  # as the binding of a compiled module does
            raise ImportError("initialization failed") from error

    result = CliRunner().invoke(tool, ["done"], prog_name="tool")
    assert (result.exit_code, result.stderr) == (3, "tool: interrupted; nothing was left half-written\n")


def test_ctrl_c_while_the_commands_are_imported_ends_the_process_without_a_traceback() -> None:
    # A process in the background of a script ignores SIGINT, and so would this one.
    program = "import os, signal, _pit_port; signal.signal(signal.SIGINT, signal.default_int_handler)"
    program += "; _pit_port.import_module = lambda _: os.kill(os.getpid(), signal.SIGINT); _pit_port.pit_port()"
    words = [sys.executable, "-c", program]
    ended = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert (ended.returncode, ended.stderr) == (-signal.SIGINT, "")

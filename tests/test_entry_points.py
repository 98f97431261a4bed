"""A file or folder of the user's own that hides a package of the toolkit is told in one line."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

import _pit_port

ROOT = Path(__file__).parents[1]


def run(tool: str, *path: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", f"import _pit_port; _pit_port.{tool}()", "--version"],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(map(str, (*path, ROOT)))},
        cwd="/",
        capture_output=True,
        text=True,
    )


@pytest.mark.parametrize("name", ["cli.py", "alignment/__init__.py", "porting/__init__.py"])
def test_module_that_is_hidden_is_told_in_one_line(name: str, tmp_path: Path) -> None:
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_text("x = 1\n")
    done = run("pit_port", tmp_path)
    assert done.returncode == 3
    assert len(done.stderr.splitlines()) == 1
    assert f"{tmp_path / name.removesuffix('/__init__.py')} has the name of the package" in done.stderr


@pytest.mark.parametrize("tool", ["pit_port", "pit_align", "pit_train"])
def test_tools_run(tool: str) -> None:
    done = run(tool)
    assert done.stdout.startswith(f"{tool.replace('_', '-')} 0."), done.stderr


@pytest.mark.parametrize("tool", ["pit_port", "pit_align", "pit_train"])
def test_windows_is_refused_in_one_line(
    tool: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(_pit_port, "os", SimpleNamespace(name="nt"))
    with pytest.raises(SystemExit) as ended:
        getattr(_pit_port, tool)()
    assert ended.value.code == 3
    name = tool.replace("_", "-")
    assert capsys.readouterr().err == f"{name}: runs on Linux and macOS; on Windows use it in WSL\n"


def shell(words: str, redirected: str, folder: Path) -> subprocess.CompletedProcess[str]:
    program = f"{sys.executable} -c 'import _pit_port; _pit_port.pit_port()' {words} {redirected}"
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    return subprocess.run(["bash", "-c", program], env=environment, cwd=folder, capture_output=True, text=True)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full, which Linux has")
@pytest.mark.parametrize("words", ["list", "list --json", "--help", "convert --help", "--version"])
def test_output_that_cannot_be_written_is_one_line_and_exit_code_3(words: str, tmp_path: Path) -> None:
    done = shell(words, "> /dev/full", tmp_path)
    assert done.returncode == 3
    assert done.stderr == (
        "pit-port: standard output cannot be written (No space left on device): send it elsewhere; files that were "
        "written are whole\n"
    )


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full, which Linux has")
def test_error_that_cannot_be_printed_keeps_its_exit_code(tmp_path: Path) -> None:
    assert shell("inspect absent.pth", "2> /dev/full", tmp_path).returncode == 3
    assert shell("inspect", "2> /dev/full", tmp_path).returncode == 2


@pytest.mark.parametrize("closed", ["2>&-", ">&-", "<&-", "<&- >&- 2>&-"])
def test_closed_standard_stream_is_no_file_of_the_command(closed: str, tmp_path: Path) -> None:
    """A file that takes the number of a closed stream receives what libraries report there."""
    assert shell("random pit_micro a.pth", closed, tmp_path).returncode == 0
    assert shell("inspect a.pth -v", closed, tmp_path).returncode == 0
    done = shell("diff a.pth a.pth -v", "2>&-", tmp_path)
    assert (done.returncode, "same" in done.stdout) == (0, True)


def test_completion_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "home").touch()
    program = f"HOME={tmp_path / 'home'} SHELL=bash {sys.executable} -c 'import _pit_port; _pit_port.pit_port()'"
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    words = ["bash", "-c", f"{program} --install-completion"]
    done = subprocess.run(words, env=environment, cwd=tmp_path, capture_output=True, text=True)
    assert (done.returncode, len(done.stderr.splitlines())) == (3, 1)
    assert "cannot be written (Not a directory); set HOME" in done.stderr

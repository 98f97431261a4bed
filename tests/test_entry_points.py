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

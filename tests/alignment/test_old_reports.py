"""Reports of earlier runs when the pair of this run cannot be loaded."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

import cli


def _report(folder: Path, command: str) -> Path:
    folder.mkdir(parents=True)
    path = folder / "report.json"
    path.write_text(json.dumps({"command": command}))
    return path


@pytest.fixture
def ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "ends.py"
    path.write_text("raise SystemExit(0)\n")
    return path


def test_report_of_the_same_pair_is_removed_and_others_stay(ends: Path) -> None:
    old = _report(Path("logs/mine"), "pit-align all --pair ends.py:PAIR")
    other = _report(Path("logs/other"), "pit-align all --pair other.py:PAIR")
    done = CliRunner().invoke(cli.pit_align, ["all", "--pair", "ends.py:PAIR"], prog_name="pit-align")
    assert done.exit_code == 3
    assert "ends the program with sys.exit(0)" in done.stderr
    assert not old.exists()
    assert other.exists()


def test_report_in_the_folder_of_this_run_is_removed(ends: Path) -> None:
    old = _report(Path("out"), "pit-align all --pair something.py")
    words = ["forward", "--pair", "ends.py:PAIR", "--out", "out"]
    assert CliRunner().invoke(cli.pit_align, words, prog_name="pit-align").exit_code == 3
    assert not old.exists()


def test_file_that_is_no_report_stays(ends: Path) -> None:
    folder = Path("logs/mine")
    folder.mkdir(parents=True)
    (folder / "report.json").write_text("ends.py:PAIR")
    assert CliRunner().invoke(cli.pit_align, ["all", "--pair", "ends.py:PAIR"]).exit_code == 3
    assert (folder / "report.json").exists()

"""The GitHub Action: its inputs reach the gate as data, and the gate's exit code is the step's."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from alignment.results.report import DIVERGENCE, SAME_FUNCTION, Report, Row, Verdict, write_report

ROOT = Path(__file__).parents[1]
ACTION: dict[str, Any] = yaml.safe_load((ROOT / "action.yml").read_text())
_GATE = 'require = [{ step = "forward", dtype = "float64" }]\n'


_OLD_BASH = "enable -n mapfile readarray\n"
"""What macOS has is bash 3.2, without these two."""


def gate(folder: Path, **inputs: str) -> subprocess.CompletedProcess[str]:
    """Run the action's last step as the runner does, in a folder."""
    step = ACTION["runs"]["steps"][-1]
    defaults = {name: entry["default"] for name, entry in ACTION["inputs"].items() if "default" in entry}
    values = defaults | inputs
    variables = {
        name: str(folder_of_action) if "action_path" in value else values[value.split("inputs.")[1].split(" ")[0]]
        for name, value in step["env"].items()
        for folder_of_action in [ROOT]
    }
    runner = {"GITHUB_OUTPUT": str(folder / "output"), "GITHUB_STEP_SUMMARY": str(folder / "summary")}
    (folder / "pit-align.toml").write_text(_GATE)
    (folder / "old-bash").write_text(_OLD_BASH)
    runner["BASH_ENV"] = str(folder / "old-bash")
    return subprocess.run(
        ["bash", "-c", step["run"]],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(ROOT), "RUNNER_TEMP": str(folder)} | runner | variables,
        capture_output=True,
        text=True,
    )


def write(path: Path, verdict: Verdict = SAME_FUNCTION) -> None:
    row = Row("forward/logits", "forward", "output", "float64", 0.0, 0.0, 0.0, verdict, "because")
    path.parent.mkdir(exist_ok=True)
    write_report(Report(verdict, "pit_ti", ("forward",), (row,)), path)


def test_passing_reports_pass_the_step_and_write_all_outputs(tmp_path: Path) -> None:
    for name in ("a", "b b"):
        write(tmp_path / name / "report.json")
    done = gate(tmp_path, report="*/report.json", python=sys.executable, junit="gate.xml", html="all.html")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "output").read_text() == "passed=true\n"
    assert "Alignment gate: passed" in (tmp_path / "summary").read_text()
    assert (tmp_path / "gate.xml").read_text().count("<testsuite ") == 2
    assert "2 alignments" in (tmp_path / "all.html").read_text()


def test_divergence_fails_the_step_and_is_annotated(tmp_path: Path) -> None:
    write(tmp_path / "bad.json", DIVERGENCE)
    done = gate(tmp_path, report="bad.json", python=sys.executable, html="bad.html")
    assert done.returncode == 1
    assert (tmp_path / "output").read_text() == "passed=false\n"
    assert "::error title=pit-align%3A pit_ti::forward/logits" in done.stdout


@pytest.mark.parametrize("space", [" ", "\n", "  \n\n"])
def test_reports_and_baselines_may_stand_on_several_lines(tmp_path: Path, space: str) -> None:
    write(tmp_path / "a.json")
    write(tmp_path / "b.json", DIVERGENCE)
    done = gate(tmp_path, report=f"a.json{space}b.json{space}", against=f"a.json{space}", python=sys.executable)
    assert done.returncode == 1, done.stdout + done.stderr
    assert (tmp_path / "summary").read_text().count("| pit") == 2


def test_step_without_a_report_fails(tmp_path: Path) -> None:
    done = gate(tmp_path, report=" ", python=sys.executable, html="page.html")
    assert done.returncode == 2, done.stdout + done.stderr
    assert (tmp_path / "output").read_text() == "passed=false\n"


def test_page_that_cannot_be_written_fails_the_step(tmp_path: Path) -> None:
    write(tmp_path / "a.json")
    done = gate(tmp_path, report="a.json", python=sys.executable, html="a.json/page.html")
    assert done.returncode == 3
    assert "the page cannot be written" in done.stderr
    assert (tmp_path / "output").read_text() == "passed=false\n"


def test_script_expands_no_array_that_may_be_empty() -> None:
    text = (ROOT / ".github" / "gate.sh").read_text()
    arrays = re.findall(r'(?<!\+)"\$\{(\w+)\[@\]\}"', text)
    assert set(arrays) == {"words"}, "bash 3.2 takes an empty array for an unset variable: ${a[@]+"


@pytest.mark.parametrize("report", ["none.json", "$(touch stolen)", "`touch stolen`", "; touch stolen", "--init"])
def test_input_is_not_run_as_a_command(tmp_path: Path, report: str) -> None:
    done = gate(tmp_path, report=report, python=sys.executable)
    assert done.returncode == 3, done.stdout + done.stderr
    assert not (tmp_path / "stolen").exists()


def test_every_input_is_described_and_used() -> None:
    assert all(entry["description"] for entry in ACTION["inputs"].values())
    used = " ".join(str(value) for step in ACTION["runs"]["steps"] for value in (step | step.get("env", {})).values())
    assert all(f"inputs.{name}" in used for name in ACTION["inputs"])
    assert not any("${{" in step["run"] for step in ACTION["runs"]["steps"])

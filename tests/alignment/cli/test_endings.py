"""The last lines of commands: what was written, and a next command that can be pasted."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner, Result

import cli
from alignment.cli.endings import end_of_run
from alignment.cli.options import dtype_option
from alignment.results.report import DIVERGENCE, SAME_FUNCTION, Report, Row, Verdict, write_report
from porting.terminal.again import again
from porting.terminal.output import Output


def report(verdict: Verdict, key: str = "forward/logits", kind: str = "output", cause: str = "") -> Report:
    row = Row(key, "forward", kind, "float64", 0.0, 0.0, 0.0, verdict, "because")
    return Report(verdict, "p", ("forward",), (row,), cause=cause)


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def ended(
    result: Report, *words: str, folder: str = "logs/p", trains: bool = False, html: Path | None = None
) -> list[str]:
    """Return the lines that end `pit-align bp WORDS`."""

    @click.group("pit-align")
    def tool() -> None: ...

    @tool.command()
    @click.option("--pair")
    @click.option("--diagnose", is_flag=True)
    @click.option("--set", "overrides", multiple=True)
    @click.option("--deep/--flat", default=None)
    @click.option("--pixels", nargs=2, type=int)
    @click.option("--out")
    @dtype_option("float32")
    def bp(**_: Any) -> None:
        end_of_run(result, Path(folder), Output(), html=html, trains=trains)

    @tool.command("diagnose")
    @click.option("--pair")
    @click.option("--pixels", nargs=2, type=int)
    @dtype_option("float32")
    @click.option("--deep/--flat", default=None)
    def _diagnose(**_: Any) -> None: ...

    assert again.__doc__
    done = CliRunner().invoke(tool, ["bp", *words])
    assert done.exit_code == 0, done.output
    return done.stdout.splitlines()


def test_run_that_passes_ends_with_the_report_and_the_gate() -> None:
    wrote = "wrote logs/p/report.json"
    assert ended(report(SAME_FUNCTION)) == [wrote, "next: pit-align gate logs/p/report.json --init"]
    Path("pit-align.toml").write_text("")
    assert ended(report(SAME_FUNCTION)) == [wrote, "next: pit-align gate logs/p/report.json"]


def test_divergence_without_a_cause_ends_with_the_search_for_it_and_the_same_options() -> None:
    words = ("--pair", "my pair.py", "--diagnose", "--flat", "--out", "elsewhere")
    assert ended(report(DIVERGENCE), *words) == [
        "p: DIVERGENCE",
        "wrote logs/p/report.json",
        "next: pit-align diagnose --pair 'my pair.py' --flat",
    ]
    several = ("--dtype", "both", "--pixels", "3", "4")
    last = ended(report(DIVERGENCE), *several)[-1]
    assert last == "next: pit-align diagnose --pixels 3 4 --dtype float32,float64"
    last = ended(report(DIVERGENCE), "--set", "a.b=1", "--set", "c.d=2", trains=True)[-1]
    assert last == "next: pit-align bp --set a.b=1 --set c.d=2 --diagnose"


def test_divergence_with_a_cause_ends_with_its_page() -> None:
    last = ended(report(DIVERGENCE, cause="its epsilon is 0.1"))[-1]
    assert last == "next: pit-align report logs/p/report.json --html p.html"


def test_divergence_whose_page_is_written_ends_with_the_same_command() -> None:
    words = ("--pair", "p.py")
    assert ended(report(DIVERGENCE, cause="its epsilon is 0.1"), *words, html=Path("p.html"))[1:] == [
        "wrote logs/p/report.json, p.html",
        "next: pit-align bp --pair p.py",
    ]


def test_different_weights_end_with_their_diff() -> None:
    for name in ("weights/paddle.pdparams", "weights/torch.pth", "workers/rules.json"):
        path = Path("logs/p") / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    last = ended(report(DIVERGENCE, "forward/parameters/a", "parameter"))[-1]
    files = "logs/p/weights/torch.pth logs/p/weights/paddle.pdparams"
    assert last == f"next: pit-port diff {files} --rules logs/p/workers/rules.json"


def pit_align(words: str) -> Result:
    return CliRunner().invoke(cli.pit_align, shlex.split(words), prog_name="pit-align")


def test_report_ends_with_what_it_wrote_and_quiet_and_json_with_nothing() -> None:
    write_report(report(SAME_FUNCTION), "run/report.json")
    *_, last = pit_align("report run/report.json").stdout.splitlines()
    assert last == "next: pit-align report run/report.json --html run.html"
    after = "wrote page.html\nnext: pit-align gate run/report.json --init\n"
    assert pit_align("report run/report.json --html page.html").stdout.endswith(after)
    assert pit_align("report run/report.json -q").stdout == ""
    assert "next:" not in pit_align("report run/report.json --json").stdout


def test_gate_ends_with_the_report_that_failed() -> None:
    write_report(report(SAME_FUNCTION), "good/report.json")
    write_report(report(DIVERGENCE), "bad/report.json")
    assert pit_align("gate good/report.json --init").stdout.endswith("next: pit-align gate good/report.json\n")
    done = pit_align("gate good/report.json bad/report.json")
    assert (done.exit_code, done.stdout.splitlines()[-1]) == (1, "next: pit-align report bad/report.json")

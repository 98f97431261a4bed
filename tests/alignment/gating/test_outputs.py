"""What machines read of a gate: JSON of the published form, JUnit XML, Markdown, GitHub's annotations and summary."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import jsonschema
import pytest
from click.testing import CliRunner, Result

import alignment.report
import cli
from alignment.gating.check import gate
from alignment.gating.config import GateConfig, Requirement, Threshold, Waiver
from alignment.gating.outputs import Outcome, _cell, to_annotations, to_json, to_junit, to_markdown, worst_first
from alignment.results.report import DIVERGENCE, SAME_FUNCTION, Report, Row, Verdict, overall, write_report

SCHEMA = json.loads((Path(alignment.report.__file__).parent / "schema" / "gate.schema.json").read_text())
_EVIL = "a|b<script>`x`\x00\n::error::%"


def row(key: str, verdict: Verdict = SAME_FUNCTION, margin: float | None = 0.5) -> Row:
    numbers: dict[str, Any] = {"mean": 1e-12, "max": 1e-11, "rel_l2": 1e-12, "error": 1e-12, "limit": 1e-10}
    return Row(key=key, step="forward", kind="output", dtype="float64", verdict=verdict, reason=f"because {key}",
               margin=margin, **numbers)  # fmt: skip


def outcome(*rows: Row, model: str = "pit_ti", waiver: tuple[Waiver, ...] = ()) -> Outcome:
    report = Report(overall(rows), model, ("forward",), rows)
    config = GateConfig((Requirement("forward", "float64"),), (Threshold(max_error=1e-10),), waiver)
    return Outcome("report.json", report, gate(report, config, today=date(2027, 1, 1)))


GOOD = outcome(row("forward/logits"), row("forward/stage_0"))
WAIVED = outcome(row("forward/logits", DIVERGENCE), waiver=(Waiver("known | so", date(2027, 1, 1), step="forward"),))
EVIL = outcome(row(f"forward/{_EVIL}", DIVERGENCE), model=_EVIL)
MANY = outcome(*(row(f"forward/stage_{index}", DIVERGENCE, float(index)) for index in range(30)))
EVERY = [[GOOD], [WAIVED], [EVIL], [MANY], [GOOD, WAIVED, EVIL, MANY]]


@pytest.mark.parametrize("outcomes", EVERY)
def test_the_json_has_the_published_form(outcomes: list[Outcome]) -> None:
    value = json.loads(json.dumps(to_json(outcomes), allow_nan=False))
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    jsonschema.Draft202012Validator(SCHEMA).validate(value)
    assert value["passed"] is all(found.result.passed for found in outcomes)


def test_published_form_refuses_incomplete_json() -> None:
    validator = jsonschema.Draft202012Validator(SCHEMA)
    value = to_json([MANY])
    for name in ("passed", "reports", "schema_version"):
        assert not validator.is_valid({key: found for key, found in value.items() if key != name})
    assert not validator.is_valid(value | {"schema_version": 2})
    value["reports"][0]["failures"][0]["what"] = "something"
    assert not validator.is_valid(value)


@pytest.mark.parametrize("outcomes", EVERY)
def test_junit_names_every_quantity(outcomes: list[Outcome]) -> None:
    root = ElementTree.fromstring(to_junit(outcomes))
    assert [suite.tag for suite in root] == ["testsuite"] * len(outcomes)
    for suite, found in zip(root, outcomes, strict=True):
        assert int(suite.attrib["tests"]) == len(suite) == len(found.report.rows)
        assert int(suite.attrib["failures"]) == len(suite.findall("testcase/failure")) == len(found.result.failures)
        assert int(suite.attrib["skipped"]) == len(suite.findall("testcase/skipped")) == len(found.result.waived)
    names = [case.attrib["name"] for case in root.iter("testcase") if case.find("failure") is not None]
    assert ("forward/stage_29" in names) is (MANY in outcomes)


def test_a_failure_without_a_row_is_a_case() -> None:
    report = GOOD.report
    lost = Outcome("r", report, gate(report, GateConfig((Requirement("bp", "float32"),))))
    (suite,) = ElementTree.fromstring(to_junit([lost]))
    (case,) = [case for case in suite if case.find("failure") is not None]
    assert case.attrib == {"classname": "pit_ti.bp.float32", "name": "*"}


@pytest.mark.parametrize("outcomes", EVERY)
def test_markdown_tables_keep_their_columns(outcomes: list[Outcome]) -> None:
    text = to_markdown(outcomes)
    assert text.startswith(f"## Alignment gate: {'passed' if all(o.result.passed for o in outcomes) else 'FAILED'}\n")
    assert "<script>" not in text
    for line in text.splitlines():
        if line.startswith("| "):
            assert line.replace("\\|", "").count("|") in (6, 7)


def test_the_worst_come_first_whatever_report_they_are_in() -> None:
    near = replace(row("forward/near", DIVERGENCE, 4e-7), rel_l2=2e-10)
    floored = replace(row("forward/floored", DIVERGENCE, 90.0), dtype="float32", floor=1e-7, limit=64.0)
    unknown = replace(row("forward/nan", DIVERGENCE), margin=float("nan"))
    over = outcome(replace(row("forward/over", margin=5.0), error=1.0), model="a")
    lost = Outcome("lost", GOOD.report, gate(GOOD.report, GateConfig((Requirement("bp", "float32"),))))
    far = outcome(row("forward/far", DIVERGENCE, 7.0), near, floored, unknown, model="b")
    order = [
        failure.key for _, failure in worst_first([over, lost, far]) if failure.what in ("verdict", "missing", "error")
    ]
    order = list(dict.fromkeys(order))
    assert order == ["forward/nan", "forward/far", "forward/floored", "forward/near", "*", "forward/over"]


def test_the_worst_ten_are_annotated() -> None:
    lines = list(to_annotations([MANY, WAIVED]))
    assert [line.split(" ")[0] for line in lines] == ["::error"] * 10 + ["::notice", "::warning"]
    assert lines[0].startswith("::error title=pit-align%3A pit_ti::forward/stage_29 (float64): verdict is divergence")
    assert lines[9].startswith("::error title=pit-align%3A pit_ti::forward/stage_20 ")
    assert "and 20 more quantities that fail" in lines[10]


def test_annotation_holds_no_command_of_the_report() -> None:
    (line,) = to_annotations([EVIL])
    assert "\n" not in line
    assert line.count("::") == 2
    assert r"\n\x3a:error\x3a:%25" in line


def commands(text: str) -> list[str]:
    """What GitHub takes for commands: lines that begin with `::`, whatever space is before; `##[` anywhere."""
    return [line.strip() for line in text.splitlines() if line.strip().startswith("::") or "##[" in line]


@pytest.mark.parametrize("form", [(), ("--json",), ("-v",)])
@pytest.mark.parametrize("verdict", [SAME_FUNCTION, DIVERGENCE])
def test_nothing_that_the_gate_prints_is_a_command_of_a_report(
    files: Path, form: tuple[str, ...], verdict: Verdict
) -> None:
    injected = "x\n::error title=evil::pwned\n::stop-commands::tok\r\x1b[31m\u2028##[error]v1 \ud800"
    evil = [row(f"forward/{injected}{index}", verdict) for index in range(3)]
    evil = [replace(found, reason=injected) for found in evil]
    report = Report(verdict, f"::warning::{injected}", ("forward",), tuple(evil), notes=(injected,))
    write_report(report, files / "evil.json")
    waiver = (
        f'[[waiver]]\nkey = "*"\nstep = "f*"\nwhat = "x"\nexpires = 2099-01-01\nreason = {json.dumps(injected[:-1])}\n'
    )
    (files / "evil.toml").write_text('require = [{step = "forward", dtype = "float64"}]\n' + waiver)
    done = pit_align("gate", "evil.json", "good.json", "--config", "evil.toml", "--github", *form)
    assert done.exit_code == (1 if verdict == DIVERGENCE else 0), done.output
    found = commands(done.stdout + done.stderr)
    assert len(found) == (3 if verdict == DIVERGENCE else 0)
    assert all(line.startswith("::error title=pit-align%3A \\x3a%3Awarning") for line in found)
    assert "\x1b" not in done.output
    assert "\x1b" not in pit_align("report", "evil.json").output
    for words in (("evil.json", "-v"), ("evil.json", "--json"), ("evil.json", "good.json", "--json")):
        assert not commands(pit_align("report", *words).output)
    assert json.loads(pit_align("report", "evil.json", "--json").stdout) == json.loads(
        (files / "evil.json").read_text()
    )


@pytest.mark.parametrize(
    "text",
    [
        "see https://evil.example/x",
        "www.evil.example",
        "cc @name",
        "fixes #12",
        "owner/repo#1",
        ":tada:",
        "mail a@b.example",
        "`@name` | x",
        "GH-12",
    ],
)
def test_nothing_in_a_cell_becomes_a_link(text: str) -> None:
    cell = _cell(text)
    assert cell.startswith("`")
    assert cell.endswith("`")
    assert cell.count("`") == 2
    assert "|" not in cell


def test_a_cell_is_one_visible_line() -> None:
    assert _cell("a\nb\x00\x1b[1m") == r"a\\nb\\x00\\x1b\[1m"
    assert _cell("forward/stage_0") == r"forward/stage\_0"


def pit_align(*words: str | Path) -> Result:
    return CliRunner().invoke(cli.pit_align, [str(word) for word in words], prog_name="pit-align")


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for name, found in (("good", GOOD), ("bad", MANY), ("other", outcome(row("forward/x"), model="pit_s"))):
        write_report(found.report, tmp_path / f"{name}.json")
    assert pit_align("gate", "good.json", "--init").exit_code == 0
    return tmp_path


def test_the_command_writes_all_forms(files: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    summary = files / "summary.md"
    summary.write_text("before\n")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(summary))
    done = pit_align("gate", "good.json", "bad.json", "--junit", "j.xml", "--markdown", "m.md", "--github")
    assert done.exit_code == 1, done.output
    assert done.stdout.count("::error ") == 10
    assert ElementTree.parse(files / "j.xml").getroot().tag == "testsuites"
    assert summary.read_text() == "before\n" + (files / "m.md").read_text()
    done = pit_align("gate", "good.json", "bad.json", "--github", "--json")
    assert done.exit_code == 1
    assert [report["passed"] for report in json.loads(done.stdout)["reports"]] == [True, False]
    assert "::error " in done.stderr


def test_outputs_are_written_before_anything_is_printed(files: Path) -> None:
    for option, what in (("--junit", "the JUnit XML of --junit"), ("--markdown", "the Markdown of --markdown")):
        done = pit_align("gate", "good.json", option, "good.json/x")
        assert (done.exit_code, done.stdout) == (3, "")
        assert f"{what} cannot be written" in done.stderr


def test_gate_without_a_matching_threshold_says_so(files: Path) -> None:
    text = (files / "pit-align.toml").read_text().replace("[[threshold]]", '[[threshold]]\nmodel = "another"')
    (files / "pit-align.toml").write_text(text)
    done = pit_align("gate", "good.json", "--markdown", "m.md")
    assert done.exit_code == 0
    assert "PASSED  no rows held against thresholds" in done.stdout
    assert "note: no threshold is for pit_ti on cpu" in done.stdout
    assert "Note, pit\\_ti: no threshold is for pit\\_ti on cpu" in (files / "m.md").read_text()


def test_a_waiver_is_unused_if_no_report_needs_it(files: Path) -> None:
    waiver = '[[waiver]]\nkey = "stage_*"\nreason = "r"\nexpires = 2099-01-01\n'
    (files / "w.toml").write_text('require = [{step = "forward", dtype = "float64"}]\n' + waiver)
    said = "the waiver for key stage_*, step *, precision * accepts nothing: no failure matches it (r)"
    assert said in " ".join(pit_align("gate", "good.json", "--config", "w.toml").stdout.split())
    assert "accepts nothing" not in pit_align("gate", "good.json", "bad.json", "--config", "w.toml").stdout


def test_command_compares_with_baselines(files: Path) -> None:
    assert pit_align("gate", "good.json", "--against", "good.json").exit_code == 0
    done = pit_align("gate", "good.json", "--against", "other.json")
    assert done.exit_code == 3
    assert "--against has no baseline of pit_ti, only of pit_s" in done.stderr
    done = pit_align("gate", "good.json", "--against", "good.json", "--against", "good.json")
    assert done.exit_code == 3
    assert "a second baseline of pit_ti" in done.stderr


def test_command_without_a_configuration_names_init(tmp_path: Path, files: Path) -> None:
    assert "is there already" in pit_align("gate", "good.json", "--init").stderr
    (files / "pit-align.toml").unlink()
    done = pit_align("gate", "good.json")
    assert done.exit_code == 3
    assert "--init" in done.stderr
    done = pit_align("gate", "bad.json", "--init")
    assert done.exit_code == 3
    assert "would accept the mistake" in done.stderr

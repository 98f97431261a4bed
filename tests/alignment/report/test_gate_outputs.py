"""What machines read of a gate: JSON of the published form, JUnit XML, Markdown, GitHub's annotations and summary."""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import jsonschema
import pytest
from click.testing import CliRunner, Result

import alignment.report
import cli
from alignment.gate_check import gate
from alignment.gate_config import GateConfig, Requirement, Threshold, Waiver
from alignment.report.gate_outputs import Outcome, to_annotations, to_json, to_junit, to_markdown
from alignment.report.model import DIVERGENCE, SAME_FUNCTION, Report, Row, Verdict, overall, write_report

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


def test_the_published_form_says_enough() -> None:
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
def test_markdown_keeps_its_tables(outcomes: list[Outcome]) -> None:
    text = to_markdown(outcomes)
    assert text.startswith(f"## Alignment gate: {'passed' if all(o.result.passed for o in outcomes) else 'FAILED'}\n")
    assert "<script>" not in text
    for line in text.splitlines():
        if line.startswith("| "):
            assert line.replace("\\|", "").count("|") in (6, 7)


def test_the_worst_ten_are_annotated() -> None:
    lines = list(to_annotations([MANY, WAIVED]))
    assert [line.split(" ")[0] for line in lines] == ["::error"] * 10 + ["::notice", "::warning"]
    assert lines[0].startswith("::error title=pit-align%3A pit_ti::forward/stage_29 (float64): verdict is divergence")
    assert lines[9].startswith("::error title=pit-align%3A pit_ti::forward/stage_20 ")
    assert "and 20 more quantities that fail" in lines[10]


def test_nothing_in_a_report_is_a_command() -> None:
    (line,) = to_annotations([EVIL])
    assert "\n" not in line
    assert "%0A::error::%25" in line


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


def test_the_command_holds_against_baselines(files: Path) -> None:
    assert pit_align("gate", "good.json", "--against", "good.json").exit_code == 0
    done = pit_align("gate", "good.json", "--against", "other.json")
    assert done.exit_code == 3
    assert "--against has no baseline of pit_ti, only of pit_s" in done.stderr
    done = pit_align("gate", "good.json", "--against", "good.json", "--against", "good.json")
    assert done.exit_code == 3
    assert "a second baseline of pit_ti" in done.stderr


def test_the_command_says_how_to_begin(tmp_path: Path, files: Path) -> None:
    assert "is there already" in pit_align("gate", "good.json", "--init").stderr
    (files / "pit-align.toml").unlink()
    done = pit_align("gate", "good.json")
    assert done.exit_code == 3
    assert "--init" in done.stderr
    done = pit_align("gate", "bad.json", "--init")
    assert done.exit_code == 3
    assert "would accept the mistake" in done.stderr

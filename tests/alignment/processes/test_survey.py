"""The survey of `pit-align doctor --survey`, with a benchmark that writes what a test gives it."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict, replace
from pathlib import Path

import pytest
from click.testing import CliRunner

import cli
from alignment.errors import AlignmentError
from alignment.framework_facts import PRECISION, SAME, Difference, Fact, Facts, changes, framework_facts
from alignment.processes import survey as surveys
from alignment.processes.survey import survey

RECORDED = framework_facts("paddle")
LOSSY = next(fact for fact in RECORDED.cases if fact.kind == PRECISION)


def _checkout(folder: Path, facts: Facts, code: int = 0) -> Path:
    """A checkout whose benchmark writes these facts."""
    (folder / "benchmarks" / "frameworks").mkdir(parents=True)
    value = {**asdict(facts), "cases": [asdict(fact) for fact in facts.cases]}
    (folder / "benchmarks" / "frameworks" / "__init__.py").touch()
    (folder / "facts.json").write_text(json.dumps(value))
    program = "import shutil, sys\nprint('why it fails', file=sys.stderr)\n"
    program += f"shutil.copy('facts.json', sys.argv[sys.argv.index('--save') + 1])\nsys.exit({code})\n"
    (folder / "benchmarks" / "frameworks" / "__main__.py").write_text(program)
    return folder


def test_survey_that_measures_what_is_recorded_has_no_changes(tmp_path: Path) -> None:
    result = survey(sys.executable, root=_checkout(tmp_path, RECORDED))
    assert (result.cases, result.changes) == (len(RECORDED.cases), ())
    assert result.versions == result.recorded


def test_survey_says_what_another_version_does_otherwise(tmp_path: Path) -> None:
    agrees = replace(LOSSY, kind=SAME, differences=())
    measured = Facts("paddle", {**RECORDED.versions, "paddle": "9.9"}, (agrees,))
    result = survey(sys.executable, root=_checkout(tmp_path, measured))
    (line,) = result.changes
    assert line.startswith(f"{LOSSY.counterpart} on ")
    assert "agrees with torch; recorded is: loses precision" in line
    assert "paddle 9.9" in result.versions


def test_survey_that_fails_or_has_no_checkout_is_an_error_with_the_reason(tmp_path: Path) -> None:
    with pytest.raises(AlignmentError, match="run it in a checkout"):
        survey(sys.executable, root=tmp_path)
    with pytest.raises(AlignmentError, match="exit code 4") as error:
        survey(sys.executable, root=_checkout(tmp_path / "failing", RECORDED, code=4))
    assert [*error.value.details] == ["why it fails"]


def test_error_counts_as_another_one_from_ten_times_on() -> None:
    def measured(factor: float) -> tuple[str, ...]:
        differences = tuple(
            Difference(one.quantity, one.training, (one.error or 0) * factor) for one in LOSSY.differences
        )
        return changes(RECORDED, Facts("paddle", {}, (replace(LOSSY, differences=differences),)))

    assert measured(2) == measured(0.2) == ()
    assert len(measured(50)) == len(measured(0.01)) == 1


def test_case_that_is_not_recorded_is_said_to_be_so() -> None:
    new = Fact("Pooling", "nn.New()", "nn.New()", ("2 x 2",), SAME, (), "", None)
    assert changes(RECORDED, Facts("paddle", {}, (new,))) == (
        "nn.New() on 2 x 2: agrees with torch; it is not recorded",
    )


def test_command_exits_with_1_where_something_is_not_as_recorded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    measured = Facts("paddle", RECORDED.versions, (replace(LOSSY, kind=SAME, differences=()),))
    monkeypatch.setattr(surveys.survey, "__defaults__", ((), "paddle", _checkout(tmp_path, measured)))
    done = CliRunner().invoke(cli.pit_align, ["doctor", "--survey"], prog_name="pit-align")
    assert done.exit_code == 1
    assert "1 of 1 cases are not as recorded" in done.stdout
    wrong = CliRunner().invoke(cli.pit_align, ["doctor", "--group", "Pooling"], prog_name="pit-align")
    assert wrong.exit_code == 2


def test_survey_of_mindspore_names_its_interpreter(tmp_path: Path) -> None:
    recorded = framework_facts("mindspore")
    root = _checkout(tmp_path, recorded)
    program = root / "benchmarks" / "frameworks" / "__main__.py"
    program.write_text(
        f"{program.read_text()}".replace(
            "import shutil, sys", "import shutil, sys\nopen('words', 'w').write(' '.join(sys.argv))"
        )
    )
    result = survey(sys.executable, framework="mindspore", root=root, mindspore_python="/opt/ms/python")
    assert (result.cases, result.changes) == (len(recorded.cases), ())
    assert (root / "words").read_text().endswith("--framework mindspore --mindspore-python /opt/ms/python")

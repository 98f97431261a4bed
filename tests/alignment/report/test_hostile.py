"""Reports that no alignment wrote: refused in a line that says where, or shown; never a crash, never a good verdict."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

import cli
from alignment.errors import FileError
from alignment.recordings.recording import MANIFEST_FILE, read_manifest
from alignment.recordings.reprod_check import MeanCheck
from alignment.results.findings import Bisection
from alignment.results.report import DIVERGENCE, ROUNDING, SAME_FUNCTION, Report, Row, dumps

ROWS = tuple(
    Row(f"forward/stage_{index}", "forward", "output", dtype, 1e-15, 1e-14, 1e-14, verdict, "because", 1e-14, *numbers)
    for dtype, verdict, numbers in (
        ("float64", SAME_FUNCTION, (None, 1e-4, 1e-10)),
        ("float32", ROUNDING, (2e-7, 0.5, 4.0)),
    )
    for index in range(3)
)
GOOD: dict[str, Any] = json.loads(dumps(Report(SAME_FUNCTION, "pit_ti", ("forward",), ROWS)))
COMMANDS: tuple[tuple[str, ...], ...] = (
    ("report",),
    ("report", "-v"),
    ("report", "--html", "page.html"),
    ("gate", "--config", "gate.toml", "--github"),
    ("gate", "--config", "gate.toml", "--json"),
    ("gate", "--config", "gate.toml", "--markdown", "m.md", "--junit", "j.xml"),
    ("gate", "--init", "--config", "new.toml", "--force"),
)


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "gate.toml").write_text('require = [{ step = "forward", dtype = "float64" }]\n')
    return tmp_path


def edited(index: int | None = None, **changes: Any) -> str:
    """The good report with other values in one of its rows, or in itself."""
    value = json.loads(json.dumps(GOOD))
    (value if index is None else value["rows"][index]).update(changes)
    return json.dumps(value)


def run(text: str, words: tuple[str, ...]) -> Result:
    Path("report.json").write_text(text)
    command, *options = words
    return CliRunner().invoke(cli.pit_align, [command, "report.json", *options], prog_name="pit-align")


REFUSED = {
    edited(4, verdict=DIVERGENCE): "verdict: 'same function', but its rows give 'divergence'",
    edited(verdict="within tolerance"): "verdict: 'within tolerance', but its rows give 'same function'",
    edited(1, step="nope"): "rows[1].step: 'nope' is not among the report's steps",
    edited(4, error=-1.0): "rows[4].error: -1 is negative, expected 0 or more",
    edited(4, floor=-1.0): "rows[4].floor: -1 is negative",
    edited(4, limit=-4.0): "rows[4].limit: -4 is negative",
    edited(4, margin="-inf"): "rows[4].margin: -inf is negative",
    edited(4, margin="nan"): "rows[4].margin: NaN in a row that says 'rounding'",
    edited(1, limit="nan"): "rows[1].limit: NaN in a row that says 'same function'",
    edited(4, limit=0): "rows[4].margin: 0.5 in a row that says 'rounding', at most 0 is admissible",
    edited(4, margin=4.5): "rows[4].margin: 4.5 in a row that says 'rounding', at most 4 is admissible",
    edited(1, margin=1.5): "rows[1].margin: 1.5 in a row that says 'same function', at most 1 is admissible",
    edited(1, error=2e-10): "rows[1].limit: 1e-10, below the error of 2e-10, in a row that says 'same function'",
    edited(1, max="inf"): "rows[1].max: infinite in a row that says 'same function'",
    edited(rows=[*GOOD["rows"], GOOD["rows"][0]]): "rows[6].key: 'forward/stage_0' in float64 is rows[0] already",
    edited(rows=[*GOOD["rows"], GOOD["rows"][3] | {"key": "bp/loss_0", "verdict": SAME_FUNCTION, "margin": 0.0}]): (
        "rows[6].step: 'forward', but its key 'bp/loss_0' is one of bp"
    ),
    edited().replace("1e-15", "1" * 400, 1): "rows[0].mean: expected a number, found an integer that is larger",
    edited(0, **{"a\n::error::": 1}): r"rows[0].a\n\x3a:error\x3a:: unknown field",
    edited(verdict="##[error]"): r"verdict: '#\x23[error]' is not known here",
    '{"schema_version": 1, "schema_version": 1}': "field 'schema_version' stands twice in one table",
    f'{{"schema_version": 1, "rows": {"[" * 10**5}{"]" * 10**5}}}': "not valid JSON (nested too deep)",
    '{"schema_version": ' + "1" * 5000 + "}": "not a report: not valid JSON",
}


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
@pytest.mark.parametrize(("text", "message"), REFUSED.items(), ids=[value[:40] for value in REFUSED.values()])
def test_report_that_no_alignment_wrote_is_refused(text: str, message: str, words: tuple[str, ...]) -> None:
    done = run(text, words)
    assert done.exit_code == 3, done.output
    assert [*json.loads(done.stdout)] == ["error"] if "--json" in words else not done.stdout
    assert done.stderr.startswith("pit-align: report.json: ")
    assert message in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert not Path("new.toml").exists()


SHOWN: dict[str, Callable[[], str]] = {
    "half a character": lambda: edited(4, key="forward/\ud800", reason="\udfff"),
    "a model of half a character": lambda: edited(model="\ud800"),
    "threads": lambda: edited(environments={"reference": {"backend": "torch", "threads": "many"}}),
    "an endless limit": lambda: edited(4, limit="inf"),
    "endless noise": lambda: edited(4, floor="inf", margin=0.0),
    "a long index": lambda: edited(4, kind="gradient", key=f"forward/gradient/a.{'9' * 5000}.w"),
    "numbers at the ends": lambda: edited(4, error=5e-324, floor=5e-324, limit=1e308, margin=1e308, rel_l2=1e308),
    "reprod_log": lambda: edited(4, reprod_log={"passed": False, "mean": None, "remark": ""}),
}


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
@pytest.mark.parametrize("name", SHOWN)
def test_unusual_report_is_shown(name: str, words: tuple[str, ...]) -> None:
    text = SHOWN[name]()
    value = json.loads(text)
    value["rows"] = [row for row in value["rows"] if row["dtype"] == "float64"][1:] + value["rows"][3:]
    done = run(json.dumps(value | {"verdict": ROUNDING}), words)
    assert done.exit_code == 0, done.output
    assert "\ud800" not in done.output


@pytest.mark.parametrize("words", COMMANDS[:6], ids=" ".join)
def test_report_without_rows_exits_with_5(words: tuple[str, ...]) -> None:
    done = run(edited(rows=[], steps=[]), words)
    assert done.exit_code == 5
    assert not done.stdout or json.loads(done.stdout)["error"]["exit_code"] == 5
    assert "nothing was compared: the report has no rows" in done.stderr
    assert not Path("page.html").exists()


def test_unknown_mean_of_reprod_log_is_shown() -> None:
    assert MeanCheck(False) == MeanCheck(False, None, None, None, "")
    done = run(edited(0, reprod_log={"passed": False, "mean": None, "remark": ""}), ("report",))
    assert "reprod_log fails (a mean that is not known" in " ".join(done.output.split())


@pytest.mark.parametrize("name", [MANIFEST_FILE, "bisection.json"])
def test_deeply_nested_manifest_or_bisection_is_refused(folder: Path, name: str) -> None:
    (folder / name).write_text("[" * 10**5)
    with pytest.raises(FileError, match="nested too deep"):
        read_manifest(folder) if name == MANIFEST_FILE else Bisection.read(folder / name)

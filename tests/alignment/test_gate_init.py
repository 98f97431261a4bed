"""A configuration that is written from reports: they pass it, a mistake does not."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from alignment.errors import AlignmentError, FileError
from alignment.gate_check import gate
from alignment.gate_config import load_config
from alignment.gate_init import write_config
from alignment.report.model import DIVERGENCE, ROUNDING, SAME_FUNCTION, Report, Row, overall


def row(key: str, dtype: str, error: float, **fields: Any) -> Row:
    kind = {"gradient": "gradient", "parameters": "parameter", "acc": "metric"}.get(key.split("/")[1][:10], "output")
    given: dict[str, Any] = {"mean": error, "max": error, "rel_l2": error, "error": error, "reason": "because"}
    if dtype == "float64":
        given |= {"verdict": SAME_FUNCTION, "margin": error / 1e-10, "limit": 1e-10}
    else:
        given |= {"verdict": ROUNDING, "floor": 1e-7, "margin": error / 1e-7, "limit": 4.0}
    return Row(key=key, step=key.split("/")[0], kind=kind, dtype=dtype, **(given | fields))


def report(model: str, *rows: Row) -> Report:
    return Report(overall(rows), model, tuple(dict.fromkeys(row.step for row in rows)), rows)


FORWARD = (
    *(row(f"forward/stage_{stage}", "float64", 3e-15 * (stage + 1)) for stage in range(3)),
    *(row(f"forward/stage_{stage}", "float32", 1.2e-7) for stage in range(3)),
    row("forward/parameters/a.weight", "float32", 0.0, verdict=SAME_FUNCTION, floor=None, margin=None, limit=None),
    row("forward/acc", "float32", 0.0, margin=None, floor=None),
)
PIT = report("pit_ti", *FORWARD, row("bp/gradient/a.weight", "float32", 2e-7), row("bp/gradient/b[0]", "float32", 1e-7))
REGNET = report("regnet", *FORWARD, row("batchnorm/x", "float64", 1e-13))


def test_the_report_passes_what_is_written_from_it(tmp_path: Path) -> None:
    path = tmp_path / "pit-align.toml"
    write_config([PIT], path)
    config = load_config(path)
    assert {(need.step, need.dtype, need.verdict) for need in config.require} == {
        ("forward", "float64", SAME_FUNCTION),
        ("forward", "float32", None),
        ("bp", "float32", None),
    }
    limits = {(limit.step, limit.key, limit.dtype): limit.limits for limit in config.threshold}
    assert limits == {
        ("forward", "stage_*", "float64"): {"max_error": 1e-12},
        ("forward", "stage_*", "float32"): {"max_rel_l2": 5e-7, "max_margin": 3.0},
        ("forward", "parameters/*", "float32"): {"max_abs": 0.0},
        ("bp", "gradient/*", "float32"): {"max_rel_l2": 8e-7, "max_margin": 4.0},
    }
    assert gate(PIT, config).passed


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_an_error_of_zero_is_luck_and_no_limit(dtype: str, tmp_path: Path) -> None:
    write_config([report("pit_ti", row("loss/x", dtype, 0.0, max=0.0))], tmp_path / "gate.toml")
    other = report("pit_ti", row("loss/x", dtype, {"float64": 1e-15, "float32": 1e-7}[dtype]))
    assert gate(other, load_config(tmp_path / "gate.toml")).passed


def test_a_mistake_that_no_verdict_sees_fails_it(tmp_path: Path) -> None:
    write_config([PIT], tmp_path / "gate.toml")
    worse = replace(PIT.rows[0], error=1e-11, rel_l2=1e-11, margin=0.1)
    assert not gate(replace(PIT, rows=(worse, *PIT.rows[1:])), load_config(tmp_path / "gate.toml")).passed


def test_several_models_share_what_they_have_in_common(tmp_path: Path) -> None:
    path = tmp_path / "gate.toml"
    write_config([PIT, REGNET], path)
    config = load_config(path)
    assert {need.step for need in config.require} == {"forward"}
    assert {(limit.step, limit.model) for limit in config.threshold} == {
        ("forward", "*"),
        ("bp", "pit_ti"),
        ("batchnorm", "regnet"),
    }
    assert gate(PIT, config).passed
    assert gate(REGNET, config).passed


def test_it_goes_into_pyproject_beside_what_is_there(tmp_path: Path) -> None:
    path = tmp_path / "pyproject.toml"
    path.write_text('[project]\nname = "x"')
    write_config([PIT], path)
    assert path.read_text().startswith('[project]\nname = "x"\n')
    assert gate(PIT, load_config(path)).passed
    with pytest.raises(FileError, match=r"has a table \[tool.pit-align\] already"):
        write_config([PIT], path, force=True)


def test_a_file_that_is_there_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "gate.toml"
    path.write_text("kept")
    with pytest.raises(FileError, match="--force"):
        write_config([PIT], path)
    assert path.read_text() == "kept"
    write_config([PIT], path, force=True)
    assert gate(PIT, load_config(path)).passed


def test_names_are_data(tmp_path: Path) -> None:
    odd = report('"\n]x\x7f', row('a"]\n[b/q\x01*[1]', "float64", 1e-14))
    write_config([odd, odd], tmp_path / "gate.toml")
    assert gate(odd, load_config(tmp_path / "gate.toml")).passed


@pytest.mark.parametrize("bad", [report("pit_ti"), report("pit_ti", replace(PIT.rows[0], verdict=DIVERGENCE))])
def test_no_gate_is_written_from_a_bad_report(bad: Report, tmp_path: Path) -> None:
    with pytest.raises(AlignmentError, match="would accept the mistake"):
        write_config([PIT, bad], tmp_path / "gate.toml")
    assert not (tmp_path / "gate.toml").exists()

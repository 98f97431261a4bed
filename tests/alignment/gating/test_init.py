"""A configuration that is written from reports: they pass it, a mistake does not."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from alignment.errors import AlignmentError, FileError
from alignment.gating.check import gate
from alignment.gating.config import load_config, meant
from alignment.gating.init import write_config
from alignment.results.report import DIVERGENCE, ROUNDING, SAME_FUNCTION, Report, Row, overall


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
def test_error_of_zero_sets_no_limit(dtype: str, tmp_path: Path) -> None:
    write_config([report("pit_ti", row("loss/x", dtype, 0.0, max=0.0))], tmp_path / "gate.toml")
    other = report("pit_ti", row("loss/x", dtype, {"float64": 1e-15, "float32": 1e-7}[dtype]))
    assert gate(other, load_config(tmp_path / "gate.toml")).passed


def test_error_above_the_written_limit_fails_though_its_verdict_passes(tmp_path: Path) -> None:
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


@pytest.mark.parametrize("prefix", ["[tool]\npit-align = {a = 1}", '["tool"."pit-align"]', "tool.pit-align.x = 1"])
def test_a_table_is_seen_however_it_is_written(tmp_path: Path, prefix: str) -> None:
    path = tmp_path / "pyproject.toml"
    path.write_text(prefix)
    with pytest.raises(FileError, match=r"has a table \[tool.pit-align\] already"):
        write_config([PIT], path)
    assert path.read_text() == prefix


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"\xff", "byte 0 is no UTF-8"),
        (b"x = ", "not valid TOML"),
        (b"tool = {}", "nothing is written"),
        (None, "cannot be"),
    ],
)
def test_a_project_file_that_cannot_take_it_is_left_alone(tmp_path: Path, content: bytes | None, message: str) -> None:
    path = tmp_path / "pyproject.toml"
    path.mkdir() if content is None else path.write_bytes(content)
    with pytest.raises(FileError, match=message):
        write_config([PIT], path)
    assert content is None or path.read_bytes() == content


@pytest.mark.parametrize("name", ["a[b]", "a*", "?", "\U0001f600", "x\ud800", "\u2028\x85", "[!a]"])
def test_names_with_pattern_characters_are_literal(tmp_path: Path, name: str) -> None:
    path = tmp_path / "pyproject.toml"
    path.write_text("[project]\n")
    odd = replace(report(name, *FORWARD, row(f"{name}/x", "float64", 1e-14)), device=name)
    write_config([odd, PIT], path)
    config = load_config(path)
    assert [limit.limits for limit in config.threshold if limit.key == "x" and meant(odd, limit)] == [
        {"max_error": 1e-12}
    ]
    assert gate(odd, config).checked == 8
    assert gate(odd, config).passed
    other = replace(odd, model="ab", device="ab")
    assert not any(meant(other, limit) for limit in config.threshold if limit.key == "x")


@pytest.mark.parametrize("limit", [math.inf, 5e-324, 1e308])
def test_numbers_at_the_ends_of_the_range_can_be_written(tmp_path: Path, limit: float) -> None:
    end = report("pit_ti", row("loss/x", "float32", limit, limit=limit, margin=limit, floor=limit))
    write_config([end], tmp_path / "gate.toml")
    load_config(tmp_path / "gate.toml")


def test_write_config_returns_the_number_of_limits(tmp_path: Path) -> None:
    assert write_config([PIT], tmp_path / "a.toml") == 4
    assert write_config([report("pit_ti", FORWARD[-1])], tmp_path / "b.toml") == 0


def test_names_with_toml_syntax_are_escaped(tmp_path: Path) -> None:
    odd = report('"\n]x\x7f', row('a"]\n[b/q\x01*[1]', "float64", 1e-14))
    write_config([odd, odd], tmp_path / "gate.toml")
    assert gate(odd, load_config(tmp_path / "gate.toml")).passed


@pytest.mark.parametrize("bad", [report("pit_ti"), report("pit_ti", replace(PIT.rows[0], verdict=DIVERGENCE))])
def test_no_gate_is_written_from_a_bad_report(bad: Report, tmp_path: Path) -> None:
    with pytest.raises(AlignmentError, match="would accept the mistake"):
        write_config([PIT, bad], tmp_path / "gate.toml")
    assert not (tmp_path / "gate.toml").exists()

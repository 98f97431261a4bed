"""Notes on what a candidate's framework is known to do."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from alignment.framework_facts import behaviours, framework_facts
from alignment.recordings.kernels import Kernel
from alignment.results.report import DIVERGENCE, SAME_FUNCTION, Report, Row
from alignment.running.known_differences import with_known_differences

VERSION = framework_facts("paddle").versions["paddle"]


def _report(verdict: Any, key: str = "bp/gradient/x", version: str = VERSION, **fields: Any) -> Report:
    row = Row(key, key.partition("/")[0], "gradient", "float64", 1.0, 1.0, 1.0, verdict, "")
    environments = {"candidate": {"paddle": version}}
    return Report(verdict, "net", (row.step,), (row,), environments=environments, **fields)


def _notes(folder: Path, report: Report, *kinds: str, framework: str = "paddle") -> tuple[str, ...]:
    modules = [SimpleNamespace(bases=(kind, "Layer")) for kind in kinds]
    contract = SimpleNamespace(candidate=SimpleNamespace(modules=modules))
    sides = {"reference": SimpleNamespace(framework="torch"), "candidate": SimpleNamespace(framework=framework)}
    prepared: Any = SimpleNamespace(pair=SimpleNamespace(**sides, contract=contract), folder=folder)
    return with_known_differences(prepared, report).notes


def test_divergence_names_what_layers_of_the_candidate_are_known_to_do_otherwise(tmp_path: Path) -> None:
    (note,) = _notes(tmp_path, _report(DIVERGENCE), "LeakyReLU", "Linear")
    assert note.startswith("known of paddle, LeakyReLU: at 0 the gradient is 1")
    assert "docs/framework-differences.md" in note
    assert (tmp_path / "report.json").is_file()


def test_batch_norm_is_named_where_running_statistics_differ_only(tmp_path: Path) -> None:
    assert _notes(tmp_path, _report(DIVERGENCE), "BatchNorm2D") == ()
    (note,) = _notes(tmp_path, _report(DIVERGENCE, "batchnorm/running/norm.running_var"), "BatchNorm2D")
    assert "biased variance" in note


def test_another_version_than_the_recorded_one_is_said_where_kernels_or_differences_matter(tmp_path: Path) -> None:
    used = _report(SAME_FUNCTION, version="9.9", kernels=(Kernel("paddle.nn.functional.selu", 1),))
    (note,) = _notes(tmp_path, used)
    assert f"measured with {VERSION}, and this is 9.9" in note
    assert "doctor --survey" in note
    assert _notes(tmp_path, replace(used, kernels=())) == ()
    assert _notes(tmp_path, replace(used, environments={"candidate": {"paddle": VERSION}})) == ()


def test_framework_of_which_nothing_was_measured_has_no_notes(tmp_path: Path) -> None:
    assert _notes(tmp_path, _report(DIVERGENCE), "LeakyReLU", framework="torch") == ()
    assert behaviours("none", ["LeakyReLU"]) == {}

"""A gate stops what diverges, whatever it is, and names it; the self-test asks this of the report on every fault."""

from __future__ import annotations

from pathlib import Path
from unittest import mock

import numpy as np
import pytest
from click.testing import CliRunner

import cli
from alignment.gating.check import GateResult
from alignment.judging.judge import judge_arrays
from alignment.results.report import write_report
from alignment.selftest import baselines
from alignment.selftest.baselines import stops
from alignment.selftest.faults import FAULTS, Fault
from alignment.selftest.faults.arrays import in_files

RNG = np.random.default_rng(0)


def arrays_for(fault: Fault) -> dict[str, np.ndarray]:
    """Arrays of a step, with one of the kind and under the key that the fault needs."""
    arrays: dict[str, np.ndarray] = {"forward/logits": RNG.normal(size=(4, 10)).astype(np.float32)}
    if fault.kind == "wrapped":
        arrays[fault.path] = np.arange(4)
    elif fault.kind != "extra":
        arrays.setdefault(fault.path, RNG.normal(size=(4, 6)).astype(np.float32))
    return arrays


@pytest.mark.parametrize("fault", [fault for fault in FAULTS if fault.place == "files"], ids=lambda fault: fault.name)
def test_gate_stops_and_names_every_fault_in_files(fault: Fault, tmp_path: Path) -> None:
    right = arrays_for(fault)
    assert not stops(judge_arrays(right, right))
    report = judge_arrays(right, in_files(right, fault.kind, fault.path))
    assert stops(report)
    write_report(report, tmp_path / "report.json")
    (tmp_path / "pit-align.toml").write_text('[[require]]\nstep = "*"\ndtype = "float32"\n')
    words = ["gate", str(tmp_path / "report.json"), "--config", str(tmp_path / "pit-align.toml"), "--github"]
    done = CliRunner().invoke(cli.pit_align, [*words, "--junit", str(tmp_path / "gate.xml")])
    assert done.exit_code == 1, done.output
    assert f'name="{fault.path}"' in (tmp_path / "gate.xml").read_text()
    assert fault.path in next(line for line in done.output.splitlines() if line.startswith("::error"))


def test_stops_is_false_if_the_gate_passes_or_an_output_names_nothing() -> None:
    right = {"forward/logits": np.ones(3), "forward/stage_0": np.ones(3)}
    report = judge_arrays(right, {**right, "forward/logits": np.zeros(3)})
    assert stops(report)
    with mock.patch.object(baselines, "gate", return_value=GateResult(True, (), 1)):
        assert not stops(report)
    with mock.patch.object(baselines, "to_junit", return_value="<testsuites/>"):
        assert not stops(report)
    with mock.patch.object(baselines, "to_annotations", return_value=iter(["::error::something"])):
        assert not stops(report)

"""The official files, written with the real reprod_log and read back."""

from __future__ import annotations

import logging
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest

from alignment.errors import AlignmentError, NothingComparedError
from alignment.judging.compare_paths import compare_paths
from alignment.recordings import reprod_write
from alignment.recordings.recording import Entry, Recording
from alignment.recordings.reprod_read import read_reprod_log
from alignment.results.report import WITHIN_TOLERANCE

Write = Callable[..., Recording]
ROOT = Path(__file__).parents[3]


def quantities(shift: float = 0.0, **more: Any) -> dict[str, tuple[Entry, Any]]:
    return {
        "forward/logits": (Entry("output", "forward"), np.arange(4, dtype=np.float32) + np.float32(shift)),
        "forward/flags": (Entry("output", "forward"), np.array([True, False])),
        "forward/half": (Entry("output", "forward"), np.ones(2, ml_dtypes.bfloat16)),
        "forward/parameters/w": (Entry("parameter", "forward"), np.ones(2, np.float32)),
        "bp/gradient/norm.weight": (Entry("gradient", "bp"), np.ones(3, np.float32)),
        **more,
    }


def sides(write: Write, candidate: dict[str, tuple[Entry, Any]], steps: Any = ("forward", "bp")) -> dict[str, Path]:
    first = write(quantities(), steps=("forward", "bp"), role="reference")
    second = write(candidate, steps=steps, role="candidate", backend="paddle")
    return {"torch": first.path, "paddle": second.path}


def test_files_round_trip_and_reports_are_separate(write: Write, tmp_path: Path) -> None:
    pytest.importorskip("reprod_log")
    out = tmp_path / "out"
    handlers = list(logging.getLogger().handlers)
    written = reprod_write.write_files(sides(write, quantities(1e-3)), out)
    assert [path.name for path in written] == [
        *("forward_torch.npy", "forward_paddle.npy", "forward_diff.log"),
        *("bp_align_torch.npy", "bp_align_paddle.npy", "bp_align_diff.log"),
    ]
    found = read_reprod_log(out / "forward_torch.npy")
    assert list(found) == ["logits", "flags", "half"]
    np.testing.assert_array_equal(found["logits"], np.arange(4, dtype=np.float32))
    assert [found[name].dtype.name for name in ("flags", "half")] == ["uint8", "float32"]
    assert list(read_reprod_log(out / "bp_align_paddle.npy")) == ["gradient/norm.weight"]
    forward, backward = ((out / f"{name}_diff.log").read_text() for name in ("forward", "bp_align"))
    assert "logits" in forward
    assert "diff check failed" in forward
    assert "gradient/norm.weight" in backward
    assert "diff check passed" in backward
    assert "diff check failed" not in backward
    assert logging.getLogger().handlers == handlers
    assert compare_paths(out, out).failures[0].key == "forward/logits"


def test_a_second_run_replaces_the_files(write: Write, tmp_path: Path) -> None:
    pytest.importorskip("reprod_log")
    reprod_write.write_files(sides(write, quantities(1e-3)), tmp_path / "out")
    reprod_write.write_files(sides(write, quantities()), tmp_path / "out")
    assert "failed" not in (tmp_path / "out" / "forward_diff.log").read_text()
    assert compare_paths(tmp_path / "out", tmp_path / "out").verdict == WITHIN_TOLERANCE


def test_what_reprod_log_cannot_compare_is_a_failed_report(write: Write, tmp_path: Path) -> None:
    pytest.importorskip("reprod_log")
    extra = {"forward/extra": (Entry("output", "forward"), np.ones(1))}
    reprod_write.write_files(sides(write, {**quantities(), **extra}), tmp_path)
    assert "diff check failed: reprod_log cannot compare" in (tmp_path / "forward_diff.log").read_text()


def test_recordings_without_a_common_step_are_refused(write: Write, tmp_path: Path) -> None:
    pytest.importorskip("reprod_log")
    loss = {"loss/x": (Entry("loss", "loss"), np.ones(1))}
    with pytest.raises(NothingComparedError, match="share no step"):
        reprod_write.write_files(sides(write, loss, ("loss",)), tmp_path)


def test_a_missing_reprod_log_names_the_command(
    write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "reprod_log", None)
    paths = sides(write, quantities())
    with pytest.raises(AlignmentError, match="pip install 'paddlepaddle"):
        reprod_write.write_files(paths, tmp_path)
    pairs = [argument for label, path in paths.items() for argument in ("--pair", f"{label}={path}")]
    assert reprod_write.main([*pairs, "--out", str(tmp_path)]) == 3
    assert "pip install 'paddlepaddle" in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments", [[], ["--out", "x"], ["--pair", "a=b", "--out", "x"], ["--pair", "=b", "--out", "x"]]
)
def test_wrong_arguments_exit_with_2(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        reprod_write.main(arguments)
    assert caught.value.code == 2
    assert "--pair" in capsys.readouterr().err


def test_the_module_runs_and_prints_what_it_wrote(write: Write, tmp_path: Path) -> None:
    pytest.importorskip("reprod_log")
    pairs = [
        argument for label, path in sides(write, quantities()).items() for argument in ("--pair", f"{label}={path}")
    ]
    command = [sys.executable, "-m", "alignment.recordings.reprod_write", *pairs, "--out", str(tmp_path / "out")]
    finished = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert finished.returncode == 0, finished.stderr
    assert [Path(line).name for line in finished.stdout.splitlines()][:3] == [
        "forward_torch.npy",
        "forward_paddle.npy",
        "forward_diff.log",
    ]

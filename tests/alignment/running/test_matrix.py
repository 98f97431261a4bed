"""Many models: which are chosen, how they are shared out, what is run again, and what the whole says."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

import cli
from alignment.errors import AlignmentError, HeldError, NothingComparedError
from alignment.pair import Pair, published
from alignment.processes import fingerprint
from alignment.processes.settings import Settings
from alignment.results.report import DIVERGENCE, SAME_FUNCTION, Report, Row, Verdict, write_report
from alignment.running import matrix as matrices
from alignment.running.matrix import Matrix, align_all, chosen, exit_code, shard
from alignment.running.prepare import held
from porting.errors import UnknownNameError

MODELS = ("pit_ti", "pit_s", "deit_tiny")


class Aligner:
    """Stands in for `running.align`: writes what a run writes, and counts."""

    def __init__(self, **verdicts: Verdict | AlignmentError) -> None:
        self.verdicts = verdicts
        self.ran: list[str] = []

    def __call__(self, pair: Pair, out: Path, settings: Settings, **_: Any) -> Report:
        self.ran.append(pair.name)
        (out / "recordings" / "torch-float32").mkdir(parents=True, exist_ok=True)
        (out / "forward_torch.npy").write_text("")
        (out / "forward_diff.log").write_text("")
        verdict = self.verdicts.get(pair.name, SAME_FUNCTION)
        if isinstance(verdict, AlignmentError):
            raise verdict
        row = Row("forward/logits", "forward", "output", "float64", 0.0, 0.0, 0.0, verdict, "because")
        report = Report(verdict, pair.name, ("forward",), (row,))
        write_report(report, out / "report.json")
        return report


def test_patterns_choose_models() -> None:
    assert chosen(()) == tuple(published.PUBLISHED)
    assert set(chosen(("pit_t*", "deit_base"))) == {"pit_ti", "pit_ti_distilled", "deit_base"}
    assert chosen(("*@384",)) == ("deit_base@384", "deit_base_distilled@384")
    assert chosen((), {"image_size": 64}) == tuple(published.NAMES)
    with pytest.raises(UnknownNameError, match="did you mean pit_ti"):
        chosen(("pit_tii",))


@pytest.mark.parametrize("count", [1, 2, 3, 5])
def test_shards_cover_all_models_and_cost_about_the_same(count: int) -> None:
    models = chosen(())
    parts = [shard(models, f"{number}/{count}", {}) for number in range(1, count + 1)]
    assert sorted(model for part in parts for model in part) == sorted(models)
    costs = [sum(matrices._cost(published.build(model)) for model in part) for part in parts]
    assert max(costs) - min(costs) <= max(matrices._cost(published.build(model)) for model in models)


@pytest.mark.parametrize("which", ["0/2", "3/2", "1", "a/b", "1/0", "-1/2", "1/2/3", "１/２", f"1/{'9' * 5000}"])  # noqa: RUF001 - a wide 1 and 2
def test_malformed_shard_is_refused(which: str) -> None:
    with pytest.raises(AlignmentError, match="expected I/N"):
        shard(MODELS, which, {})


def test_shard_without_a_model_is_refused() -> None:
    many = 10**9 - 1
    parts = [shard(MODELS, f"{number}/{many}", {}) for number in (1, 2, 3)]
    assert sorted(model for part in parts for model in part) == sorted(MODELS)
    with pytest.raises(NothingComparedError, match=f"--shard 4/{many}: there is no model for it, with 3 in all"):
        shard(MODELS, f"4/{many}", {})


def test_models_run_again_with_another_version_of_a_framework(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    aligner = Aligner()
    monkeypatch.setattr(fingerprint, "versions_in", lambda python, framework: f"{framework} 1 in {python}")
    align_all(Matrix(MODELS), tmp_path, align=aligner)
    monkeypatch.setattr(fingerprint, "versions_in", lambda python, framework: f"{framework} 2 in {python}")
    assert [result.reused for result in align_all(Matrix(MODELS), tmp_path, align=aligner)] == [False] * 3


def test_versions_of_an_interpreter_are_listed() -> None:
    versions = fingerprint.versions_in(sys.executable, "torch")
    assert "torch 2." in versions
    assert "numpy " in versions
    assert fingerprint.versions_in("/no/such/python", "torch") == ""


def test_all_run_once_and_leave_their_reports(tmp_path: Path) -> None:
    aligner, lines = Aligner(), list[str]()
    results = align_all(Matrix(MODELS), tmp_path, align=aligner, announce=lines.append)
    assert aligner.ran == list(MODELS)
    assert exit_code(results) == 0
    assert lines[0] == "[1/3] pit_ti"
    assert lines[1].startswith("[2/3] pit_s, about ")
    assert json.loads((tmp_path / "matrix.json").read_text()).keys() == set(MODELS)
    left = {".matrix.lock", "report.json", "cell.json", "forward_diff.log"}
    assert {path.name for path in (tmp_path / "pit_ti").iterdir()} == left
    again = align_all(Matrix(MODELS), tmp_path, align=aligner)
    assert aligner.ran == list(MODELS)
    assert [result.reused for result in again] == [True] * 3
    assert exit_code(again) == 0


@pytest.mark.parametrize(
    "change",
    [
        lambda matrix: replace(matrix, fresh=True),
        lambda matrix: replace(matrix, settings=Settings(seed=1)),
        lambda matrix: replace(matrix, settings=Settings(steps=("forward",))),
        lambda matrix: replace(matrix, form={"num_classes": 7}),
    ],
)
def test_model_runs_again_after_a_change_of_settings(tmp_path: Path, change: Callable[[Matrix], Matrix]) -> None:
    aligner = Aligner()
    align_all(Matrix(("pit_ti",)), tmp_path, align=aligner)
    align_all(change(Matrix(("pit_ti",))), tmp_path, align=aligner)
    assert aligner.ran == ["pit_ti"] * 2


def test_model_runs_again_after_a_change_of_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    aligner = Aligner()
    align_all(Matrix(("pit_ti",)), tmp_path, align=aligner)
    monkeypatch.setattr(fingerprint, "digest_of_code", lambda: "other")
    align_all(Matrix(("pit_ti",)), tmp_path, align=aligner)
    assert aligner.ran == ["pit_ti"] * 2


@pytest.mark.parametrize("damage", ["", "[]", '{"key": 1}'])
def test_model_with_damaged_cell_file_runs_again(tmp_path: Path, damage: str) -> None:
    aligner = Aligner()
    align_all(Matrix(("pit_ti",)), tmp_path, align=aligner)
    (tmp_path / "pit_ti" / "cell.json").write_text(damage)
    align_all(Matrix(("pit_ti",)), tmp_path, align=aligner)
    assert aligner.ran == ["pit_ti"] * 2


def test_diverged_and_failed_models_run_again_and_stop_no_other(tmp_path: Path) -> None:
    aligner = Aligner(pit_ti=DIVERGENCE, pit_s=AlignmentError("no memory"))
    results = align_all(Matrix(MODELS), tmp_path, align=aligner)
    assert [result.problem for result in results] == ["", "no memory", ""]
    assert exit_code(results) == 1
    assert exit_code(results[1:]) == 3
    aligner.verdicts.clear()
    assert exit_code(align_all(Matrix(MODELS), tmp_path, align=aligner)) == 0
    assert aligner.ran == [*MODELS, "pit_ti", "pit_s"]


def test_an_interrupted_matrix_goes_on(tmp_path: Path) -> None:
    class Interrupted(Aligner):
        def __call__(self, pair: Pair, out: Path, settings: Settings, **options: Any) -> Report:
            if pair.name == "pit_s":
                raise KeyboardInterrupt
            return super().__call__(pair, out, settings, **options)

    with pytest.raises(KeyboardInterrupt):
        align_all(Matrix(MODELS), tmp_path, align=Interrupted())
    aligner = Aligner()
    assert exit_code(align_all(Matrix(MODELS), tmp_path, align=aligner)) == 0
    assert aligner.ran == ["pit_s", "deit_tiny"]


def test_model_without_applicable_step_is_no_failure(tmp_path: Path) -> None:
    results = align_all(Matrix(MODELS), tmp_path, align=Aligner(pit_ti=NothingComparedError("no statistics")))
    assert exit_code(results) == 0
    assert exit_code(results[:1]) == 5


def pit_align(*words: str | Path) -> Result:
    return CliRunner().invoke(cli.pit_align, [str(word) for word in words], prog_name="pit-align")


def test_the_command_writes_one_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(matrices, "run_pair", Aligner())
    words = ["matrix", "pit_micro", "--step", "forward", "--batch-size", "1", "--threads", "1"]
    words += ["--out", str(tmp_path / "m"), "--html", str(tmp_path / "m.html")]
    done = pit_align(*words)
    assert done.exit_code == 0, done.output
    assert done.stdout.startswith("pit_micro  same function")
    assert "[1/1] pit_micro" in done.stderr
    assert "pit_micro" in (tmp_path / "m.html").read_text()
    done = pit_align(*words, "--json")
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["pit_micro"]["reused"] is True


def test_missing_frameworks_are_told_once_for_all_models(tmp_path: Path, bare_python: str) -> None:
    pythons = ("--paddle-python", bare_python, "--torch-python", bare_python)
    done = pit_align("matrix", "pit_micro", "pit_ti", "--step", "forward", *pythons, "--out", tmp_path / "m")
    assert done.exit_code == 3, done.output
    lines = done.stderr.splitlines()
    assert lines[0] == "pit-align: 2 things that this run needs are missing; nothing was begun"
    assert [line.partition(" needs")[0] for line in lines[1:]] == ["  the torch side", "  the paddle side"]
    assert not (tmp_path / "m").exists()


def test_refused_run_touches_nothing_of_the_one_that_holds_the_folder(tmp_path: Path) -> None:
    def refused(pair: Pair, folder: Path, settings: Settings, **_: Any) -> Report:
        raise HeldError(folder, "another run is writing here")

    theirs = [tmp_path / "pit_ti" / name for name in ("recordings/torch", "cell.json", "forward_torch.npy")]
    for path in theirs:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("theirs")
    (tmp_path / "matrix.json").write_text("theirs")
    (result,) = align_all(Matrix(("pit_ti",)), tmp_path, align=refused)
    assert "another run is writing here" in result.problem
    assert [path.read_text() for path in (*theirs, tmp_path / "matrix.json")] == ["theirs"] * 4
    with held(tmp_path / "pit_ti", ".matrix.lock"):
        (result,) = align_all(Matrix(("pit_ti",)), tmp_path, align=Aligner())
    assert result.held


def test_the_command_shows_what_could_not_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: Any, **__: Any) -> Report:
        raise AlignmentError("it failed")

    monkeypatch.setattr(matrices, "run_pair", fails)
    done = pit_align("matrix", "pit_micro", "--out", tmp_path / "m", "--html", tmp_path / "m.html")
    assert done.exit_code == 3, done.output
    assert "pit_micro  could not run" in done.stdout
    assert "1 could not be aligned" in (tmp_path / "m.html").read_text()

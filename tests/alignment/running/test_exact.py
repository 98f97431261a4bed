"""A correct port that differs by the framework's own kernels is the same function, and the report names them."""

from pathlib import Path

import pytest
from click.testing import CliRunner

import cli
from alignment.gating.check import gate
from alignment.gating.config import GateConfig, Requirement
from alignment.pair import Pair, load_pair
from alignment.processes.settings import Settings
from alignment.recordings.kernels import CAST
from alignment.results.report import DIVERGENCE, SAME_FUNCTION, Report, Row, read_report
from alignment.results.summary import headline
from alignment.running.exact import notes_of_both
from alignment.running.run import align

PAIRS = Path(__file__).parents[1] / "kernel_pairs.py"


def _pair(name: str) -> Pair:
    return load_pair(f"{PAIRS}:{name}")


def _settings(*, strict: bool = False) -> Settings:
    return Settings(dtypes=("float64", "float32"), batch_size=2, threads=1, perturbations=1, strict=strict)


def test_correct_port_with_pooling_and_batch_norm_of_paddle_is_the_same_function(tmp_path: Path) -> None:
    report = align(_pair("RIGHT"), tmp_path, _settings())
    assert report.verdict == SAME_FUNCTION, report.failures[:3]
    names = [kernel.name for kernel in report.kernels if kernel.calls]
    assert "paddle.nn.functional.adaptive_avg_pool2d" in names
    assert "Paddle's running variance, which is biased where torch's is not" in names
    assert report.apart is not None
    assert 1e-9 < report.apart < 1e-5
    assert "the frameworks' own differences" in headline(report)
    assert read_report(tmp_path / "report.json") == report


def test_correct_port_whose_norms_keep_torchs_statistics_behind_a_kernel_of_paddle_is_the_same_function(
    tmp_path: Path,
) -> None:
    report = align(_pair("TORCH_STATISTICS"), tmp_path, _settings())
    assert report.verdict == SAME_FUNCTION, report.failures[:3]
    names = [kernel.name for kernel in report.kernels if kernel.calls]
    assert "paddle.nn.functional.hardsigmoid" in names
    assert not any("running variance" in name for name in names)


def test_command_passes_a_port_of_a_model_that_casts_and_has_drawn_state_and_names_cast_and_kernel(
    tmp_path: Path,
) -> None:
    words = ["all", "--pair", f"{PAIRS}:CASTING", "--dtype", "both", "--batch-size", "2", "--threads", "1"]
    done = CliRunner().invoke(cli.pit_align, [*words, "--out", str(tmp_path)], prog_name="pit-align")
    assert done.exit_code == 0, done.output
    report = read_report(tmp_path / "report.json")
    assert report.verdict == SAME_FUNCTION
    assert {row.key for row in report.rows} >= {"batchnorm/running/conv.weight_u", "batchnorm/running/conv.weight_v"}
    names = [kernel.name for kernel in report.kernels if kernel.calls]
    assert "paddle.nn.functional.adaptive_avg_pool2d" in names
    assert [name.rpartition(":")[0] for name in names if name.startswith(CAST)] == [f"{CAST}kernel_pairs.py"]
    assert f"what the models themselves do in float32: {CAST}kernel_pairs.py:" in headline(report)


def test_strict_run_diverges_and_a_strict_gate_fails_what_is_not(tmp_path: Path) -> None:
    report = align(_pair("RIGHT"), tmp_path / "strict", _settings(strict=True))
    assert report.verdict == DIVERGENCE
    assert report.kernels == ()
    passed = align(_pair("RIGHT"), tmp_path / "usual", _settings())
    require = (Requirement("bp", "float64"),)
    assert gate(passed, GateConfig(require)).passed
    failed = gate(passed, GateConfig(require, strict=True))
    assert [failure.what for failure in failed.failures] == ["kernels"]


@pytest.mark.parametrize("name", ["MOMENTUM", "EPSILON"])
def test_mistake_beside_such_kernels_still_diverges(name: str, tmp_path: Path) -> None:
    report = align(_pair(name), tmp_path, _settings())
    assert report.verdict == DIVERGENCE
    keys = {row.key for row in report.failures}
    expected = "batchnorm/running/norm.running_mean" if name == "MOMENTUM" else "forward/logits"
    assert expected in keys


def test_output_of_another_dtype_stands_alone_beside_what_kernels_do(tmp_path: Path) -> None:
    report = align(_pair("COUNTING"), tmp_path, _settings())
    assert {row.key.rpartition("/")[2] for row in report.failures} == {"best"}
    assert "paddle.nn.functional.adaptive_avg_pool2d" in {kernel.name for kernel in report.kernels if kernel.calls}


def test_cast_that_is_part_of_what_the_reference_computes_is_not_lifted(tmp_path: Path) -> None:
    settings = Settings(dtypes=("float64",), batch_size=2, threads=1, steps=("forward", "bp"))
    report = align(load_pair(f"{PAIRS.with_name('rounding_pairs.py')}:MISSED"), tmp_path, settings)
    assert report.verdict == DIVERGENCE
    assert not report.kernels
    assert any(note.startswith("the casts in the reference are part of what it computes") for note in report.notes)


def _report_of(notes: tuple[str, ...], *diverging: str) -> Report:
    rows = [Row(key, key.partition("/")[0], "output", "float64", 0.1, 0.2, 0.3, DIVERGENCE, "") for key in diverging]
    return Report(DIVERGENCE if rows else SAME_FUNCTION, "net", ("forward", "other_inputs"), tuple(rows), notes=notes)


def test_note_on_a_later_call_goes_where_only_kernels_made_it_differ() -> None:
    keeps = "the candidate keeps something between calls: its first call agrees, a later one does not"
    first = _report_of(("a note of the run", keeps), "other_inputs/other/logits")
    assert [*notes_of_both(first, _report_of(()))] == ["a note of the run"]
    assert [*notes_of_both(first, _report_of((keeps,), "other_inputs/other/logits"))] == ["a note of the run", keeps]


def test_note_on_a_later_call_comes_where_kernels_had_hidden_it() -> None:
    first = _report_of(("a note of the run",), "forward/logits", "other_inputs/again/logits")
    second = _report_of((), "other_inputs/again/logits")
    assert [note.partition(":")[0] for note in notes_of_both(first, second)] == [
        "a note of the run",
        "the candidate keeps something between calls",
    ]

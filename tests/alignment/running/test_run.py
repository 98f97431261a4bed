"""Whole alignments, with a small model, in real worker processes of both frameworks."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from alignment.errors import AlignmentError, FileError, NothingComparedError, RefusedError
from alignment.judging.compare_paths import compare_paths
from alignment.pair import Pair, load_pair
from alignment.pair.inputs import Inputs
from alignment.processes.settings import Settings
from alignment.recordings.recording import open_recording
from alignment.results.report import Report, read_report
from alignment.running.run import align, record
from porting.checkpoint import LazyTensor, open_checkpoint, write_checkpoint
from porting.errors import PortingError
from porting.synthetic import random_weights

PAIRS = Path(__file__).parents[1] / "wrong_pairs.py"
FORWARD = Settings(steps=("forward",), batch_size=2, threads=1)


def pair(name: str) -> Pair:
    return load_pair(f"{PAIRS}:{name}")


@pytest.fixture(scope="module")
def healthy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run of a correct pair, all steps, both precisions."""
    out = tmp_path_factory.mktemp("healthy")
    align(pair("RIGHT"), out, Settings(batch_size=2, threads=1, perturbations=2), command="pit-align all")
    return out


@pytest.fixture(scope="module")
def report(healthy: Path) -> Report:
    return read_report(healthy / "report.json")


def test_a_correct_pair_is_the_same_function_and_rounding(report: Report) -> None:
    assert report.verdict == "same function"
    assert not report.failures
    assert report.notes == (
        "the step batchnorm does not apply: pit_ti_distilled has no running statistics",
        "the step train_mode does not apply: pit_ti_distilled gives two outputs in training mode; "
        "pit-align train compares them",
        "not exercised: another image size; the reference refuses it: " + report.notes[-1].rpartition("it: ")[2],
    )
    floats = [row for row in report.rows if row.kind in ("output", "gradient", "loss")]
    assert {row.verdict for row in floats if row.dtype == "float64"} == {"same function"}
    assert {row.verdict for row in floats if row.dtype == "float32"} == {"rounding"}
    assert max(row.rel_l2 or 0 for row in floats if row.dtype == "float64" and row.kind == "gradient") < 1e-12


def test_every_quantity_of_every_step_is_there(report: Report) -> None:
    keys = {row.key for row in report.rows if row.dtype == "float32"}
    names = set(pair("RIGHT").architecture.tensors)
    assert keys == (
        {f"forward/{name}" for name in ("logits", "stage_0", "stage_1", "stage_2")}
        | {f"forward/parameters/{name}" for name in names}
        | {f"metric/{name}" for name in ("logits", "top5_classes", "acc_top1", "acc_top5")}
        | {"metric/planted_acc_top1", "metric/planted_acc_top5"}
        | {f"loss/{name}" for name in ("cross_entropy", "label_smoothing", "soft_target")}
        | {f"bp/{name}" for name in ("loss_0", "loss_1", "loss_2", "gradient/input")}
        | {f"bp/gradient/{name}" for name in names}
    )
    assert report.steps == ("forward", "metric", "loss", "bp", "other_inputs")


def test_a_model_with_running_statistics(tmp_path: Path) -> None:
    regnet = load_pair(f"{PAIRS.with_name('regnet_pairs.py')}:RIGHT")
    settings = Settings(steps=("forward", "batchnorm"), batch_size=4, threads=1)
    report = align(regnet, tmp_path, settings)
    architecture = regnet.architecture
    assert report.verdict == "same function"
    assert report.notes == (
        f"{len(architecture.counters)} counters (num_batches_tracked) are not compared: they take no part in the "
        "function, and not every layout keeps them",
        "not exercised: metric, loss, bp, train_mode, other_inputs, which this run leaves out",
    )
    norms = {name.rpartition(".")[0] for name in architecture.statistics}
    trained = {f"batchnorm/running/{name}" for name in architecture.statistics} | {"batchnorm/logits"}
    gradients = {f"batchnorm/gradient/{name}.{part}" for name in norms for part in ("weight", "bias")}
    gradients.add("batchnorm/gradient/input")
    keys = {dtype: {row.key for row in report.rows if row.dtype == dtype} for dtype in ("float32", "float64")}
    assert {key for key in keys["float32"] if key.startswith("batchnorm/")} == trained
    assert {key for key in keys["float64"] if key.startswith("batchnorm/")} == trained | gradients
    assert {key for key in keys["float32"] if key.startswith("forward/parameters/")} == {
        f"forward/parameters/{name}" for name in architecture.tensors if name not in architecture.counters
    }
    with open_recording(tmp_path / "recordings" / "torch-float64") as recording:
        before = random_weights(architecture, settings.seed)
        for name in architecture.statistics:
            assert np.abs(recording[f"batchnorm/running/{name}"] - before[name]).max() > 0, name


def test_step_that_does_not_apply_leaves_the_earlier_report(tmp_path: Path) -> None:
    (tmp_path / "report.json").write_text("old")
    with pytest.raises(NothingComparedError, match="batchnorm does not apply: pit_ti_distilled has no running stat"):
        align(pair("RIGHT"), tmp_path, Settings(steps=("batchnorm",)))
    assert (tmp_path / "report.json").read_text() == "old"


def test_planted_scores_have_the_known_accuracies(healthy: Path) -> None:
    for side in ("torch", "paddle"):
        with open_recording(healthy / "recordings" / f"{side}-float32") as recording:
            assert recording["metric/planted_acc_top1"] == 0.5
            assert recording["metric/planted_acc_top5"] == 0.75


@pytest.mark.parametrize("side", ["torch", "paddle"])
def test_the_losses_are_what_their_definitions_say(healthy: Path, side: str) -> None:
    inputs = Inputs.read(healthy / "inputs.safetensors").cast("float64")
    with open_recording(healthy / "recordings" / f"{side}-float64") as recording:
        logits = recording["metric/logits"]
        losses = {name: recording[f"loss/{name}"] for name in ("cross_entropy", "label_smoothing", "soft_target")}
    logs = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
    picked = logs[np.arange(len(logs)), inputs.labels]
    expected = {
        "cross_entropy": -picked.mean(),
        "label_smoothing": -(0.9 * picked + 0.1 * logs.mean(axis=1)).mean(),
        "soft_target": -(inputs.soft_targets * logs).sum(axis=1).mean(),
    }
    for name, loss in losses.items():
        assert loss.shape == ()
        assert loss == pytest.approx(expected[name], rel=1e-12)


def test_the_manifest_says_how_it_was_made(healthy: Path) -> None:
    with open_recording(healthy / "recordings" / "torch-float32") as recording:
        manifest = recording.manifest
    assert (manifest.backend, manifest.role, manifest.model) == ("torch", "reference", "pit_ti_distilled")
    assert (manifest.batch_size, manifest.threads, manifest.seeds) == (2, 1, {"run": 0})
    assert manifest.flags == {"tf32": False, "deterministic": True}
    assert {"torch", "timm", "numpy", "python"} <= set(manifest.versions)
    assert set(manifest.digests) == {"weights", "inputs"}
    assert manifest.command == "pit-align all"


def test_only_the_reference_in_float32_measures_noise(healthy: Path) -> None:
    for name, measured in (("torch-float32", True), ("torch-float64", False), ("paddle-float32", False)):
        with open_recording(healthy / "recordings" / name) as recording:
            entries = recording.manifest.entries
        assert (entries["bp/gradient/norm.weight"].spread is not None) is measured
        assert (entries["forward/logits"].spread_max is not None) is measured
        assert all(entry.spread is None for entry in entries.values() if entry.kind == "metric")


def test_the_official_files_and_reports_are_written(healthy: Path) -> None:
    for step in ("forward", "metric", "loss", "bp_align"):
        for name in (f"{step}_torch.npy", f"{step}_paddle.npy", f"{step}_diff.log"):
            assert (healthy / name).stat().st_size > 0, name


def test_a_side_recorded_alone_is_bit_equal_and_compares(healthy: Path, tmp_path: Path) -> None:
    settings = Settings(steps=("loss", "bp"), dtypes=("float32",), batch_size=2, threads=1)
    (alone,) = record(pair("RIGHT"), "candidate", tmp_path, settings)
    with open_recording(alone) as again, open_recording(healthy / "recordings" / "paddle-float32") as before:
        for key in again:
            np.testing.assert_array_equal(again[key], before[key], err_msg=key)
    report = compare_paths(healthy, tmp_path)
    assert {row.key for row in report.failures} == {row.key for row in report.rows if row.step in ("forward", "metric")}


def test_other_inputs_are_refused(healthy: Path, tmp_path: Path) -> None:
    settings = Settings(steps=("forward",), dtypes=("float32",), batch_size=2, seed=1)
    record(pair("RIGHT"), "candidate", tmp_path, settings)
    with pytest.raises(RefusedError, match="different inputs"):
        compare_paths(healthy, tmp_path)


@pytest.mark.parametrize(
    ("name", "broken", "intact"),
    [
        ("EPSILON", "forward/logits", "forward/stage_2"),
        ("GELU", "forward/stage_1", "forward/stage_0"),
        ("HEADS", "forward/logits", "forward/stage_2"),
        ("PROJECTION", "forward/stage_0", "forward/parameters/transformers.0.blocks.1.attn.proj.weight"),
        ("K_BIAS", "forward/parameters/transformers.2.blocks.0.attn.qkv.bias", "forward/logits"),
    ],
)
def test_a_wrong_candidate_is_named(healthy: Path, tmp_path: Path, name: str, broken: str, intact: str) -> None:
    record(pair(name), "candidate", tmp_path, FORWARD)
    report = compare_paths(healthy, tmp_path)
    failures = {row.key for row in report.failures if row.step == "forward"}
    assert report.verdict == "divergence"
    assert broken in failures
    assert intact not in failures


def untransposed_projection(arrays: dict[str, np.ndarray[tuple[int, ...], np.dtype[np.float32]]]) -> str:
    name = "transformers.1.blocks.2.attn.proj.weight"
    arrays[name] = np.ascontiguousarray(arrays[name].T)
    return name


def shifted_k_bias(arrays: dict[str, np.ndarray[tuple[int, ...], np.dtype[np.float32]]]) -> str:
    name = "transformers.1.blocks.2.attn.qkv.bias"
    width = len(arrays[name]) // 3
    arrays[name] = arrays[name] + np.repeat(np.array([0, 1, 0], np.float32), width)
    return name


def test_candidate_weights_with_mistakes_diverge_from_the_references(healthy: Path, tmp_path: Path) -> None:
    with open_checkpoint(healthy / "weights" / "paddle.pdparams") as checkpoint:
        arrays = {name: np.array(tensor.load()) for name, tensor in checkpoint.tensors.items()}
    broken = {untransposed_projection(arrays), shifted_k_bias(arrays)}
    wrong = tmp_path / "wrong.pdparams"
    write_checkpoint(wrong, {name: LazyTensor.of(array) for name, array in arrays.items()})
    settings = Settings(
        steps=("forward",),
        dtypes=("float64",),
        batch_size=2,
        weights=healthy / "weights" / "torch.pth",
        candidate_weights=wrong,
    )
    report = align(pair("RIGHT"), tmp_path / "out", settings)
    failures = {row.key for row in report.failures}
    assert report.verdict == "divergence"
    assert {key for key in failures if "parameters" in key} == {f"forward/parameters/{name}" for name in broken}
    assert {"forward/logits", "forward/stage_1", "forward/stage_2"} <= failures
    assert "forward/stage_0" not in failures


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("RAISES", "RuntimeError: no such luck"),
        ("EXITS", "exit code 7"),
        ("SEGFAULTS", "SIGSEGV"),
        ("NO_MODEL", "the builder returned a str, expected a paddle.nn.Layer"),
    ],
)
def test_a_side_that_fails_is_reported(tmp_path: Path, name: str, message: str) -> None:
    with pytest.raises(AlignmentError) as caught:
        record(pair(name), "candidate", tmp_path, FORWARD)
    assert message in caught.value.summary
    assert "paddle" in caught.value.summary
    if name == "RAISES":
        assert any("wrong_pairs.py" in line for line in caught.value.details), caught.value.details
    if name == "EXITS":
        assert str(tmp_path / "workers" / "paddle.log") in caught.value.summary
        assert any("last words" in line for line in caught.value.details)


def test_a_failed_run_leaves_no_report_and_nothing_of_the_one_before(tmp_path: Path) -> None:
    for name in ("report.json", "forward_torch.npy", "bp_align_diff.log", "mine.txt"):
        (tmp_path / name).write_text("old")
    (tmp_path / "recordings" / "torch-float32").mkdir(parents=True)
    with pytest.raises(AlignmentError, match="no such luck"):
        align(pair("RAISES"), tmp_path, FORWARD)
    assert {path.name for path in tmp_path.iterdir()} == {
        ".lock",
        "exact",
        "inputs.safetensors",
        "mine.txt",
        "recordings",
        "weights",
        "workers",
    }
    assert not any(path.suffix == ".safetensors" for path in (tmp_path / "recordings").rglob("*"))


def test_a_missing_framework_names_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "paddle.py").write_text("raise ModuleNotFoundError(\"No module named 'paddle'\", name='paddle')")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with pytest.raises(
        AlignmentError, match=r"needs paddle, which .* does not have: .*pip install 'paddlepaddle.*--paddle-python"
    ):
        record(pair("RIGHT"), "candidate", tmp_path / "out", FORWARD)


def test_an_environment_without_the_base_packages_says_which(tmp_path: Path, bare_python: str) -> None:
    settings = Settings(steps=("forward",), batch_size=2, pythons={"paddle": bare_python})
    with pytest.raises(AlignmentError, match=r"side needs numpy, .*, which .* does not have: .*-m pip install"):
        record(pair("RIGHT"), "candidate", tmp_path, settings)


def test_missing_interpreter_is_named(tmp_path: Path) -> None:
    settings = Settings(steps=("forward",), batch_size=2, pythons={"paddle": "/nowhere/python"})
    with pytest.raises(AlignmentError, match="'/nowhere/python' cannot be started: No such file"):
        record(pair("RIGHT"), "candidate", tmp_path, settings)


def test_weights_of_another_model_are_refused(tmp_path: Path, write_random: Callable[..., Path]) -> None:
    other = write_random("pit_ti", tmp_path / "other.pth", image_size=64, num_classes=10)
    with pytest.raises(PortingError, match="holds pit_ti, expected pit_ti_distilled at 64x64 pixels with 10 classes"):
        align(pair("RIGHT"), tmp_path / "out", Settings(weights=other))


@pytest.mark.parametrize("role", ["reference", "candidate"])
def test_missing_gpu_is_refused_with_the_remedy(tmp_path: Path, role: str) -> None:
    if Path("/dev/nvidia0").exists():
        pytest.skip("this machine has a GPU")
    settings = Settings(steps=("forward",), dtypes=("float32",), batch_size=2, device="gpu")
    with pytest.raises(AlignmentError, match=r"asked to run on a GPU, and .* sees none: use --device cpu"):
        record(pair("RIGHT"), "reference" if role == "reference" else "candidate", tmp_path, settings)


def test_on_a_gpu_the_pair_aligns_without_tf32(tmp_path: Path) -> None:
    if not Path("/dev/nvidia0").exists():
        pytest.skip("no GPU here")
    report = align(pair("RIGHT"), tmp_path, Settings(batch_size=2, device="gpu"))
    assert report.verdict == "same function"


def test_two_runs_do_not_share_a_folder(tmp_path: Path) -> None:
    from alignment.running.prepare import workspace

    with workspace(tmp_path), pytest.raises(FileError, match="another run is writing here"), workspace(tmp_path):
        pass


@pytest.mark.parametrize("name", ["DROPS", "CALLED"])
def test_dropouts_are_off_where_running_statistics_are_compared(name: str, tmp_path: Path) -> None:
    drops = load_pair(f"{PAIRS.with_name('random_pairs.py')}:{name}")
    settings = Settings(steps=("batchnorm", "train_mode"), dtypes=("float64",), batch_size=4, threads=1)
    report = align(drops, tmp_path, settings)
    assert report.verdict == "same function", [row.key for row in report.failures]
    compared = {"batchnorm/logits", "batchnorm/running/bn.running_var", "train_mode/rate_0.5"}
    assert compared <= {row.key for row in report.rows}


def test_model_that_draws_random_numbers_in_training_mode_is_refused(tmp_path: Path) -> None:
    draws = load_pair(f"{PAIRS.with_name('random_pairs.py')}:DRAWS")
    settings = Settings(steps=("batchnorm",), dtypes=("float64",), batch_size=4, threads=1)
    with pytest.raises(AlignmentError, match="drops: the reference gives something else for the same batch once more"):
        align(draws, tmp_path, settings)

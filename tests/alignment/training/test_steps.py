"""The check points of training, in this process and on a small model: the right pair passes, each mistake diverges."""

from __future__ import annotations

import fnmatch
import importlib.util
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import pytest

from alignment.backends.trainers import base as trainers
from alignment.frameworks import FRAMEWORKS
from alignment.judging.judge import judge
from alignment.pair import ROLES, Pair, Role
from alignment.processes.settings import Settings
from alignment.recordings.recording import Manifest, Recorder, open_recording
from alignment.results.report import DIVERGENCE, Report, Row
from alignment.running.weights import write_weights
from alignment.steps.base import TrainingTrial, hindrances
from alignment.steps.training import TRAINING_STEPS
from alignment.training import sample_images
from alignment.training.configuring import configuration, with_precision, with_teacher
from porting.architectures import build
from porting.checkpoint import open_checkpoint
from porting.conversion import write_random
from recipe.config import Config
from recipe.loading import override

EVERYTHING = (
    "mixing.cutmix=1.0",
    "mixing.probability=1.0",
    "augmentation.auto=rand-m9-mstd0.5-inc1",
    "augmentation.erasing=0.5",
    "model.drop_path_rate=0.1",
    "run.accumulation=2",
    "optimizer.clip=5.0",
)
Align = Callable[..., dict[str, Row]]


def _load(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, Path(__file__).with_name(f"{name}.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


WRONG = _load("wrong_trainers")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("training")
    sample_images.write(folder / "pictures", size=32, num_classes=10, train=24, validation=9, seed=0)
    write_random(build("pit_micro"), folder / "teacher.safetensors", seed=5)
    return folder


@pytest.fixture(scope="module")
def align(folder: Path) -> Iterator[Align]:
    """Records steps of both sides here and judges them; a right side is run once for the same steps."""
    recorded: dict[tuple[object, ...], Path] = {}
    with ExitStack() as stack:

        def run(candidate: str, step: str, *overrides: str, updates: int | None = None) -> dict[str, Row]:
            distilled = any("distillation" in each for each in overrides)
            pair: Pair = WRONG.pair(candidate, distilled)
            recordings = {}
            for role in ROLES:
                key = (role, step, overrides, updates, "" if role == "reference" else candidate)
                if key not in recorded:
                    recorded[key] = folder / f"recording-{len(recorded)}"
                    _record(pair, role, step, configured(pair, folder, overrides), updates, folder, recorded[key])
                recordings[role] = {"float64": stack.enter_context(open_recording(recorded[key]))}
            report: Report = judge(recordings["reference"], recordings["candidate"])
            return {row.key.removeprefix(f"{step}/"): row for row in report.rows}

        yield run


def configured(pair: Pair, folder: Path, overrides: tuple[str, ...]) -> Config:
    config = configuration(pair, Settings(batch_size=4), overrides=overrides or EVERYTHING)
    config = override(replace(config, data=replace(config.data, path=str(folder / "pictures"))), [])
    if config.distillation.kind != "none":
        return with_teacher(override(config, ["distillation.teacher=pit_micro"]), folder / "teacher.safetensors")
    return config


def _record(pair: Pair, role: Role, step: str, config: Config, updates: int | None, folder: Path, target: Path) -> None:
    check_point, side = TRAINING_STEPS[step], pair.side(role)
    config = with_precision(config, check_point.once or "float64", check_point.accumulation)
    file = write_weights(pair, role, folder, source=None, seed=0).path
    with open_checkpoint(file) as checkpoint:
        weights = {name: tensor.load() for name, tensor in checkpoint.tensors.items()}
    trial = TrainingTrial(trainers.create(side, config), pair, role, config, weights, file, updates)
    recorder = Recorder()
    for quantity in check_point.run(trial):
        recorder.add(quantity.key, quantity.array, quantity.entry)
    manifest = Manifest(side.framework, "float64", role, pair.name, steps=(step,))
    recorder.write(target, manifest).close()


def diverging(rows: dict[str, Row]) -> set[str]:
    return {key for key, row in rows.items() if row.verdict == DIVERGENCE}


@pytest.mark.parametrize("step", [step for step in TRAINING_STEPS if step != "distributed"])
def test_the_right_pair_passes(align: Align, step: str) -> None:
    rows = align("right", step, updates=4 if step == "train" else None)
    assert rows
    assert not diverging(rows), next(row.reason for row in rows.values() if row.verdict == DIVERGENCE)


@pytest.mark.parametrize(
    ("candidate", "step", "guilty", "innocent"),
    [
        ("late_by_an_epoch", "schedule", ["lr"], []),
        ("without_minimum_rate", "schedule", ["lr"], []),
        ("decays_one_bias", "regularisation", ["decay/head.bias"], ["decay/[!h]*", "decay/head.weight", "drop_path/*"]),
        ("bilinear", "data", ["dataset_1", "dataloader_[012]"], ["folder/*", "list/*", "labels_*"]),
        ("with_a_rounded_mean", "data", ["dataset_[0123]", "dataloader_[012]"], ["folder/*", "list/*", "labels_*"]),
        ("with_another_crop", "data", ["dataset_1", "dataloader_[012]"], ["folder/*", "list/*", "labels_*"]),
        ("reads_blue_first", "data", ["dataset_1", "dataloader_[012]"], ["folder/*", "list/*", "labels_*"]),
        ("skips_the_last_image", "data", ["folder/length", "list/labels", "folder/names"], ["dataset_*"]),
        ("erases_black", "train_data", ["sample_*"], ["order_*", "mixed_*", "targets_*"]),
        ("augments_less", "train_data", ["sample_*"], ["order_*", "mixed_*", "targets_*"]),
        ("bilinear", "train_data", ["sample_*"], ["order_*", "mixed_*", "targets_*"]),
        ("with_other_mixing", "train_data", ["mixed_*", "targets_*"], ["order_*", "sample_*"]),
        ("without_smoothing", "train_data", ["targets_*"], ["order_*", "sample_*", "mixed_*"]),
        ("starts_with_paddles_bias", "init", ["sample/patch_embed.conv.bias"], ["sample/[!p]*", "repeated"]),
        ("starts_with_other_bounds", "init", ["sample/patch_embed.conv.weight"], ["sample/[!p]*", "repeated"]),
        ("starts_wider", "init", ["sample/transformers.1.blocks.0.mlp.fc1.weight"], ["sample/*.mlp.fc2.*", "repeated"]),
        ("forgets_the_seed", "init", ["repeated"], ["alike"]),
        ("starts_as_copies", "init", ["alike"], ["sample/*", "repeated"]),
        ("answers_in_logits", "inference", ["probabilities"], ["top5_classes"]),
        ("without_smoothing", "train", ["loss_[0123]", "gradient_norm_0", "weights/*"], ["lr_*"]),
        ("with_another_average", "train", ["ema/norm.weight"], ["loss_*", "lr_*", "gradient_norm_*", "weights/*"]),
        ("averages_micro_batches", "train", ["ema/norm.weight"], ["loss_*", "lr_*", "gradient_norm_*", "weights/*"]),
        ("without_drop_path", "train", ["loss_*"], ["lr_*"]),
        ("late_by_an_epoch", "train", ["lr_3", "weights/norm.weight"], ["lr_[012]", "loss_[0123]"]),
    ],
)
def test_mistake_diverges_in_its_own_quantities_only(
    align: Align, candidate: str, step: str, guilty: list[str], innocent: list[str]
) -> None:
    rows = align(candidate, step, updates=4 if step == "train" else None)
    diverged = diverging(rows)
    for pattern in guilty:
        assert fnmatch.filter(diverged, pattern), f"no {pattern} among {sorted(diverged)}"
    for pattern in innocent:
        assert fnmatch.filter(rows, pattern), pattern
        assert not fnmatch.filter(diverged, pattern), pattern


def test_the_published_filter_by_names_is_seen_in_every_parameter_that_it_misses(align: Align) -> None:
    diverged = diverging(align("decays_everything", "regularisation"))
    architecture = build("pit_micro")
    exempt = {name for name, spec in architecture.tensors.items() if len(spec.shape) == 1}
    assert {f"decay/{name}" for name in exempt | {"cls_token", "pos_embed"}} == diverged


def test_drop_paths_that_were_never_passed_on_are_missing(align: Align) -> None:
    diverged = diverging(align("without_drop_path", "regularisation"))
    assert "stochastic_layers" in diverged
    assert any(key.startswith("drop_path/") for key in diverged)


@pytest.mark.parametrize("candidate", ["with_a_wide_epsilon", "with_other_betas", "without_bias_correction"])
def test_a_wrong_optimizer_shows_in_the_first_step(align: Align, candidate: str) -> None:
    diverged = diverging(align(candidate, "optimizer"))
    assert any(key.startswith("step_1/") for key in diverged)
    assert any("/parameter/" in key for key in diverged)


def test_a_parameter_that_decays_wrongly_is_the_only_one_that_the_optimizer_gets_wrong(align: Align) -> None:
    diverged = diverging(align("decays_one_bias", "optimizer"))
    assert diverged == {f"step_{step}/parameter/head.bias" for step in (1, 2, 3)}


@pytest.mark.parametrize("kind", ["hard", "soft"])
def test_distillation_passes_and_a_lost_teacher_does_not(align: Align, kind: str) -> None:
    overrides = (
        *EVERYTHING,
        f"distillation.kind={kind}",
        "distillation.weights=later",
        "distillation.teacher=pit_micro",
    )
    assert not diverging(align("right", "train", *overrides, updates=3))
    assert "loss_0" in diverging(align("with_soft_targets_of_logits", "train", *overrides, updates=3))


def test_two_workers_of_either_side_agree_with_one(align: Align) -> None:
    rows = align("right", "distributed", updates=2)
    assert not diverging(rows)
    assert {"loss_1", "weights/norm.weight", "workers/loss_1", "workers/ema/norm.weight"} <= set(rows)


def test_distributed_step_applies_to_every_framework() -> None:
    pair: Pair = WRONG.pair("right")
    for framework in FRAMEWORKS:
        other = replace(pair, candidate=replace(pair.candidate, framework=framework))
        assert hindrances(TRAINING_STEPS, ("distributed", "train"), other) == {}


def test_workers_whose_gradients_are_added_up_diverge(align: Align) -> None:
    diverged = diverging(align("sums_over_workers", "distributed", updates=2))
    assert "loss_0" in diverged

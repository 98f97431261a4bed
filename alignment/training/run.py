"""Check points of training from end to end: configuration, images, both sides at the same time, judgement, report."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from alignment.errors import AlignmentError, FileError
from alignment.frameworks import FRAMEWORKS
from alignment.pair import ROLES, Pair, Role
from alignment.processes.needs import require
from alignment.processes.processes import Progress
from alignment.processes.settings import DTYPES, Settings, chosen
from alignment.results.report import Report
from alignment.running.exact import training_without_kernels
from alignment.running.prepare import Prepared, applicable, prepare, workspace
from alignment.running.run import report_on
from alignment.steps.plain import UPDATES
from alignment.steps.training import TRAINING_STEPS, dtype_of_once
from alignment.training import sample_images
from alignment.training.configuring import configuration, needs_teacher, with_teacher
from alignment.training.worker import TrainingRequest
from porting.architectures import build
from porting.conversion import write_random
from recipe.config import Config
from recipe.loading import dump

_WORKER, _OWN_WORKER = "alignment.training.worker", "alignment.training.own_worker"
_UNOFFICIAL = {"optimizer"}
"""Steps that record weights only, which the files of reprod_log do not hold."""
_READ_IMAGES = {"data", "train_data", "train", "distributed", "inference"}
_UPDATES_AN_EPOCH, _VALIDATION_BATCHES = 6, 5


@dataclass(frozen=True)
class Training:
    """The check points of training to run, and their configuration.

    Attributes:
        steps: Names in `alignment.steps.training.TRAINING_STEPS`.
        config: A YAML file or the name of a shipped configuration; None takes that of the model.
        overrides: Changes of the configuration, `section.setting=value` each.
        updates: Number of updates to compare; None for each step's own number.
        data: Folder with images to validate and train on; None writes sample images.
        teacher: Checkpoint of the teacher, where the configuration distils; None draws random weights.

    Raises:
        UnknownNameError: A step is not known.
        AlignmentError: There is no step, or less than one update.
    """

    steps: tuple[str, ...] = tuple(TRAINING_STEPS)
    config: str | os.PathLike[str] | None = None
    overrides: Sequence[str] = ()
    updates: int | None = None
    data: Path | None = None
    teacher: Path | None = None

    def __post_init__(self) -> None:
        chosen("step", self.steps, TRAINING_STEPS)
        if self.updates is not None and self.updates < 1:
            raise AlignmentError(f"{self.updates} updates are asked for, expected 1 or more")


def align(
    pair: Pair,
    out: str | os.PathLike[str],
    training: Training | None = None,
    settings: Settings | None = None,
    *,
    progress: Progress | None = None,
    command: str = "",
) -> Report:
    """Run the check points of training on both sides of a pair and judge them.

    Args:
        pair: From `alignment.pair.published.build` or `alignment.pair.load_pair`.
        out: Folder for everything that the run writes; what an earlier run left there is replaced.
        training: Steps, configuration, images, updates.
        settings: Precisions, device, weights and so on; its steps are ignored.
        progress: Called as the sides report.
        command: The command line, for manifests and report.

    Returns:
        The report, which is in `out/report.json` as well.

    Raises:
        NothingComparedError: The pair has no trainers.
        AlignmentError: A side could not run.
        ConfigError: The configuration cannot be understood or carried out.
        PortingError: Weights cannot be read or do not fit the model.
    """
    with _recorded(pair, ROLES, out, training, settings, progress, command) as (prepared, official, notes, program):
        report = report_on(prepared, official=official, notes=notes)
        return training_without_kernels(prepared, report, *program, progress)


def record(
    pair: Pair,
    role: Role,
    out: str | os.PathLike[str],
    training: Training | None = None,
    settings: Settings | None = None,
    *,
    progress: Progress | None = None,
    command: str = "",
) -> list[Path]:
    """Run one side's check points of training alone; see `alignment.running.run.record`.

    Returns:
        The recordings, one a precision.
    """
    with _recorded(pair, (role,), out, training, settings, progress, command) as (prepared, *_):
        return prepared.recordings(role)


@contextmanager
def _recorded(
    pair: Pair,
    roles: Sequence[Role],
    out: str | os.PathLike[str],
    training: Training | None,
    settings: Settings | None,
    progress: Progress | None,
    command: str,
) -> Iterator[tuple[Prepared, str | None, list[str], tuple[str, tuple[str, ...]]]]:
    """A run whose sides have left their recordings; its folder is held until the context is left.

    Yields:
        The run, the precision of its official files (None where no step has some), the notes for the report, and the
        program of a side with what it is given beside its request.
    """
    training, settings = training or Training(), settings or Settings(dtypes=("float64",))
    halves = [dtype for dtype in settings.dtypes if dtype not in DTYPES]
    if halves:
        raise AlignmentError(f"training is compared in {' and '.join(DTYPES)}: leave out --dtype {halves[0]}")
    settings = replace(settings, dtypes=_possible(settings.dtypes, pair))
    if pair.own:
        with _recorded_own(pair, roles, out, training, settings, progress, command) as recorded:
            yield recorded
        return
    with workspace(Path(out).absolute()) as folder:
        if settings.inputs is not None:
            raise AlignmentError("training reads image files: name their folder with --data, not a batch with --inputs")
        steps, notes = applicable(TRAINING_STEPS, training.steps, pair)
        require(pair, settings, roles)
        config = configuration(
            pair, settings, source=training.config, overrides=training.overrides, teacher=training.teacher
        )
        config, remarks = _with_files(config, folder, training, settings)
        config_file, request = folder / "workers" / "config.yaml", folder / "workers" / "training.json"
        config_file.write_text(dump(config), encoding="utf-8")
        digest = sample_images.digest(Path(config.data.path))
        TrainingRequest(steps, str(config_file), training.updates, digest).write(request)
        of_model = replace(settings, steps=("forward",), batch_size=1)  # the worker runs neither these steps nor batch
        prepared = prepare(pair, folder, of_model, roles=roles, progress=progress, command=command)
        prepared.run_sides(progress, _WORKER, (str(request),))
        official = dtype_of_once(settings.dtypes, pair) if set(training.steps) - _UNOFFICIAL else None
        yield prepared, official, [*notes, *remarks], (_WORKER, (str(request),))


def _possible(dtypes: tuple[str, ...], pair: Pair) -> tuple[str, ...]:
    """The precisions of a run, and float32 where a side has no other: it is held against the reference's float64."""
    alone = any(not set(dtypes) & set(FRAMEWORKS[pair.side(role).framework].dtypes) for role in ROLES)
    return ("float32", *dtypes) if alone else dtypes


@contextmanager
def _recorded_own(
    pair: Pair,
    roles: Sequence[Role],
    out: str | os.PathLike[str],
    training: Training,
    settings: Settings,
    progress: Progress | None,
    command: str,
) -> Iterator[tuple[Prepared, str | None, list[str], tuple[str, tuple[str, ...]]]]:
    """The same for a pair of one's own, whose sides each return an `alignment.pair.Training`."""
    for option, value in (("--config", training.config), ("--set", training.overrides), ("--data", training.data)):
        if value:
            raise AlignmentError(
                f"{option} is for the recipes of published models: {pair.name} has rules, and is trained by what "
                "its Side.training returns; leave it out"
            )
    if training.teacher is not None:
        raise AlignmentError("--teacher is for the recipes of published models: leave it out")
    steps, notes = applicable(TRAINING_STEPS, training.steps, pair)
    with workspace(Path(out).absolute()) as folder:
        request = folder / "workers" / "training.json"
        TrainingRequest(steps, "", training.updates, "", settings.batch_size).write(request)
        drawn = settings.batch_size * ((training.updates or UPDATES) if "train" in steps else 1)
        of_model = replace(settings, steps=("forward",), batch_size=drawn)
        prepared = prepare(pair, folder, of_model, roles=roles, progress=progress, command=command)
        prepared.run_sides(progress, _OWN_WORKER, (str(request),))
        official = dtype_of_once(settings.dtypes, pair) if set(steps) - _UNOFFICIAL else None
        yield prepared, official, notes, (_OWN_WORKER, (str(request),))


def _with_files(config: Config, folder: Path, training: Training, settings: Settings) -> tuple[Config, list[str]]:
    """The configuration with the paths of images and teacher, which are written where none are given, and remarks."""
    data, remarks = training.data or folder / "workers" / "pictures", []
    if training.data is None and _READ_IMAGES & set(training.steps):
        what = sample_images.write(
            data,
            size=config.model.image_size,
            num_classes=config.model.num_classes,
            train=_UPDATES_AN_EPOCH * config.data.batch_size * config.run.accumulation,
            validation=_VALIDATION_BATCHES * config.data.batch_size + 1,
            seed=settings.seed,
        )
        remarks.append(f"the images are {what}")
    elif training.data is not None and not data.is_dir():
        raise FileError(data, "no such folder of images")
    config = replace(config, data=replace(config.data, path=str(data.absolute()), format="auto"))
    if needs_teacher(config):
        name, path = config.distillation.teacher, folder / "weights" / "teacher.safetensors"
        architecture = build(name, image_size=config.model.image_size, num_classes=config.model.num_classes)
        write_random(architecture, path, seed=settings.seed + 1)
        config = with_teacher(config, path)
        remarks.append(f"the teacher, {name}, has random weights; --teacher FILE takes others")
    return config, remarks

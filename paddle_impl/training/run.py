"""`train` and `evaluate`: carry out what a configuration describes."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import paddle
from rich.console import Console

from paddle_impl.training.assembly import assemble as assemble_training
from paddle_impl.training.assembly import assemble_evaluation
from paddle_impl.training.engine import Engine, Follower, Timetable
from paddle_impl.training.evaluation import Evaluation, evaluate_model
from paddle_impl.training.following import Following, Tracker
from paddle_impl.training.foreign_state import is_foreign, restore_foreign
from paddle_impl.training.log import CURVES, LOG, Log, draw_curves
from paddle_impl.training.parallel import World, join
from paddle_impl.training.parts import EvalSource, Parts
from paddle_impl.training.precision import Precision, device_of
from paddle_impl.training.provenance import about, continued
from paddle_impl.training.saving import LATEST, Store, checkpoint_to_resume
from paddle_impl.training.signals import Stop, exit_code
from paddle_impl.training.split_state import restore_split
from paddle_impl.training.state import Best, Progress, restore
from porting.checkpoint.formats.nested import Nested, Tree
from porting.training_state.paddle_files import is_split
from recipe.classes import CLASSES
from recipe.config import Config
from recipe.draws import Randomness, Seeded
from recipe.errors import TrainingError
from recipe.runs.log import read_log
from recipe.weights import require_teacher


@dataclass(frozen=True)
class Result:
    """Result of a run.

    Attributes:
        epochs: Epochs that are done.
        best: The best evaluation; None where nothing was evaluated.
        history: Each evaluation: epoch, weights (`model` or `ema`), images, top1, top5, k, loss.
        checkpoint: Path of the latest checkpoint.
        stopped: Name of the signal that ended the run early; None for one that is done.
    """

    epochs: int
    best: Best | None
    history: tuple[dict[str, Any], ...]
    checkpoint: Path
    stopped: str | None

    @property
    def exit_code(self) -> int:
        """0; 143 after SIGTERM, 130 after SIGINT, 129 after SIGHUP."""
        return exit_code(self.stopped)


Assemble: TypeAlias = Callable[[Config, World, Precision, Randomness], Parts]


def train(
    config: Config,
    *,
    resume: str | os.PathLike[str] | None = None,
    last_epoch: int | None = None,
    tape: Randomness | None = None,
    assemble: Assemble = assemble_training,
    console: Console | None = None,
) -> Result:
    """Carry out a run: alone, or as one of the processes that `paddle.distributed.launch` started.

    SIGTERM, SIGINT and SIGHUP end it after the current update, with everything saved.

    Args:
        config: The whole configuration.
        resume: A checkpoint, or the folder of a run, to resume; `auto` resumes the run in the output folder if there
            is one, and else starts one. Of hatimwen/paddle_pit it is the path that its three files have in common.
        last_epoch: Epochs that the run to resume has done, where its checkpoint does not say so.
        tape: Source of the draws of data, augmentation and the model's layers, in place of the seed.
        assemble: Makes the parts; by default those that the configuration names.
        console: Where to show progress; standard error by default.

    Raises:
        ConfigError: The configuration cannot be carried out here, or is not that of the run to resume.
        DataError: Images are not as announced.
        TrainingError: The output holds a run and `resume` was not given, or the loss is not finite.
        CheckpointError: A checkpoint cannot be read or written.
    """
    output = Path(config.run.output)
    if config.distillation.kind != "none" and config.distillation.weights is not None:
        require_teacher(config.distillation.weights)
    world, precision = _prepared(config)
    start = checkpoint_to_resume(resume, output)
    seeded = Seeded(config.run.seed)
    with ExitStack() as stack:
        stop, store = stack.enter_context(Stop()), stack.enter_context(Store(output, writes=world.leads))
        paddle.seed(seeded.word("initial"))
        parts = assemble(config, world, precision, seeded if tape is None else tape)
        stack.callback(parts.close)
        progress, entries, read = _started(config, parts, world, precision, start, last_epoch)
        for model in (parts.model, *(() if parts.average is None else (parts.average.model,))):
            world.share(model.state_dict().values())
        if world.leads and parts.classes:
            (output / CLASSES).write_text("".join(f"{name}\n" for name in parts.classes), encoding="utf-8")
        follower = stack.enter_context(_following(config, world, progress, console))
        for note in (*parts.notes, *read):
            follower.show(note)
        engine = Engine(
            parts,
            _timetable(config),
            store,
            follower,
            stop,
            seed=config.run.seed,
            world=world,
            precision=precision,
            tape=tape,
            about=entries,
        )
        progress = engine.run(progress)
        stopped = (stop.requested or "SIGTERM") if engine.stopped else None
        if world.leads:
            _show_end(follower, output, stopped)
    return Result(progress.epoch, progress.best, progress.history, output / LATEST, stopped)


def evaluate(
    config: Config,
    *,
    assemble: Callable[[Config, World, Precision], tuple[paddle.nn.Layer, EvalSource]] = assemble_evaluation,
    console: Console | None = None,
) -> Evaluation:
    """Evaluate the weights that the configuration names on its validation images, each counted once.

    Args:
        config: `model.weights` names a checkpoint of any format and layout; of a training checkpoint the average is
            taken.
        assemble: Makes model and images; by default those that the configuration names.
        console: Where to show progress; standard error by default.

    Raises:
        ConfigError: The configuration cannot be carried out here.
        DataError: Images are not as announced.
        TrainingError: A logit is not finite, or the evaluation was interrupted.
        CheckpointError: The weights cannot be read.
    """
    world, precision = _prepared(config)
    model, source = assemble(config, world, precision)
    world.share(model.state_dict().values())
    with Stop() as stop, _counting(console, world) as seen:
        evaluation = evaluate_model(
            model, source, world, precision, seen=seen, stopped=lambda: stop.requested is not None
        )
    if evaluation is None:
        raise TrainingError(f"the evaluation was ended by {stop.requested or 'a signal'}, and has no result")
    return evaluation


def _prepared(config: Config) -> tuple[World, Precision]:
    device = device_of(config.run.device)
    precision = Precision.of(config.run.precision, device)
    local = f":{paddle.distributed.ParallelEnv().device_id}" if device == "gpu" else ""
    paddle.set_device(device + local)
    return join(), precision


def _started(
    config: Config, parts: Parts, world: World, precision: Precision, start: Path | None, last_epoch: int | None
) -> tuple[Progress, dict[str, Tree], tuple[str, ...]]:
    """The progress that the run starts with, the entries of its checkpoints beside the state, and what was read."""
    notes: tuple[str, ...] = ()
    progress, entries = Progress(), about(config, world, parts.fingerprint)
    if start is not None:
        if is_foreign(start):
            progress, notes = restore_foreign(start, parts, precision, last_epoch)
            return _from_one_place(world, progress), entries, notes
        with Nested(start) as checkpoint:
            entries = continued(checkpoint, config, world, parts.fingerprint)
            if is_split(checkpoint):
                progress, notes = restore_split(checkpoint, parts, last_epoch)
            else:
                progress = restore(checkpoint, parts, precision)
                if last_epoch not in (None, progress.epoch):
                    notes = (f"--last-epoch changes nothing: {start} was written after {progress.epoch} epochs",)
    return _from_one_place(world, progress), entries, notes


def _from_one_place(world: World, progress: Progress) -> Progress:
    """The progress, which has to be the same on all ranks."""
    places = world.gather((progress.epoch, progress.update))
    if len(set(places)) > 1:
        raise TrainingError(
            f"the ranks go on from different places {places}; the checkpoint has to be in a folder that all of them see"
        )
    return progress


def _timetable(config: Config) -> Timetable:
    run, schedule = config.run, config.schedule
    return Timetable(
        schedule.epochs + schedule.cooldown_epochs, run.validate_every, run.save_every, run.save_updates, run.log_every
    )


@contextmanager
def _following(config: Config, world: World, progress: Progress, console: Console | None) -> Iterator[Follower]:
    if not world.leads:
        yield Follower()
        return
    output = Path(config.run.output)
    tracker = Tracker(config.run.tracker, output / config.run.tracker)
    with Log(output, progress.epoch, progress.update) as log:
        log.write("start", epoch=progress.epoch, update=progress.update, ranks=world.size)
        with Following(log, _timetable(config).epochs, tracker, console) as following:
            yield following


@contextmanager
def _counting(console: Console | None, world: World) -> Iterator[Callable[[int], None]]:
    console = console or Console(stderr=True)
    if not (world.leads and console.is_terminal):
        yield lambda count: None
        return
    total = 0
    with console.status("evaluating") as status:

        def seen(count: int) -> None:
            nonlocal total
            total += count * world.size
            status.update(f"evaluating, {total} images")

        yield seen


def _show_end(follower: Follower, output: Path, stopped: str | None) -> None:
    try:
        draw_curves(read_log(output / LOG), output / CURVES)
    except ImportError:
        follower.show(f"{CURVES} was not drawn: it needs matplotlib (pip install matplotlib)")
    if stopped is not None:
        follower.show(f"stopped by {stopped}; {output / LATEST} holds everything to go on from")

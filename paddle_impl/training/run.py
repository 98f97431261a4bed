"""`train` and `evaluate`: a configuration in, a run done."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import paddle
from rich.console import Console

from paddle_impl.training.curves import CURVES, draw_curves
from paddle_impl.training.engine import Engine, Tape, Timetable
from paddle_impl.training.evaluation import Evaluation, evaluate_model
from paddle_impl.training.following import Following, Silent
from paddle_impl.training.log import LOG, Log, read_log
from paddle_impl.training.parallel import World, join
from paddle_impl.training.precision import Precision, device_of
from paddle_impl.training.protocols import EvalSource, Parts
from paddle_impl.training.provenance import about, continued
from paddle_impl.training.saving import LATEST, Store, checkpoint_to_resume
from paddle_impl.training.signals import Stop, exit_code
from paddle_impl.training.state import Best, Progress, restore
from paddle_impl.training.tracking import Tracker
from porting.checkpoint.formats.nested import Nested, Tree
from recipe.classes import CLASSES
from recipe.config import Config
from recipe.draws import Randomness, Seeded
from recipe.errors import TrainingError


@dataclass(frozen=True)
class Result:
    """What came of a run.

    Attributes:
        epochs: That are done.
        best: None where nothing was evaluated.
        history: Each evaluation: epoch, weights (`model` or `ema`), images, top1, top5, k, loss.
        checkpoint: The latest.
        stopped: Name of the signal that ended the run early; None for one that is done.
    """

    epochs: int
    best: Best | None
    history: tuple[dict[str, Any], ...]
    checkpoint: Path
    stopped: str | None

    @property
    def exit_code(self) -> int:
        """0; 143 after SIGTERM, 130 after SIGINT."""
        return exit_code(self.stopped)


class Assemble(Protocol):
    """Makes the parts of a run."""

    def __call__(self, config: Config, world: World, precision: Precision, randomness: Randomness) -> Parts:
        """On the device that is set."""


def train(
    config: Config,
    *,
    resume: str | os.PathLike[str] | None = None,
    tape: Tape | None = None,
    assemble: Assemble | None = None,
    console: Console | None = None,
) -> Result:
    """Carries out a run: alone, or as one of the processes that `paddle.distributed.launch` started.

    SIGTERM and SIGINT end it after the update in hand, with everything saved.

    Args:
        config: All of it.
        resume: A checkpoint, or the folder of a run, to go on from; `auto` goes on where the output holds a run and
            starts one where it does not.
        tape: Randomness for data, augmentation and the model's layers, in place of the seed's.
        assemble: Makes the parts; by default those that the configuration names.
        console: Where to show progress; standard error by default.

    Raises:
        ConfigError: The configuration cannot be carried out here, or is not that of the run to go on from.
        DataError: Images are not as announced.
        TrainingError: The output holds a run and `resume` was not given, or the loss is not finite.
        CheckpointError: A checkpoint cannot be read or written.
    """
    output = Path(config.run.output)
    world, precision = _prepared(config)
    start = checkpoint_to_resume(resume, output)
    randomness = tape.randomness if tape is not None else Seeded(config.run.seed)
    with ExitStack() as stack:
        stop, store = stack.enter_context(Stop()), stack.enter_context(Store(output, writes=world.leads))
        paddle.seed(Seeded(config.run.seed).word("initial"))
        parts = (assemble or _assemble)(config, world, precision, randomness)
        stack.callback(parts.close)
        progress, said = _started(config, parts, world, precision, start)
        for model in (parts.model, *(() if parts.average is None else (parts.average.model,))):
            world.share(model.state_dict().values())
        if world.leads and parts.classes:
            (output / CLASSES).write_text("".join(f"{name}\n" for name in parts.classes), encoding="utf-8")
        follower = stack.enter_context(_following(config, world, progress, console))
        for note in parts.notes:
            follower.told(note)
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
            about=said,
        )
        progress = engine.run(progress)
        stopped = (stop.requested or "SIGTERM") if engine.stopped else None
        if world.leads:
            _told_end(follower, output, stopped)
    return Result(progress.epoch, progress.best, progress.history, output / LATEST, stopped)


def evaluate(
    config: Config,
    *,
    assemble: Callable[[Config, World, Precision], tuple[paddle.nn.Layer, EvalSource]] | None = None,
    console: Console | None = None,
) -> Evaluation:
    """Evaluates the weights that the configuration names on its validation images, each counted once.

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
    model, source = (assemble or _assemble_evaluation)(config, world, precision)
    world.share(model.state_dict().values())
    with Stop() as stop, _counting(console, world) as seen:
        found = evaluate_model(model, source, world, precision, seen=seen, stopped=lambda: stop.requested is not None)
    if found is None:
        raise TrainingError(f"the evaluation was ended by {stop.requested or 'a signal'}, and has no result")
    return found


def _prepared(config: Config) -> tuple[World, Precision]:
    device = device_of(config.run.device)
    precision = Precision.of(config.run.precision, device)
    local = f":{paddle.distributed.ParallelEnv().device_id}" if device == "gpu" else ""
    paddle.set_device(device + local)
    return join(), precision


def _assemble(config: Config, world: World, precision: Precision, randomness: Randomness) -> Parts:
    from paddle_impl.training.assembly import assemble

    return assemble(config, world, precision, randomness)


def _assemble_evaluation(config: Config, world: World, precision: Precision) -> tuple[paddle.nn.Layer, EvalSource]:
    from paddle_impl.training.assembly import assemble_evaluation

    return assemble_evaluation(config, world, precision)


def _started(
    config: Config, parts: Parts, world: World, precision: Precision, start: Path | None
) -> tuple[Progress, dict[str, Tree]]:
    """Where the run is, and what its checkpoints say of it."""
    progress, said = Progress(), about(config, world, parts.fingerprint)
    if start is not None:
        with Nested(start) as checkpoint:
            said = continued(checkpoint, config, world, parts.fingerprint)
            progress = restore(checkpoint, parts, precision)
    places = world.gather((progress.epoch, progress.update))
    if len(set(places)) > 1:
        raise TrainingError(
            f"the ranks go on from different places {places}; the checkpoint has to be in a folder that all of them see"
        )
    return progress, said


def _timetable(config: Config) -> Timetable:
    run, schedule = config.run, config.schedule
    return Timetable(
        schedule.epochs + schedule.cooldown_epochs, run.validate_every, run.save_every, run.save_updates, run.log_every
    )


@contextmanager
def _following(
    config: Config, world: World, progress: Progress, console: Console | None
) -> Iterator[Following | Silent]:
    if not world.leads:
        yield Silent()
        return
    output = Path(config.run.output)
    tracker = Tracker(config.run.tracker, output / config.run.tracker)
    with ExitStack() as stack:
        log = stack.enter_context(Log(output, progress.epoch, progress.update))
        log.write("start", epoch=progress.epoch, update=progress.update, ranks=world.size)
        yield stack.enter_context(Following(log, _timetable(config).epochs, tracker, console))


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


def _told_end(follower: Following | Silent, output: Path, stopped: str | None) -> None:
    try:
        draw_curves(read_log(output / LOG), output / CURVES)
    except ImportError:
        follower.told(f"{CURVES} was not drawn: it needs matplotlib (pip install matplotlib)")
    if stopped is not None:
        follower.told(f"stopped by {stopped}; {output / LATEST} holds everything to go on from")

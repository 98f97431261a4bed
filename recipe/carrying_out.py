"""What `pit-train` does in a framework beside Paddle: training, evaluation and prediction, around a run of its own."""

from __future__ import annotations

import json
import os
import sys
import tempfile
import traceback
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from math import isfinite
from pathlib import Path
from typing import Any, Protocol, TypeAlias

import numpy.typing as npt

from porting.errors import ExpectedError
from porting.terminal.signals import ending_by_signals
from recipe.classes import read_classes
from recipe.config import Config
from recipe.errors import ConfigError, TrainingError
from recipe.loading import load
from recipe.predictions import class_names, classify, report
from recipe.programs import Request, read_request, tell_error
from recipe.runs.folder import begin_log, best_so_far, held, log, require_same_run, write_classes, write_state
from recipe.runs.resuming import require_no_other_run, require_regular
from recipe.samples import Samples, check, find, fingerprint
from recipe.weights import require_teacher, without_head

COULD_NOT_RUN = 3
"""Exit code of what could not be carried out."""
Note: TypeAlias = Callable[[str], None]
"""Takes a line for people."""


@dataclass(frozen=True, slots=True)
class Step:
    """One update that is done.

    Attributes:
        epoch: Number of the epoch, from 0.
        update: Number of the update in its epoch, from 0.
        loss: Mean loss of its micro-batches.
        rate: Learning rate of the update.
        gradient_norm: Norm of the gradients before clipping.
        images: Images of the update.
        seconds: Duration, reading included.
    """

    epoch: int
    update: int
    loss: float
    rate: float
    gradient_norm: float
    images: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Evaluation:
    """Accuracy and loss of a model on a set of images.

    Attributes:
        images: Number of images.
        top1: Share of them whose label has the highest logit.
        top5: Share of them whose label is among the `k` highest logits.
        k: 5, or the class count where there are fewer.
        loss: Mean cross entropy with the labels.
    """

    images: int
    top1: float
    top5: float
    k: int
    loss: float


class Running(Protocol):
    """A run of a configuration in a framework."""

    @property
    def config(self) -> Config:
        """The whole configuration."""

    @property
    def notes(self) -> tuple[str, ...]:
        """What was read from the weights and what was changed, one line each."""

    @property
    def epochs(self) -> int:
        """Epochs of the run, cooldown included."""

    @property
    def updates(self) -> int:
        """Updates of an epoch."""

    @property
    def averaged(self) -> bool:
        """True if there is a moving average of the weights."""

    @property
    def leads(self) -> bool:
        """True for the only process of a run, or the one that writes its files."""

    def epoch(self, epoch: int) -> Iterator[Step]:
        """Train an epoch, and yield each update after it is done."""

    def evaluate(self, weights: str) -> Evaluation:
        """Evaluate `model` or `ema` on the validation images."""

    def save(self, epoch: int, path: Path) -> None:
        """Write the state after an epoch; the file appears whole or not at all."""

    def restore(self, path: Path) -> int:
        """Take the state that a file holds, and return its epoch.

        Raises:
            Exception: Whatever the framework finds wrong with a file or a state.
        """


class Framework(Protocol):
    """A framework that carries out requests.

    Attributes:
        latest: Name of the file with the state after the last epoch.
        best: Name of the file with the best state by top-1.
    """

    latest: str
    best: str

    def run(self, config: Config) -> Running:
        """Prepare a run.

        Raises:
            TrainingError: The configuration cannot be carried out, or a checkpoint holds another model.
        """

    def open(self, config: Config) -> Opened:
        """Return the model that the configuration's weights hold, in evaluation mode."""


class Opened(Protocol):
    """A model with its weights, in evaluation mode.

    Attributes:
        notes: What was read and what was changed, one line each.
        fresh: Names of the tensors that the weights lack.
    """

    notes: tuple[str, ...]
    fresh: tuple[str, ...]

    def evaluate(self) -> Evaluation:
        """Evaluate on the configuration's validation images."""

    def prepare(self, image: Any) -> npt.NDArray[Any]:
        """Bring an RGB image to the model's `(3, size, size)`, float32."""

    def shares(self, images: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Return probabilities `(batch, classes)` of images `(batch, 3, size, size)`."""


def run_as_program(framework: Framework) -> int:
    """Carry out the request on standard input; return the exit code.

    SIGTERM and SIGHUP remove a draft, and end the process by the signal.
    """
    request = read_request(sys.stdin.read())
    try:
        with ending_by_signals():
            carry_out(request, framework)
            sys.stdout.flush()
    except KeyboardInterrupt:  # the command that started this process says so
        return COULD_NOT_RUN
    except BrokenPipeError:  # whoever read the output has enough, as `head` has
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return COULD_NOT_RUN
    except Exception as error:  # a framework's error, or a defect of ours, is told in a line
        return tell_error(*_told(error), as_json=request.as_json)
    return 0


def _told(error: Exception) -> tuple[str, int]:
    """The line to print for an error, and the exit code."""
    if isinstance(error, ExpectedError):
        return str(error), error.exit_code
    if isinstance(error, OSError):
        return str(error), COULD_NOT_RUN
    return f"failed in a way that was not expected ({_with_place(error)})", COULD_NOT_RUN


def _with_place(error: Exception) -> str:
    """An error's class, the first line of its message, and the line of code that raised it."""
    *_, last = traceback.extract_tb(error.__traceback__)
    return f"{type(error).__name__}: {_first_line(error)}, {last.filename}:{last.lineno}"


def _first_line(error: Exception) -> str:
    """The first line of an error's message; its class where there is none."""
    if isinstance(error, KeyError):
        return f"it lacks {error}"
    return next((line for line in str(error).splitlines() if line.strip(" -")), type(error).__name__)


def carry_out(request: Request, framework: Framework) -> None:
    """Carry out a request.

    Raises:
        ConfigError: The configuration cannot be carried out here.
        DataError: Images cannot be used.
        TrainingError: A checkpoint is of another model, or the output holds a run.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "config.yaml"
        path.write_text(request.config, encoding="utf-8")
        config = load(path)
    note = (lambda line: None) if request.quiet else (lambda line: print(line, file=sys.stderr, flush=True))
    {"train": _train, "eval": _evaluate, "predict": _predict}[request.action](request, config, framework, note)


def _train(request: Request, config: Config, framework: Framework, note: Note) -> None:
    output = Path(config.run.output)
    if config.distillation.kind != "none" and config.distillation.weights is not None:
        require_teacher(config.distillation.weights)
    if request.resume is None and (output / framework.latest).exists():
        raise TrainingError(
            f"{output}: holds a run, which a new one would overwrite; resume it, or choose another run.output"
        )
    state = _state_of(request.resume, output, framework.latest)
    images, remarks = _images(config)
    digest = fingerprint(images, Path(config.data.path))
    if state is None:
        require_no_other_run(output, framework.latest)
    else:
        require_same_run(state, config, digest)
    run = framework.run(config)
    with held(output) if run.leads else nullcontext():
        first = 0 if state is None else _resumed(run, state)
        if run.leads:
            write_classes(output, images.classes)
            begin_log(output, config, digest, first)
        else:
            note = _silent
        for line in (*run.notes, *remarks):
            note(line)
        _epochs(run, first, output, framework, note)


def _images(config: Config) -> tuple[Samples, tuple[str, ...]]:
    """The training images, and remarks on what is unusual about them and those to evaluate on."""
    images = find(config.data, "train")
    remarks = check(images, config.model.num_classes)
    if not config.run.validate_every:
        return images, remarks
    return images, (*remarks, *check(find(config.data, "validation"), config.model.num_classes, images))


def _epochs(run: Running, first: int, output: Path, framework: Framework, note: Note) -> None:
    """Carry out the epochs; the latest state comes last, so that a run that is killed writes the best one again."""
    best = best_so_far(output, framework.best)
    for epoch in range(first, run.epochs):
        _one_epoch(run, epoch, output, note)
        top1 = _validated(run, epoch, output, note)
        if top1 is not None and top1 > best:
            best = top1
            _save(run, epoch, output / framework.best)
        _save(run, epoch, output / framework.latest)


def _one_epoch(run: Running, epoch: int, output: Path, note: Note) -> None:
    epochs, updates, every = run.epochs, run.updates, run.config.run.log_every
    for step in run.epoch(epoch):
        if not isfinite(step.loss):
            raise TrainingError(f"the loss is {step.loss} in epoch {epoch}, at update {step.update + 1}")
        if run.leads and ((step.update + 1) % every == 0 or step.update + 1 == updates):
            log(output, {"event": "train", **asdict(step)})
            place = f"epoch {epoch + 1}/{epochs}, update {step.update + 1}/{updates}"
            note(f"{place}: loss {step.loss:.4f}, rate {step.rate:.3g}")


def _validated(run: Running, epoch: int, output: Path, note: Note) -> float | None:
    """The best top-1 of the model and its average after an epoch; None where it is not evaluated."""
    every, epochs = run.config.run.validate_every, run.epochs
    if not every or not ((epoch + 1) % every == 0 or epoch + 1 == epochs):
        return None
    results = {weights: run.evaluate(weights) for weights in ("model", "ema") if weights == "model" or run.averaged}
    for weights, result in results.items() if run.leads else ():
        log(output, {"event": "evaluate", "epoch": epoch, "weights": weights, **asdict(result)})
        note(f"epoch {epoch + 1}/{epochs}: {weights} {_summary(result)}")
    return max(result.top1 for result in results.values())


def _evaluate(request: Request, config: Config, framework: Framework, note: Note) -> None:
    model = _opened(config, framework, note)
    check(find(config.data, "validation"), config.model.num_classes)
    result = model.evaluate()
    if request.as_json:
        print(json.dumps(asdict(result)))
    elif not request.quiet:
        print(_summary(result))


def _predict(request: Request, config: Config, framework: Framework, note: Note) -> None:
    model = _opened(config, framework, note)
    names = class_names(config.model, read_classes(Path(request.classes)) if request.classes else None)
    predictions = classify(map(Path, request.images), model.prepare, model.shares, names, request.top)
    for line in report(predictions, as_json=request.as_json):
        if request.as_json or not request.quiet:
            print(line)


def _opened(config: Config, framework: Framework, note: Note) -> Opened:
    """The model in evaluation mode, with every tensor from the weights that the configuration names."""
    if config.model.weights is None:
        raise ConfigError("an evaluation needs weights: set model.weights to a checkpoint")
    model = framework.open(config)
    if model.fresh:
        raise without_head(config, model.fresh)
    for line in model.notes:
        note(line)
    return model


def _save(run: Running, epoch: int, path: Path) -> None:
    if run.leads:
        write_state(path, lambda draft: run.save(epoch, draft))


def _resumed(run: Running, path: Path) -> int:
    """Bring a run to the place after the last epoch of a state; return the epoch to go on with."""
    try:
        return run.restore(path) + 1
    except OSError as error:
        raise TrainingError(f"{path}: cannot be read ({error.strerror})") from None
    except Exception as error:  # whatever a framework finds wrong with a file or a state
        problem = f"{path}: is no state of this run: {_first_line(error)}"
        raise TrainingError(f"{problem}; model.weights={path} starts from its weights alone") from None


def _state_of(resume: str | None, output: Path, latest: str) -> Path | None:
    """The file to go on from; None for a run that starts.

    Raises:
        TrainingError: There is no such file.
    """
    path = output / latest if resume == "auto" else Path(resume or "")
    if resume is None or (resume == "auto" and not path.exists()):
        return None
    path = path / latest if path.is_dir() else path
    if not path.exists():
        raise TrainingError(f"{path}: there is no checkpoint to resume; check the path")
    require_regular(path)
    return path


def _silent(line: str) -> None:
    """Take a line that the first process shows."""


def _summary(result: Evaluation) -> str:
    shares = f"top-1 {result.top1:.2%}  top-{result.k} {result.top5:.2%}"
    return f"{shares}  loss {result.loss:.4f}  {result.images} images"

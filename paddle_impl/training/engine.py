"""The training loop: updates, evaluations and checkpoints of a run, as one rank carries them out."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from math import isfinite
from typing import Any

import paddle
from paddle import Tensor

from paddle_impl.training.evaluation import evaluate_model
from paddle_impl.training.injection import inject
from paddle_impl.training.parallel import World
from paddle_impl.training.parts import MicroBatch, Parts
from paddle_impl.training.precision import Precision
from paddle_impl.training.saving import BEST, Store, epoch_name
from paddle_impl.training.signals import Stop
from paddle_impl.training.state import Best, Progress, capture
from porting.checkpoint.formats.nested import Tree
from recipe.draws import Randomness, Seeded
from recipe.errors import TrainingError


@dataclass(frozen=True)
class Timetable:
    """When a run evaluates, saves and logs; 0 means never.

    Attributes:
        epochs: Epochs of the whole run.
        validate_every: Epochs between evaluations; the last epoch is always evaluated.
        save_every: Epochs between checkpoints that are kept.
        save_updates: Updates between saves within an epoch.
        log_every: Updates between lines of the log.
    """

    epochs: int
    validate_every: int = 1
    save_every: int = 0
    save_updates: int = 0
    log_every: int = 50

    def evaluates(self, epoch: int) -> bool:
        """True if this epoch, counted from 0, ends with an evaluation."""
        return self.validate_every > 0 and _is_due(epoch + 1, self.validate_every, self.epochs)

    def keeps(self, epoch: int) -> bool:
        """True if the checkpoint after this epoch, counted from 0, is kept."""
        return self.save_every > 0 and (epoch + 1) % self.save_every == 0

    def saves(self, update: int, updates: int) -> bool:
        """True if a checkpoint is due within an epoch, after `update` of its `updates`."""
        return self.save_updates > 0 and update % self.save_updates == 0 and update < updates

    def logs(self, update: int, updates: int) -> bool:
        """True if a line of the log is due after `update` of the `updates` of an epoch."""
        return _is_due(update, self.log_every, updates)


def _is_due(done: int, every: int, last: int) -> bool:
    return done == last or (every > 0 and done % every == 0)


@dataclass(frozen=True)
class Update:
    """One update that is done, for the followers of a run.

    Attributes:
        epoch: Number of the epoch, from 0.
        update: Updates of the epoch so far.
        updates: Updates of the whole epoch.
        loss: Loss of this update, over all ranks; a tensor where reading it would make a GPU wait.
        mean_loss: Mean loss since the last line of the log; None where no line is due.
        rate: Learning rate of the update.
        images: Images of the update, of all ranks.
        batch_cost: Seconds of the update, reading included.
        reader_cost: Seconds of them spent waiting for images.
    """

    epoch: int
    update: int
    updates: int
    loss: float | Tensor
    mean_loss: float | None
    rate: float
    images: int
    batch_cost: float
    reader_cost: float


class Follower:
    """Receives the events of a run; this class ignores them, as all ranks but the first do."""

    def show(self, text: str) -> None:
        """Show a line that stays."""

    def updated(self, update: Update) -> None:
        """Called after each update."""

    def evaluating(self, weights: str, images: int) -> None:
        """Called when an evaluation of `model` or `ema` has seen so many more images."""

    def evaluated(self, entry: Mapping[str, Any], update: int) -> None:
        """Called with the result of an evaluation, after so many updates of its epoch."""

    def unreadable(self, epoch: int, update: int, problems: Mapping[str, str]) -> None:
        """Called with images that could not be read, by path, and what is wrong with each."""


class Engine:
    """Carries out a run from its progress to its end.

    A global batch is `world.size` times the micro-batches of an update. Each micro-batch's loss is divided by their
    number and the gradients are added, over micro-batches on each rank and then over ranks, once an update: ranks and
    accumulation stand in for each other. Before each micro-batch the framework's generator is seeded by its place in
    the run, so that neither resuming nor the number of ranks changes what is drawn.

    Args:
        parts: Model, loss, optimizer, schedule, average and images.
        timetable: When to evaluate, save and log.
        store: Where checkpoints go.
        follower: Receives the events of the run.
        stop: Its `requested` is read after each update; a signal's name ends the run.
        seed: Seed of the run.
        world: The ranks.
        precision: Dtype and loss scaling of the computation.
        tape: Source of the draws of the model's layers; None takes the framework's generator.
        about: Entries of the checkpoints beside the state.
    """

    def __init__(
        self,
        parts: Parts,
        timetable: Timetable,
        store: Store,
        follower: Follower,
        stop: Stop,
        *,
        seed: int = 0,
        world: World | None = None,
        precision: Precision | None = None,
        tape: Randomness | None = None,
        about: Mapping[str, Tree] | None = None,
    ) -> None:
        self.parts, self.timetable = parts, timetable
        self.progress = Progress()
        self.stopped = False
        self._store, self._follower, self._stop = store, follower, stop
        self._seeded, self._tape = Seeded(seed), tape
        self._world, self._precision = world or World(), precision or Precision()
        self._about = about or {}
        self._losses: list[float | Tensor] = []
        self._reported: set[str] = set()
        self._trained = [parameter for parameter in parts.model.parameters() if not parameter.stop_gradient]

    def run(self, progress: Progress) -> Progress:
        """Train until the end, or until a signal; return the progress, which the latest checkpoint holds too.

        Raises:
            TrainingError: The loss is not finite, or an epoch had fewer updates than announced.
        """
        self.progress, self.stopped = progress, False
        self._losses = [progress.loss] if progress.losses else []
        while self.progress.epoch < self.timetable.epochs and not self.stopped:
            if self.progress.update < self.parts.training.updates:
                self._train_epoch()
            if not self.stopped:
                self._end_epoch()
        return self.progress

    def _train_epoch(self) -> None:
        epoch, updates = self.progress.epoch, self.parts.training.updates
        self.parts.model.train()
        began = time.perf_counter()
        for micro_batches, reader_cost in _timed(self.parts.training.epoch(epoch, self.progress.update)):
            self._update(epoch, self.progress.update, micro_batches)
            done, now = self.progress.update, time.perf_counter()
            images = sum(len(images) for images, _ in micro_batches) * self._world.size
            loss, mean_loss = self._losses[-1], self._mean_loss(done)
            self._follower.updated(
                Update(epoch, done, updates, loss, mean_loss, self.progress.rate, images, now - began, reader_cost)
            )
            began = now
            if self.stopped or self.timetable.saves(done, updates):
                self._save()
            if self.stopped:
                return
        if self.progress.update != updates:
            raise TrainingError(f"epoch {epoch} ended after {self.progress.update} of {updates} updates")

    def _update(self, epoch: int, update: int, micro_batches: tuple[MicroBatch, ...]) -> None:
        """Do one step along the mean loss of a global batch."""
        parts, world = self.parts, self._world
        rate = parts.schedule.rate(epoch, update)
        parts.optimizer.set_lr(rate)
        total = world.size * len(micro_batches)
        loss: float | Tensor = 0.0
        for k, (images, targets) in enumerate(micro_batches):
            self._seed_layers(epoch, update, world.rank * len(micro_batches) + k)
            loss = loss + self._backward(images, targets, total)
        stopping = self._stop.requested is not None
        if world.size > 1:
            loss, ranks = world.sum_gradients(self._trained, (float(loss), float(stopping))).tolist()
            stopping = ranks > 0
        self._precision.step(parts.optimizer)
        if parts.average is not None:
            parts.average.update()
        self.stopped = stopping
        self._losses.append(loss)
        self.progress = replace(self.progress, update=update + 1, losses=self.progress.losses + 1, rate=rate)

    def _backward(self, images: Any, targets: Any, total: int) -> Tensor:
        """Add a micro-batch's share to the gradients; return its share of the loss, float64, shape `()`."""
        dtype = self._precision.parameters
        x, y = paddle.to_tensor(images), paddle.to_tensor(targets)
        x, y = x.astype(dtype), y.astype(dtype) if y.is_floating_point() else y
        with self._precision.context():
            loss = self.parts.loss(self.parts.model(x), x, y)
        self._precision.backward(loss / total)
        return loss.detach().astype("float64") / total

    def _seed_layers(self, epoch: int, update: int, micro: int) -> None:
        if self._tape is None:
            paddle.seed(self._seeded.word("model", epoch, update, micro))
        else:
            inject(self.parts.model, self._tape, "model", epoch, update, micro)

    def _mean_loss(self, done: int) -> float | None:
        """Mean loss since the last line of the log, if a line is due; the sum then starts again at 0."""
        if not self.timetable.logs(done, self.parts.training.updates):
            return None
        mean = self._loss_so_far() / self.progress.losses
        self._losses, self.progress = [], replace(self.progress, loss=0.0, losses=0)
        return mean

    def _loss_so_far(self) -> float:
        total = 0.0
        for loss in self._losses:
            total += float(loss)
        self._losses = [total]
        if not isfinite(total):
            at = self.progress
            raise TrainingError(
                f"the loss is {total} in epoch {at.epoch}, at update {at.update}; the last checkpoint is from before. "
                "A lower optimizer.learning_rate, optimizer.clip, or run.precision float32 or bfloat16 may help"
            )
        return total

    def _save(self, also: tuple[str, ...] = ()) -> None:
        if self.progress.losses:
            self.progress = replace(self.progress, loss=self._loss_so_far())
        if self._world.leads:
            self._store.save(capture(self.parts, self._precision, self.progress, self._about), also)

    def _end_epoch(self) -> None:
        """Evaluate, save, and move on to the next epoch."""
        epoch = self.progress.epoch
        entries: list[dict[str, Any]] = []
        self._share_buffers()
        if self.parts.validation is not None and self.timetable.evaluates(epoch):
            self._save()
            for weights in ("model",) if self.parts.average is None else ("model", "ema"):
                entry = self._evaluate(epoch, weights)
                if entry is None:
                    self.stopped = True
                    return
                entries.append(entry)
        for entry in entries:  # before they are saved: a run that is killed in between evaluates and logs once more
            self._follower.evaluated(entry, self.parts.training.updates)
        self._report_unreadable(epoch)
        best = _better(self.progress.best, entries)
        kept = (epoch_name(epoch + 1),) if self.timetable.keeps(epoch) else ()
        also = (*kept, BEST) if best != self.progress.best else kept
        self.progress = replace(
            self.progress, epoch=epoch + 1, update=0, best=best, history=(*self.progress.history, *entries)
        )
        self._save(also)

    def _report_unreadable(self, epoch: int) -> None:
        """Report each image that some rank could not read, once."""
        problems = {path: why for rank in self._world.gather(dict(self.parts.corrupt())) for path, why in rank.items()}
        new = {path: why for path, why in problems.items() if path not in self._reported}
        self._reported |= new.keys()
        if new:
            self._follower.unreadable(epoch, self.parts.training.updates, new)

    def _evaluate(self, epoch: int, weights: str) -> dict[str, Any] | None:
        """The history's entry of the model or of its average; None where a rank received a signal."""
        parts = self.parts
        assert parts.validation is not None  # noqa: S101 (the caller has asked)
        evaluation = evaluate_model(
            parts.average.model if weights == "ema" and parts.average is not None else parts.model,
            parts.validation,
            self._world,
            self._precision,
            seen=lambda count: self._follower.evaluating(weights, count * self._world.size),
            stopped=lambda: self._stop.requested is not None,
        )
        return None if evaluation is None else {"epoch": epoch, "weights": weights, **asdict(evaluation)}

    def _share_buffers(self) -> None:
        """Give all ranks the buffers of the first, which are those that are saved."""
        average = self.parts.average
        for model in (self.parts.model,) if average is None else (self.parts.model, average.model):
            self._world.share(model.buffers())


def _better(best: Best | None, entries: Iterable[Mapping[str, Any]]) -> Best | None:
    """The best evaluation so far; of equal ones the first."""
    for entry in entries:
        if best is None or entry["top1"] > best.top1:
            best = Best(entry["epoch"], entry["top1"], entry["weights"])
    return best


def _timed(updates: Iterable[tuple[MicroBatch, ...]]) -> Iterator[tuple[tuple[MicroBatch, ...], float]]:
    """Each update, and the seconds spent waiting for it."""
    began = time.perf_counter()
    for micro_batches in updates:
        yield micro_batches, time.perf_counter() - began
        began = time.perf_counter()

"""The loop: updates, evaluations and checkpoints of a run, one rank's share of them."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from math import isfinite
from typing import Any, Protocol

import paddle
from paddle import Tensor

from paddle_impl.training.evaluation import evaluate_model
from paddle_impl.training.parallel import World
from paddle_impl.training.precision import Precision
from paddle_impl.training.protocols import Inject, MicroBatch, Parts
from paddle_impl.training.saving import BEST, Store, epoch_name
from paddle_impl.training.signals import Stop
from paddle_impl.training.state import Best, Progress, capture
from porting.checkpoint.formats.nested import Tree
from recipe.draws import Randomness, Seeded
from recipe.errors import TrainingError


@dataclass(frozen=True)
class Timetable:
    """When a run does what, in epochs or updates; 0 stands for never.

    Attributes:
        epochs: All of them.
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
        """Whether an epoch ends with an evaluation."""
        return self.validate_every > 0 and _is_due(epoch + 1, self.validate_every, self.epochs)

    def logs(self, update: int, updates: int) -> bool:
        """Whether a line of the log is due after so many updates of an epoch."""
        return _is_due(update, self.log_every, updates)


@dataclass(frozen=True)
class Updated:
    """One update, as those who follow the run are told of it.

    Attributes:
        epoch: Counted from 0.
        update: Updates of the epoch so far.
        updates: Updates of the whole epoch.
        loss: Of this update, over all ranks; a tensor where reading it would make a GPU wait.
        mean_loss: Over the updates since the last line of the log; None where no line is due.
        rate: It was done at.
        images: Of all ranks.
        batch_cost: Seconds that it took, reading included.
        reader_cost: Seconds of them in which it waited for images.
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


class Follower(Protocol):
    """Is told how the run goes."""

    def updated(self, update: Updated) -> None:
        """An update is done."""

    def evaluating(self, weights: str, images: int) -> None:
        """An evaluation has seen so many more images."""

    def evaluated(self, entry: Mapping[str, Any], update: int) -> None:
        """An evaluation is done, after so many updates of its epoch."""

    def unreadable(self, epoch: int, update: int, problems: Mapping[str, str]) -> None:
        """Images turned out to be unreadable."""


@dataclass(frozen=True)
class Tape:
    """Randomness that is handed to the model's layers, instead of the framework's own.

    Attributes:
        randomness: Where it comes from.
        inject: Gives the layers their streams.
    """

    randomness: Randomness
    inject: Inject


class Engine:
    """Carries out a run from where it is.

    A global batch is `world.size` times the micro-batches of an update. Each micro-batch's loss is divided by their
    number and the gradients are added, over micro-batches on each rank and then over ranks, once an update: ranks and
    accumulation stand in for each other. Before each micro-batch the framework's generator is seeded by its place in
    the run, so that neither resuming nor the number of ranks changes what is drawn.

    Args:
        parts: What the run is made of.
        timetable: When to do what.
        store: Where checkpoints go.
        follower: Who is told.
        stop: Asked after each update whether to leave.
        seed: Of the run.
        world: The ranks.
        precision: What to compute in.
        tape: Randomness to hand to the model; None takes the framework's generator.
        about: What checkpoints say beside the state.
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
        tape: Tape | None = None,
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
        self._trained = [each for each in parts.model.parameters() if not each.stop_gradient]

    def run(self, progress: Progress) -> Progress:
        """Trains until the end, or until asked to stop; the latest checkpoint then holds what is returned.

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
            loss, mean_loss = self._losses[-1], self._logged(done)
            self._follower.updated(
                Updated(epoch, done, updates, loss, mean_loss, self.progress.rate, images, now - began, reader_cost)
            )
            began = now
            if self.stopped or self._save_is_due(done):
                self._save()
            if self.stopped:
                return
        if self.progress.update != updates:
            raise TrainingError(f"epoch {epoch} ended after {self.progress.update} of {updates} updates")

    def _update(self, epoch: int, update: int, micro_batches: tuple[MicroBatch, ...]) -> None:
        """One step on a global batch: mean loss over all its micro-batches."""
        parts, world = self.parts, self._world
        rate = parts.schedule.rate(epoch, update)
        parts.optimizer.set_lr(rate)
        total = world.size * len(micro_batches)
        loss: float | Tensor = 0.0
        for k, (images, targets) in enumerate(micro_batches):
            self._randomise(epoch, update, world.rank * len(micro_batches) + k)
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
        """Adds a micro-batch's share of the gradients; returns its share of the loss, float64."""
        dtype = self._precision.parameters
        x, y = paddle.to_tensor(images), paddle.to_tensor(targets)
        x, y = x.astype(dtype), y.astype(dtype) if y.is_floating_point() else y
        with self._precision.context():
            loss = self.parts.loss(self.parts.model(x), x, y)
        self._precision.backward(loss / total)
        return loss.detach().astype("float64") / total

    def _randomise(self, epoch: int, update: int, micro: int) -> None:
        if self._tape is None:
            paddle.seed(self._seeded.word("model", epoch, update, micro))
        else:
            self._tape.inject(self.parts.model, self._tape.randomness, "model", epoch, update, micro)

    def _logged(self, done: int) -> float | None:
        """The mean loss since the last line of the log, if one is due; it starts anew then."""
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

    def _save_is_due(self, done: int) -> bool:
        every = self.timetable.save_updates
        return every > 0 and done % every == 0 and done < self.parts.training.updates

    def _save(self, also: tuple[str, ...] = ()) -> None:
        if self.progress.losses:
            self.progress = replace(self.progress, loss=self._loss_so_far())
        if self._world.leads:
            self._store.save(capture(self.parts, self._precision, self.progress, self._about), also)

    def _end_epoch(self) -> None:
        """Evaluates, saves, and moves on to the next epoch."""
        epoch = self.progress.epoch
        entries: list[dict[str, Any]] = []
        self._share_buffers()
        if self.parts.validation is not None and self.timetable.evaluates(epoch):
            self._save()
            found = self._evaluate(epoch)
            if found is None:
                self.stopped = True
                return
            entries = found
        best = _better(self.progress.best, entries)
        is_best = best != self.progress.best
        keeps = self.timetable.save_every > 0 and (epoch + 1) % self.timetable.save_every == 0
        self.progress = replace(
            self.progress, epoch=epoch + 1, update=0, best=best, history=(*self.progress.history, *entries)
        )
        self._save(((epoch_name(epoch + 1),) if keeps else ()) + ((BEST,) if is_best else ()))
        for entry in entries:
            self._follower.evaluated(entry, self.parts.training.updates)
        self._report_unreadable(epoch)

    def _report_unreadable(self, epoch: int) -> None:
        """Tells of images that could not be read, each once, whichever rank met it."""
        problems = {path: why for rank in self._world.gather(dict(self.parts.corrupt())) for path, why in rank.items()}
        new = {path: why for path, why in problems.items() if path not in self._reported}
        self._reported |= new.keys()
        if new:
            self._follower.unreadable(epoch, self.parts.training.updates, new)

    def _evaluate(self, epoch: int) -> list[dict[str, Any]] | None:
        """Entries of the model and of its average; None where a rank was asked to stop."""
        entries = []
        for weights in ("model", "ema") if self.parts.average is not None else ("model",):
            entry = self._evaluate_weights(epoch, weights)
            if entry is None:
                return None
            entries.append(entry)
        return entries

    def _evaluate_weights(self, epoch: int, weights: str) -> dict[str, Any] | None:
        parts = self.parts
        assert parts.validation is not None  # noqa: S101 (the caller has asked)
        found = evaluate_model(
            parts.average.model if weights == "ema" and parts.average is not None else parts.model,
            parts.validation,
            self._world,
            self._precision,
            seen=lambda count: self._follower.evaluating(weights, count * self._world.size),
            stopped=lambda: self._stop.requested is not None,
        )
        return None if found is None else {"epoch": epoch, "weights": weights, **asdict(found)}

    def _share_buffers(self) -> None:
        """Gives all ranks the statistics of the first, which are those that are saved."""
        average = self.parts.average
        for model in (self.parts.model,) if average is None else (self.parts.model, average.model):
            self._world.share(model.buffers())


def _is_due(done: int, every: int, last: int) -> bool:
    return done == last or (every > 0 and done % every == 0)


def _better(best: Best | None, entries: Iterable[Mapping[str, Any]]) -> Best | None:
    """The best evaluation so far; of equal ones the first."""
    for entry in entries:
        if best is None or entry["top1"] > best.top1:
            best = Best(entry["epoch"], entry["top1"], entry["weights"])
    return best


def _timed(updates: Iterable[tuple[MicroBatch, ...]]) -> Iterator[tuple[tuple[MicroBatch, ...], float]]:
    """Each update, and the seconds that it was waited for."""
    iterator = iter(updates)
    try:
        while True:
            began = time.perf_counter()
            micro_batches = next(iterator, None)
            if micro_batches is None:
                return
            yield micro_batches, time.perf_counter() - began
    finally:
        close = getattr(iterator, "close", None)
        if close is not None:
            close()

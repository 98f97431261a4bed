"""Processes that prepare the images of batches, in memory that they share with the process that trains.

Paddle's `DataLoader` would turn the arrays into tensors on the device and, without its shared memory (which fails in
3.3), send every batch through a pipe. Here a worker writes pixels where the trainer reads them, and only what it could
not read goes through the pipe. Nothing depends on which worker does what.
"""

from __future__ import annotations

import mmap
import multiprocessing
import os
import signal
import sys
import tempfile
import traceback
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from multiprocessing import resource_tracker, util
from multiprocessing.connection import Connection
from multiprocessing.reduction import DupFd
from queue import SimpleQueue
from threading import Thread
from typing import Any, NamedTuple, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

from recipe.draws import Key
from recipe.errors import DataError, TrainingError
from recipe.images import ImageError

Images: TypeAlias = npt.NDArray[np.float32]
_LEAST_PART = 8
"""Smallest number of images that one message asks a worker for."""
_AHEAD = 3
"""Batches in memory: the one in use, and those that the workers fill meanwhile."""
_PATIENCE = 5.0
"""Seconds that a worker may take to end before it is killed."""
_FOR_THE_TRAINER = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
"""Signals that only the trainer answers, though a terminal or a scheduler sends them to the workers as well."""


class Item(NamedTuple):
    """An image to prepare.

    Attributes:
        path: Path of the image file.
        key: Name of the stream that its augmentation draws from.
    """

    path: str
    key: tuple[Key, ...]


class Failure(NamedTuple):
    """An image that could not be read.

    Attributes:
        row: Index of the image in the batch.
        path: Path of the image file.
        problem: What is wrong with it.
    """

    row: int
    path: str
    problem: str


class Prepare(Protocol):
    """Reads an image and brings it to the model's size; it must be possible to pickle."""

    def __call__(self, item: Item) -> Images:
        """The image as `(channels, height, width)`; raises `ImageError` where it cannot be read."""


class Feed:
    """Batches that worker processes prepare ahead of their use.

    Args:
        prepare: Makes an image of an item.
        shape: Shape of a full batch, `(batch, channels, height, width)`.
        workers: Number of processes; 0 prepares every batch in this process when it is needed.
    """

    def __init__(self, prepare: Prepare, shape: tuple[int, int, int, int], workers: int) -> None:
        self._prepare, self._shape, self._workers = prepare, shape, workers
        self._pool: _Pool | None = None
        self._turn = 0

    def batches(self, batches: Iterable[Sequence[Item]]) -> Iterator[tuple[Images, list[Failure]]]:
        """Prepare one batch after another.

        Args:
            batches: The items of every batch, at most as many as in a full one.

        Yields:
            The images `(items, channels, height, width)`, float32, which hold until the next batch is asked for, and
            the items that could not be read, whose rows hold anything.

        Raises:
            TrainingError: A worker died or failed, or other batches were asked for meanwhile.
        """
        if self._workers == 0:
            whole = np.empty(self._shape, np.float32)
            for items in batches:
                images = whole[: len(items)]
                yield images, _fill(self._prepare, images, items)
            return
        self._turn += 1
        turn = self._turn
        for result in self._started().batches(batches):
            yield result
            if turn != self._turn:
                raise TrainingError("a loader was asked for other batches while these were still being taken")

    def close(self) -> None:
        """End the worker processes; they start again when batches are asked for."""
        if self._pool is not None:
            self._pool.close()
            self._pool = None

    def _started(self) -> _Pool:
        if self._pool is None:
            self._pool = _Pool(self._prepare, self._shape, self._workers)
        return self._pool


class _Pool:
    """The worker processes. Each answers in the order in which it was asked, so that no answer needs a name."""

    def __init__(self, prepare: Prepare, shape: tuple[int, int, int, int], workers: int) -> None:
        self._part = min(shape[0], max(_LEAST_PART, -(-shape[0] // workers)))
        self._slots = max(_AHEAD, -(-_AHEAD * workers * self._part // shape[0]))
        descriptor = _memory(self._slots * int(np.prod(shape)) * 4)
        try:
            self._images = _mapped(descriptor, (self._slots, *shape))
            self._workers = [_Worker(prepare, descriptor, self._images.shape) for _ in range(workers)]
        finally:
            os.close(descriptor)
        self._next = 0
        self._asked: deque[_Worker] = deque()
        self.close = util.Finalize(self, _end, args=(self._workers,), exitpriority=10)

    def batches(self, batches: Iterable[Sequence[Item]]) -> Iterator[tuple[Images, list[Failure]]]:
        while self._asked:  # of those who stopped taking batches
            self._asked.popleft().receive()
        coming, free = iter(batches), deque(range(self._slots))
        filling: deque[tuple[int, int, int]] = deque()
        while True:
            while free and (items := next(coming, None)) is not None:
                slot = free.popleft()
                filling.append((slot, len(items), self._ask(slot, items)))
            if not filling:
                return
            slot, count, parts = filling.popleft()
            failures = [failure for _ in range(parts) for failure in self._asked.popleft().answer()]
            yield self._images[slot, :count], failures
            free.append(slot)

    def _ask(self, slot: int, items: Sequence[Item]) -> int:
        starts = range(0, len(items), self._part)
        for start in starts:
            worker = self._workers[self._next % len(self._workers)]
            worker.ask(slot, start, items[start : start + self._part])
            self._asked.append(worker)
            self._next += 1
        return len(starts)


class _Worker:
    """One process, as the trainer sees it."""

    def __init__(self, prepare: Prepare, descriptor: int, shape: tuple[int, ...]) -> None:
        context: Any = multiprocessing.get_context("forkserver" if sys.platform == "linux" else "spawn")
        self.connection, theirs = context.Pipe()
        arguments = (theirs, prepare, _Descriptor(descriptor), shape)
        self.process = context.Process(target=_work, args=arguments, daemon=True, name="image worker")
        with _signals_held_back():
            self.process.start()
        theirs.close()

    def ask(self, slot: int, start: int, items: Sequence[Item]) -> None:
        try:
            self.connection.send((slot, start, list(items)))
        except OSError:
            raise self._died() from None

    def answer(self) -> list[Failure]:
        failures, problem = self.receive()
        if problem:
            lines = problem.splitlines()
            raise DataError(f"an image could not be prepared: {lines[-1]}", lines)
        return failures

    def receive(self) -> tuple[list[Failure], str]:
        try:
            answer: tuple[list[Failure], str] = self.connection.recv()
        except (EOFError, OSError):
            raise self._died() from None
        return answer

    def _died(self) -> DataError:
        self.process.join(_PATIENCE)
        code = self.process.exitcode
        how = f"was killed by {signal.Signals(-code).name}" if code is not None and code < 0 else f"ended with {code}"
        hint = "; memory may be short, so try fewer workers (data.workers)" if code == -signal.SIGKILL else ""
        return DataError(f"a process that reads images (pid {self.process.pid}) {how}{hint}")


@contextmanager
def _signals_held_back() -> Iterator[None]:
    """Hold back signals, which processes that are started meanwhile then never receive; this process does afterwards.

    A worker that ignored them in its own code would still die of one that came while it imported its modules. The
    resource tracker of `multiprocessing` is started first, because it would let the signals through again.
    """
    resource_tracker.ensure_running()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _FOR_THE_TRAINER)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _end(workers: Sequence[_Worker]) -> None:
    for worker in workers:
        worker.connection.close()
    for worker in workers:
        worker.process.join(_PATIENCE)
        if worker.process.is_alive():
            worker.process.kill()
            worker.process.join()


class _Descriptor:
    """A file descriptor that goes along when a process starts."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def __reduce__(self) -> tuple[Any, ...]:
        return _received, (DupFd(self._descriptor),)


def _received(duplicate: Any) -> int:
    return int(duplicate.detach())


def _memory(size: int) -> int:
    """Return a descriptor of shared memory: no file, and not counted against the size of /dev/shm."""
    if sys.platform == "linux":
        descriptor = os.memfd_create("images", os.MFD_CLOEXEC)
    else:
        descriptor, name = tempfile.mkstemp()
        os.unlink(name)  # noqa: PTH108 (the descriptor is what is used)
    os.ftruncate(descriptor, size)
    return descriptor


def _mapped(descriptor: int, shape: tuple[int, ...]) -> Images:
    return np.frombuffer(mmap.mmap(descriptor, int(np.prod(shape)) * 4), np.float32).reshape(shape)


def _work(connection: Connection, prepare: Prepare, descriptor: int, shape: tuple[int, ...]) -> None:
    """Answer requests until the trainer closes the connection or ends."""
    images = _mapped(descriptor, shape)
    os.close(descriptor)
    requests: SimpleQueue[tuple[int, int, list[Item]]] = SimpleQueue()
    Thread(target=_listen, args=(connection, requests), daemon=True).start()
    while True:
        slot, start, items = requests.get()
        try:
            failures = _fill(prepare, images[slot, start : start + len(items)], items)
            answer = ([failure._replace(row=start + failure.row) for failure in failures], "")
        except Exception:  # whatever it is, the trainer has to hear of it
            answer = ([], traceback.format_exc())
        try:
            connection.send(answer)
        except OSError:  # the trainer was killed
            os._exit(0)


def _listen(connection: Connection, requests: SimpleQueue[tuple[int, int, list[Item]]]) -> None:
    """Take requests off the connection, so that the trainer never waits for room in it, and ends with the trainer."""
    try:
        while True:
            requests.put(connection.recv())
    except (EOFError, OSError):
        os._exit(0)


def _fill(prepare: Prepare, images: Images, items: Sequence[Item]) -> list[Failure]:
    failures = []
    for row, item in enumerate(items):
        try:
            images[row] = prepare(item)
        except ImageError as error:  # noqa: PERF203 (nothing beside a decoder)
            failures.append(Failure(row, error.path, error.problem))
    return failures

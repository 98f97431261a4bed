"""Worker processes: that they end with the trainer, and what is said when they fail."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from contextlib import closing
from operator import attrgetter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from recipe.errors import DataError
from recipe.workers import Feed, Item

ROOT = Path(__file__).parents[2]
SHAPE = (4, 3, 2, 2)
ITEMS = [Item("x", ()) for _ in range(4)]


@pytest.fixture
def feed() -> Iterator[Feed]:
    broken: Any = int  # fails on an item with an error that is not about an image
    with closing(Feed(broken, SHAPE, 2)) as made:
        yield made


def test_an_error_in_a_worker_arrives_with_its_trace(feed: Feed) -> None:
    with pytest.raises(DataError, match=r"an image could not be prepared: TypeError: int\(\) argument") as caught:
        next(feed.batches([ITEMS]))
    assert any("recipe/workers.py" in line for line in caught.value.details)


def test_a_worker_that_is_killed_is_named(feed: Feed) -> None:
    process = feed._started()._workers[0].process
    os.kill(process.pid, signal.SIGKILL)
    with pytest.raises(DataError, match=rf"pid {process.pid}\) was killed by SIGKILL; memory may be short") as caught:
        for _ in feed.batches([ITEMS] * 10):
            pass
    assert "data.workers" in caught.value.summary


def test_closing_ends_the_workers(feed: Feed) -> None:
    processes = [worker.process for worker in feed._started()._workers]
    feed.close()
    assert all(process.exitcode == 0 for process in processes)
    assert feed._started()._workers, "and they start again"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_workers_ignore_signals_to_the_process_group(feed: Feed, number: signal.Signals) -> None:
    def ask_each() -> None:
        for _ in range(2):
            with pytest.raises(DataError, match="could not be prepared"):
                next(feed.batches([ITEMS]))

    ask_each()
    for worker in feed._started()._workers:
        os.kill(worker.process.pid, number)
    ask_each()


class EndsWhoeverReadsIt:
    """Prepares nothing: a signal comes while a worker that was just started unpickles it.

    Args:
        number: The signal.
    """

    def __init__(self, number: signal.Signals) -> None:
        self._number = number

    def __reduce__(self) -> tuple[Any, ...]:
        return _signalled, (self._number,)

    def __call__(self, item: Item) -> Any:
        raise NotImplementedError


def _signalled(number: signal.Signals) -> Any:
    os.kill(os.getpid(), number)
    return attrgetter("key")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_signals_while_workers_start_are_ignored_too(number: signal.Signals) -> None:
    items = [Item("x", (1, row)) for row in range(4)]
    with closing(Feed(EndsWhoeverReadsIt(number), (4, 1, 1, 2), 2)) as feed:
        values = [images.reshape(-1, 2).tolist() for images, _ in feed.batches([items])]
    assert values == [[[1, row] for row in range(4)]]


@pytest.mark.parametrize("workers", [1, 3])
def test_large_batches_come_in_order_and_nobody_waits_for_room_in_a_pipe(workers: int) -> None:
    prepare: Any = attrgetter("key")  # which is what the "image" consists of
    batches = [[Item("a rather long path of an image" * 4, (batch, row)) for row in range(3000)] for batch in range(7)]
    with closing(Feed(prepare, (3000, 1, 1, 2), workers)) as feed:
        values = [(images.reshape(-1, 2).tolist(), failures) for images, failures in feed.batches(batches)]
    assert values == [([[float(part) for part in item.key] for item in batch], []) for batch in batches]


@pytest.mark.parametrize("size", [1, 3, 9, 30])
def test_batches_of_any_size_are_shared_out(size: int) -> None:
    prepare: Any = attrgetter("key")
    batches = [[Item("x", (batch, row)) for row in range(size - batch % 2)] for batch in range(11)]
    with closing(Feed(prepare, (size, 1, 1, 2), 2)) as feed:
        values = [images.reshape(-1, 2).tolist() for images, _ in feed.batches(batches)]
    assert values == [[list(item.key) for item in batch] for batch in batches]


def test_batches_without_workers_are_prepared_in_this_process() -> None:
    feed = Feed(lambda item: np.full(SHAPE[1:], float(item.path), np.float32), SHAPE, 0)
    batches = [[Item("1", ()), Item("2", ())], [Item("3", ())]]
    values = [images[:, 0, 0, 0].tolist() for images, _ in feed.batches(batches)]
    assert values == [[1, 2], [3]]


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
def test_workers_end_with_a_trainer_that_is_killed() -> None:
    code = """
        import time
        from recipe.workers import Feed, Item
        feed = Feed(int, (4, 3, 2, 2), 2)
        try:
            next(feed.batches([[Item("x", ())] * 4]))
        except Exception:
            print(*(worker.process.pid for worker in feed._started()._workers), flush=True)
        time.sleep(60)
    """
    program = [sys.executable, "-c", textwrap.dedent(code)]
    with subprocess.Popen(program, stdout=subprocess.PIPE, text=True, cwd=ROOT) as trainer:
        assert trainer.stdout is not None
        workers = [int(pid) for pid in trainer.stdout.readline().split()]
        trainer.kill()
    deadline = time.monotonic() + 5
    while any(_runs(pid) for pid in workers) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert len(workers) == 2
    assert not any(_runs(pid) for pid in workers)


def _runs(pid: int) -> bool:
    try:
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False

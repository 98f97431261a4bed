"""Worker processes that run at the same time; all are ended when one fails or the user interrupts."""

from __future__ import annotations

import json
import os
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

from alignment.endings import how_it_ended, memory_kills
from alignment.errors import AlignmentError
from alignment.processes.forks import BOOTSTRAP, Forked, ForkServer, server
from porting.terminal.progress import Callback

Progress: TypeAlias = Callback
"""Called with the name of a side, what it has done, and how many parts of how many that makes."""

_TAIL = 4


@dataclass(frozen=True)
class Launch:
    """One process to start.

    Attributes:
        name: Name of the process in messages, such as `torch`.
        python: The interpreter.
        module: A module of this package with a `main`.
        arguments: Arguments of that `main`.
        log: File for everything that the process writes on standard error.
        environment: Variables to set beside those of this process; None removes one.
        serves: Whether the process reports that it is done, as `alignment.processes.serving.serve` does; one that ends
            without has failed, whatever its exit code.
        imports: A module that takes long to import and that the process needs, such as a backend, for it to be forked
            from one that has imported it; empty to start it by itself.
    """

    name: str
    python: str
    module: str
    arguments: tuple[str, ...]
    log: Path
    environment: Mapping[str, str | None]
    serves: bool = True
    imports: str = ""

    @property
    def place(self) -> str:
        """Where its interpreter searches this package, as bootstrap.py takes it."""
        return "first" if Path(self.python).absolute() == Path(sys.executable).absolute() else "last"

    @property
    def variables(self) -> Mapping[str, str]:
        """All variables of its environment."""
        changed = {**os.environ, **self.environment}
        return {name: value for name, value in changed.items() if value is not None}


@contextmanager
def started(launches: Sequence[Launch], progress: Progress | None = None) -> Iterator[Callable[[], None]]:
    """Start processes that run at the same time.

    Leaving the context early, after an error of one process or a Ctrl-C here, ends all of them and what they started.
    Workers also end by themselves when this process dies.

    Args:
        launches: What to start.
        progress: Called as the processes report.

    Yields:
        A function that waits until all are done.

    Raises:
        AlignmentError: A process cannot be started. The function raises it when one fails, with the message of the
            process, or with its exit status and the tail of its log.
    """
    events: _Events = queue.Queue()
    for launch in launches:
        _server(launch)  # all import at the same time
    with ExitStack() as stack:
        running = {stack.enter_context(_Process(launch, events)) for launch in launches}
        yield lambda: _wait(running, events, progress)


def run_all(launches: Sequence[Launch], progress: Progress | None = None) -> None:
    """Run processes at the same time until all are done; see `started`.

    Raises:
        AlignmentError: One of them failed or cannot be started.
    """
    with started(launches, progress) as wait:
        wait()


def _wait(running: set[_Process], events: _Events, progress: Progress | None) -> None:
    while running:
        process, event = events.get()
        if event is None:
            process.finish()
            running.remove(process)
        elif event["event"] == "progress":
            if progress is not None:
                progress(process.launch.name, event["what"], event["done"], event["total"])
        else:
            process.last = event


class _Process:
    """A started process; leaving the context ends it and everything that it started."""

    def __init__(self, launch: Launch, events: _Events) -> None:
        self.launch = launch
        self.last: Mapping[str, Any] = {}
        self._events = events
        self._killed_before = memory_kills()
        self._popen = self._start()
        threading.Thread(target=self._listen, daemon=True).start()

    def __enter__(self) -> _Process:
        return self

    def __exit__(self, *_: object) -> None:
        if self._popen.poll() is None:
            os.killpg(self._popen.pid, signal.SIGKILL)
        self._popen.wait()
        for stream in (self._popen.stdin, self._popen.stdout):
            if stream is not None:
                stream.close()

    def finish(self) -> None:
        """Wait for the end of a process that closed its standard output.

        Raises:
            AlignmentError: It failed.
        """
        code = self._popen.wait()
        name, event = self.launch.name, self.last.get("event")
        if code == 0 and (event == "done" or not self.launch.serves):
            return
        if event == "error" and self.last["expected"]:
            raise AlignmentError(f"{name} side: {self.last['summary']}", self.last["details"])
        told = event == "error"
        what = self.last["summary"] if told else how_it_ended(code, memory_kills() > self._killed_before)
        details = self.last["details"] if told else self._tail()
        raise AlignmentError(f"the {name} side failed: {what}; its full log is {self.launch.log}", details)

    def _start(self) -> subprocess.Popen[bytes] | Forked:
        launch = self.launch
        arguments = [launch.place, launch.module, *launch.arguments]
        with launch.log.open("wb") as log:
            forking = _server(launch)
            forked = forking and forking.start(arguments, launch.variables, log)
            if forked:
                return forked
            try:
                return subprocess.Popen(
                    [launch.python, str(BOOTSTRAP), *arguments],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=log,
                    env=launch.variables,
                    start_new_session=True,
                )
            except OSError as error:
                raise AlignmentError(
                    f"{launch.name} side: the interpreter {launch.python!r} cannot be started: {error.strerror}"
                ) from None

    def _listen(self) -> None:
        assert self._popen.stdout is not None  # noqa: S101 - it was opened with a pipe
        for line in self._popen.stdout:
            event = _parse(line)
            if event is not None:
                self._events.put((self, event))
        self._events.put((self, None))

    def _tail(self) -> list[str]:
        text = self.launch.log.read_text(encoding="utf-8", errors="replace")
        return [line for line in text.splitlines() if line.strip()][-_TAIL:]


_Events: TypeAlias = "queue.Queue[tuple[_Process, Mapping[str, Any] | None]]"


def _server(launch: Launch) -> ForkServer | None:
    return server(launch.python, launch.place, launch.imports, launch.variables) if launch.imports else None


def _parse(line: bytes) -> Mapping[str, Any] | None:
    """A worker's report, or None for a line that some library wrote before the worker took over standard output."""
    try:
        event = json.loads(line)
    except ValueError:
        return None
    return event if isinstance(event, dict) and "event" in event else None

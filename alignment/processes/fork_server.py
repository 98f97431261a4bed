"""Program that imports a framework once and then forks a process for each request; see `alignment.processes.forks`.

A framework takes seconds to import, and a command starts several workers of each. A fork of a process that has
imported it, and has done nothing else, is what a new process would be after its import: no random number was drawn, no
thread but those of NumPy's OpenBLAS was started, which looks after forks itself.
"""

from __future__ import annotations

import importlib
import json
import os
import select
import signal
import socket
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

CHANNEL = 0
"""File descriptor of the socket on which requests arrive."""
LARGEST = 1 << 17
"""Size of the largest request, in bytes."""


def main(arguments: Sequence[str]) -> int:
    """Import the named modules, tell that it is ready, and fork for each request until the other end is closed.

    Args:
        arguments: Names of modules.

    Returns:
        The exit code: that of the work, in a fork; 4 if a module has started threads, which no fork would have.
    """
    channel = socket.socket(fileno=os.dup(CHANNEL))
    importlib.import_module("numpy")
    threads = _threads()
    for name in arguments:
        importlib.import_module(name)
    if _threads() > threads:
        return 4
    channel.send(b"ready")
    return _do(_Server(channel).forks())


def _threads() -> int:
    return sum(1 for _ in Path("/proc/self/task").iterdir())


class _Server:
    """Forks for each request, and tells of each fork its process id, and in the end its wait status."""

    def __init__(self, channel: socket.socket) -> None:
        self._channel = channel
        self._statuses: dict[int, int] = {}
        """Process id of each fork to the file descriptor on which its end is told."""
        self._woken, self._wake = os.pipe()
        os.set_blocking(self._wake, False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(self._wake)

    def forks(self) -> Mapping[str, Any]:
        """Return a request, in the fork that is to carry it out.

        The server itself ends in here, once nobody sends requests any more and all of its forks have ended.
        """
        sources: list[Any] = [self._channel, self._woken]
        while self._channel in sources or self._statuses:
            ready, _, _ = select.select(sources, [], [])
            if self._woken in ready:
                os.read(self._woken, 1 << 10)
                self._tell_ends()
            if self._channel in ready:
                message, descriptors, _, _ = socket.recv_fds(self._channel, LARGEST, 4)
                if not message:
                    sources.remove(self._channel)
                elif self._fork(descriptors):
                    request: Mapping[str, Any] = json.loads(message)
                    return request
        os._exit(0)

    def _fork(self, descriptors: Sequence[int]) -> bool:
        """Whether this is the new process, whose standard streams are then the given ones."""
        *streams, status = descriptors
        pid = os.fork()
        if pid == 0:
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            os.setpgid(0, 0)
            for number, stream in enumerate(streams):
                os.dup2(stream, number)
            for descriptor in (*descriptors, *self._statuses.values(), self._woken, self._wake):
                os.close(descriptor)
            self._channel.close()
            return True
        with suppress(PermissionError, ProcessLookupError):  # it has done so itself, or has ended
            os.setpgid(pid, pid)
        self._statuses[pid] = status
        os.write(status, f"{pid}\n".encode())
        for stream in streams:
            os.close(stream)
        return False

    def _tell_ends(self) -> None:
        for pid, status in list(self._statuses.items()):
            ended, code = os.waitpid(pid, os.WNOHANG)
            if not ended:
                continue
            del self._statuses[pid]
            with suppress(BrokenPipeError):  # nobody waits for it
                os.write(status, f"{os.waitstatus_to_exitcode(code)}\n".encode())
            os.close(status)


def _do(work: Mapping[str, Any]) -> int:
    """Be the process that bootstrap.py would have started with these arguments, in this folder and environment."""
    os.chdir(work["folder"])
    os.environ.clear()
    os.environ.update(work["environment"])
    _draw_anew()
    sys.argv[1:] = work["arguments"]
    code: int = sys.modules["__main__"].main()  # that of bootstrap.py
    return code


def _draw_anew() -> None:
    """Give generators that a new process seeds by chance another seed than those of its sisters."""
    seed = int.from_bytes(os.urandom(4), "little")
    importlib.import_module("random").seed(seed)
    importlib.import_module("numpy").random.seed(seed)
    if "paddle" in sys.modules:
        sys.modules["paddle"].seed(seed)

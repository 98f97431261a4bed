"""Processes that are forked from one that has imported their framework, where the system allows it."""

from __future__ import annotations

import atexit
import json
import os
import select
import socket
import subprocess
import sys
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO, TypeAlias

from alignment.processes.fork_server import LARGEST

BOOTSTRAP = Path(__file__).with_name("bootstrap.py")
_MODULE = "alignment.processes.fork_server"
_MOST = 6
"""Servers that are kept at the same time; the one that was not used for longest goes first."""
_OF_ONE_TEST = "PYTEST_CURRENT_TEST"
"""The one variable that differs from test to test."""

_Key: TypeAlias = "tuple[int, str, str, str, tuple[tuple[str, str], ...]]"
_servers: OrderedDict[_Key, ForkServer] = OrderedDict()
_closed: list[tuple[int, ForkServer]] = []
"""Kept until this process ends, for Python warns of a process that is forgotten while it runs."""


class Forked:
    """A process that a fork server has started; it looks like a `subprocess.Popen`.

    Attributes:
        pid: Its process id, which is that of its process group too.
        stdin: Its standard input, open for writing.
        stdout: Its standard output, open for reading.
    """

    def __init__(self, pid: int, status: IO[bytes], stdin: IO[bytes], stdout: IO[bytes]) -> None:
        self.pid = pid
        self.stdin = stdin
        self.stdout = stdout
        self._status = status
        self._code: int | None = None

    def poll(self) -> int | None:
        """The exit code, negative for a signal; None while it runs."""
        if self._code is None and not select.select([self._status], [], [], 0)[0]:
            return None
        return self.wait()

    def wait(self) -> int:
        """Wait for its end and return the exit code, negative for a signal."""
        if self._code is None:
            self._code = int(self._status.readline() or -9)  # nothing comes if the server itself was ended
            self._status.close()
        return self._code


class ForkServer:
    """The parent of processes that all need one framework, in one interpreter and with one set of variables."""

    def __init__(self, python: str, place: str, module: str, environment: Mapping[str, str]) -> None:
        self._channel, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._ready: bool | None = None
        with other:
            try:
                self._popen: subprocess.Popen[bytes] | None = subprocess.Popen(
                    [python, str(BOOTSTRAP), place, _MODULE, module],
                    stdin=other.fileno(),
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL,
                    env=environment,
                    start_new_session=True,
                )
            except OSError:  # told by the one who then starts the process itself
                self._popen, self._ready = None, False

    @property
    def ready(self) -> bool:
        """Whether it can fork; waits until it has imported the framework, the first time."""
        if self._ready is None:
            self._ready = self._channel.recv(16) == b"ready"
        return self._ready

    def start(self, arguments: Sequence[str], environment: Mapping[str, str], log: IO[bytes]) -> Forked | None:
        """Fork a process; None if that cannot be done.

        Args:
            arguments: Those of bootstrap.py.
            environment: All of its variables.
            log: Open file for its standard error.
        """
        request = json.dumps({"folder": str(Path.cwd()), "environment": environment, "arguments": arguments}).encode()
        if not self.ready or len(request) > LARGEST:
            return None
        pipes = theirs_in, stdin, stdout, theirs_out, told, status = *os.pipe(), *os.pipe(), *os.pipe()
        reader = os.fdopen(told, "rb")
        try:
            socket.send_fds(self._channel, [request], [theirs_in, theirs_out, log.fileno(), status])
            for descriptor in (theirs_in, theirs_out, status):
                os.close(descriptor)
            pid = int(reader.readline())
        except (OSError, ValueError):  # it has ended
            self._ready = False
            reader.close()
            for descriptor in {*pipes} - {told}:
                _close(descriptor)
            return None
        return Forked(pid, reader, os.fdopen(stdin, "wb"), os.fdopen(stdout, "rb"))

    def close(self) -> None:
        """Take no more requests; it ends by itself once the processes that it has started have ended."""
        self._channel.close()

    def end(self) -> None:
        """End it at once."""
        self.close()
        if self._popen is not None:
            self._popen.kill()
            self._popen.wait()  # also of one that has ended by itself


def _close(descriptor: int) -> None:
    with suppress(OSError):  # it was closed before
        os.close(descriptor)


def server(python: str, place: str, module: str, environment: Mapping[str, str]) -> ForkServer | None:
    """The fork server for a framework, started if there is none yet; None on systems where forking is not safe.

    Args:
        python: The interpreter.
        place: Where it searches this package, as bootstrap.py takes it.
        module: What it imports, such as the backend of a framework.
        environment: All variables of the process to start.
    """
    if sys.platform != "linux":
        return None
    variables = {name: value for name, value in environment.items() if name != _OF_ONE_TEST}
    key = (os.getpid(), python, place, module, tuple(sorted(variables.items())))
    known = _servers.get(key)
    if known is None:
        known = _servers[key] = ForkServer(python, place, module, variables)
    _servers.move_to_end(key)
    while len(_servers) > _MOST:
        (process, *_), oldest = _servers.popitem(last=False)
        oldest.close()
        _closed.append((process, oldest))
    return known


@atexit.register
def _end() -> None:
    """End the servers of this process, and not those of a process that it was forked from."""
    kept = [(process, known) for (process, *_), known in _servers.items()]
    for process, known in (*kept, *_closed):
        if process == os.getpid():
            known.end()

"""What a reader does with one input, compared with what it promises."""

from __future__ import annotations

import signal
import sys
import time
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from alignment.errors import AlignmentError
from alignment.recordings.reprod_read import read_reprod_log
from benchmarks.fuzz import corpus
from benchmarks.fuzz.attacks import CANARY
from porting.checkpoint import open_checkpoint, write_checkpoint
from porting.conversion import convert
from porting.errors import PortingError

SECONDS = 1.0
"""Processor time that one input may take."""
MEMORY = 96 * 2**20
"""Bytes that a reader may allocate beyond the size of the file."""
_WRITTEN = 2**22
"""Bytes of tensors up to which what was read is also written."""
_OLD = b"what was there before"
_FORBIDDEN = ("os.system", "os.exec", "os.posix_spawn", "os.fork", "subprocess.Popen", "exec", "compile", "import",
              "pickle.find_class", "marshal.loads", "code.__new__", "socket.connect", "ctypes.dlopen")  # fmt: skip


class HangError(BaseException):
    """One input took longer than `SECONDS`. No reader can catch it by accident."""


class Judge:
    """Reads inputs one after the other in a folder of its own.

    Args:
        folder: Where the inputs are written, and where the readers' output would appear.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.input = folder / "input"
        self.peak = 0
        self.slowest = 0.0
        self._events: list[str] = []
        self._watching = False
        for name, content in corpus.shards().items():
            (folder / name).write_bytes(content)
        self._known = {path.name for path in folder.iterdir()} | {self.input.name}
        sys.addaudithook(self._audit)
        signal.signal(signal.SIGPROF, self._expired)

    def warm_up(self) -> None:
        """Read sound files, so that modules imported at the first use are loaded before the audit."""
        "".encode("utf-32-le")
        for reader, files in corpus.sound_files().items():
            for data in files:
                self.input.write_bytes(data)
                with suppress(PortingError):  # no known model is in them
                    self._read(reader, writing=True)

    def problem(self, reader: str, data: bytes, *, writing: bool) -> str:
        """Return what went wrong with an input; empty if nothing did.

        Args:
            reader: The reader, such as `npz`.
            data: The input.
            writing: Also convert and write what can be read.
        """
        self.input.write_bytes(data)
        self._events.clear()
        start = time.process_time()
        problem = self._outcome(reader, SECONDS, writing=writing)
        self.slowest = max(self.slowest, time.process_time() - start)
        tracemalloc.start()  # slows everything down, so that time and memory are measured one after the other
        problem = problem or self._outcome(reader, 10 * SECONDS, writing=False)
        taken = tracemalloc.get_traced_memory()[1] - len(data)
        tracemalloc.stop()
        self.peak = max(self.peak, taken)
        if taken > MEMORY:
            problem = problem or f"allocates {taken >> 20} MiB beyond the file's {len(data)} bytes"
        return problem or self._traces()

    def _outcome(self, reader: str, seconds: float, *, writing: bool) -> str:
        try:
            with self._watched(seconds):
                self._read(reader, writing=writing)
        except (PortingError, AlignmentError) as error:
            return self._wording(error.summary)
        except HangError:
            return f"takes more than {seconds} s"
        except BaseException as error:  # anything else is what is looked for
            return f"raises {type(error).__name__}: {str(error)[:200]}"
        return ""

    def _read(self, reader: str, *, writing: bool) -> None:
        if reader == "reprod_log":
            read_reprod_log(self.input)
            return
        with open_checkpoint(self.input) as checkpoint:
            for tensor in checkpoint.tensors.values():
                array = tensor.load()
                assert (array.shape, array.dtype) == (tensor.shape, tensor.dtype)
                if array.size:
                    array.flat[0], array.flat[-1]
            small = sum(tensor.nbytes for tensor in checkpoint.tensors.values()) <= _WRITTEN
            if writing and small:
                self._refused_whole(lambda target: write_checkpoint(target, checkpoint.tensors, overwrite=True))
        if writing:
            self._refused_whole(lambda target: convert(self.input, target, overwrite=True))

    def _refused_whole(self, write: Callable[[Path], object]) -> None:
        """Write over a file, which has to be the whole new or the whole old one afterwards."""
        target = self.folder / "target.safetensors"
        target.write_bytes(_OLD)
        try:
            write(target)
        except PortingError:
            assert target.read_bytes() == _OLD, "a refused conversion touched its target"
        else:
            with open_checkpoint(target):
                pass
        finally:
            target.unlink()

    def _traces(self) -> str:
        if self._events:
            return f"executes something: {', '.join(sorted(set(self._events)))}"
        left = sorted(path.name for path in self.folder.iterdir() if path.name not in self._known)
        if left or Path(CANARY).exists():
            return f"leaves {', '.join(left) or CANARY} behind"
        return ""

    @staticmethod
    def _wording(summary: str) -> str:
        if "\n" in summary or not summary.isprintable() or len(summary) > 3000:
            return f"says more than one line: {summary[:200]!r}"
        return ""

    @contextmanager
    def _watched(self, seconds: float) -> Iterator[None]:
        self._watching = True
        signal.setitimer(signal.ITIMER_PROF, seconds)
        try:
            yield
        finally:
            signal.setitimer(signal.ITIMER_PROF, 0)
            self._watching = False

    def _audit(self, event: str, arguments: tuple[Any, ...]) -> None:
        if self._watching and event in _FORBIDDEN:
            self._events.append(f"{event} {arguments[0]!r:.80}" if event == "import" else event)

    @staticmethod
    def _expired(*_: object) -> None:
        raise HangError

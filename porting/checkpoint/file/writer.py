"""A file being written: streamed, read back and compared with what was planned, renamed into place only when right.

Each thread takes one tensor after the other: it packs a block, writes it, reads it back through a second descriptor,
and compares the two byte by byte, which is stricter than any digest and costs less. The CRC-32 of what was read back is
the file's digest: it finds accidental damage in later copies of the file, and is no signature.

What is read back comes from the system's cache, as for any program that checks its own output. Only a file that is
about to replace another one is also flushed to the disk first (`fsync`), so that after a power failure either the old
or the new file is whole; a new file is treated as `cp` treats it.

Two threads write pit_b in 0.095 s, a plain loop in 0.13 s, which would make the whole conversion a sixth slower
(`docs/measurements.md`). The threads are our own and not those of `concurrent.futures`: the calling thread works too,
no tensor is loaded before there is room for it in memory, and a second Control-C does not end the waiting for a thread
that still writes.
"""

from __future__ import annotations

import contextlib
import os
import threading
import zlib
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

from porting import processors
from porting.checkpoint.file.copying import BLOCK, Packer
from porting.checkpoint.file.crc import Parts
from porting.checkpoint.file.mirror import Mirror
from porting.checkpoint.file.strips import Checksum, Job, Strip, require_announced
from porting.checkpoint.file.target import (
    check_target,
    drafted,
    flush_folder,
    os_errors,
    prepare_to_replace,
    publish,
    reserve,
)
from porting.checkpoint.tensor import Array, LazyTensor
from porting.errors import CheckpointError
from porting.plain_files import shortened

_MOST_THREADS = 3
"""More threads would wait for the memory's bandwidth."""
_SMALL = 1 << 16
"""Bytes up to which data is collected before it is written."""
_KEPT = 25 << 21
"""Bytes of tensors in memory at a time; a larger tensor is alone."""


class _Late(NamedTuple):
    """A stretch of the file whose content depends on checksums and is written last."""

    offset: int
    length: int
    content: Callable[[], bytes]


class Output:
    """Takes the content of a file in order; large tensors are read and written later, by the threads.

    Args:
        path: The target, for errors.
        descriptor: Where it is written.
        reader: A second descriptor of the same file, where it is read back.
        progress: Called with the name and size in bytes of each tensor that was written, by one thread at a time.
    """

    def __init__(
        self, path: Path, descriptor: int, reader: int, progress: Callable[[str, int], None] | None = None
    ) -> None:
        self.path = path
        self._reader = reader
        self._progress, self._progress_lock = progress, threading.Lock()
        self._small, self._handed_over = bytearray(), 0
        self._late: list[_Late] = []
        self._parts, self._known = Parts(), 0
        self._tasks: deque[Strip] = deque()
        self._kept = 0
        """Bytes of the tensors that are being written."""
        self._ended = False
        self._failure: BaseException | None = None
        self._running = 0
        """Number of threads that may use the descriptors."""
        self._changed = threading.Condition()
        """Guards `_tasks`, `_kept`, `_ended`, `_failure` and `_running`; notified when one of them changes."""
        count = min(processors.available(), _MOST_THREADS)
        self._mirror, *self._mirrors = (Mirror(path, descriptor, reader) for _ in range(count))
        self._packer, *self._packers = (Packer() for _ in range(count))

    def start(self) -> None:
        """Start the threads, as many as the system allows; the caller has to call `stop` in the end."""
        with contextlib.suppress(RuntimeError):  # no thread can be started: the calling thread does all the work
            for helpers in zip(self._packers, self._mirrors, strict=True):
                threading.Thread(target=self._serve, args=helpers, name="checkpoint-writer", daemon=True).start()

    @property
    def position(self) -> int:
        """Number of bytes so far."""
        return self._handed_over + len(self._small)

    @property
    def crc(self) -> int:
        """The CRC-32 of what was read back: of all bytes after `finish`, before the late ones while these are made."""
        return self._parts.value(self._known)

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Write what stands between tensors."""
        self._small += data
        if len(self._small) >= _SMALL:
            self._hand_over_small()

    def write_late(self, length: int, content: Callable[[], bytes]) -> None:
        """Leave room for bytes that depend on checksums.

        Args:
            length: Number of bytes.
            content: Returns them. Late contents are called in order, once all else has been read back.
        """
        self._hand_over_small()
        self._late.append(_Late(self.position, length, content))
        self._handed_over += length

    def write_tensor(
        self,
        name: str,
        tensor: LazyTensor,
        checksum: Checksum | None = None,
        between: Mapping[int, bytes] = MappingProxyType({}),
    ) -> None:
        """Write a tensor's bytes, packed in C order.

        Args:
            name: Its name, for errors and progress.
            tensor: The tensor; a large one is loaded later, and perhaps in another thread.
            checksum: Receives the CRC-32.
            between: Bytes to insert, by the number of the tensor's bytes before them; the checksum covers them.
        """
        if tensor.nbytes < _SMALL and not between:
            data = self.load(name, tensor).tobytes()
            if checksum is not None:
                checksum.value = zlib.crc32(data)
            self.write(data)
            self._report(name, tensor)
            return
        self._hand_over_small()
        strips = tuple(Job(self.path, name, tensor, checksum).cut(self.position, between))
        with self._changed:
            self._raise()
            self._tasks.extend(strips)
            self._changed.notify(len(strips))
        self._handed_over += sum(strip.length for strip in strips)

    def load(self, name: str, tensor: LazyTensor) -> Array:
        """Load a tensor's data; refuse another shape or dtype than announced."""
        array = tensor.load()
        require_announced(self.path, name, tensor, array.shape, array.dtype)
        return array

    def finish(self) -> None:
        """Write and check everything that is left; raise what went wrong."""
        self._hand_over_small()
        self._end()
        self._work(self._packer, self._mirror)
        self._wait()
        self._raise()
        for late in self._late:
            self._known = late.offset
            content = late.content()
            if len(content) != late.length:
                raise AssertionError(f"{len(content)} late bytes, {late.length} were announced")
            self._put_framing(late.offset, memoryview(content))
        self._known = self.position
        if os.fstat(self._reader).st_size != self.position:
            raise CheckpointError(self.path, f"the file written does not have the {self.position} bytes planned")

    def stop(self) -> None:
        """End the threads, whatever is left to do; an interrupt is raised only after they have ended.

        A thread left alone would go on writing to descriptors that are closed, or another file's by then.
        """
        try:
            with self._changed:
                self._tasks.clear()
                self._failure = self._failure or InterruptedError()
            self._end()
            self._wait()
        except KeyboardInterrupt:
            self.stop()
            raise

    def _end(self) -> None:
        with self._changed:
            self._ended = True
            self._changed.notify_all()

    def _wait(self) -> None:
        """Wait for the threads. Not by `Thread.join`, which cannot be repeated after an interrupt."""
        with self._changed:
            self._changed.wait_for(lambda: not self._running)

    def _raise(self) -> None:
        if self._failure is not None:
            raise self._failure

    def _hand_over_small(self) -> None:
        data, self._small = memoryview(self._small), bytearray()
        self._put_framing(self._handed_over, data)
        self._handed_over += len(data)

    def _put_framing(self, offset: int, data: memoryview) -> None:
        for start in range(offset, offset + len(data), BLOCK):
            part = data[start - offset : start - offset + BLOCK]
            self._mirror.crc.restart()
            self._mirror.put("small tensors and framing", start, part)
            self._parts.add(start, len(part), self._mirror.crc.value)

    def _serve(self, packer: Packer, mirror: Mirror) -> None:
        """Run one thread; one that starts too late finds nothing to do and leaves the descriptors alone."""
        with self._changed:
            self._running += 1
        try:
            self._work(packer, mirror)
        finally:
            with self._changed:
                self._running -= 1
                self._changed.notify_all()

    def _work(self, packer: Packer, mirror: Mirror) -> None:
        """Write tensors until none is left and none will come."""
        while (task := self._next()) is not None:
            failure = None
            try:
                self._write_large(task, packer, mirror)
            except BaseException as error:  # `finish` raises it in the calling thread
                failure = error
            with self._changed:
                if failure is not None:
                    self._failure = self._failure or failure
                    self._tasks.clear()
                self._changed.notify_all()

    def _next(self) -> Strip | None:
        """Wait for the next strip and for room for it; return None if none is left and none will come."""
        with self._changed:
            self._changed.wait_for(self._is_ready)
            if not self._tasks:
                return None
            strip = self._tasks.popleft()
            if not strip.job.begun:
                strip.job.begun = True
                self._kept += strip.job.tensor.nbytes
            return strip

    def _is_ready(self) -> bool:
        if not self._tasks:
            return self._ended or self._failure is not None
        job = self._tasks[0].job
        return job.begun or not self._kept or self._kept + job.tensor.nbytes <= _KEPT

    def _write_large(self, strip: Strip, packer: Packer, mirror: Mirror) -> None:
        offset, job = strip.offset, strip.job
        mirror.crc.restart()
        for data in _with_between(job.blocks(strip.rows, packer), strip.between):
            self._raise()
            mirror.put(job.name, offset, data)
            offset += len(data)
        if offset != strip.offset + strip.length:
            raise AssertionError(f"{offset - strip.offset} bytes of {job.name} were written, not {strip.length}")
        crc = mirror.crc.value
        self._parts.add(strip.offset, strip.length, crc)
        if job.done(strip, crc):
            with self._changed:
                self._kept -= job.tensor.nbytes
            self._report(job.name, job.tensor)

    def _report(self, name: str, tensor: LazyTensor) -> None:
        if self._progress is not None:
            with self._progress_lock:
                self._progress(name, tensor.nbytes)


def _with_between(blocks: Iterator[memoryview], between: Mapping[int, bytes]) -> Iterator[memoryview]:
    """Yield blocks with the bytes to insert between theirs, by the number of bytes before them."""
    done, places = 0, deque(sorted(between))
    for block in blocks:
        while places and places[0] < done + len(block):
            place = places.popleft()
            yield block[: place - done]
            yield memoryview(between[place])
            block, done = block[place - done :], place
        yield block
        done += len(block)


@contextlib.contextmanager
def publishing(
    path: Path,
    *,
    overwrite: bool,
    durable: bool = False,
    room: int = 0,
    check: Callable[[], None] | None = None,
    progress: Callable[[str, int], None] | None = None,
) -> Iterator[Output]:
    """Yield an output that appears under its name when the block ends without an error, complete and checked.

    Until then it is a hidden file beside the target, which is removed if anything goes wrong, an interrupt included.

    Args:
        path: The target.
        overwrite: Replace a file that is there.
        durable: Flush a new file to the disk too, as one that replaces another always is, and the folder's entry.
        room: Bytes to reserve on the disk: what the file will have at least.
        check: Called when all of it is written; what it raises keeps the file from appearing.
        progress: As for `Output`.

    Raises:
        TargetExistsError: The target is there and `overwrite` is false.
        CheckpointError: The target cannot be written; what was there is untouched.
    """
    replaced = check_target(path, overwrite=overwrite)
    draft = path.with_name(f".{shortened(path.name)}.{os.urandom(4).hex()}.part")
    with contextlib.ExitStack() as stack:
        with os_errors(path):
            descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
            stack.enter_context(drafted(draft))
            stack.callback(os.close, descriptor)
            reader = os.open(draft, os.O_RDONLY | os.O_CLOEXEC)
            stack.callback(os.close, reader)
            reserve(descriptor, room)
        output = Output(path, descriptor, reader, progress)
        stack.callback(output.stop)
        output.start()
        yield output
        output.finish()
        if check is not None:
            check()
        with os_errors(path):
            if replaced is not None:
                prepare_to_replace(descriptor, replaced)
            elif durable:
                os.fsync(descriptor)
            publish(draft, path, overwrite=overwrite)
            if durable:
                flush_folder(path.parent)

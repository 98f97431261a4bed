"""A file being written: streamed, read back and compared with what was planned, renamed into place only when right.

Every processor takes one tensor after the other, and sees it through: it puts a block together, writes it, reads it
back through a second descriptor, and compares the two byte by byte, which no digest is stricter than, and which costs
less than one. The CRC-32 of what was read back is the file's digest: it serves to find accidents in later copies of the
file, and is no signature.

What is read back comes from the system's cache, as for any program that checks its own output. Only a file that is
about to replace another one is also flushed to the disk first (`fsync`), so that after a power failure either the old
or the new file is whole; a new file is treated as `cp` treats it.
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
from typing import Any, NamedTuple

import numpy as np

from porting import processors
from porting.checkpoint.file.copying import BLOCK, Packer
from porting.checkpoint.file.crc import Parts
from porting.checkpoint.file.mirror import Mirror
from porting.checkpoint.file.reserve import reserve
from porting.checkpoint.file.target import check_target, drafted, flush_folder, os_errors, prepare_to_replace, publish
from porting.checkpoint.tensor import Array, LazyTensor, Shape
from porting.errors import CheckpointError

_MOST_THREADS = 3
"""Memory is what they wait for beyond that."""
_SMALL = 1 << 16
"""Bytes up to which data is collected before it is written."""
_KEPT = 25 << 21
"""Bytes of tensors in memory at a time; a larger one is alone."""


class Checksum:
    """The CRC-32 of a tensor's bytes.

    Attributes:
        value: It, once it is known.
        known: Whether it is: at once for a small tensor, after all of it has been read back for others.
    """

    value: int

    @property
    def known(self) -> bool:
        """Whether there is a value yet."""
        return hasattr(self, "value")


class _Task(NamedTuple):
    """A tensor to be written.

    Attributes:
        offset: Where it belongs.
        name: What to call it.
        tensor: It, not read yet.
        checksum: What is to be given its CRC-32, where it is wanted.
        between: What stands between its bytes, by how many of them come before.
    """

    offset: int
    name: str
    tensor: LazyTensor
    checksum: Checksum | None
    between: Mapping[int, bytes]

    @property
    def length(self) -> int:
        """Bytes in the file."""
        return self.tensor.nbytes + sum(map(len, self.between.values()))


class _Late(NamedTuple):
    """Bytes that depend on checksums, and so come last."""

    offset: int
    length: int
    content: Callable[[], bytes]


class Output:
    """Takes the content of a file in order; large tensors are read and written when a processor is free.

    Args:
        path: The target, for errors.
        descriptor: Where it is written.
        reader: A second descriptor of the same file, where it is read back.
        progress: Told the name and size of each tensor that was written, by one thread at a time.
    """

    def __init__(
        self, path: Path, descriptor: int, reader: int, progress: Callable[[str, int], None] | None = None
    ) -> None:
        self.path = path
        self._reader = reader
        self._progress, self._telling = progress, threading.Lock()
        self._small, self._handed_over = bytearray(), 0
        self._late: list[_Late] = []
        self._parts, self._known = Parts(), 0
        self._tasks: deque[_Task] = deque()
        self._kept = 0
        self._ended = False
        self._failure: BaseException | None = None
        self._changed = threading.Condition()
        """Held to use the four above it, and how many are running."""
        count = min(processors.available(), _MOST_THREADS)
        self._mirror, *self._mirrors = (Mirror(path, descriptor, reader) for _ in range(count))
        self._packer, *self._packers = (Packer() for _ in range(count))
        self._running = 0
        """Threads that may use the descriptors."""

    def start(self) -> None:
        """Starts the threads, as many as the system allows; who has called this calls `stop` in the end."""
        with contextlib.suppress(RuntimeError):  # there can be no more; this thread does their work, too
            for helpers in zip(self._packers, self._mirrors, strict=True):
                threading.Thread(target=self._serve, args=helpers, name="checkpoint-writer", daemon=True).start()

    @property
    def position(self) -> int:
        """Number of bytes so far."""
        return self._handed_over + len(self._small)

    @property
    def crc(self) -> int:
        """The CRC-32 of what was read back: of what comes before who comes late, of all after `finish`."""
        return self._parts.value(self._known)

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Writes what stands between tensors."""
        self._small += data
        if len(self._small) >= _SMALL:
            self._hand_over_small()

    def write_late(self, length: int, content: Callable[[], bytes]) -> None:
        """Leaves room for what depends on checksums.

        Args:
            length: How many bytes.
            content: Gives them; called when everything but what comes late has been read back, in order.
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
        """Writes a tensor's bytes, packed in C order.

        Args:
            name: What to call it in errors and to `progress`.
            tensor: It; a large one is read later, in another thread perhaps.
            checksum: What is to be given the value, where it is wanted.
            between: What is to stand between its bytes, by how many of them come before, and counts to the checksum.
        """
        if tensor.nbytes < _SMALL and not between:
            data = self.load(name, tensor).tobytes()
            if checksum is not None:
                checksum.value = zlib.crc32(data)
            self.write(data)
            self._tell(name, tensor)
            return
        self._hand_over_small()
        with self._changed:
            self._raise()
            task = _Task(self.position, name, tensor, checksum, between)
            self._tasks.append(task)
            self._changed.notify()
        self._handed_over += task.length

    def load(self, name: str, tensor: LazyTensor) -> Array:
        """A tensor's data, found to be of the shape and dtype announced."""
        array = tensor.load()
        self._require_announced(name, tensor, array.shape, array.dtype)
        return array

    def _blocks(self, name: str, tensor: LazyTensor, packer: Packer) -> Iterator[memoryview]:
        """A tensor's bytes, of one that is joined from pieces without ever joining them."""
        if tensor.pieces is None:
            return packer.blocks(self.load(name, tensor))
        pieces = tensor.pieces()
        shapes = [(*each.shape[: pieces.axis], 0, *each.shape[pieces.axis + 1 :]) for each in pieces.arrays]
        along = sum(each.shape[pieces.axis] for each in pieces.arrays)
        joined = tuple(along if place == pieces.axis else size for place, size in enumerate(shapes[0]))
        for each, shape in zip(pieces.arrays, shapes, strict=True):
            self._require_announced(name, tensor, joined if shape == shapes[0] else each.shape, each.dtype)
        return packer.joined(pieces)

    def _require_announced(self, name: str, tensor: LazyTensor, shape: Shape, dtype: np.dtype[Any]) -> None:
        if (shape, dtype) != (tensor.shape, tensor.dtype):
            raise CheckpointError(
                self.path,
                f"{name} was announced as {tensor.dtype.name} {tensor.shape} and came as {dtype.name} {shape}; "
                "nothing was written",
            )

    def finish(self) -> None:
        """Sees to it that everything is written and checked; raises what went wrong."""
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
        """Ends the threads, whatever there is left to do; no interrupt keeps it from waiting for them."""
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
        """Waits for the threads: not by joining them, which an interrupt ends for good."""
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
        """What a thread does; one that comes too late finds nothing to do, and leaves the descriptors alone."""
        with self._changed:
            self._running += 1
        try:
            self._work(packer, mirror)
        finally:
            with self._changed:
                self._running -= 1
                self._changed.notify_all()

    def _work(self, packer: Packer, mirror: Mirror) -> None:
        """Writes tensors until none is left and none will come."""
        while (task := self._next()) is not None:
            failure = None
            try:
                self._write_large(task, packer, mirror)
            except BaseException as error:  # raised again in the thread that can act on it
                failure = error
            with self._changed:
                self._kept -= task.tensor.nbytes
                if failure is not None:
                    self._failure = self._failure or failure
                    self._tasks.clear()
                self._changed.notify_all()

    def _next(self) -> _Task | None:
        """The next tensor, when there is room for it; None when there is none and none will come."""
        with self._changed:
            self._changed.wait_for(self._is_ready)
            if not self._tasks:
                return None
            self._kept += self._tasks[0].tensor.nbytes
            return self._tasks.popleft()

    def _is_ready(self) -> bool:
        if not self._tasks:
            return self._ended or self._failure is not None
        return not self._kept or self._kept + self._tasks[0].tensor.nbytes <= _KEPT

    def _write_large(self, task: _Task, packer: Packer, mirror: Mirror) -> None:
        offset = task.offset
        mirror.crc.restart()
        for data in _with_between(self._blocks(task.name, task.tensor, packer), task.between):
            self._raise()
            mirror.put(task.name, offset, data)
            offset += len(data)
        if offset != task.offset + task.length:
            raise AssertionError(f"{offset - task.offset} bytes of {task.name} were written, {task.length} are its own")
        crc = mirror.crc.value
        self._parts.add(task.offset, task.length, crc)
        if task.checksum is not None:
            task.checksum.value = crc
        self._tell(task.name, task.tensor)

    def _tell(self, name: str, tensor: LazyTensor) -> None:
        if self._progress is not None:
            with self._telling:
                self._progress(name, tensor.nbytes)


def _with_between(blocks: Iterator[memoryview], between: Mapping[int, bytes]) -> Iterator[memoryview]:
    """Blocks, and what is to stand between their bytes."""
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
    """An output that appears under its name when the block ends without an error, complete and checked.

    Until then it is a hidden file beside the target, which is removed if anything goes wrong, an interrupt included.

    Args:
        path: The target.
        overwrite: Whether a file that is there may be replaced.
        durable: Flush a new file to the disk too, as one that replaces another always is, and the folder's entry.
        room: Bytes that the file will have at least, to be reserved on the disk.
        check: Called when all of it is written; what it raises keeps the file from appearing.
        progress: As for `Output`.

    Raises:
        TargetExistsError: The target is there and `overwrite` is false.
        CheckpointError: The target cannot be written; what was there is untouched.
    """
    replaced = check_target(path, overwrite=overwrite)
    draft = path.with_name(f".{path.name[:200]}.{os.urandom(4).hex()}.part")
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

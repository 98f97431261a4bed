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
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from porting import processors
from porting.checkpoint.copying import BLOCK, Packer, equal_bytes
from porting.checkpoint.crc import Crc32, Parts
from porting.checkpoint.reserving import reserve
from porting.checkpoint.target import check_target, drafted, flush_folder, os_errors, prepare_to_replace, publish
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
    """

    offset: int
    name: str
    tensor: LazyTensor
    checksum: Checksum | None


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
        """Held to use the four above it."""
        self._mirror, *others = (
            _Mirror(path, descriptor, reader) for _ in range(min(processors.available(), _MOST_THREADS))
        )
        self._threads = [
            threading.Thread(target=self._work, args=(mirror,), name="checkpoint-writer", daemon=True)
            for mirror in others
        ]
        for thread in self._threads:
            thread.start()

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

    def write_tensor(self, name: str, tensor: LazyTensor, checksum: Checksum | None = None) -> None:
        """Writes a tensor's bytes, packed in C order.

        Args:
            name: What to call it in errors and to `progress`.
            tensor: It; a large one is read later, in another thread perhaps.
            checksum: What is to be given the value, where it is wanted.
        """
        if tensor.nbytes < _SMALL:
            data = self.load(name, tensor).tobytes()
            if checksum is not None:
                checksum.value = zlib.crc32(data)
            self.write(data)
            self._tell(name, tensor)
            return
        self._hand_over_small()
        with self._changed:
            self._raise()
            self._tasks.append(_Task(self.position, name, tensor, checksum))
            self._changed.notify()
        self._handed_over += tensor.nbytes

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
        first, *others = pieces.arrays
        shape = list(first.shape)
        shape[pieces.axis] += sum(each.shape[pieces.axis] for each in others)
        self._require_announced(name, tensor, tuple(shape), first.dtype)
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
        self._work(self._mirror)
        self._join()
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
        """Ends the threads, whatever there is left to do."""
        with self._changed:
            self._tasks.clear()
            self._failure = self._failure or InterruptedError()
        self._end()
        self._join()

    def _end(self) -> None:
        with self._changed:
            self._ended = True
            self._changed.notify_all()

    def _join(self) -> None:
        for thread in self._threads:
            thread.join()

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

    def _work(self, mirror: _Mirror) -> None:
        """Writes tensors until none is left and none will come."""
        packer = Packer()
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

    def _write_large(self, task: _Task, packer: Packer, mirror: _Mirror) -> None:
        offset = task.offset
        mirror.crc.restart()
        for data in self._blocks(task.name, task.tensor, packer):
            self._raise()
            mirror.put(task.name, offset, data)
            offset += len(data)
        crc = mirror.crc.value
        self._parts.add(task.offset, task.tensor.nbytes, crc)
        if task.checksum is not None:
            task.checksum.value = crc
        self._tell(task.name, task.tensor)

    def _tell(self, name: str, tensor: LazyTensor) -> None:
        if self._progress is not None:
            with self._telling:
                self._progress(name, tensor.nbytes)


class _Mirror:
    """Writes blocks, and reads each back to compare it with what was planned; for one thread at a time.

    Args:
        path: The target, for errors.
        descriptor: Where they are written.
        reader: Where they are read back.

    Attributes:
        crc: The CRC-32 of what was read back since it was last restarted.
    """

    def __init__(self, path: Path, descriptor: int, reader: int) -> None:
        self.crc = Crc32()
        self._path = path
        self._descriptor, self._reader = descriptor, reader
        self._found = np.empty(BLOCK, np.uint8)
        self._same = np.empty(BLOCK // 8, np.bool_)

    def put(self, name: str, offset: int, data: memoryview) -> None:
        """Writes a block of up to `BLOCK` bytes; the name is for errors."""
        with os_errors(self._path):
            self._write(offset, data)
            found = self._read(offset, len(data))
        if not equal_bytes(found, np.frombuffer(data, np.uint8), self._same):
            raise CheckpointError(
                self._path,
                f"what was read back differs from what was written, in {name} (bytes {offset} to "
                f"{offset + len(data)}); nothing was left there. Disk or memory is faulty: write to another disk",
            )
        self.crc.update(found.data)

    def _write(self, offset: int, data: memoryview) -> None:
        while data:
            done = os.pwrite(self._descriptor, data, offset)
            data, offset = data[done:], offset + done

    def _read(self, offset: int, length: int) -> npt.NDArray[np.uint8]:
        """What is there, as far as the file goes."""
        done = 0
        while done < length and (count := os.preadv(self._reader, [self._found[done:length].data], offset + done)):
            done += count
        return self._found[:done]


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

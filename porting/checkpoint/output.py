"""A file being written: streamed, read back and compared with what was planned, renamed into place only when right.

While one block is being prepared, a second thread writes the one before it, reads it back through a descriptor of its
own, and compares the two byte by byte, which no digest is stricter than, and which costs less than one. The CRC-32 of
what was read back is the file's digest: it serves to find accidents in later copies of the file, and is no signature.

What is read back comes from the system's cache, as for any program that checks its own output. Only a file that is
about to replace another one is also flushed to the disk first (`fsync`), so that after a power failure either the old
or the new file is whole; a new file is treated as `cp` treats it.
"""

from __future__ import annotations

import contextlib
import os
import threading
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from queue import Queue
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from porting.checkpoint.copying import BLOCK, Block, Packer
from porting.checkpoint.crc import Crc32, combined
from porting.checkpoint.reserving import reserve
from porting.checkpoint.target import cannot_write, check_target, flush_folder, os_errors, prepare_to_replace, publish
from porting.checkpoint.tensor import Array, LazyTensor
from porting.errors import CheckpointError

_BUFFERS = 5
_WAITING = 4
"""Blocks between the two threads."""
_SMALL = 1 << 16
"""Bytes up to which data is collected before it is handed over."""
_KEPT = 9 << 22
"""Bytes of tensors in memory, from before one is read until its last block is written; a larger one is alone."""


class _Item(NamedTuple):
    """A block for the other thread.

    Attributes:
        offset: Where it belongs.
        block: Its bytes.
        name: The tensor's, for errors.
        frees: Bytes that are kept no longer once it is written: its tensor's, where it is the last of one.
        starts: Whether a checksum starts with it.
        ends: The checksum that ends with it.
        late: Gives the bytes, in place of the block's.
    """

    offset: int
    block: Block
    name: str
    frees: int = 0
    starts: bool = False
    ends: Checksum | None = None
    late: Callable[[], bytes] | None = None


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


class Output:
    """Takes the bytes of a file in order.

    Args:
        path: The target, for errors.
        descriptor: Where they are written.
        reader: A second descriptor of the same file, where they are read back.
        progress: Told the name and size of each tensor that was handed over.
    """

    def __init__(
        self, path: Path, descriptor: int, reader: int, progress: Callable[[str, int], None] | None = None
    ) -> None:
        self.path = path
        self._before = 0
        self._crc, self._length = Crc32(), 0
        self._handed_over = 0
        self._small = bytearray()
        self._descriptor, self._reader = descriptor, reader
        self._progress = progress
        self._packer = Packer(_BUFFERS)
        self._room = threading.Condition()
        self._kept = 0
        self._failure: BaseException | None = None
        self._queue: Queue[_Item | None] = Queue(_WAITING)
        self._thread = threading.Thread(target=self._work, name="checkpoint-writer", daemon=True)
        self._thread.start()

    @property
    def position(self) -> int:
        """Number of bytes so far."""
        return self._handed_over + len(self._small)

    @property
    def crc(self) -> int:
        """The CRC-32 of what has been read back: of the whole file after `finish`."""
        return combined(self._before, self._crc.value, self._length)

    def write(self, data: bytes | bytearray) -> None:
        """Writes what stands between tensors."""
        self._collect(data)

    def write_late(self, length: int, content: Callable[[], bytes]) -> None:
        """Writes what depends on checksums.

        Args:
            length: How many bytes.
            content: Gives them; called, in another thread, once everything before has been read back.
        """
        self._hand_over_small()
        for start in range(0, length, BLOCK):
            part = slice(start, min(start + BLOCK, length))
            block = Block(memoryview(bytes(part.stop - part.start)))
            self._put(block, "framing", late=lambda part=part: content()[part])

    def write_tensor(self, name: str, tensor: LazyTensor, checksum: Checksum | None = None) -> None:
        """Writes a tensor's bytes, packed in C order.

        Args:
            name: What to call it in errors and to `progress`.
            tensor: Read here, and dropped again.
            checksum: What is to be given the value, where it is wanted.
        """
        if tensor.nbytes < _SMALL:
            self._write_small(self.load(name, tensor), checksum)
        else:
            self._write_large(name, tensor, checksum)
        if self._progress is not None:
            self._progress(name, tensor.nbytes)

    def _write_small(self, array: Array, checksum: Checksum | None) -> None:
        crc = 0
        for block in self._packer.blocks(array):
            block.fill()
            crc = zlib.crc32(block.data, crc)
            self._collect(block.data)
            self._packer.give_back(block)
        if checksum is not None:
            checksum.value = crc

    def _write_large(self, name: str, tensor: LazyTensor, checksum: Checksum | None) -> None:
        self._hand_over_small()
        self._keep(tensor.nbytes)
        done = 0
        for block in self._packer.blocks(self.load(name, tensor)):
            if not self._queue.empty():
                block.fill()  # else the other thread has nothing to do, and does it
            starts = checksum is not None and not done
            done += len(block.data)
            last = done == tensor.nbytes
            self._put(block, name, frees=tensor.nbytes if last else 0, starts=starts, ends=checksum if last else None)

    def _keep(self, nbytes: int) -> None:
        """Waits until there is room for a tensor."""
        with self._room:
            self._room.wait_for(lambda: not self._kept or self._kept + nbytes <= _KEPT)
            self._kept += nbytes

    def load(self, name: str, tensor: LazyTensor) -> Array:
        """A tensor's data, found to be of the shape and dtype announced."""
        array = tensor.load()
        if (array.shape, array.dtype) != (tensor.shape, tensor.dtype):
            raise CheckpointError(
                self.path,
                f"{name} was announced as {tensor.dtype.name} {tensor.shape} and came as {array.dtype.name} "
                f"{array.shape}; nothing was written",
            )
        return array

    def finish(self) -> None:
        """Waits until everything is written and checked; raises what went wrong."""
        self._hand_over_small()
        self.stop()
        self._raise()
        if os.fstat(self._reader).st_size != self.position:
            raise CheckpointError(self.path, f"the file written does not have the {self.position} bytes planned")

    def stop(self) -> None:
        """Ends the writing thread."""
        if self._thread.is_alive():
            self._queue.put(None)
            self._thread.join()

    def _collect(self, data: bytes | bytearray | memoryview) -> None:
        """Takes a little data, to be written with what comes next."""
        self._small += data
        if len(self._small) >= _SMALL:
            self._hand_over_small()

    def _hand_over_small(self) -> None:
        data, self._small = memoryview(self._small), bytearray()
        for start in range(0, len(data), BLOCK):
            self._put(Block(data[start : start + BLOCK]), "small tensors and framing")

    def _put(self, block: Block, name: str, **more: Any) -> None:
        self._raise()
        length = len(block.data)
        self._queue.put(_Item(self._handed_over, block, name, **more))
        self._handed_over += length

    def _raise(self) -> None:
        if self._failure is not None:
            raise self._failure

    def _work(self) -> None:
        check = np.empty(BLOCK, np.uint8)
        while (item := self._queue.get()) is not None:
            if self._failure is None:
                self._write_and_check(item, check)
            self._packer.give_back(item.block)
            frees = item.frees
            del item  # with it goes what the block keeps of a tensor
            if frees:
                with self._room:
                    self._kept -= frees
                    self._room.notify()

    def _write_and_check(self, item: _Item, check: npt.NDArray[np.uint8]) -> None:
        try:
            self._prepare(item)
            self._write(item)
            self._read_back(item, check[: len(item.block.data)])
        except OSError as error:
            self._failure = cannot_write(self.path, error)
        except BaseException as failure:  # raised by the next call instead, in the thread that can act on it
            self._failure = failure

    def _prepare(self, item: _Item) -> None:
        item.block.fill()
        if item.late is not None:
            content = item.late()
            if len(content) != len(item.block.data):
                raise AssertionError(f"{len(content)} late bytes, {len(item.block.data)} were announced")
            item.block.data = memoryview(content)

    def _write(self, item: _Item) -> None:
        data = item.block.data
        while data:
            data = data[os.write(self._descriptor, data) :]

    def _read_back(self, item: _Item, check: npt.NDArray[np.uint8]) -> None:
        """Reads the block from the file and compares it with what was planned."""
        done = 0
        while done < len(check) and (count := os.preadv(self._reader, [check[done:].data], item.offset + done)):
            done += count
        if done != len(check) or not _equal(check, np.frombuffer(item.block.data, np.uint8)):
            raise CheckpointError(
                self.path,
                f"what was read back differs from what was written, in {item.name} (bytes {item.offset} to "
                f"{item.offset + len(check)}); nothing was left there. Disk or memory is faulty: write to another disk",
            )
        if item.starts:
            self._start_checksum()
        self._crc.update(check.data)
        self._length += len(check)
        if item.ends is not None:
            item.ends.value = self._crc.value
            self._start_checksum()

    def _start_checksum(self) -> None:
        self._before = self.crc
        self._crc, self._length = Crc32(), 0


def _equal(one: npt.NDArray[np.uint8], other: npt.NDArray[np.uint8]) -> bool:
    """Whether bytes are equal, compared as words: an eighth of the intermediate results."""
    words = len(one) // 8 * 8
    same = bool((one[:words].view(np.uint64) == other[:words].view(np.uint64)).all())
    return same and (words == len(one) or bool((one[words:] == other[words:]).all()))


@contextlib.contextmanager
def publishing(
    path: Path,
    *,
    overwrite: bool,
    durable: bool = False,
    room: int = 0,
    progress: Callable[[str, int], None] | None = None,
) -> Iterator[Output]:
    """An output that appears under its name when the block ends without an error, complete and checked.

    Until then it is a hidden file beside the target, which is removed if anything goes wrong, an interrupt included.

    Args:
        path: The target.
        overwrite: Whether a file that is there may be replaced.
        durable: Flush a new file to the disk too, as one that replaces another always is, and the folder's entry.
        room: Bytes that the file will have at least, to be reserved on the disk.
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
            stack.callback(draft.unlink, missing_ok=True)
            stack.callback(os.close, descriptor)
            reader = os.open(draft, os.O_RDONLY | os.O_CLOEXEC)
            stack.callback(os.close, reader)
            reserve(descriptor, room)
        output = Output(path, descriptor, reader, progress)
        stack.callback(output.stop)
        yield output
        output.finish()
        with os_errors(path):
            if replaced is not None:
                prepare_to_replace(descriptor, replaced)
            elif durable:
                os.fsync(descriptor)
            publish(draft, path, overwrite=overwrite)
            if durable:
                flush_folder(path.parent)

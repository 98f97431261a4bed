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
import errno
import os
import stat
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from queue import Queue
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from porting.checkpoint.copying import BLOCK, Block, Packer
from porting.checkpoint.crc import crc32
from porting.checkpoint.tensor import Array, LazyTensor
from porting.errors import CheckpointError, TargetExistsError

_BUFFERS = 3
_WAITING = 2
"""Blocks between the two threads; each may keep a tensor in memory."""
_SMALL = 1 << 16
"""Bytes up to which data is collected before it is handed over."""
_HUGE = 3 << 23
"""Bytes of a tensor beyond which it has to be alone in memory."""


class _Item(NamedTuple):
    offset: int
    block: Block
    name: str


class Output:
    """Takes the bytes of a file in order.

    Args:
        path: The target, for errors.
        descriptor: Where they are written.
        reader: A second descriptor of the same file, where they are read back.
        progress: Told the name and size of each tensor that was handed over.

    Attributes:
        crc: After `finish`, the CRC-32 of the file as read back.
    """

    def __init__(
        self, path: Path, descriptor: int, reader: int, progress: Callable[[str, int], None] | None = None
    ) -> None:
        self.path = path
        self.crc = 0
        self._handed_over = 0
        self._small = bytearray()
        self._descriptor, self._reader = descriptor, reader
        self._progress = progress
        self._packer = Packer(_BUFFERS)
        self._lending = threading.Semaphore()
        self._failure: BaseException | None = None
        self._queue: Queue[_Item | None] = Queue(_WAITING)
        self._thread = threading.Thread(target=self._work, name="checkpoint-writer", daemon=True)
        self._thread.start()

    @property
    def position(self) -> int:
        """Number of bytes so far."""
        return self._handed_over + len(self._small)

    def write(self, data: bytes | bytearray) -> None:
        """Writes what stands between tensors."""
        self._collect(data)

    def write_tensor(self, name: str, tensor: LazyTensor, *, crc: int | None = None) -> int:
        """Writes a tensor's bytes, packed in C order.

        Args:
            name: What to call it in errors and to `progress`.
            tensor: Read here, and dropped again.
            crc: CRC-32 of what belongs before the tensor, when that of both together is wanted.

        Returns:
            The CRC-32 of both; 0 when it was not asked for.
        """
        if tensor.nbytes > _HUGE:
            self._queue.join()  # what is still to be written keeps its tensors in memory
        for block in self._packer.blocks(self.load(name, tensor)):
            self._fill_or_lend(block, needed=crc is not None or len(block.data) < _SMALL)
            if crc is not None:
                crc = crc32(block.data, crc)
            if len(block.data) < _SMALL:
                self._collect(block.data)
                self._packer.give_back(block)
            else:
                self._hand_over_small()
                self._put(block, name)
        if self._progress is not None:
            self._progress(name, tensor.nbytes)
        return crc or 0

    def _fill_or_lend(self, block: Block, *, needed: bool) -> None:
        """Fills a block here, unless the other thread has nothing to do: then it gets one to fill itself.

        Only one at a time, since it keeps a whole tensor in memory while the next one is read.
        """
        if needed or block.rows is None or not self._queue.empty() or not self._lending.acquire(blocking=False):
            block.fill()

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

    def _put(self, block: Block, name: str) -> None:
        self._raise()
        self._queue.put(_Item(self._handed_over, block, name))
        self._handed_over += len(block.data)

    def _raise(self) -> None:
        if self._failure is not None:
            raise self._failure

    def _work(self) -> None:
        check = np.empty(BLOCK, np.uint8)
        while (item := self._queue.get()) is not None:
            if self._failure is None:
                self._write_and_check(item, check)
            self._packer.give_back(item.block)
            del item
            self._queue.task_done()

    def _write_and_check(self, item: _Item, check: npt.NDArray[np.uint8]) -> None:
        try:
            if item.block.rows is not None:
                item.block.fill()
                self._lending.release()
            self._write(item)
            self._read_back(item, check[: len(item.block.data)])
        except OSError as error:
            self._failure = _cannot_write(self.path, error)
        except BaseException as failure:  # raised by the next call instead, in the thread that can act on it
            self._failure = failure

    def _write(self, item: _Item) -> None:
        data = item.block.data
        while data:
            data = data[os.write(self._descriptor, data) :]

    def _read_back(self, item: _Item, check: npt.NDArray[np.uint8]) -> None:
        """Reads the block from the file and compares it with what was planned."""
        done = 0
        while count := os.preadv(self._reader, [check[done:].data], item.offset + done):
            done += count
        if done != len(check) or not _equal(check, np.frombuffer(item.block.data, np.uint8)):
            raise CheckpointError(
                self.path,
                f"what was read back differs from what was written, in {item.name} (bytes {item.offset} to "
                f"{item.offset + len(check)}); nothing was left there. Disk or memory is faulty: write to another disk",
            )
        self.crc = crc32(check.data, self.crc)


def _equal(one: npt.NDArray[np.uint8], other: npt.NDArray[np.uint8]) -> bool:
    """Whether bytes are equal, compared as words: an eighth of the intermediate results."""
    words = len(one) // 8 * 8
    return np.array_equal(one[:words].view(np.uint64), other[:words].view(np.uint64)) and np.array_equal(
        one[words:], other[words:]
    )


@contextlib.contextmanager
def publishing(
    path: Path, *, overwrite: bool, durable: bool = False, progress: Callable[[str, int], None] | None = None
) -> Iterator[Output]:
    """An output that appears under its name when the block ends without an error, complete and checked.

    Until then it is a hidden file beside the target, which is removed if anything goes wrong, an interrupt included.

    Args:
        path: The target.
        overwrite: Whether a file that is there may be replaced.
        durable: Flush a new file to the disk too, as one that replaces another always is, and the folder's entry.
        progress: As for `Output`.

    Raises:
        TargetExistsError: The target is there and `overwrite` is false.
        CheckpointError: The target cannot be written; what was there is untouched.
    """
    replaced = check_target(path, overwrite=overwrite)
    draft = path.with_name(f".{path.name[:200]}.{os.urandom(4).hex()}.part")
    with contextlib.ExitStack() as stack:
        with _os_errors(path):
            descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
            stack.callback(draft.unlink, missing_ok=True)
            stack.callback(os.close, descriptor)
            reader = os.open(draft, os.O_RDONLY | os.O_CLOEXEC)
            stack.callback(os.close, reader)
        output = Output(path, descriptor, reader, progress)
        stack.callback(output.stop)
        yield output
        output.finish()
        with _os_errors(path):
            if replaced is not None:
                _prepare_to_replace(descriptor, replaced)
            elif durable:
                os.fsync(descriptor)
            _publish(draft, path, overwrite=overwrite)
            if durable:
                _flush_folder(path.parent)


@contextlib.contextmanager
def _os_errors(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise _cannot_write(path, error) from error


def check_target(path: Path, *, overwrite: bool) -> os.stat_result | None:
    """What is to be replaced, None when nothing is there.

    Raises:
        TargetExistsError: The target is there and `overwrite` is false.
        CheckpointError: It could not be written, as far as can be told without doing so.
    """
    try:
        found = path.lstat()
    except FileNotFoundError:
        if not path.parent.is_dir():
            raise CheckpointError(path, f"there is no folder {path.parent}; create it first (mkdir -p)") from None
        return None
    except NotADirectoryError:
        raise CheckpointError(path, f"{path.parent} is no folder; choose another target") from None
    except OSError as error:
        raise _cannot_write(path, error) from error
    if not stat.S_ISREG(found.st_mode):
        kind = "a folder" if stat.S_ISDIR(found.st_mode) else "a link" if path.is_symlink() else "no regular file"
        raise CheckpointError(path, f"is {kind}, which is never replaced; name a file")
    if not overwrite:
        raise TargetExistsError(path, "already exists; use --force to replace it, or choose another target")
    return found


def _prepare_to_replace(draft: int, replaced: os.stat_result) -> None:
    """Gives the draft the permissions of the file that it replaces, and sees it to the disk."""
    os.fchmod(draft, stat.S_IMODE(replaced.st_mode))
    os.fsync(draft)


def _flush_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _publish(draft: Path, path: Path, *, overwrite: bool) -> None:
    if overwrite:
        draft.replace(path)
        return
    try:
        # A link never replaces: whoever created the target in the meantime keeps theirs.
        path.hardlink_to(draft)
    except FileExistsError:
        raise TargetExistsError(path, "has just been created by someone else; use --force to replace it") from None
    except OSError as error:
        if error.errno not in (errno.EPERM, errno.ENOTSUP, errno.EMLINK, errno.ENOSYS):
            raise
        if path.exists():  # a file system without links, such as FAT
            raise TargetExistsError(path, "already exists; use --force to replace it") from None
        draft.rename(path)


_REASONS = {
    errno.ENOSPC: "the disk is full; free some space or choose another target",
    errno.EDQUOT: "the disk quota is used up; free some space or choose another target",
    errno.EFBIG: "the file is larger than the system allows (ulimit -f); choose another target",
    errno.EACCES: "the folder may not be written; check its permissions",
    errno.EPERM: "the folder may not be written; check its permissions",
    errno.EROFS: "the file system is read-only; choose another target",
    errno.ENAMETOOLONG: "the name is too long; choose a shorter one",
}


def _cannot_write(path: Path, error: OSError) -> CheckpointError:
    reason = _REASONS.get(error.errno or 0, error.strerror or str(error))
    return CheckpointError(path, f"cannot be written: {reason}. What was there before is untouched")

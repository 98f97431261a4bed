"""Buffers for stretches of a file, used again and again: new memory costs as much as reading into it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

UNIT, SMALL = 1 << 22, 1 << 20
"""Bytes that memory is taken in multiples of. From the first on the system has larger pages for it; of the second only
what is used takes memory."""


@dataclass(slots=True, eq=False)
class Buffer:
    """Memory for a stretch of a file.

    Attributes:
        memory: At least as many bytes as the stretch has.
        stretch: Offset and length of what is in it; None while nothing is.
    """

    memory: npt.NDArray[np.uint8]
    stretch: tuple[int, int] | None = None


class Buffers:
    """The buffers of a file, those in use included.

    Args:
        most: Bytes that are kept: what is taken beyond that is let go when it is given back.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._taken = 0
        self._free: list[Buffer] = []

    def take(self, offset: int, length: int) -> Buffer:
        """The buffer that has this stretch already, else the smallest that it fits into, else a new one."""
        fitting = [each for each in self._free if each.memory.size >= length]
        if fitting:
            has_it = [each for each in fitting if each.stretch == (offset, length)]
            taken = min(has_it or fitting, key=lambda each: each.memory.size)
            self._free.remove(taken)
        else:
            self._free.clear()
            taken = Buffer(np.empty(_rounded(length), np.uint8))
        self._taken += taken.memory.size
        return taken

    def give_back(self, buffer: Buffer) -> None:
        """Ends the use of a buffer."""
        self._taken -= buffer.memory.size
        if self._taken + sum(each.memory.size for each in self._free) + buffer.memory.size <= self._most:
            self._free.append(buffer)

    def clear(self) -> None:
        """Lets go of those that are not in use."""
        self._free.clear()


def _rounded(length: int) -> int:
    """The size of a new buffer: few different ones, so that one fits the next stretch too."""
    unit = UNIT if length > SMALL else SMALL
    return -(-length // unit) * unit

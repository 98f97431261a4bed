"""Buffers for stretches of a file, used again and again: new memory costs as much as reading into it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

UNIT = 1 << 22
"""Bytes that memory is taken in multiples of: from so many on the system has larger pages for it."""


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
        most: How many are kept: what is taken beyond that is let go when it is given back.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._taken = 0
        self._free: list[Buffer] = []

    def take(self, offset: int, length: int) -> Buffer:
        """The buffer that has this stretch already, else the smallest that it fits into, else a new one."""
        self._taken += 1
        fitting = [each for each in self._free if each.memory.size >= length]
        if not fitting:
            self._free.clear()
            return Buffer(np.empty(-(-length // UNIT) * UNIT, np.uint8))
        has_it = [each for each in fitting if each.stretch == (offset, length)]
        taken = min(has_it or fitting, key=lambda each: each.memory.size)
        self._free.remove(taken)
        return taken

    def give_back(self, buffer: Buffer) -> None:
        """Ends the use of a buffer."""
        self._taken -= 1
        if self._taken + len(self._free) < self._most:
            self._free.append(buffer)

    def clear(self) -> None:
        """Lets go of those that are not in use."""
        self._free.clear()

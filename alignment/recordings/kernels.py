"""What a run with exact versions of a framework's own kernels says of each of them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from alignment.text_files import decode_from, read_json, to_json, write_text

CAST = "cast to float32 at "
"""Begin of the name of what is no kernel: a cast in a model's own code, which was lifted, with its place."""
KERNELS_FILE = "kernels.json"
"""End of the name of the file in which a side says what it used."""


@dataclass(frozen=True, slots=True)
class Kernel:
    """A layer or function of a framework that was replaced by an exact version.

    Attributes:
        name: Its name in the framework: `paddle.nn.functional.adaptive_avg_pool2d`.
        calls: How often the exact version was used.
        apart: Largest relative L2 between what both gave in forward; 0 where only gradients differ.
        unused: How often it was not used, since it did not reproduce the framework's own to within float32.
    """

    name: str
    calls: int = 0
    apart: float = 0.0
    unused: int = 0

    @property
    def cast(self) -> bool:
        """True if it is a cast in a model's own code, not a kernel of a framework."""
        return self.name.startswith(CAST)

    def called(self, apart: float) -> Kernel:
        """The same with one more call."""
        return replace(self, calls=self.calls + 1, apart=max(self.apart, apart))

    def refused(self, apart: float) -> Kernel:
        """The same with one more call in which the framework's own was kept."""
        return replace(self, unused=self.unused + 1, apart=max(self.apart, apart))

    def and_in(self, other: Kernel | None) -> Kernel:
        """The same with the calls of another run."""
        if other is None:
            return self
        apart, unused = max(self.apart, other.apart), self.unused + other.unused
        return replace(self, calls=self.calls + other.calls, apart=apart, unused=unused)


@dataclass(frozen=True)
class _Used:
    kernels: tuple[Kernel, ...]


def write_kernels(kernels: Iterable[Kernel], path: Path) -> None:
    """Write what a side used as JSON.

    Raises:
        FileError: The file cannot be written.
    """
    write_text(to_json(_Used(tuple(kernels))), path, "the kernels")


def read_kernels(path: Path) -> tuple[Kernel, ...]:
    """Read what `write_kernels` wrote.

    Raises:
        FileError: It cannot be read, or is not what was written.
    """
    value = read_json(path, unreadable="the kernels cannot be read: {}", malformed="no list of kernels: {}")
    return decode_from(path, _Used, value).kernels

"""SIGBUS (a mapped file truncated in use, a disk error) is turned into a one-line error.

The system sends SIGBUS when a page of a mapped file is used that cannot be read. Python cannot make an exception of it:
its own handlers run between instructions, and the instruction that needs the page never ends. A callback of ctypes runs
at once, in the thread that needs the page. That thread is in the middle of a copy and holds no lock but Python's own,
which the callback takes. The callback cannot return, but it can print, remove drafts, and end the process.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import sys
from collections.abc import Iterator


@contextlib.contextmanager
def ending_in_order(tool: str, code: int) -> Iterator[None]:
    """End the process with a one-line error on SIGBUS; on a system without that signal, change nothing.

    Args:
        tool: What the line on standard error starts with.
        code: What the process exits with.
    """
    if sys.platform == "win32":
        yield
        return

    def end(_: int) -> None:
        try:
            from porting.checkpoint.file.source import cut_off  # loaded already, if a file is open
            from porting.checkpoint.file.target import remove_drafts

            remove_drafts()
            problem = cut_off() or "a page of a file could not be read: its disk fails, or it has been cut off"
            os.write(
                sys.__stderr__.fileno() if sys.__stderr__ else 2,
                f"{tool}: {problem}\n".encode(errors="backslashreplace"),
            )
        finally:
            os._exit(code)

    handler = ctypes.CFUNCTYPE(None, ctypes.c_int)(end)
    install = ctypes.CDLL(None).signal
    install.argtypes, install.restype = (ctypes.c_int, ctypes.c_void_p), ctypes.c_void_p
    before = install(signal.SIGBUS, ctypes.cast(handler, ctypes.c_void_p))
    try:
        yield
    finally:
        install(signal.SIGBUS, before)

"""A page of a mapped file that cannot be had ends the process in order, with a line that says so.

When a file is cut off, or its disk fails, in the very moment in which a page of it is used, the system sends SIGBUS.
Python cannot make an exception of it: its handlers are called between instructions, and this one would never end. A
callback of ctypes is called at once, in the thread that needs the page. That thread is in the middle of a copy, with no
lock but Python's own, which the callback takes. It cannot return, but it can tell, tidy up, and end the process.
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
    """Ends the process so, if it comes to that; where the system has no such signal, nothing is changed.

    Args:
        tool: What the line on standard error starts with.
        code: What the process exits with.
    """
    if sys.platform == "win32":
        yield
        return

    def end(_: int) -> None:
        try:
            from porting.checkpoint.file.source import cut_off  # there already, where a file is open
            from porting.checkpoint.file.target import remove_drafts

            remove_drafts()
            said = str(cut_off() or "a page of a file could not be read: its disk fails, or it has been cut off")
            os.write(
                sys.__stderr__.fileno() if sys.__stderr__ else 2,
                f"{tool}: {said}\n".encode(errors="backslashreplace"),
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

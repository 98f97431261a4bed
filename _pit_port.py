"""Entry points of the commands; a folder of the user's own that hides a package of this toolkit is told in one line."""

from __future__ import annotations

import gc
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

_OWN = ("cli", "alignment", "porting", "recipe")
_ROOT = Path(__file__).resolve().parent


def pit_port() -> None:
    """Run `pit-port`."""
    _run("pit-port")


def pit_align() -> None:
    """Run `pit-align`."""
    _run("pit-align")


def pit_train() -> None:
    """Run `pit-train`."""
    _run("pit-train")


def _run(tool: str) -> None:
    if os.name == "nt":
        print(f"{tool}: runs on Linux and macOS; on Windows use it in WSL", file=sys.stderr)
        raise SystemExit(3)
    _open_standard_streams()
    with _ending_at_once(), _uncollected():
        _require_own_packages(tool)
        commands = import_module("cli")
    try:
        getattr(commands, tool.replace("-", "_"))(prog_name=tool)
    finally:
        if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
            signal.signal(signal.SIGINT, signal.SIG_DFL)  # all is done: Python's own end needs no traceback


def _open_standard_streams() -> None:
    """Let standard streams that are closed (`2>&-`) lead nowhere.

    Else the next file takes their number, and what a library reports there is written into it.
    """
    for number, name, mode in ((0, "stdin", "r"), (1, "stdout", "w"), (2, "stderr", "w")):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDONLY if mode == "r" else os.O_WRONLY)  # takes the lowest number, which is this
            os.set_inheritable(number, True)
        if getattr(sys, name) is None:
            setattr(sys, name, os.fdopen(number, mode, encoding="utf-8", errors="backslashreplace", closefd=False))


@contextmanager
def _ending_at_once() -> Iterator[None]:
    """End the process by the signal at Ctrl-C, without a traceback: nothing has begun."""
    handled = signal.getsignal(signal.SIGINT) is signal.default_int_handler
    if handled:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    try:
        yield
    finally:
        if handled:
            signal.signal(signal.SIGINT, signal.default_int_handler)


@contextmanager
def _uncollected() -> Iterator[None]:
    """Search for no cycles while modules are imported: these stay, and the search would take a tenth of the time."""
    collecting = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()  # and back: all counts as searched
        gc.unfreeze()
        if collecting:
            gc.enable()


def _require_own_packages(tool: str) -> None:
    for name in _OWN:
        place = _hidden_by(name)
        if place is not None:
            print(
                f"{tool}: {place} has the name of the package {name!r} of pit-port and comes before it on the path: "
                f"rename it, or take {place.parent} off PYTHONPATH",
                file=sys.stderr,
            )
            raise SystemExit(3)


def _hidden_by(name: str) -> Path | None:
    """The file or folder that is found under the name of one of our modules in its place; None if there is none."""
    spec = find_spec(name)
    if spec is None:
        return None
    places = [spec.origin] if spec.origin else list(spec.submodule_search_locations or ())
    if not places:
        return None
    found = Path(places[0]).resolve()
    found = found.parent if found.name == "__init__.py" else found
    return None if found.parent == _ROOT else found

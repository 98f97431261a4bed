"""Program that runs a module of this package in an interpreter that may not have the package installed.

It is started by its path: `python .../bootstrap.py PLACE MODULE ARGUMENT...`. With `last` for the place, the folder
that holds this package is searched last, and only if the interpreter has no `alignment` of its own, so that nothing in
that environment is hidden. With `first`, for the interpreter that runs this package already, it is searched first, so
that both run the same copy.
"""

from __future__ import annotations

import sys

if sys.path and sys.path[0] == __file__.rpartition("/")[0]:
    del sys.path[0]  # the folder of this script: what is in it must not hide modules of the same name

import importlib
import json
import logging
import os
import shlex
from pathlib import Path
from types import ModuleType
from typing import NoReturn

_ROOT = Path(__file__).resolve().parents[2]
_INSTALLED = {"site-packages", "dist-packages"}
_NEEDED = "numpy safetensors ml_dtypes"


def main() -> int:
    """Import the module and return the exit code of its `main`."""
    if sys.version_info < (3, 10):  # noqa: UP036 - whoever starts this names the interpreter
        return _refuse(f"{sys.executable} is Python {sys.version.split()[0]}, 3.10 or newer is needed")
    place, name, *arguments = sys.argv[1:]
    if place == "first" and _ROOT.name not in _INSTALLED:
        sys.path.insert(0, str(_ROOT))
    try:
        module = _import(name)
    except ModuleNotFoundError as error:
        if error.name is not None and error.name.split(".")[0] == name.split(".")[0]:
            return _refuse(f"{sys.executable} does not have pit-port: `{sys.executable} -m pip install {_source()}`")
        return _refuse(
            f"{sys.executable} does not have {error.name}, which every side needs: "
            f"`{sys.executable} -m pip install {_NEEDED}`"
        )
    return int(module.main(arguments))


def _import(name: str) -> ModuleType:
    package = name.split(".")[0]
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name != package or _ROOT.name in _INSTALLED:
            raise
    sys.path.append(str(_ROOT))
    importlib.invalidate_caches()
    return importlib.import_module(name)


def _source() -> str:
    """Where the package was installed from, which pip notes unless that was an index; its name otherwise."""
    noted = next(iter(_ROOT.glob("pit_port-*.dist-info/direct_url.json")), None)
    if noted is None:
        return "pit-port"
    return shlex.quote(str(json.loads(noted.read_text(encoding="utf-8"))["url"]).removeprefix("file://"))


def _refuse(summary: str) -> int:
    print(json.dumps({"event": "error", "expected": True, "summary": summary, "details": []}))
    return 3


def _end(code: int) -> NoReturn:
    """End at once: what a framework tidies up at the end of a process takes seconds, and nobody needs it."""
    logging.shutdown()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


if __name__ == "__main__":
    _end(main())

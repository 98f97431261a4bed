"""The frameworks that a side of a pair can run on; nothing here imports one."""

from __future__ import annotations

import importlib
import sys
from typing import cast

from alignment.backends.base import Backend, Runtime
from alignment.errors import AlignmentError
from alignment.frameworks import FRAMEWORKS, Framework
from porting.installing import install_command

__all__ = ["create"]


def create(framework: str, runtime: Runtime) -> Backend:
    """The backend of a framework, which is imported now.

    Raises:
        AlignmentError: The framework is not installed here, or has no such device.
    """
    known = FRAMEWORKS[framework]
    try:
        module = importlib.import_module(known.module)
    except ModuleNotFoundError as error:
        raise _missing(known, framework, str(error.name)) from error
    return cast(Backend, module.create(runtime))


def _missing(known: Framework, framework: str, package: str) -> AlignmentError:
    return AlignmentError(
        f"the {framework} side needs {package}, which {sys.executable} does not have: "
        f"`{install_command(known.extra)}`, or name an interpreter that has {known.title} "
        f"with --{framework}-python"
    )

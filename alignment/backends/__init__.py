"""The frameworks that a side of a pair can run on; nothing here imports one."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import cast

from alignment.backends.base import Backend, Runtime
from alignment.errors import AlignmentError

__all__ = ["FRAMEWORKS", "Framework", "create"]


@dataclass(frozen=True, slots=True)
class Framework:
    """What is known of a framework without importing it.

    Attributes:
        title: Its name in sentences.
        package: The package that has to be there.
        extra: The extra of this toolkit that brings it.
        module: The module with its `create(runtime) -> Backend`.
        suffix: Suffix of the weight files that it loads by itself.
        dtypes: Precisions that it can run whole models in, on CPU.
    """

    title: str
    package: str
    extra: str
    module: str
    suffix: str
    dtypes: tuple[str, ...] = ("float32", "float64")


FRAMEWORKS: Mapping[str, Framework] = {
    "torch": Framework("PyTorch", "torch", "torch", "alignment.backends.torch", ".pth"),
    "paddle": Framework("PaddlePaddle", "paddle", "paddle", "alignment.backends.paddle", ".pdparams"),
    "mindspore": Framework(
        "MindSpore", "mindspore", "mindspore", "alignment.backends.mindspore", ".ckpt", dtypes=("float32",)
    ),
}


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
        f"`{sys.executable} -m pip install 'pit-port[{known.extra}]'`, or name an interpreter that has {known.title} "
        f"with --{framework}-python"
    )

"""Makes `import timm` work beside a torchvision that was built for another torch.

timm imports torchvision. A torchvision with CUDA operators beside a CPU build of torch cannot load its operator
library, and then fails to register what that library should have declared. No model here calls those operators.
"""

from __future__ import annotations

import importlib
import importlib.util
from typing import Any

_INSTALL = "pip install torch timm"
_MISMATCH = "operator torchvision::nms does not exist"
_OPERATORS = ("nms", "qnms")
_declared: list[Any] = []
"""The operators' library, kept because torch drops the operators together with this object."""


def prepare_timm() -> None:
    """Import torchvision for timm, declaring the operators that a mismatched build of it lacks.

    Nothing is declared for a torchvision that imports; any other error of its import is raised unchanged.

    Raises:
        ImportError: torch, torchvision or timm is not installed; the message has the command that installs them.
    """
    for package in ("torch", "torchvision", "timm"):
        if importlib.util.find_spec(package) is None:
            raise ImportError(f"reference_torch needs {package}, which is not installed: {_INSTALL}", name=package)
    try:
        importlib.import_module("torchvision")
    except RuntimeError as error:
        if _MISMATCH not in str(error):
            raise
        _declare_operators()
        importlib.import_module("torchvision")


def _declare_operators() -> None:
    library = importlib.import_module("torch.library").Library("torchvision", "DEF")
    _declared.append(library)
    for operator in _OPERATORS:
        library.define(f"{operator}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")

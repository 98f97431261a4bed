"""Program that prints, as JSON on standard output, what an interpreter has; it needs nothing but Python.

`python doctor_probe.py torch` imports that framework and prints facts about it and the packages that it needs. Unknown
facts are left out.
"""

from __future__ import annotations

import sys

if sys.path and sys.path[0] == __file__.rpartition("/")[0]:
    del sys.path[0]  # the folder of this script: what is in it must not hide modules of the same name

import contextlib
import importlib
import importlib.metadata
import io
import json
import os
import platform
import re
from collections.abc import Sequence
from typing import Any

_THREADS = "FLAGS_paddle_num_threads"
PACKAGES = {
    "torch": ("torch", "timm", "torchvision", "numpy", "safetensors", "ml_dtypes"),
    "paddle": ("paddlepaddle", "paddlepaddle-gpu", "reprod-log", "numpy", "safetensors", "ml_dtypes"),
    "mindspore": ("mindspore", "mindcv", "numpy", "safetensors", "ml_dtypes"),
}


def main(framework: str) -> None:
    """Print the facts about one framework."""
    facts: dict[str, Any] = {
        "python": platform.python_version(),
        "versions": _versions(PACKAGES[framework]),
        "error": None,
        "facts": {},
    }
    ignored = io.StringIO()
    with contextlib.redirect_stdout(ignored), contextlib.redirect_stderr(ignored):
        try:
            module = importlib.import_module(framework)
            facts["facts"] = {"torch": _torch, "paddle": _paddle, "mindspore": _mindspore}[framework](module)
        except Exception as error:  # whatever a broken installation raises is what there is to tell
            facts["error"] = f"{type(error).__name__}: {error}".splitlines()[0]
            facts["missing"] = getattr(error, "name", None) if isinstance(error, ImportError) else None
    print(json.dumps(facts))


def _versions(packages: Sequence[str]) -> dict[str, str]:
    versions = {}
    for package in packages:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            versions[package] = importlib.metadata.version(package)
    return versions


def _torch(torch: Any) -> dict[str, Any]:
    facts: dict[str, Any] = {"devices": ["cpu"], "threads": torch.get_num_threads()}
    facts["devices"] += [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())]
    blas = re.search(r"BLAS_INFO=(\w+)", torch.__config__.show())
    facts["blas"] = blas[1] if blas else None
    facts["tf32"] = {"matmul": torch.backends.cuda.matmul.allow_tf32, "cudnn": torch.backends.cudnn.allow_tf32}
    try:
        importlib.import_module("torchvision")
    except Exception as error:
        facts["torchvision"] = f"{type(error).__name__}: {error}".splitlines()[0]
    return facts


def _paddle(paddle: Any) -> dict[str, Any]:
    facts: dict[str, Any] = {"devices": ["cpu"], "threads": int(os.environ.get(_THREADS, "1"))}
    if paddle.is_compiled_with_cuda():
        count = paddle.device.cuda.device_count()
        facts["devices"] += [paddle.device.cuda.get_device_name(index) for index in range(count)]
    facts["blas"] = "mkl" if str(paddle.version.mkl()) == "ON" else "openblas"
    override = os.environ.get("NVIDIA_TF32_OVERRIDE")
    facts["tf32"] = {"NVIDIA_TF32_OVERRIDE": override != "0"} if override is not None else {}
    return facts


def _mindspore(mindspore: Any) -> dict[str, Any]:
    return {"devices": [mindspore.get_context("device_target").lower()], "threads": None, "blas": None, "tf32": {}}


if __name__ == "__main__":
    main(sys.argv[1])

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
from collections.abc import Callable, Mapping, Sequence
from typing import Any

_THREADS = "FLAGS_paddle_num_threads"
HALVES = ("bfloat16", "float16")
AUTOCAST = "autocast"
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
    facts["half"] = _half(lambda dtype: _torch_trials(torch, getattr(torch, dtype)))
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
    facts["half"] = _half(lambda dtype: _paddle_trials(paddle, dtype))
    return facts


def _mindspore(mindspore: Any) -> dict[str, Any]:
    device = mindspore.get_context("device_target").lower()
    facts: dict[str, Any] = {"devices": [device], "threads": None, "blas": None, "tf32": {}}
    facts["half"] = _half(lambda dtype: _mindspore_trials(mindspore, getattr(mindspore, dtype)))
    return facts


def _half(trials: Callable[[str], Mapping[str, Callable[[], Any]]]) -> dict[str, Any]:
    """What each half precision does: the operations that fail in it, and those that give another precision.

    Args:
        trials: Name of a precision to operations by name, each of which runs once and returns a tensor.
    """
    by_dtype: dict[str, Any] = {}
    for dtype in HALVES:
        missing, other = [], []
        for name, trial in trials(dtype).items():
            try:
                name_of_dtype = str(trial().dtype).lower()
            except Exception:  # whatever a framework raises where it has no such kernel
                missing.append(name)
                continue
            if name_of_dtype.rpartition(".")[2] != dtype:
                other.append(name)
        by_dtype[dtype] = {"missing": missing, "other": other}
    return by_dtype


def _torch_trials(torch: Any, dtype: Any) -> Mapping[str, Callable[[], Any]]:
    device = "cuda" if torch.cuda.is_available() else "cpu"
    square, images = torch.ones(2, 2, device=device), torch.ones(1, 2, 4, 4, device=device)
    half, kernels = square.to(dtype), torch.ones(2, 2, 3, 3, device=device, dtype=dtype)

    def autocast() -> Any:
        with torch.autocast(device, dtype):
            return torch.nn.functional.linear(square, square)

    functional = torch.nn.functional
    return {
        "sum": lambda: half + half,
        "product of matrices": lambda: half @ half,
        "softmax": lambda: functional.softmax(half, -1),
        "convolution": lambda: functional.conv2d(images.to(dtype), kernels),
        "gradient": lambda: torch.autograd.grad(*_squared(half.clone().requires_grad_()))[0],
        AUTOCAST: autocast,
    }


def _squared(leaf: Any) -> tuple[Any, Any]:
    return (leaf @ leaf).sum(), leaf


def _paddle_trials(paddle: Any, dtype: str) -> Mapping[str, Callable[[], Any]]:
    square, images = paddle.ones([2, 2]), paddle.ones([1, 2, 4, 4])
    half, kernels = square.astype(dtype), paddle.ones([2, 2, 3, 3]).astype(dtype)

    def gradient() -> Any:
        leaf = half.clone().detach()
        leaf.stop_gradient = False
        (leaf @ leaf).sum().backward()
        return leaf.grad

    def autocast() -> Any:
        with paddle.amp.auto_cast(dtype=dtype):
            return paddle.nn.functional.linear(square, square)

    functional = paddle.nn.functional
    return {
        "sum": lambda: half + half,
        "product of matrices": lambda: half @ half,
        "softmax": lambda: functional.softmax(half),
        "convolution": lambda: functional.conv2d(images.astype(dtype), kernels),
        "gradient": gradient,
        AUTOCAST: autocast,
    }


def _mindspore_trials(mindspore: Any, dtype: Any) -> Mapping[str, Callable[[], Any]]:
    ops = mindspore.ops
    half = ops.ones((2, 2), mindspore.float32).astype(dtype)
    images = ops.ones((1, 2, 4, 4), mindspore.float32).astype(dtype)
    kernels = ops.ones((2, 2, 3, 3), mindspore.float32).astype(dtype)

    def ran(tensor: Any) -> Any:
        tensor.astype(mindspore.float32).asnumpy()  # until its value is asked for, nothing has to have run
        return tensor

    return {
        "sum": lambda: ran(half + half),
        "product of matrices": lambda: ran(ops.matmul(half, half)),
        "softmax": lambda: ran(ops.softmax(half)),
        "convolution": lambda: ran(ops.conv2d(images, kernels)),
        "gradient": lambda: ran(mindspore.grad(lambda leaf: ops.matmul(leaf, leaf).sum())(half)),
    }


if __name__ == "__main__":
    main(sys.argv[1])

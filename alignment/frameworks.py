"""Facts about each framework that need no import of it: names, backend, precisions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Framework:
    """Facts about a framework that need no import of it.

    Attributes:
        title: Name of the framework in sentences.
        package: The package that has to be installed.
        extra: The extra of this toolkit that installs it.
        module: The module with `create(runtime) -> Backend` for it.
        suffix: Suffix of the weight files that it loads by itself.
        dtypes: Precisions that it can run whole models in, on CPU.
        tells_unreached: Whether a parameter that no gradient reaches has none, and not zeros.
    """

    title: str
    package: str
    extra: str
    module: str
    suffix: str
    dtypes: tuple[str, ...] = ("float32", "float64")
    tells_unreached: bool = True


FRAMEWORKS: Mapping[str, Framework] = {
    "torch": Framework("PyTorch", "torch", "torch", "alignment.backends.torch", ".pth"),
    "paddle": Framework("PaddlePaddle", "paddle", "paddle", "alignment.backends.paddle", ".pdparams"),
    "mindspore": Framework(
        *("MindSpore", "mindspore", "mindspore", "alignment.backends.mindspore", ".ckpt"),
        dtypes=("float32",),
        tells_unreached=False,
    ),
}

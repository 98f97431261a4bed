"""What the tests of checkpoints in shards share."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from porting.checkpoint import LazyTensor

Arrays = Mapping[str, "np.ndarray[Any, Any]"]
NAMES = ("pytorch_model.bin", "model.pth", "model_state.pdparams", "model.safetensors")
VALUES = {f"layer.{index}.weight": np.full((index + 1, 8), index, np.float32) for index in range(5)}


def lazy(values: Arrays) -> dict[str, LazyTensor]:
    return {name: LazyTensor.of(value) for name, value in values.items()}


def files(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())

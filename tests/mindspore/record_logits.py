"""Records what the torch models answer, for MindCV's models to be held against where no torch is installed.

`python tests/mindspore/record_logits.py` writes `logits.npz` beside this file; a test sees to it that it stays true.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from porting.architectures import build
from porting.synthetic import random_weights

RECORDED = Path(__file__).with_name("logits.npz")
MODELS = ("pit_ti", "pit_xs", "pit_s", "pit_b", "regnety_160")
KEPT = 50
"""How many of the logits are kept, the first ones."""


def images(model: str) -> npt.NDArray[np.float32]:
    """Two images, (2, 3, height, width); small ones for the RegNet, which takes any size."""
    size = 64 if model.startswith("regnet") else 224
    return np.random.default_rng(1).standard_normal((2, 3, size, size), dtype=np.float32)


def logits(model: str) -> npt.NDArray[np.float32]:
    """The first logits of the torch model, (2, 50), computed in float64."""
    import torch

    net = _torch_model(model)
    weights = random_weights(build(model))
    net.load_state_dict({name: torch.from_numpy(values) for name, values in weights.items()}, strict=True)
    with torch.inference_mode():
        answer = net.double().eval()(torch.from_numpy(images(model)).double())
    kept: npt.NDArray[np.float32] = answer[:, :KEPT].numpy().astype(np.float32)
    return kept


def _torch_model(model: str) -> Any:
    if model.startswith("pit"):
        from reference_torch import pit

        return pit.create(model)
    from reference_torch.compat import prepare_timm

    prepare_timm()
    import timm

    return timm.create_model(model)


if __name__ == "__main__":
    answers: dict[str, Any] = {model: logits(model) for model in MODELS}
    np.savez_compressed(RECORDED, **answers)

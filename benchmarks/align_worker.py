"""One side of the bare compute of `align.py`: the passes that `pit-align all` needs, and nothing else."""

from __future__ import annotations

import json
import sys
from time import perf_counter

import numpy as np

PASSES = 2
"""Forward passes, and updates (forward, backward, AdamW), that each trial needs."""


def torch_side(model: str, batch: int, trials: dict[str, int]) -> float:
    """Seconds of the reference's passes: its float32 trial is repeated to measure the rounding noise."""
    import torch

    from reference_torch import pit

    torch.set_num_threads(1)
    network = pit.create(model).eval()
    images, targets = (torch.from_numpy(array) for array in _batch(batch))
    seconds = 0.0
    for dtype, count in trials.items():
        kind = getattr(torch, dtype)
        network.to(kind)
        optimizer = torch.optim.AdamW(network.parameters(), 1e-3)
        x, y = images.to(kind).requires_grad_(), targets.to(kind)
        start = perf_counter()
        for _ in range(count * PASSES):
            with torch.no_grad():
                network(x)
            optimizer.zero_grad()
            torch.nn.functional.cross_entropy(network(x), y).backward()
            optimizer.step()
        seconds += perf_counter() - start
    return seconds


def paddle_side(model: str, batch: int, trials: dict[str, int]) -> float:
    """Seconds of the candidate's passes."""
    import paddle

    from paddle_impl import pit

    network = pit.create(model)
    network.eval()
    images, targets = (paddle.to_tensor(array) for array in _batch(batch))
    seconds = 0.0
    for dtype, count in trials.items():
        network.to(dtype=dtype)
        optimizer = paddle.optimizer.AdamW(1e-3, parameters=network.parameters())
        x, y = images.astype(dtype), targets.astype(dtype)
        x.stop_gradient = False
        start = perf_counter()
        for _ in range(count * PASSES):
            with paddle.no_grad():
                network(x)
            optimizer.clear_grad()
            paddle.nn.functional.cross_entropy(network(x), y, soft_label=True).backward()
            optimizer.step()
        seconds += perf_counter() - start
    return seconds


def _batch(size: int) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(0)
    targets = generator.random((size, 1000), np.float32)
    return generator.normal(size=(size, 3, 224, 224)).astype(np.float32), targets / targets.sum(1, keepdims=True)


if __name__ == "__main__":
    side = {"torch": torch_side, "paddle": paddle_side}[sys.argv[1]]
    print("answer", json.dumps(side(sys.argv[2], int(sys.argv[3]), json.loads(sys.argv[4]))), flush=True)

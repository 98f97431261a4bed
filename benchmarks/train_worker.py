"""One contestant of `train.py`, in a process of its own: does updates of a recipe when asked, and times their parts."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from time import perf_counter
from typing import Any

import numpy as np

from benchmarks.contestants import serve
from recipe.config import Config
from recipe.loading import load

Parts = dict[str, float]


@contextmanager
def timed(parts: Parts, name: str) -> Iterator[None]:
    """Add the seconds that the context takes to a part."""
    began = perf_counter()
    yield
    parts[name] = parts.get(name, 0.0) + perf_counter() - began


def torch_update(config: Config, threads: int) -> Callable[[], Parts]:
    """The reference's update, made of timm's code."""
    import torch

    from reference_torch.training.recipe import prepare

    torch.set_num_threads(threads)
    recipe = prepare(config)
    images, targets = (torch.from_numpy(array) for array in batch_of(config))

    def update() -> Parts:
        parts: Parts = {}
        recipe.optimizer.zero_grad(set_to_none=True)
        with timed(parts, "forward"):
            loss = recipe.loss(recipe.model(images), images, targets)
        with timed(parts, "backward"):
            loss.backward()
        with timed(parts, "optimizer"):
            recipe.optimizer.step()
        with timed(parts, "average"):
            if recipe.ema is not None:
                recipe.ema.update(recipe.model)
        return parts

    return update


def paddle_update(config: Config) -> Callable[[], Parts]:
    """The update of `pit-train`."""
    import paddle

    from paddle_impl.training.ema import Ema
    from paddle_impl.training.losses import RecipeLoss
    from paddle_impl.training.optimizer import AdamW
    from paddle_impl.training.starting import start
    from recipe.config import peak_rate

    model = start(config).model
    return _updates_of_paddle(
        model,
        RecipeLoss(config),
        AdamW(model, config.optimizer, peak_rate(config)),
        Ema(model, config.ema.decay).update,
        [paddle.to_tensor(array) for array in batch_of(config)],
    )


def plain_update(config: Config) -> Callable[[], Parts]:
    """The update as in published projects: Paddle's optimizer, and an average tensor by tensor."""
    import paddle
    import paddle.nn.functional as F

    from benchmarks.plain_pit import PlainPit

    model = PlainPit(config.model.name)
    average = {name: tensor.clone() for name, tensor in model.state_dict().items()}

    def loss(logits: Any, images: Any, targets: Any) -> Any:
        return paddle.sum(-targets * F.log_softmax(logits, axis=-1), axis=-1).mean()

    @paddle.no_grad()
    def follow() -> None:
        for name, tensor in model.state_dict().items():
            average[name] = average[name] * config.ema.decay + tensor * (1 - config.ema.decay)

    optimizer = paddle.optimizer.AdamW(5e-4, parameters=model.parameters(), weight_decay=0.05)
    return _updates_of_paddle(model, loss, optimizer, follow, [paddle.to_tensor(array) for array in batch_of(config)])


def _updates_of_paddle(
    model: Any, loss_of: Callable[..., Any], optimizer: Any, follow: Callable[[], None], batch: list[Any]
) -> Callable[[], Parts]:
    images, targets = batch
    model.train()

    def update() -> Parts:
        parts: Parts = {}
        with timed(parts, "forward"):
            loss = loss_of(model(images), images, targets)
        with timed(parts, "backward"):
            loss.backward()
        with timed(parts, "optimizer"):
            optimizer.step()
            optimizer.clear_grad()
        with timed(parts, "average"):
            follow()
        return parts

    return update


def batch_of(config: Config) -> tuple[Any, Any]:
    """Random images and mixed targets, float32."""
    generator, size = np.random.default_rng(0), config.model.image_size
    images = generator.standard_normal((config.data.batch_size, 3, size, size), dtype=np.float32)
    shares = generator.dirichlet(np.full(config.model.num_classes, 0.05), config.data.batch_size)
    return images, shares.astype(np.float32)


def main() -> None:
    """Answer each line of stdin with the seconds of the parts of one update."""
    name, source, batch, threads = sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4])
    config = load(source, [f"data.batch_size={batch}", "run.device=cpu"])
    makers: dict[str, Callable[[], Callable[[], Parts]]] = {
        "torch": lambda: torch_update(config, threads),
        "paddle": lambda: paddle_update(config),
        "plain": lambda: plain_update(config),
    }
    update = makers[name]()
    for _ in range(2):
        update()
    serve(lambda request: update())


if __name__ == "__main__":
    main()

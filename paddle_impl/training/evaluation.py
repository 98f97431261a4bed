"""Top-1, top-5 and loss over a set of images, each counted once."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import paddle
from paddle import nn

from paddle_impl.training.parallel import World
from paddle_impl.training.parts import EvalSource
from paddle_impl.training.precision import Precision
from recipe.accuracy import TOP, sums_of
from recipe.errors import DataError, TrainingError


@dataclass(frozen=True)
class Evaluation:
    """Accuracy and loss of a model on a set of images.

    Attributes:
        images: Number of images that were counted.
        top1: Share of them whose label has the highest logit.
        top5: Share of them whose label is among the `k` highest logits.
        k: 5, or the class count where there are fewer.
        loss: Mean cross entropy with the labels, unsmoothed.
        unreadable: Number of images that could not be read; they are not counted.
    """

    images: int
    top1: float
    top5: float
    k: int
    loss: float
    unreadable: int = 0


def evaluate_model(
    model: nn.Layer,
    source: EvalSource,
    world: World | None = None,
    precision: Precision | None = None,
    *,
    seen: Callable[[int], None] = lambda count: None,
    stopped: Callable[[], bool] = lambda: False,
) -> Evaluation | None:
    """Evaluate a model in evaluation mode, and return it to its mode.

    Sums are taken in float64, on the CPU, and over the ranks only at the end, so that ranks may have different numbers
    of images, or none. Of equal logits the first counts as the higher.

    Args:
        model: Returns logits `(batch, classes)`.
        source: The images of this rank.
        world: The ranks that share the images; one by default.
        precision: Dtypes of the computation; float32 by default.
        seen: Called with the number of images of each batch.
        stopped: Called before each batch; True ends the evaluation.

    Returns:
        The evaluation of all ranks' images, the same on each rank; None where one of them ended it early.

    Raises:
        DataError: There are no images, or a label is not one of the model's classes.
        TrainingError: A logit is not finite.
    """
    world, precision = world or World(), precision or Precision()
    sums, classes, left = np.zeros(4), 0, False
    with _evaluating(model):
        for images, labels, _ in source:
            if left := stopped():
                break
            with precision.context():
                logits = model(paddle.to_tensor(images).astype(precision.parameters))
            sums += sums_of(logits.astype("float64").numpy(), labels)
            classes = logits.shape[1]
            seen(len(labels))
    *sums_of_all, there, ranks_left = world.total([*sums, float(source.count), float(left)]).tolist()
    if ranks_left:
        return None
    return _evaluation(*sums_of_all, there=there, classes=max(world.gather(classes)))


def _evaluation(images: float, top1: float, top5: float, loss: float, *, there: float, classes: int) -> Evaluation:
    if not images:
        raise DataError(f"of {int(there)} images to evaluate on, none can be read; check data.validation")
    if not np.isfinite(loss):
        raise TrainingError(f"the model's logits are not finite on {int(images)} images: its loss there is {loss}")
    return Evaluation(int(images), top1 / images, top5 / images, min(TOP, classes), loss / images, int(there - images))


@contextmanager
def _evaluating(model: nn.Layer) -> Iterator[None]:
    training = model.training
    model.eval()
    try:
        with paddle.no_grad():
            yield
    finally:
        if training:
            model.train()

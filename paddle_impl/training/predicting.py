"""Classifies image files in Paddle: their likeliest classes, with probabilities."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import paddle
from paddle.nn.functional import softmax

from paddle_impl.training.precision import Precision, device_of
from paddle_impl.training.starting import start
from recipe.augmentation.transforms import EvalTransform
from recipe.classes import ClassName
from recipe.config import Config
from recipe.predictions import Prediction, class_names, classify, config_for, find_images, report
from recipe.weights import without_head

__all__ = ["Prediction", "Predictor", "config_for", "find_images", "report"]


class Predictor:
    """Classifies image files.

    Args:
        config: `model`, and `data` for crop, interpolation and normalisation.
        weights: A checkpoint of any format and layout.
        classes: Names of the classes; by default those that a training run left beside the weights, else ImageNet's
            for 1000 classes, else numbers.

    Attributes:
        notes: What was read from the weights and what was changed, one line each.

    Raises:
        ConfigError: The weights have no head for the model's classes.
        DataError: The number of names is not that of the classes.
        CheckpointError: The weights cannot be read.
    """

    def __init__(
        self, config: Config, weights: str | os.PathLike[str], classes: Sequence[ClassName] | None = None
    ) -> None:
        config = replace(config, model=replace(config.model, weights=os.fspath(weights)))
        paddle.set_device(device_of(config.run.device))
        started = start(config)
        if started.fresh:
            raise without_head(config, started.fresh)
        self.notes = started.notes
        self._precision = Precision.of(config.run.precision, device_of(config.run.device))
        self._model = started.model
        self._model.eval()
        self._prepare = EvalTransform.of(config)
        self._classes = class_names(config.model, classes)

    def __call__(self, paths: Iterable[Path], top: int = 5) -> Iterator[Prediction]:
        """Classify image files.

        Args:
            paths: Image files; see `find_images`.
            top: Number of classes of each prediction, at most all classes.

        Returns:
            A prediction for each path, in their order; that of an unreadable image has a problem instead of classes.
        """
        return classify(paths, self._prepare, self._shares, self._classes, top)

    @paddle.no_grad()
    def _shares(self, images: npt.NDArray[np.float32]) -> npt.NDArray[Any]:
        with self._precision.context():
            logits = self._model(paddle.to_tensor(images).astype(self._precision.parameters))
        shares: npt.NDArray[Any] = softmax(logits.astype("float64")).numpy()
        return shares

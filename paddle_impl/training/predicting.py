"""Images in, classes and probabilities out."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import paddle
from paddle.nn.functional import softmax

from paddle_impl.training.data.transforms import EvalTransform
from paddle_impl.training.precision import Precision, device_of
from paddle_impl.training.starting import start
from porting.checkpoint import open_checkpoint
from porting.checkpoint.addresses import as_source
from porting.conversion import identify_checkpoint
from recipe.classes import CLASSES, ClassName, named, read_classes
from recipe.config import Config, Data, Model
from recipe.errors import DataError
from recipe.images import ImageError, read_image
from recipe.samples import SUFFIXES

_CROPS = {"pit": 0.9, "deit": 0.875, "regnet": 0.875}
_FINE_TUNED = 384
_BATCH = 32


@dataclass(frozen=True, slots=True)
class Prediction:
    """What a model makes of an image.

    Attributes:
        path: The image.
        classes: The likeliest classes with their probabilities, best first; empty where the image cannot be read.
        problem: Why it cannot be read; empty where it can.
    """

    path: Path
    classes: tuple[tuple[ClassName, float], ...] = ()
    problem: str = ""


def config_for(weights: str | os.PathLike[str]) -> Config:
    """A configuration to predict with: the model, image size and classes of a checkpoint, its family's evaluation crop.

    Raises:
        CheckpointError: It cannot be read, or is no known model.
        HubError: It cannot be fetched.
    """
    with open_checkpoint(as_source(os.fspath(weights))) as checkpoint:
        found = identify_checkpoint(checkpoint).architecture
    height, _ = found.image_size
    crop = 1.0 if found.family == "deit" and height >= _FINE_TUNED else _CROPS[found.family]
    model = Model(found.name, height, found.num_classes, drop_path_rate=0.0, weights=os.fspath(weights))
    return Config(model=model, data=replace(Data(), crop=crop))


class Predictor:
    """Classifies image files.

    Args:
        config: `model`, and `data` for crop, interpolation and normalisation.
        weights: A checkpoint of any format and layout.
        classes: Names of the classes; by default those that a training run left beside the weights, else ImageNet's
            for 1000 classes, else numbers.

    Attributes:
        notes: What loading the weights changed.

    Raises:
        DataError: The weights have no head for the model's classes, or the names are not as many.
        CheckpointError: The weights cannot be read.
    """

    def __init__(
        self, config: Config, weights: str | os.PathLike[str], classes: Sequence[ClassName] | None = None
    ) -> None:
        config = replace(config, model=replace(config.model, weights=os.fspath(weights)))
        paddle.set_device(device_of(config.run.device))
        started = start(config)
        if started.fresh:
            raise DataError(
                f"{weights}: has no head for {config.model.num_classes} classes; set model.num_classes to "
                "the checkpoint's"
            )
        self.notes = started.notes
        self._precision = Precision.of(config.run.precision, device_of(config.run.device))
        self._model = started.model
        self._model.eval()
        self._prepare = EvalTransform.of(config)
        self._classes = tuple(classes) if classes is not None else _names(config.model)
        if len(self._classes) != config.model.num_classes:
            count = config.model.num_classes
            raise DataError(f"there are {len(self._classes)} names for the model's {count} classes")

    def __call__(self, paths: Iterable[Path], top: int = 5) -> Iterator[Prediction]:
        """Classify image files.

        Args:
            paths: Of the images; see `find_images`.
            top: Classes to name of each, at most those that there are.

        Yields:
            A prediction for each path, in their order; one that cannot be read has its problem instead of classes.
        """
        iterator = iter(paths)
        while chunk := list(islice(iterator, _BATCH)):
            read = [self._read(path) for path in chunk]
            arrays = [each for each in read if not isinstance(each, str)]
            shares = iter(self._shares(np.stack(arrays)) if arrays else ())
            for path, each in zip(chunk, read, strict=True):
                yield Prediction(path, problem=each) if isinstance(each, str) else self._best(path, next(shares), top)

    def _read(self, path: Path) -> npt.NDArray[np.float32] | str:
        try:
            return self._prepare(read_image(path))
        except ImageError as error:
            return error.problem

    @paddle.no_grad()
    def _shares(self, images: npt.NDArray[np.float32]) -> npt.NDArray[Any]:
        with self._precision.context():
            logits = self._model(paddle.to_tensor(images).astype(self._precision.parameters))
        shares: npt.NDArray[Any] = softmax(logits.astype("float64")).numpy()
        return shares

    def _best(self, path: Path, shares: npt.NDArray[Any], top: int) -> Prediction:
        order = np.argsort(-shares, kind="stable")[:top]
        return Prediction(path, tuple((self._classes[at], float(shares[at])) for at in order))


def find_images(places: Iterable[Path]) -> list[Path]:
    """Files as they are named, and every image below the folders, sorted.

    Raises:
        DataError: A place is missing, or a folder holds no image.
    """
    found: list[Path] = []
    for place in places:
        if not place.is_dir():
            if not place.exists():
                raise DataError(f"{place}: no such file or folder")
            found.append(place)
            continue
        images = sorted(path for path in place.rglob("*") if path.suffix.lower() in SUFFIXES and path.is_file())
        if not images:
            raise DataError(f"{place}: holds no image ({', '.join(SUFFIXES)})")
        found += images
    return found


def _names(model: Model) -> tuple[ClassName, ...]:
    beside = Path(model.weights or "").parent / CLASSES
    if "://" not in (model.weights or "") and beside.is_file():
        return named([each.label for each in read_classes(beside)], model.num_classes)
    return named((), model.num_classes)


def report(predictions: Iterable[Prediction], *, as_json: bool) -> Iterator[str]:
    """Predictions as text for people, or as a JSON object a line.

    Raises:
        DataError: At the end, when images could not be read; each is named.
    """
    problems = []
    for each in predictions:
        if each.problem:
            problems.append(f"{each.path}: {each.problem}")
        yield json.dumps(_record(each)) if as_json else _text(each)
    if problems:
        count = f"{len(problems)} image{'s' if len(problems) > 1 else ''}"
        raise DataError(f"{count} could not be read", problems)


def _record(prediction: Prediction) -> dict[str, Any]:
    classes = [
        {"index": name.index, "label": name.label, "words": name.words, "probability": share}
        for name, share in prediction.classes
    ]
    record: dict[str, Any] = {"path": str(prediction.path), "classes": classes}
    return {**record, "problem": prediction.problem} if prediction.problem else record


def _text(prediction: Prediction) -> str:
    if prediction.problem:
        return f"{prediction.path}\n  not read: {prediction.problem}"
    return "\n".join([str(prediction.path), *(f"  {share:7.2%}  {name.words}" for name, share in prediction.classes)])

"""Classified image files, whatever framework classified them: which images, which classes, and how they are shown."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from porting.checkpoint import open_checkpoint
from porting.checkpoint.addresses import as_source
from porting.conversion import fitting, identify_checkpoint
from recipe.classes import CLASSES, ClassName, named, read_classes
from recipe.config import Config, Data, Model
from recipe.errors import DataError
from recipe.images import ImageError, read_image
from recipe.samples import SUFFIXES, image_paths

_CROPS = {"pit": 0.9, "deit": 0.875, "regnet": 0.875}
"""Evaluation crop of each family."""
_FINE_TUNED = 384
"""Side of the images, pixels, from which DeiT's evaluation crop is 1."""
_BATCH = 32


@dataclass(frozen=True, slots=True)
class Prediction:
    """The classes of an image.

    Attributes:
        path: The image file.
        classes: The likeliest classes with their probabilities, best first; empty if the image cannot be read.
        problem: Why the image cannot be read; empty if it can.
    """

    path: Path
    classes: tuple[tuple[ClassName, float], ...] = ()
    problem: str = ""


def config_for(weights: str | os.PathLike[str]) -> Config:
    """A configuration to predict with: the model, image size and classes of a checkpoint, its family's evaluation crop.

    Raises:
        CheckpointError: The checkpoint cannot be read, or holds no known model.
        HubError: The checkpoint cannot be fetched.
    """
    with open_checkpoint(as_source(os.fspath(weights))) as checkpoint:
        architecture = identify_checkpoint(fitting(checkpoint)).architecture
    height, _ = architecture.image_size
    family = architecture.family
    crop = 1.0 if family == "deit" and height >= _FINE_TUNED else _CROPS[family]
    model = Model(architecture.name, height, architecture.num_classes, drop_path_rate=0.0, weights=os.fspath(weights))
    return Config(model=model, data=replace(Data(), crop=crop))


def class_names(model: Model, given: Sequence[ClassName] | None = None) -> tuple[ClassName, ...]:
    """Return the names of a model's classes: given ones, those of a run beside the weights, ImageNet's, or numbers.

    Raises:
        DataError: The number of names is not that of the classes.
    """
    classes = tuple(given) if given is not None else _names(model)
    if len(classes) != model.num_classes:
        raise DataError(f"--classes: {_misfit(len(classes), model)}")
    return classes


def classify(
    paths: Iterable[Path],
    prepare: Callable[[Any], npt.NDArray[np.float32]],
    shares: Callable[[npt.NDArray[np.float32]], npt.NDArray[Any]],
    classes: Sequence[ClassName],
    top: int,
) -> Iterator[Prediction]:
    """Classify image files, some at a time.

    Args:
        paths: Image files; see `find_images`.
        prepare: Brings an RGB image to the model's `(3, size, size)`.
        shares: Probabilities `(batch, classes)` of images `(batch, 3, size, size)`.
        classes: Names of the classes.
        top: Number of classes of each prediction, at most all classes.

    Yields:
        A prediction for each path, in their order; that of an unreadable image has a problem instead of classes.
    """
    iterator = iter(paths)
    while chunk := list(islice(iterator, _BATCH)):
        inputs = [_read(path, prepare) for path in chunk]
        images = [image for image in inputs if not isinstance(image, str)]
        rows = iter(shares(np.stack(images)) if images else ())
        for path, image in zip(chunk, inputs, strict=True):
            yield Prediction(path, problem=image) if isinstance(image, str) else _best(path, next(rows), classes, top)


def _read(path: Path, prepare: Callable[[Any], npt.NDArray[np.float32]]) -> npt.NDArray[np.float32] | str:
    """The prepared image, or why it cannot be read."""
    try:
        return prepare(read_image(path))
    except ImageError as error:
        return error.problem


def _best(path: Path, shares: npt.NDArray[Any], classes: Sequence[ClassName], top: int) -> Prediction:
    order = np.argsort(-shares, kind="stable")[:top]
    return Prediction(path, tuple((classes[at], float(shares[at])) for at in order))


def find_images(places: Iterable[Path]) -> list[Path]:
    """The files among the places, and every image below the folders among them, sorted.

    Raises:
        DataError: A place is missing, or a folder holds no image.
    """
    paths: list[Path] = []
    for place in places:
        if not place.is_dir():
            if not place.exists():
                raise DataError(f"{place}: no such file or folder")
            paths.append(place)
            continue
        try:
            images = sorted(Path(path) for path in image_paths(place))
        except OSError as error:
            raise DataError(f"{error.filename}: cannot be read: {error.strerror}") from None
        if not images:
            raise DataError(f"{place}: holds no image ({', '.join(SUFFIXES)})")
        paths += images
    return paths


def _misfit(names: int, model: Model) -> str:
    return f"there are {names} names for the model's {model.num_classes} classes"


def _names(model: Model) -> tuple[ClassName, ...]:
    beside = Path(model.weights or "").parent / CLASSES
    if "://" not in (model.weights or "") and beside.is_file():
        labels = [name.label for name in read_classes(beside)]
        if len(labels) != model.num_classes:
            problem = f"{beside}, which lies beside the weights: {_misfit(len(labels), model)}"
            raise DataError(f"{problem}; --classes names another file")
        return named(labels, model.num_classes)
    return named((), model.num_classes)


def report(predictions: Iterable[Prediction], *, as_json: bool) -> Iterator[str]:
    """Predictions as text to read, or as one JSON object a line.

    Raises:
        DataError: After the last prediction, if images could not be read; the details name each.
    """
    problems = []
    for prediction in predictions:
        if prediction.problem:
            problems.append(f"{prediction.path}: {prediction.problem}")
        yield json.dumps(_record(prediction)) if as_json else _text(prediction)
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

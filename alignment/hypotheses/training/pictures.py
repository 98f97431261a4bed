"""Mistakes in how images are listed, batched, resized and normalised."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from alignment.arrays import Array
from alignment.hypotheses.base import Prediction
from alignment.hypotheses.training.base import RecipeCase, RecipeHypotheses, Setting

_LEVELS = 255
_FLAT = 1e-6
FILTER, CROP = (
    Setting("resize filter", "data.interpolation", ("bilinear", "bicubic"),
            "the interpolation of Resize and RandomResizedCrop", "images are resized with the {} filter"),
    Setting("crop share", "data.crop", ("0.8", "0.85", "0.875", "0.88", "0.9", "0.95", "0.96", "1.0"),
            "the size that an image is resized to before its centre is cropped: floor(size / crop)",
            "the crop covers {} of the side"),
)  # fmt: skip
NORMALISATION = (
    Setting("mean or std", "data.mean", ("[0.5,0.5,0.5]", "[0.0,0.0,0.0]", "[0.485,0.456,0.406]"),
            "the mean that images are normalised with", "the mean is {}"),
    Setting("mean or std", "data.std", ("[0.5,0.5,0.5]", "[1.0,1.0,1.0]", "[0.229,0.224,0.225]"),
            "the std that images are normalised with", "the std is {}"),
)  # fmt: skip


def _images(case: RecipeCase) -> tuple[list[Array], list[Array]] | None:
    """Return the images of both sides, `(..., 3, rows, columns)`, float64; None if their shapes differ."""
    expected, actual = ([side[key] for key in case.keys] for side in (case.expected, case.found))
    if not all(a.shape == b.shape and a.ndim >= 3 for a, b in zip(expected, actual, strict=True)):
        return None
    return [image.astype(np.float64) for image in expected], [image.astype(np.float64) for image in actual]


def mean_and_std(case: RecipeCase) -> tuple[Array, Array]:
    """Return the mean and standard deviation of a recipe's pixels, `(3, 1, 1)`."""
    data = case.config.data
    return np.array(data.mean).reshape(3, 1, 1), np.array(data.std).reshape(3, 1, 1)


def _channels(arrays: list[Array]) -> Array:
    """Return all pixels of each channel, `(3, pixels)`."""
    return np.concatenate([np.moveaxis(image, -3, 0).reshape(3, -1) for image in arrays], axis=1)


def normalisation(case: RecipeCase) -> Iterator[Prediction]:
    """Predict another mean or deviation: each channel is fitted as an affine function of what it should be."""
    images = _images(case)
    if images is None:
        return
    expected, actual = images
    correct, wrong = _channels(expected), _channels(actual)
    mean, std = (np.array(values) for values in (case.config.data.mean, case.config.data.std))
    slope, offset = np.ones(3), np.zeros(3)
    for channel in range(3):
        slope[channel], offset[channel] = np.polyfit(correct[channel], wrong[channel], 1)
    if np.abs(slope).min() < _FLAT:
        return  # pictures of one colour are an affine function of any others
    shape = (3, 1, 1)
    arrays = [image * slope.reshape(shape) + offset.reshape(shape) for image in expected]
    if np.median(slope) > _LEVELS / 2:
        says = "pixels are not divided by 255 before mean and std are applied"
        yield Prediction("pixel range", says, "ToTensor, or the division by 255", arrays)
    their_std = std / slope
    their_mean = mean - offset * their_std
    says = f"the mean is {_numbers(their_mean)} and the std {_numbers(their_std)}"
    says += f", not {_numbers(mean)}, {_numbers(std)}"
    yield Prediction("mean or std", says, "the mean and std that images are normalised with", arrays)


def _numbers(values: Array) -> str:
    return f"({', '.join(f'{value:.4g}' for value in values)})"


def orientation(case: RecipeCase) -> Iterator[Prediction]:
    """Predict channels or axes in another order."""
    images = _images(case)
    if images is None:
        return
    expected, _ = images
    mean, std = mean_and_std(case)
    place, says = "the decoder: OpenCV reads BGR, Pillow RGB", "the channels are in reverse order: BGR for RGB"
    swapped = [((image * std + mean)[..., ::-1, :, :] - mean) / std for image in expected]
    yield Prediction("channel order", f"{says}, before they are normalised", place, swapped)
    swapped = [image[..., ::-1, :, :] for image in expected]
    yield Prediction("channel order", f"{says}, after they were normalised", place, swapped)
    place, says = "the transpose to (channels, rows, columns)", "rows and columns are exchanged"
    yield Prediction("rows and columns swapped", says, place, [image.swapaxes(-1, -2) for image in expected])
    yield Prediction("flip", "images are flipped horizontally", "the flip", [image[..., ::-1] for image in expected])


def listing(case: RecipeCase) -> Iterator[Prediction]:
    """Predict entries that are missing or doubled, labels that are shifted."""
    counts = [key for key in case.keys if key.endswith(("/length", "/labels", "/names"))]
    labels = [key for key in case.keys if "labels" in key]
    if counts and len(counts) == len(case.keys):
        kept = min(case.found[key].size if key.endswith("/labels") else 10**9 for key in case.keys)
        arrays = [np.asarray(kept) if key.endswith("/length") else case.expected[key][:kept] for key in case.keys]
        yield Prediction("entries missing", f"only the first {kept} entries are read", "the reader of the list", arrays)
    if labels and len(labels) == len(case.keys):
        for shift in (1, -1):
            arrays = [case.expected[key] + shift for key in case.keys]
            says = f"the labels are off by {shift:+d}"
            yield Prediction("labels shifted", says, "where classes are numbered", arrays)


def batches(case: RecipeCase) -> Iterator[Prediction]:
    """Predict a last batch that is left out or filled up."""
    if case.keys != ("data/images",):
        return
    size, shown = case.config.data.batch_size, int(case.expected["data/images"])
    place = "the arguments drop_last and batch_sampler of the loader"
    says = f"the last, smaller batch is left out: {shown // size * size} images of {shown}"
    yield Prediction("last batch dropped", says, place, [np.asarray(shown // size * size)])
    filled = -(-shown // size) * size
    says = f"the last batch is filled up with images that were shown before: {filled} are counted for {shown}"
    yield Prediction("padded batch", says, f"{place}, DistributedBatchSampler", [np.asarray(filled)])


PICTURES: tuple[RecipeHypotheses, ...] = (orientation, normalisation, listing, batches, FILTER, CROP)

"""What both models are fed with: drawn from a seed or read from a file, and told apart by a digest."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from os import PathLike
from pathlib import Path

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file, save

from alignment.arrays import Array
from alignment.errors import FileError

_TARGET_UNITS = 2**20
_PLANTED_CLASSES = 10
_PLANTED_RANKS = (0, 0, 0, 5, 1, 4, 9, 0)
"""How many scores are above the label's in each planted row: half of them none, three quarters fewer than five.

The first and the last row count, so that one that is left out shows.
"""
_PLANTED_BEST = 2.0
"""The lowest score is -2.5, so that the largest magnitude is not the best score."""
PLANTED_TOP1, PLANTED_TOP5 = 0.5, 0.75


@dataclass(frozen=True)
class Planted:
    """Scores whose accuracies are known beforehand, without ties: `PLANTED_TOP1` and `PLANTED_TOP5`.

    Attributes:
        scores: `(8, 10)`.
        labels: int64 `(8,)`.
    """

    scores: Array
    labels: Array


@dataclass(frozen=True)
class Inputs:
    """One batch.

    Attributes:
        images: `(batch, channels, height, width)`; of a pair of a user's, `(batch, ...)`, integers if it takes tokens.
        labels: int64 `(batch,)`.
        soft_targets: Probabilities `(batch, classes)`, rows sum to one; where the models give no logits, numbers of the
            shape of what they give.
        planted_scores: Scores of the metric's planted rows.
        planted_labels: Labels of the metric's planted rows.
    """

    images: Array
    labels: Array
    soft_targets: Array
    planted_scores: Array
    planted_labels: Array

    @property
    def planted(self) -> Planted:
        """The rows whose accuracies are known."""
        return Planted(self.planted_scores, self.planted_labels)

    @property
    def dtype(self) -> str:
        """The precision of the batch; its images may be integers."""
        return str(self.soft_targets.dtype)

    @property
    def digest(self) -> str:
        """SHA-256 over names, dtypes, shapes and values."""
        digest = hashlib.sha256()
        for field in fields(self):
            array = getattr(self, field.name)
            digest.update(f"{field.name}\0{array.dtype.str}\0{array.shape}\0".encode())
            digest.update(np.ascontiguousarray(array).tobytes())
        return f"sha256:{digest.hexdigest()}"

    def cast(self, dtype: str) -> Inputs:
        """The same batch with its floating-point arrays in another dtype."""
        return replace(
            self,
            images=self.images.astype(dtype) if np.issubdtype(self.images.dtype, np.floating) else self.images,
            soft_targets=self.soft_targets.astype(dtype),
            planted_scores=self.planted_scores.astype(dtype),
        )

    def write(self, path: Path) -> None:
        """Write the batch as safetensors."""
        named = {field.name: getattr(self, field.name) for field in fields(self)}
        arrays = {name: np.ascontiguousarray(array).reshape(array.shape) for name, array in named.items()}
        path.write_bytes(save(arrays))

    @classmethod
    def read(cls, path: Path) -> Inputs:
        """Read what `write` wrote."""
        return cls(**load_file(path))


def draw(shape: tuple[int, ...], classes: int, *, batch_size: int, seed: int) -> Inputs:
    """A batch of random images, values of order one, the same for the same arguments on every machine.

    Args:
        shape: Channels, height and width.
        classes: Number of classes, two or more.
        batch_size: Images.
        seed: Any integer of 0 or more.
    """
    generator = np.random.default_rng(seed)
    images = _draw_floats(generator, shape, batch_size)
    labels = generator.integers(0, classes, batch_size)
    return complete(images, labels, classes, seed=seed)


def random_inputs(shape: tuple[int, ...], batch_size: int, tokens: int = 0, *, seed: int) -> Array:
    """What the models of a user's pair take: random numbers, or integers below `tokens`, `(batch, *shape)`."""
    generator = np.random.default_rng(seed)
    if tokens:
        return generator.integers(0, tokens, (batch_size, *shape))
    return _draw_floats(generator, shape, batch_size)


def for_outputs(images: Array, output: tuple[int, ...], *, seed: int) -> Inputs:
    """The batch of models that give no logits: in the place of soft targets, weights of everything that they give.

    Args:
        images: `(batch, ...)`.
        output: Shape of what the models give for them.
        seed: Any integer of 0 or more.
    """
    generator = np.random.default_rng((seed, 1))
    weights = np.asarray(generator.standard_normal(output), np.float32)
    return Inputs(images, np.zeros(len(images), np.int64), weights, *_plant(generator))


def _draw_floats(generator: np.random.Generator, shape: tuple[int, ...], batch_size: int) -> Array:
    values = generator.standard_normal((batch_size, *shape), dtype=np.float32)
    values += np.float32(0.1) * np.arange(1, shape[0] + 1, dtype=np.float32).reshape(-1, *(1 for _ in shape[1:]))
    return values


def complete(images: Array, labels: Array, classes: int, *, seed: int) -> Inputs:
    """The batch of these images and labels, its soft targets and planted scores drawn from the seed.

    The soft targets are what mixup makes: each label mixed with the next image's, and smoothed. They are multiples of a
    power of two, so that their rows sum to exactly one in every precision: the gradient of Paddle's cross entropy takes
    that for granted, torch's does not, and a sum that is 1e-8 off shows in float64.

    Args:
        images: float32 `(batch, channels, height, width)`.
        labels: int64 `(batch,)`.
        classes: Number of classes.
        seed: Any integer of 0 or more.
    """
    generator = np.random.default_rng((seed, 1))
    hot = np.full((len(labels), classes), 0.1 / classes)
    hot[np.arange(len(labels)), labels] += 0.9
    share = generator.uniform(0.2, 0.8, (len(labels), 1))
    units = np.floor((share * hot + (1 - share) * np.roll(hot, 1, axis=0)) * _TARGET_UNITS)
    units[np.arange(len(labels)), labels] += _TARGET_UNITS - units.sum(axis=1)
    scores, planted_labels = _plant(generator)
    soft_targets = (units / _TARGET_UNITS).astype(np.float32)
    return Inputs(images, labels.astype(np.int64), soft_targets, scores, planted_labels)


def read_images(
    path: str | PathLike[str],
    shape: tuple[int, ...],
    classes: int,
    *,
    seed: int,
    tokens: int = 0,
    output: Callable[[int], tuple[int, ...]] | None = None,
) -> Inputs:
    """A batch from a file with an array `image`, and `label` where the labels are known.

    Args:
        path: `.npz` or `.safetensors` with `image` `(batch, channels, height, width)`, floating-point and already
            normalised, and optionally `label`, integers `(batch,)`; or a `.npy` of the images alone.
        shape: Channels, height and width that the model takes.
        classes: Number of classes.
        seed: Of what the file does not have.
        tokens: The images are integers below this; 0 for floating-point numbers.
        output: Batch size to shape of what the models give, where that is no logits.

    Raises:
        FileError: The file cannot be read, or does not hold such arrays.
    """
    path = Path(path)
    arrays = _read_arrays(path)
    if "image" not in arrays:
        raise FileError(path, f"no array 'image' in it; found: {', '.join(sorted(arrays)) or 'nothing'}")
    images = _check_images(path, arrays["image"], shape, tokens)
    if output is not None:
        return for_outputs(images, output(len(images)), seed=seed)
    if "label" in arrays:
        labels = _check_labels(path, arrays["label"], len(images), classes)
    else:
        labels = np.random.default_rng(seed).integers(0, classes, len(images))
    return complete(images, labels, classes, seed=seed)


def perturb(array: Array, generator: np.random.Generator) -> Array:
    """A copy with every number moved to one of its two neighbours in float32, at random; zeros and infinities stay."""
    flat = np.array(array, np.float32).reshape(-1)
    steps = generator.integers(0, 2, flat.size, dtype=np.int8).astype(np.int32) * 2 - 1
    steps *= (flat != 0) & np.isfinite(flat)
    flat.view(np.int32)[...] += steps
    return flat.reshape(array.shape)


def _plant(generator: np.random.Generator) -> tuple[Array, Array]:
    rows = len(_PLANTED_RANKS)
    ordered = _PLANTED_BEST - np.arange(_PLANTED_CLASSES, dtype=np.float32) / 2
    classes = np.stack([generator.permutation(_PLANTED_CLASSES) for _ in range(rows)])
    scores = np.empty((rows, _PLANTED_CLASSES), np.float32)
    np.put_along_axis(scores, classes, np.broadcast_to(ordered, classes.shape), axis=1)
    return scores, np.take_along_axis(classes, np.array(_PLANTED_RANKS)[:, None], axis=1)[:, 0].astype(np.int64)


def _read_arrays(path: Path) -> dict[str, Array]:
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        loaded = np.load(path, allow_pickle=False)
        return {"image": loaded} if isinstance(loaded, np.ndarray) else {name: loaded[name] for name in loaded.files}
    except (OSError, ValueError, EOFError, SafetensorError) as error:
        reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
        raise FileError(path, f"cannot be read as .npz, .npy or .safetensors: {reason}") from None


def _check_images(path: Path, images: Array, shape: tuple[int, ...], tokens: int) -> Array:
    if images.shape[1:] != shape or not len(images):
        raise FileError(path, f"'image' is {images.shape}, expected (batch, {', '.join(map(str, shape))})")
    if tokens:
        if not np.issubdtype(images.dtype, np.integer) or images.min() < 0 or images.max() >= tokens:
            raise FileError(path, f"'image' is {images.dtype}, expected integers from 0 to {tokens - 1}")
        return images.astype(np.int64)
    if not np.issubdtype(images.dtype, np.floating):
        raise FileError(path, f"'image' is {images.dtype}, expected normalised floating-point values")
    if not np.isfinite(images).all():
        raise FileError(path, "'image' holds values that are not finite")
    return np.ascontiguousarray(images, np.float32)


def _check_labels(path: Path, labels: Array, batch_size: int, classes: int) -> Array:
    if labels.shape != (batch_size,) or not np.issubdtype(labels.dtype, np.integer):
        raise FileError(path, f"'label' is {labels.dtype} {labels.shape}, expected integers ({batch_size},)")
    if labels.min() < 0 or labels.max() >= classes:
        raise FileError(path, f"'label' goes from {labels.min()} to {labels.max()}, the model has {classes} classes")
    return labels

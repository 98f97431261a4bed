"""What both models are fed with: drawn from a seed or read from a file, and told apart by a digest."""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Callable, Container, Iterable, Mapping
from dataclasses import dataclass, field, replace
from os import PathLike
from pathlib import Path

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file, save

from alignment.arrays import Array, Batch, is_floating
from alignment.errors import FileError
from alignment.pair.feeds import Feed, shifted_normal
from alignment.pair.outputs import LOGITS
from alignment.pair.pair import Pair
from porting.names import did_you_mean

_TARGET_UNITS = 2**20
_PLANTED_CLASSES = 10
_PLANTED_RANKS = (0, 0, 0, 5, 1, 4, 9, 0)
"""How many scores are above the label's in each planted row: half of them none, three quarters fewer than five.

The first and the last row count, so that one that is left out shows.
"""
_PLANTED_BEST = 2.0
"""The lowest score is -2.5, so that the largest magnitude is not the best score."""
PLANTED_TOP1, PLANTED_TOP5 = 0.5, 0.75
_ARRAYS = ("images", "labels", "soft_targets", "planted_scores", "planted_labels")
_LABEL = "label"
_NAMED, _PROJECTED = "named/", "projections/"
"""What the names of further arrays begin with in a file of a batch."""


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
            Where `named` has inputs, the first of them.
        labels: int64 `(batch,)`.
        soft_targets: Probabilities `(batch, classes)`, rows sum to one; where the models give no logits, numbers of the
            shape of what they give.
        planted_scores: Scores of the metric's planted rows.
        planted_labels: Labels of the metric's planted rows.
        named: All inputs by name, where the pair names them; else empty.
        projections: Weights of the outputs by name, for the loss of models that give several; else empty.
    """

    images: Array
    labels: Array
    soft_targets: Array
    planted_scores: Array
    planted_labels: Array
    named: Mapping[str, Array] = field(default_factory=dict)
    projections: Mapping[str, Array] = field(default_factory=dict)

    @property
    def batch(self) -> Batch:
        """What the models are given."""
        return self.named or self.images

    @property
    def targets(self) -> Batch:
        """What `alignment.backends.base.Backend.backward` is given: for one output, or by the names of several."""
        return {LOGITS: self.soft_targets, **self.projections} if self.projections else self.soft_targets

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
        for name, array in self._arrays().items():
            digest.update(f"{name}\0{array.dtype.str}\0{array.shape}\0".encode())
            digest.update(np.ascontiguousarray(array).tobytes())
        return f"sha256:{digest.hexdigest()}"

    def cast(self, dtype: str) -> Inputs:
        """The same batch with its floating-point arrays in another dtype."""
        cast = {name: _cast(array, dtype) for name, array in self._arrays().items()}
        return self._of(cast, self.named)

    def moved(self, names: Container[str], generator: np.random.Generator) -> Inputs:
        """The same batch with its floating-point inputs of these names moved by one unit in the last place.

        Args:
            names: Names of inputs; the empty name for the only one.
            generator: Decides the directions.
        """
        if not self.named:
            moves = "" in names and is_floating(self.images)
            return replace(self, images=perturb(self.images, generator) if moves else self.images)
        named = {
            name: perturb(array, generator) if name in names and is_floating(array) else array
            for name, array in self.named.items()
        }
        return replace(self, images=next(iter(named.values())), named=named)

    def write(self, path: Path) -> None:
        """Write the batch as safetensors."""
        arrays = {name: np.ascontiguousarray(array).reshape(array.shape) for name, array in self._arrays().items()}
        path.write_bytes(save(arrays))

    @classmethod
    def read(cls, path: Path) -> Inputs:
        """Read what `write` wrote."""
        arrays = load_file(path)
        return cls._of(arrays, sorted(name.removeprefix(_NAMED) for name in arrays if name.startswith(_NAMED)))

    def _arrays(self) -> dict[str, Array]:
        """All arrays by the names that a file has, inputs and projections in the order of their names."""
        one = {name: getattr(self, name) for name in _ARRAYS if not (self.named and name == "images")}
        inputs = {f"{_NAMED}{name}": self.named[name] for name in sorted(self.named)}
        return one | inputs | {f"{_PROJECTED}{name}": self.projections[name] for name in sorted(self.projections)}

    @classmethod
    def _of(cls, arrays: Mapping[str, Array], names: Iterable[str]) -> Inputs:
        """The batch of what `_arrays` has, its inputs in the order of these names."""
        named = {name: arrays[f"{_NAMED}{name}"] for name in names}
        weights = {
            name.removeprefix(_PROJECTED): array for name, array in arrays.items() if name.startswith(_PROJECTED)
        }
        one = {name: arrays[name] for name in _ARRAYS if name in arrays}
        if named:
            one["images"] = next(iter(named.values()))
        return cls(**one, named=named, projections=weights)


def draw(shape: tuple[int, ...], classes: int, *, batch_size: int, seed: int) -> Inputs:
    """A batch of random images, values of order one, the same for the same arguments on every machine.

    Args:
        shape: Channels, height and width.
        classes: Number of classes, two or more.
        batch_size: Images.
        seed: Any integer of 0 or more.
    """
    generator = np.random.default_rng(seed)
    images = shifted_normal(generator, shape, batch_size)
    labels = generator.integers(0, classes, batch_size)
    return complete(images, labels, classes, seed=seed)


def random_inputs(shape: tuple[int, ...], batch_size: int, tokens: int = 0, *, seed: int) -> Array:
    """What the models of a user's pair take: random numbers, or integers below `tokens`, `(batch, *shape)`."""
    generator = np.random.default_rng(seed)
    if tokens:
        return generator.integers(0, tokens, (batch_size, *shape))
    return shifted_normal(generator, shape, batch_size)


def random_batch(pair: Pair, batch_size: int, *, seed: int) -> Batch:
    """What the models of a user's pair take: one array, or arrays by the names of its inputs, `(batch, ...)`.

    What an input is depends on its name and the seed, not on the other inputs.
    """
    if not pair.inputs:
        return random_inputs(pair.input_shape, batch_size, pair.tokens, seed=seed)
    generators = {name: np.random.default_rng((seed, 3, zlib.crc32(name.encode()))) for name in pair.inputs}
    return {name: feed.draw(generators[name], batch_size) for name, feed in pair.inputs.items()}


def finished(pair: Pair, batch: Batch, labels: Array | None = None, *, seed: int) -> Inputs:
    """The batch of a pair with labels and targets, drawn from the seed where they are not given.

    Args:
        pair: What is aligned, its rules settled.
        batch: What the models are given.
        labels: int64 `(batch,)`; of use for models that classify.
        seed: Any integer of 0 or more.
    """
    contract = pair.contract
    named = dict(batch) if isinstance(batch, Mapping) else {}
    images = batch if isinstance(batch, np.ndarray) else next(iter(named.values()))
    projected = contract.projected(len(images)) if contract is not None else {}
    if pair.classifies:
        classes = pair.architecture.num_classes
        labels = np.random.default_rng((seed, 2)).integers(0, classes, len(images)) if labels is None else labels
        inputs = complete(images, labels, classes, seed=seed)
    elif projected or contract is None:
        inputs = for_outputs(images, (len(images),), seed=seed)
    else:
        inputs = for_outputs(images, contract.output(len(images)), seed=seed)
    return replace(inputs, named=named, projections=_projections(projected, seed))


def _projections(shapes: Mapping[str, tuple[int, ...]], seed: int) -> dict[str, Array]:
    """Weights of several outputs, such that the weighted sum of each is of order one and none drowns another."""
    weights = {}
    for name, shape in shapes.items():
        generator = np.random.default_rng((seed, 4, zlib.crc32(name.encode())))
        size = max(1, int(np.prod(shape)))
        weights[name] = np.asarray(generator.standard_normal(shape) / np.sqrt(size), np.float32)
    return weights


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
    if _LABEL in arrays:
        labels = _check_labels(path, arrays[_LABEL], len(images), classes)
    else:
        labels = np.random.default_rng(seed).integers(0, classes, len(images))
    return complete(images, labels, classes, seed=seed)


def read_batch(path: str | PathLike[str], pair: Pair) -> tuple[Batch, Array | None]:
    """A batch of named inputs from a file, and its labels where it has some.

    Args:
        path: `.npz` or `.safetensors` with an array for each input of the pair, `(batch, *shape)`, in any integer or
            floating-point dtype that fits; and optionally `label`, integers `(batch,)`, for models that classify.
        pair: What is aligned; it names its inputs.

    Raises:
        FileError: The file cannot be read, an input is missing, or has another shape, dtype or range; or it holds an
            array that is no input. All that is wrong is in one error.
    """
    path = Path(path)
    arrays = _read_arrays(path)
    problems = [f"{name}: missing" for name in pair.inputs if name not in arrays]
    problems += [
        f"{name}: no input of the pair{did_you_mean(name, pair.inputs)}"
        for name in arrays
        if name not in pair.inputs and name != _LABEL
    ]
    of_model = {name: arrays[name] for name in pair.inputs if name in arrays}
    problems += [
        f"{name}: {problem}" for name, array in of_model.items() if (problem := _problem(pair.inputs[name], array))
    ]
    sizes = {len(array) for array in of_model.values() if array.ndim}
    if len(sizes) > 1:
        problems.append(f"the inputs have batches of {', '.join(map(str, sorted(sizes)))}; expected one size")
    if problems:
        known = ", ".join(f"{name} (batch, {', '.join(map(str, feed.shape))})" for name, feed in pair.inputs.items())
        raise FileError(path, f"holds other inputs than {pair.name} takes: {known}", problems)
    labels = arrays.get(_LABEL) if pair.classifies else None
    if labels is not None:
        labels = _check_labels(path, labels, sizes.pop(), pair.architecture.num_classes)
    return {name: pair.inputs[name].convert(array) for name, array in of_model.items()}, labels


def _problem(feed: Feed, array: Array) -> str:
    if array.shape[1:] != feed.shape or not array.ndim or not len(array):
        return f"is {array.shape}, expected (batch, {', '.join(map(str, feed.shape))})"
    return feed.problem(array)


def perturb(array: Array, generator: np.random.Generator) -> Array:
    """A copy with every number moved to one of its two neighbours, at random; zeros and infinities stay.

    Args:
        array: Floating-point numbers; those of other dtypes are taken as float32.
        generator: Decides the directions.
    """
    flat = np.array(array, array.dtype if is_floating(array) else np.float32).reshape(-1)
    bits = np.dtype(f"int{8 * flat.dtype.itemsize}")
    steps = generator.integers(0, 2, flat.size, dtype=np.int8).astype(bits) * 2 - 1
    steps *= (flat != 0) & np.isfinite(flat)
    flat.view(bits)[...] += steps
    return flat.reshape(array.shape)


def _cast(array: Array, dtype: str) -> Array:
    return array.astype(dtype) if is_floating(array) else array


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
        if "allow_pickle" in reason:  # what NumPy says of anything that it does not know
            reason = "it is none of these, or holds Python objects"
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

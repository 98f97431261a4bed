"""Other batches than the one that every step is fed with: one input alone, another image size, shorter sequences.

All are made of the first batch, so that both sides have the same.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from alignment.arrays import Array, Batch
from alignment.pair.feeds import Feed, Floats, Mask, Tokens
from alignment.pair.inputs import Inputs
from alignment.pair.pair import Pair

ONE, TWO, AGAIN, OTHER, SIZE, LENGTH = "one", "two", "again", "other", "size_", "length_"
"""Names of the variations; the last two are followed by the size."""
LARGER = "larger"
"""Name of the run with larger inputs and weights, see `alignment.pair.larger`."""
_UNITS = (32, 16, 8, 4, 2, 1)
_PARTS = 6
"""An image is made smaller by the largest unit that divides it and is at most a sixth of it."""
_SMALLEST = 32
"""Fewest pixels along an axis of an image that is halved: much smaller ones leave some networks nothing to pool."""


@dataclass(frozen=True)
class Variation:
    """A further batch to run both models on.

    Attributes:
        name: `one` for a single input, `two` where the batch has one, `again` for the same once more, `other` for
            another input of the same shape, `size_192x160` for another image size, `length_96` for shorter sequences.
        batch: What the models are given.
    """

    name: str
    batch: Batch


def variations(pair: Pair, inputs: Inputs) -> Iterator[Variation]:
    """Yield the further batches of a pair, in the order in which they are to be run.

    Args:
        pair: What is aligned.
        inputs: The batch that every step is fed with, in the precision of the run.
    """
    arrays = dict(inputs.named) if inputs.named else {"": inputs.images}
    count = len(next(iter(arrays.values())))
    last = {name: array[-1:] for name, array in arrays.items()}
    one = last if count > 1 else {name: np.concatenate([array, array]) for name, array in arrays.items()}
    yield Variation(ONE if count > 1 else TWO, _batch(one))
    if count > 1:
        yield Variation(OTHER, _batch({name: array[:1] for name, array in arrays.items()}))
    yield Variation(AGAIN, _batch(one))
    for height, width in _sizes(pair.feeds):
        cut = {name: _cropped(array, pair.feeds[name], height, width) for name, array in last.items()}
        yield Variation(f"{SIZE}{height}x{width}", _batch(cut))
    length = _length(pair.feeds)
    if length:
        yield Variation(f"{LENGTH}{length[1]}", _batch(_shortened(last, pair.feeds, *length)))


def _batch(arrays: Mapping[str, Array]) -> Batch:
    return arrays.get("", arrays)


def _image(feed: Feed) -> tuple[int, int] | None:
    """Height and width of an input that is an image, `(channels, height, width)`."""
    return (feed.shape[1], feed.shape[2]) if isinstance(feed, Floats) and len(feed.shape) == 3 else None


def _sizes(feeds: Mapping[str, Feed]) -> Iterator[tuple[int, int]]:
    """Yield other sizes of the images, if all have one: smaller ones, of which the first is no square."""
    known = {_image(feed) for feed in feeds.values()} - {None}
    if len(known) != 1:
        return
    ((height, width),) = (size for size in known if size is not None)
    unit = next(
        unit
        for unit in _UNITS
        if (height % unit == width % unit == 0 and min(height, width) >= _PARTS * unit) or unit == 1
    )
    if min(height, width) > 2 * unit:
        yield height - unit, width - 2 * unit
    if height % 2 == width % 2 == 0 and min(height, width) >= 2 * _SMALLEST:
        yield height // 2, width // 2


def _cropped(array: Array, feed: Feed, height: int, width: int) -> Array:
    return np.ascontiguousarray(array[..., :height, :width]) if _image(feed) else array


def _length(feeds: Mapping[str, Feed]) -> tuple[int, int] | None:
    """Length of the sequences of ids, and a shorter one; None where there is none to shorten."""
    lengths = [feed.shape[-1] for feed in feeds.values() if isinstance(feed, Tokens) and feed.shape]
    if not lengths or lengths[0] < 2:
        return None
    return lengths[0], max(1, lengths[0] * 3 // 4)


def _shortened(arrays: Mapping[str, Array], feeds: Mapping[str, Feed], length: int, shorter: int) -> dict[str, Array]:
    """Ids and masks without the last places of each sequence; without the first where padding comes first."""
    left = any(isinstance(feed, Mask) and feed.left for feed in feeds.values())
    kept = slice(length - shorter, None) if left else slice(shorter)
    short = {}
    for name, array in arrays.items():
        axes = [size == length and isinstance(feeds[name], Tokens | Mask) for size in array.shape[1:]]
        places = tuple(kept if axis else slice(None) for axis in (False, *axes))
        short[name] = np.ascontiguousarray(array[places])
    return short

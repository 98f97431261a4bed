"""What is multiplied for the run with larger values: unbounded numbers, and parameters, alike on both sides."""

from __future__ import annotations

import numpy as np
import pytest

from alignment.arrays import Array
from alignment.pair import ROLES, Floats, Mask, Pair, Role, Side, Tokens, published
from alignment.pair.inputs import finished, random_batch
from alignment.pair.larger import FACTOR, larger_batch, larger_weights
from alignment.pair.layouts import to_side
from porting.checkpoint.tensor import LazyTensor
from porting.synthetic import random_weights


def _of_side(pair: Pair, role: Role, canonical: dict[str, Array]) -> dict[str, Array]:
    lazy = {name: LazyTensor.of(array) for name, array in canonical.items()}
    return {name: np.asarray(tensor.load()) for name, tensor in to_side(pair, role, lazy).items()}


@pytest.mark.parametrize(("model", "image_size"), [("pit_micro", 32), ("regnety_160", 64)])
def test_both_sides_get_the_same_larger_parameters_and_keep_their_buffers(model: str, image_size: int) -> None:
    pair = published.build(model, num_classes=10, image_size=image_size)
    canonical = random_weights(pair.architecture, 0)
    wanted = {
        name: array if name in pair.architecture.buffers else array * np.float32(FACTOR)
        for name, array in canonical.items()
    }
    for role in ROLES:
        given = _of_side(pair, role, canonical)
        larger = larger_weights(pair, role, given)
        expected = _of_side(pair, role, wanted)
        assert larger.keys() == expected.keys()
        assert all(np.array_equal(larger[name], array) for name, array in expected.items())
        assert all(larger[name].dtype == array.dtype for name, array in given.items())


def test_only_unbounded_numbers_of_one_input_are_multiplied() -> None:
    feeds = {"ids": Tokens(9, (8,)), "mask": Mask((8,)), "image": Floats((3, 4, 4)), "box": Floats((4,), 0.0, 1.0)}
    pair = Pair("pair", Side("torch", "a:b"), Side("torch", "a:b"), inputs=feeds, rules="auto")
    inputs = finished(pair, random_batch(pair, 3, seed=0), seed=0)
    batch = larger_batch(pair, inputs)
    assert isinstance(batch, dict)
    for name in ("ids", "mask", "box"):
        assert np.array_equal(batch[name], inputs.named[name][:1])
    assert np.array_equal(batch["image"], inputs.named["image"][:1] * FACTOR)
    assert all(batch[name].dtype == inputs.named[name].dtype for name in feeds)


def test_images_of_a_model_with_one_input_are_multiplied() -> None:
    pair = published.build("pit_micro", num_classes=10)
    inputs = finished(pair, random_batch(pair, 2, seed=0), seed=0)
    batch = larger_batch(pair, inputs)
    assert isinstance(batch, np.ndarray)
    assert np.array_equal(batch, inputs.images[:1] * FACTOR)

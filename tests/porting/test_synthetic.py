from __future__ import annotations

import numpy as np
import pytest

from porting.architectures import build
from porting.synthetic import random_weights


def test_the_same_seed_gives_the_same_weights() -> None:
    architecture = build("pit_ti", image_size=64)
    first, again, other = (random_weights(architecture, seed) for seed in (0, 0, 1))
    for name, values in first.items():
        np.testing.assert_array_equal(values, again[name])
        assert not np.array_equal(values, other[name])


@pytest.mark.parametrize("name", ["pit_ti", "pit_b_distilled", "deit_tiny", "regnety_160"])
def test_every_tensor_matters(name: str) -> None:
    for key, values in random_weights(build(name, image_size=64)).items():
        if key.endswith("num_batches_tracked"):
            assert (values.dtype.name, values.item()) == ("int64", 1000)
            continue
        assert values.dtype == np.float32
        assert np.count_nonzero(values) > 0.999 * values.size, key
        assert 0.01 < values.std() < 1.0, key

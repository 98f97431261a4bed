from __future__ import annotations

import numpy as np
import pytest

from porting.operations.embeddings import bicubic


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ((14, 14), (24, 24)),
        ((31, 31), (53, 53)),
        ((27, 27), (47, 47)),
        ((24, 24), (14, 14)),
        ((5, 7), (8, 3)),
        ((1, 1), (4, 4)),
    ],
)
def test_bicubic_equals_torch(before: tuple[int, int], after: tuple[int, int]) -> None:
    import torch

    maps = np.random.default_rng(0).standard_normal((2, 3, *before))
    expected = torch.nn.functional.interpolate(
        torch.from_numpy(maps), size=after, mode="bicubic", align_corners=False
    ).numpy()
    np.testing.assert_allclose(bicubic(maps, *after), expected, rtol=0, atol=1e-12)


def test_bicubic_to_the_same_size_changes_nothing() -> None:
    maps = np.random.default_rng(0).standard_normal((1, 4, 6, 6))
    np.testing.assert_array_equal(bicubic(maps, 6, 6), maps)

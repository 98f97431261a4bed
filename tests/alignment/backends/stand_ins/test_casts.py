"""Casts to float32 in a model's own code are lifted where float64 is the default, and named by their place."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from alignment.recordings.kernels import CAST

pytest.importorskip("torch")
pytest.importorskip("paddle")

import paddle
import torch

from alignment.backends.stand_ins.paddle import exact as paddle_exact
from alignment.backends.stand_ins.torch import exact as torch_exact


@pytest.fixture(autouse=True)
def _in_float64() -> Iterator[None]:
    torch.set_default_dtype(torch.float64)
    paddle.set_default_dtype("float64")
    yield
    torch.set_default_dtype(torch.float32)
    paddle.set_default_dtype("float32")


def test_torch_cast_of_a_tensor_and_of_a_table_is_float64_and_named_with_its_line() -> None:
    x = torch.ones(3, dtype=torch.float64) / 3
    with torch_exact("paddle") as used:
        results = [
            x.float(),
            x.to(torch.float32),
            torch.softmax(x, 0, dtype=torch.float32),
            torch.nn.functional.softmax(x, 0, dtype=torch.float32),
            torch.arange(3, dtype=torch.float32),
            torch.ones(3, dtype=torch.int64).float(),
        ]
    assert all(result.dtype == torch.float64 for result in results)
    assert torch.equal(results[0], x)
    names = [name for name in used if name.startswith(f"{CAST}test_casts.py:")]
    assert len(names) == len(results)
    assert x.float().dtype == torch.float32


def test_paddle_integers_with_a_number_or_in_a_function_of_numbers_give_float64_and_other_integers_stay() -> None:
    ids = paddle.arange(3)
    assert (ids + 0.5).dtype == paddle.float32
    with paddle_exact() as used:
        wide = [ids + 0.5, 0.5 * ids, 1.0 - ids, ids / 2, ids / ids, 2.0**ids, paddle.sin(ids), ids.sqrt()]
        whole = [ids + 1, ids * ids, ids // 2, ids**2, -ids]
        own = ids.astype("float64") / 3 + 0.5
    assert all(result.dtype == paddle.float64 for result in wide)
    assert all(result.dtype == paddle.int64 for result in whole)
    assert own.dtype == paddle.float64
    assert sum(kernel.calls for name, kernel in used.items() if name.startswith(CAST)) == len(wide)
    assert (ids + 0.5).dtype == paddle.float32


def test_paddle_cast_of_a_tensor_and_of_a_table_is_float64_and_named_with_its_line() -> None:
    x = paddle.ones([3]) / 3
    with paddle_exact() as used:
        results = [
            x.astype("float32"),
            x.astype(paddle.float32),
            x.cast("float32"),
            paddle.cast(x, paddle.float32),
            paddle.nn.functional.softmax(x, dtype="float32"),
            paddle.arange(3, dtype="float32"),
            paddle.full([3], 0.1, "float32"),
        ]
    assert all(result.dtype == paddle.float64 for result in results)
    assert float((results[0] - x).abs().max()) == 0
    names = [name for name in used if name.startswith(f"{CAST}test_casts.py:")]
    assert len(names) == len(results)
    assert x.astype("float32").dtype == paddle.float32


def test_cast_stays_where_float32_is_the_default_and_where_truth_is_cast_it_is_not_named() -> None:
    with torch_exact("paddle") as used:
        assert (torch.ones(2) > 0).float().dtype == torch.float64
        torch.set_default_dtype(torch.float32)
        assert torch.ones(2, dtype=torch.float64).float().dtype == torch.float32
    assert not used
    paddle.set_default_dtype("float32")
    with paddle_exact() as used:
        assert paddle.ones([2], "float64").astype("float32").dtype == paddle.float32
    assert not used

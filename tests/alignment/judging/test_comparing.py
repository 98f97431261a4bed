"""Two dictionaries of arrays or tensors, without a file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from alignment import compare
from alignment.errors import AlignmentError


class Tensor:
    """Looks like a tensor on a device and in a graph."""

    def __init__(self, array: Any) -> None:
        self.array, self.dtype = array, str(array.dtype)

    def detach(self) -> Tensor:
        return self

    def cpu(self) -> Tensor:
        return self

    def numpy(self) -> Any:
        return self.array


def test_equal_values_of_any_kind_pass() -> None:
    values = {"a": np.arange(6.0, dtype=np.float32), "n": np.arange(3), "x": np.float32(2.0)}
    assert compare(values, {**values, "a": Tensor(values["a"])}).passed


def test_differing_and_missing_values_diverge() -> None:
    a = np.ones(4, np.float32)
    report = compare({"a": a, "b": a}, {"a": a + 0.1})
    assert [row.key for row in report.failures] == ["a", "b"]


def test_what_is_no_array_and_a_path_beside_a_dictionary_are_refused(tmp_path: Path) -> None:
    with pytest.raises(AlignmentError, match="candidate a: a str is no array of numbers"):
        compare({"a": np.ones(2)}, {"a": "text"})
    with pytest.raises(AlignmentError, match="candidate a: an array of dtype object holds no numbers"):
        compare({"a": np.ones(2)}, {"a": np.array([1.0, None], dtype=object)})
    with pytest.raises(AlignmentError, match="two paths, or two dictionaries"):
        compare({"a": np.ones(2)}, tmp_path)


class Sparse:
    """A tensor that does not become an array, as sparse ones of torch."""

    def numpy(self) -> Any:
        raise TypeError("can't convert Sparse layout tensor to numpy.\nUse Tensor.to_dense() first.")


@pytest.mark.parametrize("value", [np.ones(2), (np.ones(2),), Sparse()])
def test_what_is_neither_a_path_nor_a_dictionary_is_refused(value: Any) -> None:
    with pytest.raises(
        AlignmentError, match=f"a {type(value).__name__} is neither a path nor a dictionary: .*state_dict"
    ):
        compare(value, value)


def test_tensor_that_becomes_no_array_is_named() -> None:
    with pytest.raises(AlignmentError, match="reference a: a Sparse that NumPy cannot take: can't convert Sparse"):
        compare({"a": Sparse()}, {"a": np.ones(2)})

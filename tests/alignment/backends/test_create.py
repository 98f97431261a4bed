"""What the backends share; the frameworks themselves run in `test_run.py`, a process each."""

from pathlib import Path

import numpy as np
import pytest

from alignment.backends.checks import check_state, one_output, widen
from alignment.errors import AlignmentError


def test_a_weight_file_is_refused_with_every_mismatch() -> None:
    found = {"a": (2,), "b": (3, 4), "extra": (1,)}
    expected = {"a": (2,), "b": (4, 3), "missing": (5,)}
    with pytest.raises(AlignmentError) as caught:
        check_state(Path("model.pdparams"), found, expected)
    assert caught.value.summary.startswith("model.pdparams: ")
    assert caught.value.details == (
        "missing: missing in the file",
        "extra: not in the model",
        "b: shape (3, 4) in the file, (4, 3) in the model",
    )


def test_exactly_the_models_tensors_pass() -> None:
    check_state(Path("model.pth"), {"a": (2,)}, {"a": (2,)})


def test_an_output_that_is_no_tensor_is_refused() -> None:
    with pytest.raises(AlignmentError, match="the model returned a tuple in evaluation mode"):
        one_output((1, 2), np.ndarray)


def test_widening_leaves_integers_alone() -> None:
    wide = widen({"weight": np.ones(2, np.float32), "count": np.ones((), np.int64)}, "float64")
    assert {name: array.dtype.name for name, array in wide.items()} == {"weight": "float64", "count": "int64"}

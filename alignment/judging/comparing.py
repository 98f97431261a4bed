"""Compares what two sides computed: paths of files, or arrays and tensors in memory."""

from __future__ import annotations

from collections.abc import Mapping
from os import PathLike
from typing import Any, TypeAlias

import numpy as np

from alignment.arrays import Array
from alignment.errors import AlignmentError
from alignment.judging.compare_paths import compare_paths
from alignment.judging.judge import judge_arrays
from alignment.judging.tolerance import Tolerances
from alignment.results.report import Report

Values: TypeAlias = Mapping[str, Any]
"""Name to array, tensor of any framework, or number."""


def compare(
    reference: str | PathLike[str] | Values,
    candidate: str | PathLike[str] | Values,
    *,
    tolerances: Tolerances | None = None,
    squeeze: bool = False,
    command: str = "",
) -> Report:
    """Compare two recordings, two files of reprod_log, or two dictionaries of arrays or tensors.

    Args:
        reference: A path as `compare_paths` takes it, or the reference's values by name.
        candidate: A path, or the candidate's values by the same names.
        tolerances: Used where there is no float64 evidence; the default ones by default.
        squeeze: Let shapes differ by axes of length one.
        command: The command line, for the report.

    Raises:
        AlignmentError: A side is neither a path nor a dictionary, one is a path and the other is not, or a value is no
            array.
        NothingComparedError: Nothing is there to be compared.
        FileError: As `compare_paths`.
    """
    if isinstance(reference, Mapping) and isinstance(candidate, Mapping):
        sides = arrays_of(reference, "reference"), arrays_of(candidate, "candidate")
        return judge_arrays(*sides, step="compare", tolerances=tolerances, squeeze=squeeze, command=command)
    if isinstance(reference, Mapping) or isinstance(candidate, Mapping):
        raise AlignmentError("one side is a path and the other a dictionary: give two paths, or two dictionaries")
    for side in (reference, candidate):
        if not isinstance(side, str | PathLike):
            raise AlignmentError(
                f"a {type(side).__name__} is neither a path nor a dictionary: give two paths, or two dictionaries of "
                "arrays or tensors by name, such as {'logits': tensor} or model.state_dict()"
            )
    return compare_paths(reference, candidate, tolerances=tolerances, squeeze=squeeze, command=command)


def arrays_of(values: Values, side: str = "") -> dict[str, Array]:
    """Return values as NumPy arrays; tensors are taken from their device and their graph, bfloat16 becomes float32.

    Raises:
        AlignmentError: A value is no array of numbers; it is named.
    """
    return {name: _array(value, f"{side} {name}".strip()) for name, value in values.items()}


def _taken(value: Any) -> Array:
    for method in ("detach", "cpu"):
        value = getattr(value, method, lambda value=value: value)()
    if "bfloat16" in str(getattr(value, "dtype", "")):
        value = value.float() if hasattr(value, "float") else value.astype("float32")
    return np.asarray(value.numpy() if hasattr(value, "numpy") else value)


def _array(value: Any, what: str) -> Array:
    try:
        array = _taken(value)
    except Exception as error:  # of a framework, whose tensor is sparse or holds no numbers
        reason = str(error).partition("\n")[0]
        raise AlignmentError(f"{what}: a {type(value).__name__} that NumPy cannot take: {reason}") from error
    if array.dtype.kind not in "biufc" and isinstance(value, np.ndarray):
        raise AlignmentError(f"{what}: an array of dtype {array.dtype} holds no numbers; give numbers of one dtype")
    if array.dtype.kind not in "biufc":
        raise AlignmentError(f"{what}: a {type(value).__name__} is no array of numbers; give arrays or tensors")
    return array

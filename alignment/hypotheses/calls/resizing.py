"""Other filters of a resize: another mode, corners aligned or not, Paddle's `align_mode`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from alignment.arrays import Array
from alignment.backends.functions.calls import FunctionCall
from alignment.hypotheses.calls.sites import Alternative, Table
from alignment.hypotheses.resizing import resizing

_LINEAR = ("linear", "bilinear", "trilinear")


def _resizes(call: FunctionCall) -> Iterator[Alternative]:
    into, out = call.takes[0], call.gives[0]
    if len(into) != 4 or len(out) != 4:
        return
    corners = call.setting("align_corners", "False") == "True"
    mode = call.setting("mode", "nearest")
    own = _words(mode, corners=corners, legacy=mode in _LINEAR and call.number("align_mode", 0) == 1)
    for kernel in ("bilinear", "bicubic", "nearest"):
        for aligned in (False, True) if kernel != "nearest" else (False,):
            for legacy in (False, True) if kernel == "bilinear" and not aligned else (False,):
                other = _words(kernel, corners=aligned, legacy=legacy)
                if other != own:
                    yield Alternative(
                        "resize",
                        f"it resizes with {own}, not {other}: pass the latter",
                        lambda given, _, how=(kernel, aligned, legacy): [_resized(given[0], out, *how)],
                    )


def _words(mode: str, *, corners: bool, legacy: bool) -> str:
    words = f"mode='{mode}'"
    if mode != "nearest":
        words += f", align_corners={corners}" + (", align_mode=1" if legacy else "")
    return words


def _resized(x: Array, out: Sequence[int], kernel: str, corners: bool, legacy: bool) -> Array:
    def matrix(before: int, after: int) -> Array:
        return _legacy(before, after) if legacy else resizing(before, after, kernel, corners=corners)

    rows, columns = (matrix(x.shape[axis], out[axis]) for axis in (2, 3))
    return np.asarray(rows @ x @ columns.T)


def _legacy(before: int, after: int) -> Array:
    """The share of each old sample in each new one by `align_mode=1`, `(after, before)`."""
    places = np.arange(after) * (before / after)
    first, matrix = np.floor(places).astype(np.int64), np.zeros((after, before))
    for tap, share in ((0, 1 - (places - first)), (1, places - first)):
        np.add.at(matrix, (np.arange(after), np.clip(first + tap, 0, before - 1)), share)
    return matrix


RESIZES: Table = dict.fromkeys(("interpolate", "upsample"), (_resizes,))
"""Name of a function to its calls with another filter."""

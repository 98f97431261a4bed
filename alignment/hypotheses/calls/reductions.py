"""Sums, means and the like: over other axes, of another kind, over the elements that count."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import combinations

import numpy as np

from alignment.arrays import Array
from alignment.backends.functions.calls import FunctionCall
from alignment.hypotheses.calls.sites import Alternative, Table

_MOST_AXES = 5


def _squares(x: Array, axes: tuple[int, ...]) -> Array:
    return np.asarray(np.square(x).mean(axes))


_KINDS: Mapping[str, tuple[str, Callable[[Array, tuple[int, ...]], Array]]] = {
    "mean": ("the mean", lambda x, axes: np.asarray(x.mean(axes))),
    "sum": ("the sum", lambda x, axes: np.asarray(x.sum(axes))),
    "max": ("the largest value", lambda x, axes: np.asarray(x.max(axes))),
    "min": ("the smallest value", lambda x, axes: np.asarray(x.min(axes))),
    "var": ("the variance", lambda x, axes: np.asarray(x.var(axes))),
    "mean square": ("the mean square", _squares),
    "root mean square": ("the root of the mean square", lambda x, axes: np.sqrt(_squares(x, axes))),
    "norm": ("the norm", lambda x, axes: np.sqrt(np.asarray(np.square(x).sum(axes)))),
}
_POOLS = {
    "adaptive_avg_pool2d": "mean",
    "adaptive_avg_pool1d": "mean",
    "adaptive_max_pool2d": "max",
    "adaptive_max_pool1d": "max",
}
"""Function that makes one value of a whole map to its kind."""
_NAMES = {"amax": "max", "amin": "min", "std": "", **_POOLS}
_ACROSS = ("mean", "sum", "max", "min", "var")


def _axes(call: FunctionCall) -> tuple[int, ...] | None:
    """The axes that a call goes over; None where they cannot be told."""
    count = len(call.takes[0])
    if call.name in _POOLS:
        spatial = 2 if call.name.endswith("2d") else 1
        return tuple(range(count - spatial, count)) if set(call.gives[0][-spatial:]) == {1} else None
    text = call.setting("axis")
    if not text or text == "None":
        return tuple(range(count)) if call.gives[0] in ((), (1,)) else None
    try:
        value = ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return None
    values = value if isinstance(value, tuple | list) else (value,)
    return tuple(sorted(axis % count for axis in values)) if all(isinstance(axis, int) for axis in values) else None


def _kinds(call: FunctionCall) -> Iterator[Alternative]:
    """Predict another kind of summary over the same axes."""
    axes, own = _axes(call), _NAMES.get(call.name, call.name)
    if axes is None or own not in _KINDS or len(call.gives) != 1:
        return
    for other, (words, function) in _KINDS.items():
        if other != own:
            says = f"it takes {_KINDS[own][0]} over {_words(axes)}, where {words} is meant"
            yield Alternative("summary", says, _answering(function, axes))


def _answering(
    function: Callable[[Array, tuple[int, ...]], Array], axes: tuple[int, ...]
) -> Callable[..., list[Array]]:
    def answer(given: Sequence[Array], returned: Sequence[Array]) -> list[Array]:
        return [function(given[0], axes).reshape(returned[0].shape)]

    return answer


def _other_axes(call: FunctionCall) -> Iterator[Alternative]:
    """Predict the same summary over other axes, as long as its result has a shape that fits."""
    axes, own, count = _axes(call), _NAMES.get(call.name, call.name), len(call.takes[0])
    if axes is None or own not in _KINDS or not 1 < count <= _MOST_AXES or len(call.gives) != 1:
        return
    function, kept = _KINDS[own][1], len(call.gives[0]) == count
    for number in {len(axes), 1, 2} & {*range(1, count)}:
        for other in combinations(range(count), number):
            if other != axes and (kept or number == len(axes)):
                says = f"its {call.name} goes over {_words(axes)} of {call.takes[0]}, where {_words(other)} is meant: "
                says += f"pass axis={_short([axis - count for axis in other])}"

                def answer(given: Sequence[Array], _: Sequence[Array], other: tuple[int, ...] = other) -> list[Array]:
                    result = function(given[0], other)
                    return [np.expand_dims(result, other) if kept else result]

                yield Alternative("axis of a summary", says, answer)


def _counted(call: FunctionCall) -> Iterator[Alternative]:
    """Predict a mean over all elements, of which those that are zero should not count."""
    axes = _axes(call)
    if axes is None or call.name != "mean":
        return
    count = int(np.prod([call.takes[0][axis] for axis in axes]))

    def counted(given: Sequence[Array], returned: Sequence[Array]) -> list[Array]:
        total, kept = given[0].sum(axes), np.count_nonzero(given[0], axes)
        return [np.reshape(total / np.maximum(1, kept), returned[0].shape)]

    says = (
        f"the mean counts all {count} elements, also those that are left out (ignore_index, padding): "
        "divide by the number of the others"
    )
    yield Alternative("ignored labels in the mean", says, counted)


def _words(axes: Sequence[int]) -> str:
    return f"axis {axes[0]}" if len(axes) == 1 else f"axes {', '.join(map(str, axes))}"


def _short(axes: Sequence[int]) -> str:
    return str(axes[0]) if len(axes) == 1 else str([*axes])


REDUCTIONS: Table = {
    "mean": (_counted, _kinds, _other_axes),
    **dict.fromkeys((*_ACROSS[1:], "amax", "amin"), (_kinds, _other_axes)),
    **dict.fromkeys(_POOLS, (_kinds,)),
}
"""Name of a function to its calls that make another summary."""

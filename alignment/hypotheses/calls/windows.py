"""Sliding windows of an attention: missing, of another length, or reaching the other way.

A window is what each token may see: the tokens from `high` places before it to `low` places before it, which are after
it where the number is negative.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import TypeAlias

import numpy as np

from alignment.arrays import Array
from alignment.backends.functions.calls import FunctionCall
from alignment.hypotheses.arithmetic import softmax
from alignment.hypotheses.calls.sites import Alternative

OUT = -1e30
"""Added to a score, it takes the score out: a softmax gives zero, in any precision."""
_OUT_ENOUGH = -1e3
"""What is added to scores by ports that take them out, or less."""
_FEW = 32
"""Tokens up to which every length of a window is tried; of more, the powers of two."""
_NAME = "attention window"

_Window: TypeAlias = "tuple[float, float]"
"""How many places before a token the last and the first of those are that it sees, both included."""


def unmasked(given: Sequence[Array], returned: Sequence[Array]) -> tuple[Array, Array]:
    """The scores that a sum or a choice was given, and which of them it takes out.

    Args:
        given: What the function was given, scores of the shape of its result among them.
        returned: The scores with those that are taken out far below the others.

    Returns:
        The scores, and a boolean array of their shape; where no scores are found, the result and nothing.
    """
    alike = (
        one for one in given if one.shape == returned[0].shape and one.dtype.kind == "f" and np.isfinite(one).all()
    )
    spread = {float(np.ptp(one)): one for one in alike}
    scores = spread[min(width for width in spread if width)] if any(spread) else returned[0]
    return scores, returned[0] < scores + _OUT_ENOUGH


def other_windows(call: FunctionCall) -> Iterator[Alternative]:
    """Predict scores of which another window is kept by a sum or a choice that takes some out."""
    if not call.gives or not _is_square(call.gives[0]):
        return
    for says, change in _changes(call.gives[0][-1]):

        def moved(
            given: Sequence[Array], returned: Sequence[Array], change: Callable[[_Window], _Window] = change
        ) -> list[Array]:
            scores, out = unmasked(given, returned)
            return [_within(scores, out, change)] if out.any() and not out.all() else [*returned]

        yield Alternative(_NAME, says, moved)


def missing_windows(call: FunctionCall) -> Iterator[Alternative]:
    """Predict a softmax of scores without those outside of a window."""
    if not call.takes or not _is_square(call.takes[0]):
        return
    for says, window in _windows(call.takes[0][-1]):

        def narrowed(given: Sequence[Array], _: Sequence[Array], window: _Window = window) -> list[Array]:
            return [softmax(np.where(_inside(given[0], window), given[0], given[0] + OUT))]

        yield Alternative(_NAME, says, narrowed)


def _is_square(shape: Sequence[int]) -> bool:
    return len(shape) >= 3 and shape[-1] == shape[-2] > 2


def _changes(tokens: int) -> Iterator[tuple[str, Callable[[_Window], _Window]]]:
    """Yield what to say of a window, and what it is to be instead."""
    says = (
        "its window reaches to later tokens, and is to reach as far to earlier ones, or the other way round: exchange "
    )
    yield f"{says}rows and columns of its mask", lambda window: (-window[1], -window[0])
    yield (
        "its mask has a window where none is meant: let each token see all those before it",
        lambda window: (window[0], np.inf),
    )
    for words, meant in _windows(tokens):
        yield words, partial(_always, meant)


def _always(meant: _Window, _: _Window) -> _Window:
    return meant


def _windows(tokens: int) -> Iterator[tuple[str, _Window]]:
    lengths = range(1, tokens) if tokens <= _FEW else [2**power for power in range(1, tokens.bit_length())]
    for length in lengths:
        before = f"itself and the {length - 1} before it" if length > 1 else "itself"
        yield f"the window of its mask is to hold {length}: each token sees {before}, and no others", (0, length - 1)
    for reach in lengths:
        says = f"the window of its mask is to reach {reach} both ways: each token sees as many before it and after it"
        yield says, (-reach, reach)


def _within(scores: Array, out: Array, change: Callable[[_Window], _Window]) -> Array:
    """The scores of another window; what is taken out for another reason, such as padding, stays out."""
    before = _places_before(scores)
    kept = (~out).reshape(-1, *before.shape).any(0)
    own = float(before[kept].min()), float(before[kept].max())
    hidden = (out & _inside(scores, own)) | out.all(-2, keepdims=True)
    result: Array = np.where(_inside(scores, change(own)) & ~hidden, scores, scores + OUT)
    return result


def _inside(scores: Array, window: _Window) -> Array:
    """Which scores of (..., tokens, tokens) a window keeps, as (tokens, tokens)."""
    before = _places_before(scores)
    return (before >= window[0]) & (before <= window[1])


def _places_before(scores: Array) -> Array:
    tokens = np.arange(scores.shape[-1])
    return tokens[:, None] - tokens

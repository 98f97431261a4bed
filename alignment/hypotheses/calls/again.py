"""Other plain arguments of functions, which the framework itself computes: a mode, a norm, an axis, a margin.

What a function does with another argument is asked of the function, so that any function with plain arguments can be
tried, and its gradient is the framework's.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import permutations
from typing import Any

from alignment.backends.functions.calls import FOURIER, Again, Answer, Arrays, FunctionCall
from alignment.hypotheses.base import Case, Prediction
from alignment.hypotheses.bench import Bench
from alignment.hypotheses.calls.sites import groups, outcome, where

_FLAGS, _MARGINS, _LOSSES = (False, True), (0.0, 0.1, 0.2, 0.3, 0.5, 1.0, 2.0), ("mean", "sum")
_FOURIER_NORMS, _THRESHOLDS, _SMOOTHINGS = (
    ("backward", "ortho", "forward"),
    (0.1, 0.25, 0.5, 1.0),
    (0.0, 0.05, 0.1, 0.2),
)
_AXES: tuple[Any, ...] = ()
"""The other axes of the first tensor."""
_TURNED: tuple[Any, ...] = ("turned",)
"""The two numbers that are given, the other way round."""
_SHARED: tuple[Any, ...] = ("shared",)
"""Numbers before and behind each axis: those that are given in another order, or each sum shared out otherwise."""
_FUNCTIONS: tuple[tuple[str, Mapping[str, Sequence[Any]]], ...] = (
    ("affine_grid", {"align_corners": _FLAGS}),
    (
        "grid_sample",
        {
            "align_corners": _FLAGS,
            "mode": ("bilinear", "nearest", "bicubic"),
            "padding_mode": ("zeros", "border", "reflection"),
        },
    ),
    ("pad", {"mode": ("constant", "reflect", "replicate", "circular"), "pad": _SHARED}),
    (" ".join(FOURIER), {"norm": _FOURIER_NORMS}),
    ("topk", {"largest": _FLAGS}),
    ("cumsum cumprod logsumexp argmax argmin argsort sort cosine_similarity", {"axis": _AXES}),
    ("ctc_loss", {"blank": (0, -1)}),
    ("kl_div", {"reduction": (*_LOSSES, "batchmean"), "log_target": _FLAGS}),
    ("mse_loss l1_loss binary_cross_entropy binary_cross_entropy_with_logits", {"reduction": _LOSSES}),
    ("smooth_l1_loss", {"reduction": _LOSSES, "delta": (0.1, 0.5, 1.0, 2.0, 1 / 9)}),
    ("triplet_margin_loss", {"margin": _MARGINS, "swap": _FLAGS, "p": (1, 2)}),
    ("cosine_embedding_loss margin_ranking_loss", {"margin": _MARGINS}),
    ("label_smooth", {"epsilon": _SMOOTHINGS}),
    ("cross_entropy", {"label_smoothing": _SMOOTHINGS}),
    ("avg_pool1d avg_pool3d", {"exclusive": _FLAGS}),
    ("max_pool1d max_pool2d max_pool3d avg_pool2d", {"ceil_mode": _FLAGS}),
    ("adaptive_avg_pool2d adaptive_max_pool2d", {"output_size": _TURNED}),
    ("interpolate", {"size": _TURNED}),
    ("lp_pool1d lp_pool2d", {"norm_type": (1, 2, 3)}),
    ("celu", {"alpha": (0.1, 0.5, 1.0, 2.0)}),
    ("softshrink hardshrink", {"threshold": _THRESHOLDS}),
)
"""Names of functions with one set of arguments, and the values of these that are tried."""
_ARGUMENTS = {name: arguments for names, arguments in _FUNCTIONS for name in names.split()}
_MOST_LETTERS = _MOST_PADS = 4


def other_arguments(case: Case, bench: Bench) -> Iterator[Prediction]:
    """Yield what the module gives with another plain argument of each place.

    Raises:
        OutOfTimeError: The time for trials is over.
    """
    for calls in groups([call for call in bench.calls if call.name in _ARGUMENTS or call.name == "einsum"]):
        for name, own, other in _values(calls[0]):
            result = outcome(bench, _answering(calls, name, other))
            if result is not None:
                says = _words(calls[0].name, name, own, other)
                look_at = where(case, calls)
                yield Prediction("other argument", says, look_at, result.outputs, case.found, case.expected)


def _words(function: str, name: str, own: Any, other: Any) -> str:
    if function == "einsum":
        return f"its einsum is {own!r}, where {other!r} is meant"
    now = "is not given" if own is None else f"is {_text(own)}"
    return f"the {name} of its {function} {now}, where {_text(other)} is meant: pass {name}={_text(other)}"


def _answering(calls: Sequence[FunctionCall], name: str, value: Any) -> Callable[[FunctionCall, Arrays], Answer]:
    chosen = frozenset(calls)
    return lambda call, _: Again({name: value}) if call in chosen else None


def _values(call: FunctionCall) -> Iterator[tuple[str, Any, Any]]:
    """Yield an argument of a call, its value (None for one that is not given), and another value."""
    if call.name == "einsum":
        for name, own in [
            (name, value) for name, value in call.settings if "->" in value
        ]:  # torch's has no name for it
            yield from ((name, own, other) for other in _equations(own, call.takes))
    for name, values in _ARGUMENTS.get(call.name, {}).items():
        given = _plain(call.setting(name))
        if values is _AXES and call.takes:
            count = max(len(call.takes[0]), 1)
            axis = given % count if isinstance(given, int) else None
            yield from ((name, axis, other) for other in range(count) if other != axis)
        if values is _TURNED:
            two = [*given] if isinstance(given, list | tuple) and len(given) == 2 else [0, 0]
            values = (two[::-1],) if two[0] != two[1] else ()
        if values is _SHARED:
            values = _shared_out(given) if isinstance(given, list | tuple) else ()
        yield from ((name, given, value) for value in values if value != given)


def _shared_out(given: Sequence[int]) -> list[list[int]]:
    """Other numbers of pixels before and behind each axis, those with as many pixels of each axis first."""
    sums = [sum(given[at : at + 2]) for at in range(0, len(given), 2)]
    shares: list[Callable[[int], tuple[int, int]]] = [
        lambda total: (0, total),
        lambda total: (total, 0),
        lambda total: (total // 2, total - total // 2),
        lambda total: (total - total // 2, total // 2),
    ]
    shared = [[part for total in sums for part in share(total)] for share in shares]
    orders = permutations(given) if len(given) <= _MOST_PADS else ()
    return [list(pad) for pad in dict.fromkeys(map(tuple, (*shared, *orders))) if list(pad) != [*given]]


def _plain(text: str) -> Any:
    """A plain argument as it was; None for one that is not given."""
    try:
        return ast.literal_eval(text) if text else None
    except (ValueError, SyntaxError):
        return text


def _equations(own: str, takes: Sequence[tuple[int, ...]]) -> Iterator[str]:
    """Yield equations of which one operand has its axes of equal length in another order."""
    inputs, arrow, output = own.replace(" ", "").partition("->")
    operands = inputs.split(",")
    if not arrow or len(operands) != len(takes) or "." in own:
        return
    for place, (letters, shape) in enumerate(zip(operands, takes, strict=True)):
        alike = [at for at in range(len(letters)) if shape.count(shape[at]) > 1][:_MOST_LETTERS]
        for order in [*permutations(alike)][1:]:
            moved = list(letters)
            for at, other in zip(alike, order, strict=True):
                moved[at] = letters[other]
            if all(shape[letters.index(letter)] == shape[at] for at, letter in enumerate(moved)):
                yield ",".join([*operands[:place], "".join(moved), *operands[place + 1 :]]) + f"->{output}"


def _text(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else repr(value)

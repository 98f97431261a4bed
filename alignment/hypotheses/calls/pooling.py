"""Poolings by windows that are called as functions: another kind, other windows, padding that counts otherwise."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import replace

from alignment.backends.functions.calls import FunctionCall
from alignment.hypotheses.calls.sites import Alternative, Table
from alignment.hypotheses.pooling import ADAPTIVE, COUNTED, LARGEST, LEFT_OUT, Windows, adaptive, in_words, pair

_LARGEST_WINDOW = 7


def _own(call: FunctionCall) -> Windows | None:
    """How a call moves over an image; None where that is not known here."""
    kernel, stride, padding = (_pair_of(call, name) for name in ("kernel_size", "stride", "padding"))
    if kernel is None or call.setting("ceil_mode", "False") != "False" or len(call.takes[0]) != 4:
        return None
    if call.setting("data_format", "NCHW") != "NCHW" or call.setting("divisor_override", "None") != "None":
        return None
    left_out = call.setting("exclusive", "True") == "True" and call.setting("count_include_pad", "False") == "False"
    kind = LARGEST if call.name == "max_pool2d" else LEFT_OUT if left_out else COUNTED
    return Windows(kernel, stride or kernel, padding or (0, 0), kind)


def _pair_of(call: FunctionCall, name: str) -> tuple[int, int] | None:
    try:
        return pair(ast.literal_eval(call.setting(name, "None")))
    except (ValueError, SyntaxError):  # a word, such as SAME
        return None


def _kinds(call: FunctionCall) -> Iterator[Alternative]:
    own = _own(call)
    for kind in (LARGEST, COUNTED, LEFT_OUT) if own is not None else ():
        if own is not None and kind != own.kind and (own.padding != (0, 0) or LARGEST in (kind, own.kind)):
            meant = replace(own, kind=kind)
            if own.padding != (0, 0) or kind != COUNTED:
                yield _alternative(in_words(own.kind, meant), meant)


def _adaptive(call: FunctionCall) -> Iterator[Alternative]:
    """Predict an adaptive pooling of the other kind."""
    if len(call.takes[0]) != 4 or len(call.gives[0]) != 4 or call.setting("data_format", "NCHW") != "NCHW":
        return
    size = call.gives[0][2], call.gives[0][3]
    if size == (1, 1):  # a reduction, which has words of its own
        return
    own, meant = (LARGEST, COUNTED) if "max" in call.name else (COUNTED, LARGEST)
    says = f"it takes {ADAPTIVE[own]}, not {ADAPTIVE[meant]}"
    yield Alternative("pooling", says, lambda given, _: [adaptive(given[0], size, meant)])


def _windows(call: FunctionCall) -> Iterator[Alternative]:
    """Predict other windows that give an image of the same size."""
    own = _own(call)
    if own is None:
        return
    sizes = call.takes[0][2:], call.gives[0][2:]
    for kernel in range(1, _LARGEST_WINDOW + 1):
        for padding in range(kernel // 2 + 1):
            meant = replace(own, kernel=(kernel, kernel), padding=(padding, padding))
            fits = all(
                (before + 2 * padding - kernel) // step + 1 == after and before + 2 * padding >= kernel
                for before, after, step in zip(*sizes, meant.stride, strict=True)
            )
            if fits and meant != own:
                names = ("kernel", "padding")
                other = [name for name in names if getattr(meant, name) != getattr(own, name)]
                titles = {"kernel": "kernel_size", "padding": "padding"}
                said = " and ".join(
                    f"{titles[name]} is {getattr(own, name)[0]}, not {getattr(meant, name)[0]}" for name in other
                )
                passed = ", ".join(f"{titles[name]}={getattr(meant, name)[0]}" for name in other)
                yield _alternative(f"the {said} in its {call.name}: pass {passed}", meant)


def _alternative(says: str, meant: Windows) -> Alternative:
    return Alternative("pooling", says, lambda given, _: [meant.run(given[0])])


POOLINGS: Table = {
    **dict.fromkeys(("max_pool2d", "avg_pool2d"), (_kinds, _windows)),
    **dict.fromkeys(("adaptive_max_pool2d", "adaptive_avg_pool2d"), (_adaptive,)),
}
"""Name of a function to its calls with another pooling."""

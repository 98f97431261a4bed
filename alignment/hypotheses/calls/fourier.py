"""Fourier transforms along other axes or the other way round, and another part of a complex number."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import combinations

import numpy as np

from alignment.arrays import Array
from alignment.backends.functions.calls import FunctionCall
from alignment.hypotheses.calls.sites import Alternative, Table

_MOST_AXES = 5
_LAST = {"fft": 1, "ifft": 1, "fft2": 2, "ifft2": 2}
"""Function to the number of last axes that it goes over if it is not told."""
_PARTS: Mapping[str, tuple[str, Callable[[Array], Array]]] = {
    "real": ("the real part", np.real),
    "imag": ("the imaginary part", np.imag),
    "abs": ("the size", np.abs),
}


def _others(call: FunctionCall) -> Iterator[Alternative]:
    """Predict the transform along every other set of axes, and the other way round along its own."""
    axes, count = _axes(call), len(call.takes[0])
    if axes is None or count > _MOST_AXES or call.takes[0] != call.gives[0]:
        return
    inverse, norm = call.name.startswith("i"), call.setting("norm").strip("'\"") or "backward"
    turned = call.name[1:] if inverse else f"i{call.name}"
    says = f"it computes {call.name}, where {turned} is meant, over {_words(axes)}"
    yield Alternative("direction of a Fourier transform", says, _answer(axes, norm, inverse=not inverse))
    for number in range(1, count + 1):
        for other in combinations(range(count), number):
            if other != axes:
                meant = f"{_words(other)} {'is' if number == 1 else 'are'} meant"
                says = f"its {call.name} goes over {_words(axes)} of {call.takes[0]}, where {meant}"
                says += f": pass axes={tuple(axis - count for axis in other)} to {'i' * inverse}fftn"
                yield Alternative("axes of a Fourier transform", says, _answer(other, norm, inverse=inverse))


def _axes(call: FunctionCall) -> tuple[int, ...] | None:
    """The axes that a transform goes over; None where they cannot be told."""
    count = len(call.takes[0])
    text = call.setting("axis") or call.setting("axes")
    if not text or text == "None":
        return tuple(range(count))[-_LAST.get(call.name, count) :]
    try:
        value = ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return None
    values = value if isinstance(value, tuple | list) else (value,)
    return tuple(sorted(axis % count for axis in values)) if all(isinstance(axis, int) for axis in values) else None


def _answer(axes: tuple[int, ...], norm: str, *, inverse: bool) -> Callable[..., list[Array]]:
    def answer(given: Sequence[Array], _: Sequence[Array]) -> list[Array]:
        transform = np.fft.ifftn if inverse else np.fft.fftn
        return [np.asarray(transform(given[0], axes=axes, norm=norm))]  # type: ignore[arg-type] # one of three words

    return answer


def _parts(call: FunctionCall) -> Iterator[Alternative]:
    """Predict the other parts of a complex number."""
    for other, (words, part) in _PARTS.items():
        if other != call.name:

            def answer(given: Sequence[Array], _: Sequence[Array], part: Callable[..., Array] = part) -> list[Array]:
                return [part(given[0])]

            yield Alternative(
                "part of a complex number", f"it takes {_PARTS[call.name][0]}, where {words} is meant", answer
            )


def _words(axes: Sequence[int]) -> str:
    return f"axis {axes[0]}" if len(axes) == 1 else f"axes {', '.join(map(str, axes))}"


FOURIERS: Table = {
    **dict.fromkeys(("fft", "ifft", "fft2", "ifft2", "fftn", "ifftn"), (_others,)),
    **dict.fromkeys(("real", "imag"), (_parts,)),
}

"""Other orders: of the parts that a tensor is cut into or joined from, of the axes of a reshape, of repeated heads."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import permutations

import numpy as np

from alignment.arrays import Array
from alignment.backends.functions.calls import FunctionCall
from alignment.hypotheses.calls.sites import Alternative, Table

_MOST_PARTS = 3
_MOST_CUT = 4
"""Parts that one tensor is cut into: q, k and v, or the four gates of an LSTM."""
_MOST_AXES = 4
_MOST_EXCHANGED, _MOST_MOVED = 6, 2
"""Axes of a tensor of which another order is tried; how many of them change their place if there are more than four."""
_LONGEST = 64
"""Largest first part of an axis that is split in another way."""
_HEADED = 4
"""Axes of keys and values that are cut by heads."""


def _parts(call: FunctionCall) -> Iterator[Alternative]:
    """Predict parts that are taken in another order."""
    count = len(call.gives)
    if not 1 < count <= _MOST_CUT or len(set(call.gives)) > 1:
        return
    for order in list(permutations(range(count)))[1:]:
        says = (
            f"the parts of its {call.name} are taken in the order {_numbers(range(count))}, where {_numbers(order)} is "
        )
        says += "meant" + (" (q, k, v)" if count == _MOST_PARTS else "")
        name = "q/k/v order" if count == _MOST_PARTS else "part order"
        yield Alternative(name, says, lambda _, returned, order=order: [returned[at] for at in order])


def _joined(call: FunctionCall) -> Iterator[Alternative]:
    """Predict tensors that are joined in another order, or one that is repeated as a whole and not one by one."""
    count, axis = len(call.takes), int(call.number("axis", 0))
    if not 1 < count <= 2 * _MOST_PARTS or len({len(shape) for shape in call.takes}) > 1:
        return
    join = np.concatenate if call.name == "concat" else np.stack
    if len(set(call.takes)) == 1 and call.name == "concat":
        says = f"{count} copies are joined one after the other, where each part is to be repeated in its place: use "
        says += "repeat_interleave"

        def repeated(given: Sequence[Array], returned: Sequence[Array]) -> list[Array]:
            equal = all(np.array_equal(array, given[0]) for array in given)
            return [np.repeat(given[0], count, axis)] if equal else list(returned)

        yield Alternative("repeated heads", says, repeated)
    orders = list(permutations(range(count)))[1:] if count <= _MOST_PARTS else [tuple(reversed(range(count)))]
    for order in orders:
        says = f"its {call.name} joins in the order {_numbers(range(count))}, where {_numbers(order)} is meant"
        yield Alternative("join order", says, lambda given, _, order=order: [join([given[at] for at in order], axis)])


def _repeats(call: FunctionCall) -> Iterator[Alternative]:
    """Predict parts that are repeated one by one where all are in turn, or the other way round."""
    into, out = call.takes[0], call.gives[0]
    into = (1,) * (len(out) - len(into)) + into
    axes = [axis for axis, (before, after) in enumerate(zip(into, out, strict=False)) if before != after]
    if call.name == "tile" and len(into) == len(out) and len(axes) > 1:
        yield from _repeats_of_axes(into, out, axes)
    if len(into) != len(out) or len(axes) != 1 or into[axes[0]] < 2 or out[axes[0]] % into[axes[0]]:
        return
    axis, count = axes[0], out[axes[0]] // into[axes[0]]
    parts = f"{into[axis]} parts{' (heads of keys and values)' if len(into) == _HEADED and axis in (1, 2) else ''}"
    if call.name == "tile":
        says = f"its {parts} are repeated in turn (1, 2, 1, 2), where each is to be "
        says += "repeated in its place (1, 1, 2, 2): use repeat_interleave"
        yield Alternative("repeated heads", says, lambda given, _: [np.repeat(np.reshape(given[0], into), count, axis)])
    else:
        says = f"its {parts} are repeated each in its place (1, 1, 2, 2), where all "
        says += "are to be repeated in turn (1, 2, 1, 2): use tile"
        times = [count if place == axis else 1 for place in range(len(out))]
        yield Alternative("repeated heads", says, lambda given, _: [np.tile(np.reshape(given[0], into), times)])


def _repeats_of_axes(into: tuple[int, ...], out: tuple[int, ...], axes: Sequence[int]) -> Iterator[Alternative]:
    """Predict rows and columns that are repeated one by one where whole maps are laid side by side."""
    if all(into[axis] < 2 for axis in axes) or any(not into[axis] or out[axis] % into[axis] for axis in axes):
        return
    says = f"its axes {_numbers(axes)} are repeated in turn (1, 2, 1, 2), where each number is to be repeated in its "
    says += "place (1, 1, 2, 2): use repeat_interleave along each of them, or interpolate by mode='nearest'"

    def repeated(given: Sequence[Array], _: Sequence[Array]) -> list[Array]:
        array = np.reshape(given[0], into)
        for axis in axes:
            array = np.repeat(array, out[axis] // into[axis], axis)
        return [array]

    yield Alternative("repeated axes", says, repeated)


def _reshapes(call: FunctionCall) -> Iterator[Alternative]:
    """Predict axes that are split in another order, or to be exchanged before they are joined."""
    into, out = call.takes[0], call.gives[0]
    start = next((at for at, (a, b) in enumerate(zip(into, out, strict=False)) if a != b), len(into))
    if len(into) - start == 1 or (
        len(into) < len(out) and into[start + 1 :] == out[len(out) - len(into) + start + 1 :]
    ):
        end = len(out) - (len(into) - start - 1)
        yield from _splits(call, start, out[start:end])
        yield from _other_sizes(call, start, out[start:end])
    axes = range(max(1, start - 1), len(into))
    if 1 < len(axes) <= _MOST_AXES and len(out) <= len(into):
        for order in list(permutations(axes))[1:]:
            axes_ = (*range(axes[0]), *order)
            says = (
                f"its axes {_numbers(axes)} of {into} are to be exchanged to {_numbers(order)} before the {call.name} "
            )
            says += f"to {out}: transpose first"
            yield Alternative(
                "head merge order", says, lambda given, _, axes_=axes_: [given[0].transpose(axes_).reshape(out)]
            )


def _transposed(call: FunctionCall) -> Iterator[Alternative]:
    """Predict axes in another order: every order of few axes, else with two axes exchanged."""
    try:
        own = tuple(int(axis) for axis in call.setting("perm").strip("[]()").split(","))
    except ValueError:
        return
    rank = len(call.takes[0]) if call.takes else 0
    own = tuple(axis % rank for axis in own) if rank else own
    if sorted(own) != [*range(rank)] or rank > _MOST_EXCHANGED:
        return
    long = {axis for axis in own if call.takes[0][axis] != 1}
    seen = {tuple(axis for axis in own if axis in long)}
    for moved in sorted(permutations(range(rank)), key=lambda order: sum(a != b for a, b in enumerate(order))):
        order = tuple(own[at] for at in moved)
        kept = tuple(axis for axis in order if axis in long)
        if kept in seen or (rank > _MOST_AXES and sum(a != b for a, b in enumerate(moved)) > _MOST_MOVED):
            continue
        seen.add(kept)
        says = f"its axes of {call.takes[0]} are put in the order {_numbers(own)}, where {_numbers(order)} is meant"
        yield Alternative("axes order", says, lambda given, _, order=order: [given[0].transpose(order)])


def _splits(call: FunctionCall, axis: int, parts: tuple[int, ...]) -> Iterator[Alternative]:
    if not 1 < len(parts) <= _MOST_PARTS or sum(part > 1 for part in parts) < 2:
        return
    out = call.gives[0]
    for order in list(permutations(range(len(parts))))[1:]:
        shape = (*out[:axis], *(parts[at] for at in order), *out[axis + len(parts) :])
        back = (
            *range(axis),
            *(axis + order.index(at) for at in range(len(parts))),
            *range(axis + len(parts), len(out)),
        )
        meant = tuple(parts[at] for at in order)
        says = f"the axis of {call.takes[0][axis]} is split as {parts}, "
        if meant == parts:
            says += f"and its parts are meant in the order {_numbers(order)}: transpose them after the reshape, or "
            says += "leave out a transpose that exchanges them"
        else:
            says += f"where it holds {meant}, in this order: reshape to {meant} and transpose"
        yield Alternative(
            "head split order",
            says,
            lambda given, _, shape=shape, back=back: [given[0].reshape(shape).transpose(back)],
        )


def _other_sizes(call: FunctionCall, axis: int, parts: tuple[int, ...]) -> Iterator[Alternative]:
    """Predict an axis that is split in two parts of other sizes, first those of the same sizes exchanged."""
    if len(parts) != 2 or -1 in parts:
        return
    size, out = call.takes[0][axis], call.gives[0]
    sizes = [(first, size // first) for first in range(2, min(size, _LONGEST + 1)) if size % first == 0]
    for meant in sorted(set(sizes) - {parts, (size, 1)}, key=lambda pair: pair != parts[::-1]):
        shape = (*out[:axis], *meant, *out[axis + 2 :])
        says = f"the axis of {size} is split as {parts}, where {meant} is meant"
        yield Alternative("split sizes", says, lambda given, _, shape=shape: [given[0].reshape(shape)])


def _numbers(order: Sequence[int]) -> str:
    return ", ".join(map(str, order))


ORDERS: Table = {
    **dict.fromkeys(("chunk", "split", "unbind", "unstack"), (_parts,)),
    **dict.fromkeys(("concat", "stack"), (_joined,)),
    **dict.fromkeys(("repeat_interleave", "tile", "expand"), (_repeats,)),
    **dict.fromkeys(("reshape", "flatten", "unflatten"), (_reshapes,)),
    "transpose": (_transposed,),
}
"""Name of a function to its calls in another order."""

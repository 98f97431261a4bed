"""The reference's outputs of some calls, in the place of what the candidate's modules give in a run of one around them.

Calls are counted from the beginning of a run: of a module that runs alone, from its own.
"""

from __future__ import annotations

from collections.abc import Sequence

from alignment.arrays import Array
from alignment.bisection.localise import Localiser
from alignment.bisection.twins import Call


def calls_before(search: Localiser, around: Call, path: str) -> int:
    """Number of calls of a module within another one before a call of that; 0 where each has not as many.

    Args:
        search: A search whose candidate has run.
        around: The call of the other module.
        path: Path of the module.
    """
    count, calls = (sum(other == one for other, _ in search.end_to_end) for one in (path, around[0]))
    return around[1] * (count // calls) if path != around[0] and calls and count % calls == 0 else 0


def replacing(
    search: Localiser, around: Call, calls: Sequence[Call], *, as_recorded: bool = False
) -> dict[Call, list[Array]]:
    """The reference's outputs of some calls; those of another call of the module around them are left out.

    Args:
        search: A search whose candidate has run.
        around: The call of the module that runs alone, and holds them.
        calls: The calls.
        as_recorded: Leave their shapes and their order as the reference has them.
    """
    outputs = search.twins.as_recorded if as_recorded else search.outputs_of
    numbered = [(path, number, number - calls_before(search, around, path)) for path, number in calls]
    return {(path, own): outputs((path, number)) for path, number, own in numbered if own >= 0}

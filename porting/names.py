"""Names for people: the nearest known one to a misspelt one, and many names folded into few."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from itertools import islice

from porting.errors import UnknownNameError

_INDEX_OR_FOLDED = re.compile(r"(?<![^.])(\d{1,9}|\{[\d.,]+\})(?![^.])")
_MAX_INDICES = 6
"""Largest number of indices of a name that are folded; names of real tensors have three."""
_INDEX = re.compile(r"(?<![^.])\d{1,9}(?![^.])")


def nearest(name: str, known: Iterable[str], count: int = 1, *, cutoff: float = 0.5) -> list[str]:
    """Return the known names that look most like this one, best first; none whose similarity is below the cutoff.

    Names that differ in case or in hyphens for underscores only come first.
    """
    from difflib import get_close_matches  # needed for errors only, while names are folded by every command

    known = list(known)
    same = [candidate for candidate in known if _plain(candidate) == _plain(name)]
    others = get_close_matches(name, known, n=count + len(same), cutoff=cutoff)
    return [*same, *(candidate for candidate in others if candidate not in same)][:count]


def _plain(name: str) -> str:
    return name.casefold().replace("-", "_")


def did_you_mean(name: str, known: Iterable[str], *, cutoff: float = 0.5) -> str:
    """Return the end of an error message, `; did you mean pit_b?`, or nothing where no known name is near."""
    close = nearest(name, known, cutoff=cutoff)
    return f"; did you mean {close[0]}?" if close else ""


def unknown(kind: str, name: str, known: Iterable[str]) -> UnknownNameError:
    """Return the error for a name that is none of those known, with the nearest, else all of them."""
    known = list(known)
    hint = did_you_mean(name, known) or f"; known: {', '.join(known)}"
    return UnknownNameError(f"unknown {kind} {name!r}{hint}")


def fold(names: Iterable[str], *, in_order: bool = False) -> list[str]:
    """Fold names that differ in their indices only into one: `a.0.w`, `a.1.w`, `a.2.w` become `a.{0..2}.w`.

    Two names are folded together when all their indices but one agree, so that the result stands for exactly these
    names. Order of first appearance is kept, and with `in_order` that of the indices too: `a.{2,0,1}.w`.
    """
    return list(fold_members(names, in_order=in_order))


def counts_batches(name: str) -> bool:
    """Return True for BatchNorm's counter, which takes no part in the function, whatever dtype it is stored in."""
    return name.rpartition(".")[2] == "num_batches_tracked"


def by_number(name: str) -> list[tuple[int, str]]:
    """Return a key that sorts names by their words, and by their numbers as numbers."""
    return [(int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"(\d+)", name) if part]


def indices_of(name: str) -> list[str]:
    """Return the indices in a name: `["0", "2"]` of `a.0.b.2.w`."""
    return _INDEX.findall(name)


def without_indices(name: str) -> str:
    """Return the name with a `#` for every index: what names that fold together have in common."""
    return _INDEX.sub("#", name)


def fold_members(names: Iterable[str], *, in_order: bool = False) -> dict[str, list[str]]:
    """Return the folded names as `fold` does, each with the names that it stands for."""
    folded = {name: [name] for name in names}
    positions = max((sum(1 for _ in islice(_INDEX.finditer(name), _MAX_INDICES)) for name in folded), default=0)
    for position in reversed(range(positions)):
        folded = _fold_at(folded, position, in_order)
    return folded


def _fold_at(names: Mapping[str, list[str]], position: int, in_order: bool) -> dict[str, list[str]]:
    groups: dict[tuple[str, ...], tuple[list[int], list[str]]] = {}
    for name, members in names.items():
        parts = _split_at(name, position)
        key = (parts[0], parts[2]) if len(parts) == 3 else parts
        indices, together = groups.setdefault(key, ([], []))
        indices += [int(parts[1])] if len(parts) == 3 else []
        together += members
    return {
        key[0] if len(key) == 1 else f"{key[0]}{_ranges(indices if in_order else sorted(indices))}{key[1]}": together
        for key, (indices, together) in groups.items()
    }


def _split_at(name: str, position: int) -> tuple[str, ...]:
    """The name before, at and after its index number `position` (counting folded ones); the name alone without one."""
    at = next(islice(_INDEX_OR_FOLDED.finditer(name), position, None), None)
    if at is None or not at[0].isdigit():
        return (name,)
    return name[: at.start()], at[0], name[at.end() :]


def _ranges(indices: list[int]) -> str:
    runs: list[list[int]] = []
    for index in indices:
        if runs and index == runs[-1][1] + 1:
            runs[-1][1] = index
        else:
            runs.append([index, index])
    if len(indices) == 1:
        return str(indices[0])
    return "{" + ",".join(str(low) if low == high else f"{low}..{high}" for low, high in runs) + "}"

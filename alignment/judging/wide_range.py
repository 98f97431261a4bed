"""Holds the elements that the largest ones hide: of a norm of 1e9, an error of 0.01 in all others is no part.

One relative L2 a tensor says nothing of its small elements where a few large ones dominate its norm: logits beside
entries of -1e9 that a mask has filled in. So the error is also held over the rest: all elements below a power of two,
for each power that leaves out what dominates. A rest is looked at where it has at least one percent of the elements
that are not zero, or where nothing lies within a factor of 1000 above it.

The error of a rest counts if it is larger than each of these:

- the limit of the quantity, relative to the norm of the rest;
- the rounding noise of the rest, as the reference measured it in float32, scaled to the precision that is judged.
  An element that was added to 1e12 and lost it again has the noise of 1e12;
- where that noise says that the rest is nothing but rounding (the gradient of a key's bias in a fused one, the far tail
  of a GELU), or where it was not measured for each element, or for none of such a size, the rounding of the largest
  element, or of that which a perturbation moved most: a sum of large terms that cancel has the rounding of the terms.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from alignment.arrays import Array

Floats: TypeAlias = npt.NDArray[np.float64]
Pair: TypeAlias = tuple[Array, Array]

EPS32 = 2.0**-23
"""Rounding of float32."""
_EXPONENTS = 2**11
"""Number of exponents that a float64 has."""
_BIAS = 1022
_BLOCK = 2**17
_SHARE = 0.01
"""The least share of the elements that a rest without a gap above it has: the smallest of a normal distribution's."""
_GAP = 10
"""Exponents of two without an element that separate a rest of any size from what is larger."""
_DOMINATED = 2.0**-4
"""Largest norm of a rest over that of the whole: a larger one is held by the whole."""
_RESOLVED = 2.0**-10
"""Largest noise in float32, relative to the norm of a rest, of elements that are more than rounding."""
_RESOLVED_IN_HALF = 0.25
"""The same in half precision."""
_FACTOR = 16.0
"""A rest is one of many, and its noise is measured once: its limit is wider than that of the whole by this."""


class Magnitudes:
    """Squares of errors and elements, summed by the exponent of the reference's element.

    Args:
        reference: Finite floats, one axis.
        candidate: As many finite floats.
        below: The elements from this on are no part of any rest; their errors are left out.
    """

    def __init__(self, reference: Array, candidate: Array, below: float = math.inf) -> None:
        self._counts, self._errors, self._squares, self._fourths = (np.zeros(_EXPONENTS) for _ in range(4))
        for begin in range(0, reference.size, _BLOCK):
            block = slice(begin, begin + _BLOCK)
            one, other = (array[block].astype(np.float64) for array in (reference, candidate))
            small = np.abs(one) < below
            if small.any():
                self._add(one[small], one[small] - other[small])
            if not small.all():
                self._add(one[~small], None)

    def _add(self, reference: Floats, differences: Floats | None) -> None:
        exponents = (reference.view(np.int64) >> 52) & (_EXPONENTS - 1)
        with np.errstate(over="ignore", under="ignore"):
            if differences is not None:
                squared = differences * differences
                self._errors += np.bincount(exponents, squared, _EXPONENTS)
                self._fourths += np.bincount(exponents, squared * squared, _EXPONENTS)
                self._squares += np.bincount(exponents, reference * reference, _EXPONENTS)
                self._counts += np.bincount(exponents, minlength=_EXPONENTS)
                return
            least = int(exponents.min())
            self._squares[least] += float(np.einsum("i,i->", reference, reference))
            self._counts[least] += reference.size

    def rests(self) -> Iterator[Rest]:
        """Yield the elements below each power of two that leaves out what dominates the norm, the smallest rest first.

        Those whose squares no float64 holds are left out.
        """
        sums = (self._counts, self._errors, self._squares, self._fourths)
        counts, errors, squares, fourths = map(np.cumsum, sums)
        other_than_zero = counts - counts[0]
        present = np.flatnonzero(self._counts)
        for at, above in pairwise(present):
            few = other_than_zero[at] < _SHARE * other_than_zero[-1]
            if (few and above - at <= _GAP) or not math.isfinite(errors[at] + squares[at]):
                continue
            if squares[at] <= _DOMINATED**2 * squares[-1]:
                norms = math.sqrt(errors[at]), math.sqrt(squares[at])
                off = errors[at] / fourths[at] * errors[at] if 0 < fourths[at] < math.inf else counts[at]
                yield Rest(int(at), int(counts[at]), int(counts[-1]), int(other_than_zero[at]), *norms, float(off))

    def error(self, at: int) -> float:
        """Return the L2 norm of the differences up to this exponent."""
        return math.sqrt(float(self._errors[: at + 1].sum()))

    def carriers(self, at: int) -> int:
        """Return the number of elements up to this exponent that are not zero."""
        return int(self._counts[1 : at + 1].sum())


@dataclass(frozen=True, slots=True)
class Rest:
    """The elements of a tensor below a power of two.

    Attributes:
        at: Their largest exponent.
        count: Their number.
        of: Number of all elements.
        carriers: Number of those that are not zero, which carry noise.
        l2: L2 norm of their differences.
        reference_l2: L2 norm of the reference's elements.
        off: Number of elements that the differences are spread over: 1 where one element has nearly all of them.
    """

    at: int
    count: int
    of: int
    carriers: int
    l2: float
    reference_l2: float
    off: float

    @property
    def relative(self) -> float:
        """The norm of the differences over that of the elements."""
        return self.l2 / self.reference_l2 if self.reference_l2 else math.inf if self.l2 else 0.0

    @property
    def words(self) -> str:
        """Which elements these are."""
        return f"the {self.count} of {self.of} elements below {2.0 ** (self.at - _BIAS):.3g}, which larger ones hide"


@dataclass(frozen=True, slots=True)
class Hidden:
    """An error of a rest that is larger than it may be.

    Attributes:
        rest: The elements.
        allowed: The largest L2 norm of differences that they may have.
    """

    rest: Rest
    allowed: float


def hidden(
    measured: Pair,
    noise: Pair | None,
    *,
    limit: float,
    error: float,
    largest: float,
    epsilon: float,
    of_noise: float = EPS32,
    moved: float = 0.0,
    noise_limit: Callable[[float], float],
    fewest: int = 0,
) -> Hidden | None:
    """Return the error of the largest rest that is off by more than it may be; None if there is none.

    Args:
        measured: The reference and the candidate, finite floats of one axis.
        noise: The reference and its rounded result, in the same way; None where there is none. They may be those of
            another batch, in which the elements of some size may all be zero and say nothing of noise there.
        limit: Largest relative L2 error of a rest, where noise does not explain more.
        error: Largest error of an element.
        largest: Largest absolute value of the reference.
        epsilon: Rounding of the precision that is judged, such as 2 ** -52.
        of_noise: Rounding of the precision in which the noise was measured.
        moved: By how much the element that rounding moves most moves in the precision that is judged, where that is
            known of no other element.
        noise_limit: Number of elements that carry noise to how many times the noise they may be off; widened here.
        fewest: Number of elements that are not zero which a rest must have, and which must share its differences: one
            sample of noise does not say how far off a single element may be.
    """
    below = 2 * error / limit  # where all are larger, no error can exceed the limit
    if not error:
        return None
    rests = [
        rest
        for rest in Magnitudes(*measured, below).rests()
        if rest.l2 > limit * rest.reference_l2 and rest.carriers >= fewest and (rest.off >= 2 or not fewest)
    ]
    if not rests:
        return None
    floors = Magnitudes(*noise, below) if noise is not None else None
    most = _RESOLVED if of_noise <= EPS32 else _RESOLVED_IN_HALF
    for rest in reversed(rests):
        floor = floors.error(rest.at) if floors is not None else 0.0
        sampled = floors is not None and floors.carriers(rest.at) > 0
        resolved = sampled and rest.reference_l2 > 0 and floor <= most * rest.reference_l2
        allowed = max(
            limit * rest.reference_l2,
            _FACTOR * noise_limit(max(rest.carriers, 1)) * floor * epsilon / of_noise,
            0.0 if resolved else _FACTOR * max(epsilon * largest, moved) * math.sqrt(rest.count),
        )
        if rest.l2 > allowed:
            return Hidden(rest, allowed)
    return None

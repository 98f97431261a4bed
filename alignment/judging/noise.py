"""The rounding noise of a quantity, below which float32 results cannot be told apart.

How its limits were chosen stands in `alignment.judging.tolerance`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace

from alignment.arrays import Array
from alignment.judging.measuring import Measurement
from alignment.judging.wide_range import EPS32

ROUNDING_LIMIT = 4.0
_FEW_ELEMENTS = 15.0
MAX_OVER_L2 = 2.0
EPS64_OVER_EPS32 = 2.0**-29
"""Rounding noise of float64 over that of float32."""


@dataclass(frozen=True, slots=True)
class Noise:
    """The rounding noise of one quantity in the precision in which it was measured: float32, or half precision.

    Attributes:
        l2: L2 norm of the noise.
        max_abs: Its largest element.
        scale: L2 norm of the quantity, from the float64 reference.
        arrays: The reference's float64 and rounded results, for the noise of small elements beside large ones; None
            where that is not known.
        epsilon: Rounding of the precision.
    """

    l2: float
    max_abs: float
    scale: float
    arrays: tuple[Array, Array] | None = field(default=None, compare=False, repr=False)
    epsilon: float = field(default=EPS32, kw_only=True)

    @property
    def relative(self) -> float:
        """Norm of the noise divided by the norm of the quantity."""
        return ratio(self.l2, self.scale)

    @property
    def uncertain(self) -> bool:
        """True if so few elements carry the noise that one sample of it may be far too small."""
        return self.limit > 2 * ROUNDING_LIMIT

    @property
    def limit(self) -> float:
        """Largest admissible L2 error, in multiples of the noise."""
        return limit_of_carriers(max(ratio(self.l2, self.max_abs) ** 2, 1.0))

    @property
    def allowed_max(self) -> float:
        """Largest admissible error of one element, in the unit of the quantity."""
        return MAX_OVER_L2 * self.limit * self.max_abs

    def jumping(self, relative: float) -> Noise:
        """Return the noise of a quantity that jumps: at least `relative`, and carried by few elements.

        Args:
            relative: Noise of the quantities of the same pass, relative to their norms. Which of them a switching unit
                hits is chance, so a few perturbations tell more about all of them together than about each.
        """
        grown = max(self.l2, relative * self.scale)
        return Noise(grown, max(self.max_abs, grown / 2), self.scale, epsilon=self.epsilon)

    def at_least(self, relative: float) -> Noise:
        """Return this noise, or one of `relative` times the norm of the quantity, whichever is larger."""
        if not self.relative < relative:
            return self
        grown = relative * self.scale
        return replace(self, l2=grown, max_abs=max(self.max_abs, self.max_abs * ratio(grown, self.l2)))


def noise_floor(
    reference_error: Measurement, spread: float | None, spread_max: float | None, epsilon: float = EPS32
) -> Noise:
    """Return the noise below which results in float32, or half precision, cannot be told apart.

    Args:
        reference_error: The reference's rounded result against its float64 result, without a problem.
        spread: L2 norm of the reference's change under perturbations of one unit in the last place, if recorded.
        spread_max: The largest element of that change.
        epsilon: Rounding of the precision.
    """
    scale, largest = reference_error.reference_l2, reference_error.reference_max
    return Noise(
        l2=max(reference_error.l2, spread or 0.0, epsilon * scale),
        max_abs=max(reference_error.max_abs, spread_max or 0.0, epsilon * largest),
        scale=scale,
        arrays=reference_error.arrays,
        epsilon=epsilon,
    )


def noise_in_float64(measured: Measurement, spread: float, spread_max: float) -> Noise:
    """Return the noise of a quantity that was perturbed in float64, as if it had been measured in float32.

    Args:
        measured: The candidate's float64 result against the reference's.
        spread: L2 norm of the reference's change under perturbations of one unit in the last place of float64.
        spread_max: The largest element of that change.
    """
    return Noise(spread / EPS64_OVER_EPS32, spread_max / EPS64_OVER_EPS32, measured.reference_l2)


def limit_of_carriers(carriers: float) -> float:
    """Return the largest admissible error, in multiples of the noise, where so many elements carry the noise."""
    return ROUNDING_LIMIT * (1 + _FEW_ELEMENTS / math.pow(carriers, 1.5))


def ratio(value: float, unit: float) -> float:
    """A value in multiples of a unit: 0 for no value, infinity for a value without a unit."""
    if value == 0:
        return 0.0
    return value / unit if unit else math.inf

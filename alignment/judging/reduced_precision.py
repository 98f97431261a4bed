"""Recognises reduced precision by its effect: the same loss of bits everywhere in float32, and none in float64.

A mistake begins somewhere. Operands that are cut to fewer bits, as TensorFloat-32, float16 and bfloat16 do in matrix
products and convolutions, raise the error of every output and every gradient above the float32 noise by the same
factor. The factors here were measured by cutting the operands of every Linear and convolution of PiT and DeiT on a CPU
(docs/measurements.md); no profile was measured on a device.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from alignment.results.report import DIVERGENCE, Row

_FEWEST = 8
_WIDEST = 3.0
"""Bits between the smallest and the largest loss: of emulated products at most 1.9, of a mistake in one module 7."""
_NEAR = 1.5


@dataclass(frozen=True, slots=True)
class Profile:
    """The effect of one kind of reduced precision.

    Attributes:
        name: Its name in the report.
        bits: Loss of bits: logarithm to the base 2 of the error divided by the float32 noise.
        remedy: How to turn it off.
    """

    name: str
    bits: float
    remedy: str


PROFILES = (
    Profile(
        "TensorFloat-32 (or float16 operands)",
        10.0,
        "record without --allow-tf32; elsewhere NVIDIA_TF32_OVERRIDE=0, or torch.backends.cuda.matmul.allow_tf32 and "
        "torch.backends.cudnn.allow_tf32 = False; no float16 autocast",
    ),
    Profile(
        "bfloat16 operands",
        13.0,
        "no bfloat16 autocast; torch.set_float32_matmul_precision('highest'), for 'medium' computes in bfloat16",
    ),
)


def recognise(rows: Sequence[Row]) -> Profile | None:
    """Return the profile that fits the float32 rows of a report whose float64 rows agree; None if none fits.

    Args:
        rows: All rows of a report; only outputs and gradients with a measured noise floor count.
    """
    if any(row.dtype == "float64" and row.verdict == DIVERGENCE for row in rows):
        return None
    certified = {row.key for row in rows if row.dtype == "float64"}
    lost = [
        math.log2(row.error / row.floor)
        for row in rows
        if row.dtype == "float32"
        and row.kind in ("output", "gradient")
        and row.key in certified
        and row.error
        and row.floor
        and math.isfinite(row.error)
    ]
    if len(lost) < _FEWEST or max(lost) - min(lost) > _WIDEST:
        return None
    median = statistics.median(lost)
    nearest = min(PROFILES, key=lambda profile: abs(profile.bits - median))
    return nearest if abs(nearest.bits - median) < _NEAR else None


def note(rows: Sequence[Row]) -> str | None:
    """Return a note for the reader of a report; None if no profile fits."""
    profile = recognise(rows)
    if profile is None:
        return None
    return (
        f"all float32 errors are about 2^{profile.bits:.0f} times the rounding noise, and float64 agrees: that is what "
        f"{profile.name} does, and no mistake in one place; {profile.remedy}"
    )

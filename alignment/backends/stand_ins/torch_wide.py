"""Functions that torch has in float32 and below only, in float64: a model that calls them runs in float64 too."""

from __future__ import annotations

import functools
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

_INSTALLED = "_runs_in_float64"


def install() -> None:
    """Let `grouped_mm`, the experts of transformers' mixtures, take float64 for as long as the process lasts."""
    for holder, name in ((F, "grouped_mm"), (torch, "_grouped_mm")):
        own = getattr(holder, name, None)
        if own is not None and not hasattr(own, _INSTALLED):
            setattr(holder, name, _widened(own))


def _widened(own: Callable[..., Tensor]) -> Callable[..., Tensor]:
    @functools.wraps(own)
    def widened(mat_a: Tensor, mat_b: Tensor, *args: Any, **named: Any) -> Tensor:
        if torch.float64 not in (mat_a.dtype, mat_b.dtype):
            return own(mat_a, mat_b, *args, **named)
        return grouped_mm(mat_a, mat_b, *args, **named)

    setattr(widened, _INSTALLED, True)
    return widened


def grouped_mm(
    mat_a: Tensor,
    mat_b: Tensor,
    offs: Tensor | None = None,
    bias: Tensor | None = None,
    out_dtype: torch.dtype | None = None,
) -> Tensor:
    """Return the matrix products of groups, as `torch.nn.functional.grouped_mm`, in any precision.

    Args:
        mat_a: `(rows, inner)`, whose rows are divided into groups, or `(groups, rows, inner)`.
        mat_b: `(inner, columns)`, or `(groups, inner, columns)`. Two matrices share an `inner` that is divided.
        offs: Where each group ends, `(groups,)` whole numbers; None where both have an axis of groups.
        bias: Added to the products; None for none.
        out_dtype: Dtype of what is returned; that of the products by default.
    """
    if offs is None:
        made = mat_a @ mat_b
    else:
        groups = list(pairwise([0, *offs.tolist()]))
        if mat_a.dim() == mat_b.dim() == 2:
            made = torch.stack([mat_a[:, start:end] @ mat_b[start:end] for start, end in groups])
        elif mat_a.dim() == 2:
            parts = [mat_a[start:end] @ matrix for (start, end), matrix in zip(groups, mat_b, strict=True)]
            made = torch.cat([*parts, mat_a.new_zeros(len(mat_a) - groups[-1][1], mat_b.shape[-1])])
        else:
            columns = [matrix @ mat_b[:, start:end] for (start, end), matrix in zip(groups, mat_a, strict=True)]
            made = torch.cat([*columns, mat_b.new_zeros(mat_a.shape[1], mat_b.shape[1] - groups[-1][1])], 1)
    made = made if bias is None else made + bias
    return made if out_dtype is None else made.to(out_dtype)

"""bfloat16 that is stored as uint16, because NumPy has no such dtype: recognised by its values, and told.

PaddleNLP's safetensors (`U16`), `numpy.savez` of what Paddle's `Tensor.numpy()` returns, and `.pdparams` store it so.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from porting.checkpoint import dtypes
from porting.checkpoint.tensor import LazyTensor, Pieces
from porting.names import fold

_SAMPLE = 4096
"""Elements of a tensor that are looked at."""
_MOST = 0.98
_SMALLEST, _LARGEST = 2.0**-40, 2.0**17
"""Between these is nearly every weight that is not zero. Of random bits a fifth are; small integers are all below."""
_SHOWN = 3


def with_bfloat16(
    tensors: Mapping[str, LazyTensor], *, stored_so: bool
) -> tuple[Mapping[str, LazyTensor], tuple[str, ...]]:
    """Return the tensors, those of uint16 that hold bfloat16 as such, and a note on them.

    Args:
        tensors: By name.
        stored_so: True if the format has no other use for uint16, as Paddle's, and the tensors are bfloat16 already.
    """
    if stored_so:
        read = [name for name, tensor in tensors.items() if tensor.dtype.name == "bfloat16"]
        return tensors, _note(read, "as Paddle does")
    stored = {name: tensor for name, tensor in tensors.items() if tensor.dtype == np.uint16}
    if not stored or not _plausible(stored):
        return tensors, ()
    note = _note(list(stored), "as their values show")
    return {name: _viewed(tensor) if name in stored else tensor for name, tensor in tensors.items()}, note


def _note(names: list[str], why: str) -> tuple[str, ...]:
    if not names:
        return ()
    shown = fold(names)
    more = f" and {len(shown) - _SHOWN} more" if len(shown) > _SHOWN else ""
    return (f"{', '.join(shown[:_SHOWN])}{more}: uint16 in the file, read as the bits of bfloat16, {why}",)


def _plausible(tensors: Mapping[str, LazyTensor]) -> bool:
    """Return True if uint16 values, taken for bfloat16, are of the sizes that weights have."""
    likely = total = 0
    for tensor in tensors.values():
        values = np.abs(_sample(tensor))
        likely += int(((values >= _SMALLEST) & (values <= _LARGEST)).sum())
        total += int((values != 0).sum())
    return total > 0 and likely >= _MOST * total


def _sample(tensor: LazyTensor) -> np.ndarray[tuple[int], np.dtype[np.float32]]:
    """Return some elements as float32: bfloat16 is the upper half of it."""
    bits = tensor.load().reshape(-1)
    step = max(1, bits.size // _SAMPLE)
    widened: np.ndarray[tuple[int], np.dtype[np.float32]] = (bits[::step].astype(np.uint32) << 16).view(np.float32)
    return np.nan_to_num(widened, nan=np.inf, posinf=np.inf, neginf=-np.inf)


def _viewed(tensor: LazyTensor) -> LazyTensor:
    bfloat16 = dtypes.dtype("bfloat16")
    pieces = tensor.pieces

    def load_pieces() -> Pieces:
        parts = pieces() if pieces else Pieces((tensor.load(),), 0)
        return Pieces(tuple(part.view(bfloat16) for part in parts.arrays), parts.axis)

    return LazyTensor(tensor.shape, bfloat16, lambda: tensor.load().view(bfloat16), load_pieces if pieces else None)

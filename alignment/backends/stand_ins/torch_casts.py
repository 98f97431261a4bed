"""Lifts casts to float32 in a model's own torch code: `x.float()`, `x.to(torch.float32)`, `dtype=torch.float32`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, MutableMapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from alignment.backends.stand_ins.casts import caller, count
from alignment.recordings.kernels import Kernel

_PACKAGE = str(Path(torch.__file__).parent)
_WIDE: Mapping[Any, Any] = {
    torch.float32: torch.float64,
    torch.complex64: torch.complex128,
    torch.FloatTensor: torch.DoubleTensor,
    "torch.FloatTensor": "torch.DoubleTensor",
}


@contextmanager
def lifted(used: MutableMapping[str, Kernel]) -> Iterator[None]:
    """Compute in float64 what models cast to float32, wherever float64 is the default.

    Args:
        used: Filled with the place of each cast, and how often it was lifted.
    """
    with _Lifting(used):
        yield


class _Lifting(TorchFunctionMode):
    def __init__(self, used: MutableMapping[str, Kernel]) -> None:
        super().__init__()
        self._used = used

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        kwargs = dict(kwargs or {})
        if torch.get_default_dtype() == torch.float64:
            narrow = func is Tensor.float or any(map(_narrow, (*args, *kwargs.values())))
            frame = caller(_PACKAGE) if narrow else None
            if frame is not None:
                if not _exact(args):
                    count(self._used, frame)
                if func is Tensor.float:
                    return args[0].to(torch.float64, **kwargs)
                args = tuple(map(_wide, args))
                kwargs = {name: _wide(value) for name, value in kwargs.items()}
        return func(*args, **kwargs)


def _exact(args: Sequence[Any]) -> bool:
    """Whether truth values are cast, which float32 holds exactly."""
    return bool(args) and isinstance(args[0], Tensor) and args[0].dtype == torch.bool


def _narrow(value: Any) -> bool:
    return isinstance(value, torch.dtype | type | str) and value in _WIDE


def _wide(value: Any) -> Any:
    return _WIDE[value] if _narrow(value) else value

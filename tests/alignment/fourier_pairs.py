"""A net that mixes by a Fourier transform, and ports whose transform is another."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from alignment.pair import Pair, Side

_FILE = "fourier_pairs.py"
_TORCH: dict[str, Callable[[Any, Any], Any]] = {
    "right": lambda torch, x: torch.fft.fftn(x, dim=(1, 2)).real,
    "all": lambda torch, x: torch.fft.fftn(x).real,
    "imaginary": lambda torch, x: torch.fft.fftn(x, dim=(1, 2)).imag,
}
_PADDLE: dict[str, Callable[[Any, Any], Any]] = {
    "right": lambda paddle, x: paddle.fft.fft2(x).real(),
    "last": lambda paddle, x: paddle.fft.fft(x).real(),
    "back": lambda paddle, x: paddle.fft.ifftn(x, axes=(1, 2)).real(),
    "imaginary": lambda paddle, x: paddle.imag(paddle.fft.fftn(x, axes=(1, 2))),
}


def torch_net(mix: str = "right") -> Any:
    import torch
    from torch import nn

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.norm, self.last = nn.Linear(8, 8), nn.LayerNorm(8), nn.Linear(8, 5)

        def forward(self, x: Any) -> Any:
            y = self.first(x)
            return self.last(self.norm(y + _TORCH[mix](torch, y)))

    return Net()


def paddle_net(mix: str = "right") -> Any:
    import paddle
    from paddle import nn

    class Net(nn.Layer):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.norm, self.last = nn.Linear(8, 8), nn.LayerNorm(8), nn.Linear(8, 5)

        def forward(self, x: Any) -> Any:
            y = self.first(x)
            return self.last(self.norm(y + _PADDLE[mix](paddle, y)))

    return Net()


def _pair(framework: str, mix: str) -> Pair:
    side = Side(framework, f"{_FILE}:{framework}_net", options={"mix": mix})
    return Pair(f"fourier_{mix}", Side("torch", f"{_FILE}:torch_net"), side, input_shape=(6, 8), rules="auto")


RIGHT, LAST = _pair("paddle", "right"), _pair("paddle", "last")
BACK, IMAGINARY = _pair("paddle", "back"), _pair("paddle", "imaginary")
ALL_AXES, IMAGINARY_IN_TORCH = _pair("torch", "all"), _pair("torch", "imaginary")

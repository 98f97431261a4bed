"""A net of layers whose parameters the port has wrong, in Paddle's defaults mostly."""

from __future__ import annotations

from typing import Any

from alignment.pair import Pair, Side

_FILE = "parameter_pairs.py"


def reference() -> Any:
    """A convolutional net with a token mixer at its end."""
    from torch import nn

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.stem, self.group = nn.Conv2d(3, 8, 3, padding=1), nn.GroupNorm(4, 8, eps=1e-3)
            self.leaky, self.pool = nn.LeakyReLU(0.2), nn.AvgPool2d(3, 2, padding=1)
            self.conv, self.instance = nn.Conv2d(8, 8, 3, padding=1), nn.InstanceNorm2d(8, eps=1e-3, affine=True)
            self.elu, self.other = nn.ELU(0.5), nn.GroupNorm(2, 8)
            self.mix, self.rms = nn.Linear(8, 8), nn.RMSNorm(8, eps=1e-3)
            self.soft, self.hard, self.head = nn.Softplus(2.0), nn.Hardsigmoid(), nn.Linear(8, 5)

        def forward(self, x: Any) -> Any:
            x = self.pool(self.leaky(self.group(self.stem(x))))
            x = self.other(self.elu(self.instance(self.conv(x))))
            x = self.rms(self.mix(x.flatten(2).mT))
            return self.head(self.hard(self.soft(x) - 1).mean(1))

    return Net()


def candidate() -> Any:
    """The port, with every parameter forgotten."""
    import paddle
    from paddle import nn

    class RMSNorm(nn.Layer):
        def __init__(self, width: int, eps: float) -> None:
            super().__init__()
            self.weight = self.create_parameter([width], default_initializer=nn.initializer.Constant(1.0))
            self.eps = eps

        def forward(self, x: Any) -> Any:
            return x * paddle.rsqrt((x * x).mean(-1, keepdim=True) + self.eps) * self.weight

    class Net(nn.Layer):
        def __init__(self) -> None:
            super().__init__()
            self.stem, self.group = nn.Conv2D(3, 8, 3, padding=1), nn.GroupNorm(4, 8)
            self.leaky, self.pool = nn.LeakyReLU(), nn.AvgPool2D(3, 2, padding=1)
            self.conv, self.instance = nn.Conv2D(8, 8, 3, padding=1), nn.InstanceNorm2D(8)
            self.elu, self.other = nn.ELU(), nn.GroupNorm(4, 8)
            self.mix, self.rms = nn.Linear(8, 8), RMSNorm(8, 1e-6)
            self.soft, self.hard, self.head = nn.Softplus(), HardSigmoid(), nn.Linear(8, 5)

        def forward(self, x: Any) -> Any:
            x = self.pool(self.leaky(self.group(self.stem(x))))
            x = self.other(self.elu(self.instance(self.conv(x))))
            x = self.rms(self.mix(x.flatten(2).transpose([0, 2, 1])))
            return self.head(self.hard(self.soft(x) - 1).mean(1))

    class HardSigmoid(nn.Layer):
        def forward(self, x: Any) -> Any:
            return nn.functional.hardsigmoid(x, slope=0.2)

    return Net()


PAIR = Pair(
    "parameters",
    Side("torch", f"{_FILE}:reference"),
    Side("paddle", f"{_FILE}:candidate"),
    input_shape=(3, 9, 9),
    rules="auto",
)

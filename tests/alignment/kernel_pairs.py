"""A small net in torch and in Paddle, each with its framework's own pooling and BatchNorm; and wrong ones."""

from dataclasses import replace
from typing import Any

from alignment.pair import Pair, Side

_FILE = "kernel_pairs.py"


def reference() -> Any:
    from torch import nn

    layers = {
        "conv": nn.Conv2d(3, 8, 3),
        "norm": nn.BatchNorm2d(8),
        "act": nn.Hardsigmoid(),
        "pool": nn.AdaptiveAvgPool2d(1),
        "flat": nn.Flatten(),
        "head": nn.Linear(8, 5),
    }
    model = nn.Sequential()
    for name, layer in layers.items():
        model.add_module(name, layer)
    return model


def candidate(momentum: float = 0.9, epsilon: float = 1e-5) -> Any:
    from paddle import nn

    layers = {
        "conv": nn.Conv2D(3, 8, 3),
        "norm": nn.BatchNorm2D(8, momentum=momentum, epsilon=epsilon),
        "act": nn.Hardsigmoid(),
        "pool": nn.AdaptiveAvgPool2D(1),
        "flat": nn.Flatten(),
        "head": nn.Linear(8, 5),
    }
    return nn.Sequential(*layers.items())


RIGHT = Pair(
    name="kernels",
    reference=Side("torch", f"{_FILE}:reference"),
    candidate=Side("paddle", f"{_FILE}:candidate"),
    input_shape=(3, 9, 9),
    rules="auto",
)
MOMENTUM = replace(RIGHT, candidate=replace(RIGHT.candidate, options={"momentum": 0.1}))
EPSILON = replace(RIGHT, candidate=replace(RIGHT.candidate, options={"epsilon": 1e-3}))


def two_norms_reference() -> Any:
    """A hard sigmoid between two norms."""
    from torch import nn

    layers = (nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4, eps=1e-3), nn.Hardsigmoid(), nn.Conv2d(4, 4, 3))
    return nn.Sequential(*layers, nn.BatchNorm2d(4, eps=1e-3), nn.Flatten(), nn.Linear(64, 5))


def two_norms_candidate() -> Any:
    """The port with norms that keep torch's running statistics, whose inputs differ by a kernel's constant."""
    from paddle import nn

    from paddle_impl.norms import BatchNorm2D

    layers = (nn.Conv2D(3, 4, 3), BatchNorm2D(4, epsilon=1e-3), nn.Hardsigmoid(), nn.Conv2D(4, 4, 3))
    return nn.Sequential(*layers, BatchNorm2D(4, epsilon=1e-3), nn.Flatten(), nn.Linear(64, 5))


TORCH_STATISTICS = Pair(
    name="torch_statistics",
    reference=Side("torch", f"{_FILE}:two_norms_reference"),
    candidate=Side("paddle", f"{_FILE}:two_norms_candidate"),
    input_shape=(3, 8, 8),
    rules="auto",
)


def counting_reference() -> Any:
    """The net, which also gives the class."""
    from torch import nn

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.net = reference()

        def forward(self, x: Any) -> Any:
            scores = self.net(x)
            return {"scores": scores, "best": scores.argmax(-1)}

    return Net()


def counting_candidate() -> Any:
    """The same, with the class in another dtype."""
    from paddle import nn

    class Net(nn.Layer):
        def __init__(self) -> None:
            super().__init__()
            self.net = candidate()

        def forward(self, x: Any) -> Any:
            scores = self.net(x)
            return {"scores": scores, "best": scores.argmax(-1).astype("int32")}

    return Net()


COUNTING = replace(
    RIGHT,
    reference=Side("torch", f"{_FILE}:counting_reference"),
    candidate=Side("paddle", f"{_FILE}:counting_candidate"),
)


def cast_reference() -> Any:
    """A spectral norm, whose u and v are drawn; a mean over 7 x 7 pixels; and a softmax in float32."""
    import torch
    from torch import nn

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.utils.spectral_norm(nn.Conv2d(3, 8, 3, padding=1))
            self.head = nn.Linear(8, 5)

        def forward(self, x: Any) -> Any:
            x = torch.nn.functional.gelu(self.conv(x)).mean((2, 3))
            return torch.softmax(self.head(x), -1, dtype=torch.float32).to(x.dtype)

    return Net()


def cast_candidate() -> Any:
    """The same with Paddle's pooling, and without the cast."""
    from paddle import nn

    class Net(nn.Layer):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.utils.spectral_norm(nn.Conv2D(3, 8, 3, padding=1))
            self.pool = nn.AdaptiveAvgPool2D(1)
            self.head = nn.Linear(8, 5)

        def forward(self, x: Any) -> Any:
            return nn.functional.softmax(self.head(self.pool(nn.functional.gelu(self.conv(x))).flatten(1)), -1)

    return Net()


CASTING = Pair(
    name="casting",
    reference=Side("torch", f"{_FILE}:cast_reference"),
    candidate=Side("paddle", f"{_FILE}:cast_candidate"),
    input_shape=(3, 7, 7),
    rules="auto",
)


def beside_reference() -> Any:
    """A part with a shortcut, and a SELU that the model itself calls."""
    import torch.nn.functional as F
    from torch import nn

    class Part(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc = nn.Linear(6, 6)

        def forward(self, x: Any) -> Any:
            return x + self.fc(x).tanh()

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.part, self.head = Part(), nn.Linear(6, 4)

        def forward(self, x: Any) -> Any:
            return self.head(F.selu(self.part(x)))

    return Net()


def beside_candidate() -> Any:
    """The same without the shortcut; Paddle's SELU has its numbers in float32."""
    import paddle.nn.functional as F
    from paddle import nn

    class Part(nn.Layer):
        def __init__(self) -> None:
            super().__init__()
            self.fc = nn.Linear(6, 6)

        def forward(self, x: Any) -> Any:
            return self.fc(x).tanh()

    class Net(nn.Layer):
        def __init__(self) -> None:
            super().__init__()
            self.part, self.head = Part(), nn.Linear(6, 4)

        def forward(self, x: Any) -> Any:
            return self.head(F.selu(self.part(x)))

    return Net()


BESIDE = Pair(
    name="beside",
    reference=Side("torch", f"{_FILE}:beside_reference"),
    candidate=Side("paddle", f"{_FILE}:beside_candidate"),
    input_shape=(6,),
    rules="auto",
)

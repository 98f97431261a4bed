"""Models that agree in evaluation and differ in training mode only."""

from dataclasses import replace
from typing import Any

from alignment.pair import Pair, Side

_FILE = "training_mode_pairs.py"


def net(*, rate: float = 0.0, factor: float = 1.0, hook: bool = False) -> Any:
    from torch import nn

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc, self.drop, self.head = nn.Linear(6, 12), nn.Dropout(rate), nn.Linear(12, 5)

        def forward(self, x: Any) -> Any:
            x = self.drop(self.fc(x).tanh()) * (factor if self.training else 1.0)
            if hook and self.training and x.requires_grad:
                x.register_hook(lambda gradient: gradient * 2)
            return self.head(x)

    return Net()


def _pair(rate: float = 0.0, **options: Any) -> Pair:
    reference = Side("torch", f"{_FILE}:net", options={"rate": rate})
    candidate = Side("torch", f"{_FILE}:net", options={"rate": rate, **options})
    return Pair("training_mode", reference, candidate, input_shape=(6,), rules="auto")


def dropping(*, rate: float = 0.1, scaled: bool = True, whole: bool = False, used: bool = True) -> Any:
    """A net with a drop path of its own class, and a dropout."""
    import torch
    from torch import nn

    class DropPath(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.rate_of_paths = self.drop_prob = rate

        def forward(self, x: Any) -> Any:
            if not self.training:
                return x
            keep = 1 - self.drop_prob
            mask = (torch.rand(1 if whole else len(x), 1) < keep).to(x.dtype)
            return x * mask / keep if scaled else x * mask

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc, self.path, self.drop, self.head = nn.Linear(6, 12), DropPath(), nn.Dropout(0.3), nn.Linear(12, 5)

        def forward(self, x: Any) -> Any:
            x = self.path(self.fc(x).tanh())
            return self.head(self.drop(x) if used else x)

    return Net()


def passing(*, by_function: bool = True) -> Any:
    """A net that calls a dropout as a function with the rate of a module, or the module."""
    from torch import nn
    from torch.nn import functional

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc, self.drop, self.head = nn.Linear(6, 12), nn.Dropout(0.3), nn.Linear(12, 5)

        def forward(self, x: Any) -> Any:
            x = self.fc(x).tanh()
            if not by_function:
                return self.head(self.drop(x))
            return self.head(functional.dropout(x, self.drop.p if self.training else 0.0, self.training))

    return Net()


def dropping_channels(*, form: str = "2d") -> Any:
    """A net with a dropout of channels in three forms, or of elements, on maps or on maps of one pixel."""
    import torch
    from torch import nn
    from torch.nn import functional

    class DropChannels(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.drop_prob = 0.25

        def forward(self, x: Any) -> Any:
            if not self.training:
                return x
            keep = 1 - self.drop_prob
            return x * (torch.rand(*x.shape[:2], 1, 1) < keep).to(x.dtype) / keep

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.head = nn.Conv2d(1, 4, 2, stride=1), nn.Linear(4, 5)
            self.drop = {"own": DropChannels, "2d": lambda: nn.Dropout2d(0.25)}.get(form, lambda: nn.Dropout(0.25))()

        def forward(self, x: Any) -> Any:
            x = self.conv(x.reshape(-1, 1, 2, 3)).tanh()
            x = x.mean((2, 3), keepdim=True) if "pixel" in form else x
            x = functional.dropout2d(x, 0.25, self.training) if form in ("function", "pixel of maps") else self.drop(x)
            return self.head(x.mean((2, 3)))

    return Net()


def _dropping(function: str = "dropping", **options: Any) -> Pair:
    build = f"{_FILE}:{function}"
    return Pair(
        "training_mode", Side("torch", build), Side("torch", build, options=options), input_shape=(6,), rules="auto"
    )


RIGHT = _pair(0.5)
SAME_PATHS = _dropping()
UNSCALED = _dropping(scaled=False)
WHOLE_BATCH = _dropping(whole=True)
UNUSED = _dropping(used=False)
OTHER_RATE = _dropping(rate=0.25)
BY_FUNCTION = _dropping("passing", by_function=False)
OWN_CHANNELS, CHANNELS_BY_FUNCTION = (_dropping("dropping_channels", form=form) for form in ("own", "function"))
ELEMENTS = _dropping("dropping_channels", form="elements")
PIXEL = replace(
    ELEMENTS,
    reference=replace(ELEMENTS.reference, options={"form": "pixel of maps"}),
    candidate=replace(ELEMENTS.candidate, options={"form": "pixel"}),
)
FACTOR = _pair(factor=3.0)
HOOK = _pair(hook=True)

RATE = Pair("training_mode", _pair().reference, RIGHT.candidate, input_shape=(6,), rules="auto")


def places(*, first: float = 0.1, second: float = 0.3, third: float = 0.1, form: str = "modules") -> Any:
    """A net with three dropouts, as modules, as functions, or with rates that code computes with."""
    import torch
    from torch import nn
    from torch.nn import functional

    class Part(nn.Module):
        def __init__(self, rate: float) -> None:
            super().__init__()
            self.fc, self.drop = nn.Linear(12, 12), nn.Dropout(rate)

        def forward(self, x: Any) -> Any:
            x = self.fc(x).tanh()
            if form == "functions":
                return functional.dropout(x, self.drop.p, self.training)
            if form == "computed" and self.training:
                return x * (torch.rand_like(x) < 1 - self.drop.p) / (1 - self.drop.p)
            return self.drop(x)

    rates = (first, second, third)
    return nn.Sequential(nn.Linear(6, 12), *(Part(rate) for rate in rates), nn.Linear(12, 5))


def attending(*, packed: bool = True, rate: float = 0.1, after: float = 0.1) -> Any:
    """An attention with a dropout of its weights, in one module of torch or written out, and a dropout after it."""
    import torch
    from torch import nn
    from torch.nn import functional

    class Written(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.in_proj_weight = nn.Parameter(torch.zeros(18, 6))
            self.in_proj_bias = nn.Parameter(torch.zeros(18))
            self.out_proj, self.drop = nn.Linear(6, 6), nn.Dropout(rate)

        def forward(self, x: Any) -> Any:
            split = functional.linear(x, self.in_proj_weight, self.in_proj_bias)
            q, k, v = (part.unflatten(-1, (2, 3)).transpose(1, 2) for part in split.chunk(3, -1))
            weights = self.drop((q @ k.transpose(2, 3) * 3**-0.5).softmax(-1))
            return self.out_proj((weights @ v).transpose(1, 2).flatten(2))

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.attention = nn.MultiheadAttention(6, 2, rate, batch_first=True) if packed else Written()
            self.drop = nn.Dropout(after)

        def forward(self, x: Any) -> Any:
            x = x.reshape(-1, 3, 6)
            return self.drop(self.attention(x, x, x)[0] if packed else self.attention(x)).flatten(1)

    return Net()


def reading(*, rate: float = 0.2) -> Any:
    """Two recurrent layers with a dropout between them, which happens where nobody sees it."""
    from torch import nn

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.rnn, self.drop = nn.GRU(6, 5, 2, dropout=rate, batch_first=True), nn.Dropout(rate)

        def forward(self, x: Any) -> Any:
            return self.drop(self.rnn(x.reshape(-1, 3, 6))[0]).flatten(1)

    return Net()


TABLE = _dropping("places", third=0.10000000149011612)
MISSING = _dropping("places", third=0.0)
EXCHANGED = _dropping("places", first=0.3, second=0.1)
FUNCTIONS, COMPUTED = (_dropping("places", form=form) for form in ("functions", "computed"))
ATTENTION = replace(_dropping("attending", packed=False), input_shape=(18,))
NO_DROPOUT_OF_WEIGHTS = replace(_dropping("attending", packed=False, rate=0.0), input_shape=(18,))
RECURRENT = replace(_dropping("reading"), input_shape=(18,))

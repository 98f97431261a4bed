"""Modules that are right, and are given the wrong things or cut otherwise: what is around them is to be blamed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from alignment.pair import Mask, Pair, Side, Tokens
from porting.rules import rule

_FILE = Path(__file__).name


def cells(exchanged: bool) -> Any:
    """A recurrent cell that is given a message and its state, or the state and the message."""
    import torch
    from torch import nn

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.message, self.cell, self.head = nn.Linear(6, 6), nn.GRUCell(6, 6), nn.Linear(6, 4)

        def forward(self, x: Any) -> Any:
            message = torch.tanh(self.message(x))
            return self.head(self.cell(x, message) if exchanged else self.cell(message, x))

    return Net()


def turns(sign: float) -> Any:
    """Two layers that are given a cosine and a sine; with the wrong sign they are right with both exchanged."""
    import torch
    from torch import nn

    class Turn(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.mix = nn.Linear(6, 6)

        def forward(self, x: Any, cos: Any, sin: Any) -> Any:
            return self.mix(x) * (cos * cos - sin * sin) * sign

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.turns = nn.ModuleList(Turn() for _ in range(2))

        def forward(self, x: Any) -> Any:
            angles = torch.arange(6, dtype=x.dtype)
            for turn in self.turns:
                x = turn(x, angles.cos(), angles.sin())
            return x

    return Net()


def bags(embedded: bool, summed: bool = False) -> Any:
    """The mean of the embeddings of some ids: a bag of embeddings, or an embedding and its mean."""
    from torch import nn

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.words = nn.Embedding(11, 6) if embedded else nn.EmbeddingBag(11, 6, mode="mean")
            self.head = nn.Linear(6, 4)

        def forward(self, ids: Any) -> Any:
            x = self.words(ids)
            return self.head((x.sum(1) if summed else x.mean(1)) if embedded else x)

    return Net()


def tied(scaled: bool) -> Any:
    """An embedding whose weight makes the logits too; what comes between may be scaled wrongly."""
    import torch
    from torch import nn

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.words, self.mix = nn.Embedding(11, 6), nn.Linear(6, 6)

        def forward(self, ids: Any) -> Any:
            x = torch.tanh(self.mix(self.words(ids)))
            return (2.5 * x if scaled else x) @ self.words.weight.T

    return Net()


def repeated(times: int) -> Any:
    """A block that is called again and again."""
    import torch
    from torch import nn

    class Block(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.norm, self.mix = nn.LayerNorm(6), nn.Linear(6, 6)

        def forward(self, x: Any) -> Any:
            return x + torch.tanh(self.mix(self.norm(x)))

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.block, self.head = Block(), nn.Linear(6, 4)

        def forward(self, x: Any) -> Any:
            for _ in range(times):
                x = self.block(x)
            return self.head(x)

    return Net()


def continued(counted: bool) -> Any:
    """A block that is called for each half of a sequence, and adds the places that it is told, or its own."""
    import torch
    from torch import nn

    class Block(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.norm, self.mix = nn.LayerNorm(6), nn.Linear(6, 6)

        def forward(self, x: Any, start: int) -> Any:
            places = torch.arange(x.shape[1], dtype=x.dtype) + (start if counted else 0)
            return x + torch.sin(self.mix(self.norm(x)) * places[:, None])

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.block, self.head = Block(), nn.Linear(6, 4)

        def forward(self, x: Any) -> Any:
            halves = self.block(x[:, :3], 0), self.block(x[:, 3:], 3)
            return self.head(torch.cat(halves, 1).mean(1))

    return Net()


def dropping(rate: float, elsewhere: float = 0.0) -> Any:
    """Two dropouts, of which one may be of another rate, or both of rates that are exchanged."""
    from torch import nn

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.mix, self.drop = nn.Linear(6, 6), nn.Dropout(rate)
            self.head, self.last = nn.Linear(6, 4), nn.Dropout(elsewhere)

        def forward(self, x: Any) -> Any:
            return self.last(self.head(self.drop(self.mix(x))))

    return Net()


def stopping(stopped: bool) -> Any:
    """A value that is rounded, with a gradient as if it were not; the port lets that of the rounding through."""
    import torch
    from torch import nn

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.mix, self.head = nn.Linear(6, 6), nn.Linear(6, 4)

        def forward(self, x: Any) -> Any:
            x = torch.tanh(self.mix(x))
            off = torch.round(x * 4) / 4 - x
            return self.head(x + (off.detach() if stopped else off))

    return Net()


def arguments(equation: str = "bi,ij->bj", **given: Any) -> Any:
    """A sampled image, a sum along an axis and a product, of which one has another argument."""
    import torch
    from torch import nn
    from torch.nn import functional as F

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight, self.head = nn.Parameter(torch.randn(5, 5)), nn.Linear(5, 4)

        def forward(self, x: Any) -> Any:
            places = torch.linspace(-1.3, 1.2, 5, dtype=x.dtype)
            grid = torch.stack(torch.meshgrid(places, places, indexing="xy"), -1).expand(len(x), -1, -1, -1)
            x = F.pad(x, given.get("pad", (0, 1, 0, 1)))
            x = F.grid_sample(x, grid, padding_mode=given.get("padding_mode", "border"), align_corners=True)
            x = torch.cumsum(x.mean(1), given.get("axis", 1)).mean(1)
            return self.head(torch.einsum(equation, x, self.weight))

    return Net()


def torch_masked() -> Any:
    """A layer of an encoder whose mask hides where it is true."""
    from torch import nn

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.words = nn.Embedding(11, 8)
            self.layer = nn.TransformerEncoderLayer(8, 2, 12, dropout=0.0, batch_first=True)

        def forward(self, ids: Any, mask: Any) -> Any:
            return self.layer(3.5 * self.words(ids), src_key_padding_mask=mask == 0)

    return Net()


def paddle_masked(scale: float, shows: bool) -> Any:
    """The same in Paddle, whose mask shows where it is true."""
    from paddle import nn

    class Net(nn.Layer):
        def __init__(self) -> None:
            super().__init__()
            self.words, self.layer = nn.Embedding(11, 8), nn.TransformerEncoderLayer(8, 2, 12, dropout=0.0)

        def forward(self, ids: Any, mask: Any) -> Any:
            mask = (mask != 0 if shows else mask == 0).unsqueeze([1, 2])
            return self.layer(scale * self.words(ids), src_mask=mask)

    return Net()


def _masked(**options: Any) -> Pair:
    sides = Side("torch", f"{_FILE}:torch_masked"), Side("paddle", f"{_FILE}:paddle_masked", options=options)
    return Pair("masked", *sides, inputs={"ids": Tokens(11, (6,)), "mask": Mask((6,))}, rules="auto")


def _pair(build: str, right: dict[str, Any], wrong: dict[str, Any], **given: Any) -> Pair:
    sides = [Side("torch", f"{_FILE}:{build}", options=options) for options in (right, wrong)]
    return Pair(build, sides[0], sides[1], **{"rules": "auto", **given})


_NAMES = [f"{module}.{part}" for module in ("message", "head") for part in ("weight", "bias")]
_NAMES += [f"cell.{part}_{gate}" for part in ("weight", "bias") for gate in ("ih", "hh")]
CELL = _pair(
    *("cells", {"exchanged": False}, {"exchanged": True}),
    input_shape=(6,),
    rules=[rule(name, name) for name in _NAMES],
)
TURNS = _pair("turns", {"sign": 1.0}, {"sign": -1.0}, input_shape=(6,))
BAG = _pair("bags", {"embedded": False}, {"embedded": True}, inputs={"ids": Tokens(11, (5,))})
SUMMED = _pair("bags", {"embedded": False}, {"embedded": True, "summed": True}, inputs={"ids": Tokens(11, (5,))})
TIED = _pair("tied", {"scaled": False}, {"scaled": True}, inputs={"ids": Tokens(11, (5,))})
ONCE = _pair("repeated", {"times": 2}, {"times": 1}, input_shape=(6,))
CONTINUED = _pair("continued", {"counted": True}, {"counted": False}, input_shape=(6, 6))
SCALED = _masked(scale=1.0, shows=True)
HIDDEN = _masked(scale=3.5, shows=False)
RATE = _pair("dropping", {"rate": 0.3}, {"rate": 0.2}, input_shape=(6,))
ELSEWHERE = _pair("dropping", {"rate": 0.3, "elsewhere": 0.1}, {"rate": 0.1, "elsewhere": 0.3}, input_shape=(6,))
UNSTOPPED = _pair("stopping", {"stopped": True}, {"stopped": False}, input_shape=(6,))
_SAME = [rule(name, name) for name in ("weight", "head.weight", "head.bias")]
PADDED = _pair("arguments", {}, {"padding_mode": "zeros"}, input_shape=(3, 5, 5), rules=_SAME)
SUMMED_ALONG = _pair("arguments", {}, {"axis": 2}, input_shape=(3, 5, 5), rules=_SAME)
EQUATION = _pair("arguments", {}, {"equation": "bi,ji->bj"}, input_shape=(3, 5, 5), rules=_SAME)
OTHER_BORDER = _pair("arguments", {}, {"pad": (1, 0, 1, 0)}, input_shape=(3, 5, 5), rules=_SAME)
BOTH_BORDERS = _pair("arguments", {}, {"pad": (1, 0, 0, 1)}, input_shape=(3, 5, 5), rules=_SAME)

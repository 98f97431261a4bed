"""Ports that cut a net into other modules than the reference, or hand modules their tensors in another order."""

from __future__ import annotations

from typing import Any

from alignment.pair import Mask, Pair, Side, Tokens
from porting.operations import Transpose
from porting.rules import rule

_FILE = "cut_otherwise_pairs.py"


def torch_convolutional() -> Any:
    """Batch norms of timm's, which hold their activation."""
    from torch import nn

    from reference_torch.compat import prepare_timm

    prepare_timm()
    from timm.layers import BatchNormAct2d

    class Block(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv1, self.bn1 = nn.Conv2d(4, 4, 3, padding=1, bias=False), BatchNormAct2d(4, act_layer=nn.SiLU)
            self.conv2, self.bn2 = nn.Conv2d(4, 4, 3, padding=1, bias=False), BatchNormAct2d(4, apply_act=False)

        def forward(self, x: Any) -> Any:
            return x + self.bn2(self.conv2(self.bn1(self.conv1(x))))

    return nn.Sequential(nn.Conv2d(3, 4, 3, stride=2), Block(), Block(), Block(), nn.Flatten(), nn.Linear(4 * 3 * 3, 5))


def paddle_convolutional(*, mode: str = "zeros", eps: float = 1e-5) -> Any:
    """Activations as modules of their own, and the body of a block in a Sequential; the second block may be wrong."""
    from paddle import nn

    class Block(nn.Layer):
        def __init__(self, mode: str = "zeros", eps: float = 1e-5) -> None:
            super().__init__()
            first = nn.Conv2D(4, 4, 3, padding=1, bias_attr=False, padding_mode=mode)
            second = nn.Conv2D(4, 4, 3, padding=1, bias_attr=False)
            self.body = nn.Sequential(first, nn.BatchNorm2D(4, epsilon=eps), nn.Silu(), second, nn.BatchNorm2D(4))

        def forward(self, x: Any) -> Any:
            return x + self.body(x)

    return nn.Sequential(
        nn.Conv2D(3, 4, 3, stride=2), Block(), Block(mode, eps), Block(), nn.Flatten(), nn.Linear(4 * 3 * 3, 5)
    )


def torch_units() -> Any:
    """Convolutions with norms of timm's, each in a module of its own."""
    from torch import nn

    from reference_torch.compat import prepare_timm

    prepare_timm()
    from timm.layers import BatchNormAct2d

    class Unit(nn.Module):
        def __init__(self, into: int) -> None:
            super().__init__()
            self.conv = nn.Conv2d(into, 4, 3, padding=1, bias=False)
            self.bn = BatchNormAct2d(4, act_layer=nn.Hardswish)

        def forward(self, x: Any) -> Any:
            return self.bn(self.conv(x))

    return nn.Sequential(Unit(3), Unit(4), nn.Flatten(), nn.Linear(4 * 6 * 6, 5))


def paddle_units(*, eps: float = 1e-5, swish: bool = False) -> Any:
    """The port, with a norm and an activation of its own in each."""
    from paddle import nn

    def unit(into: int) -> Any:
        act = nn.Swish() if swish else nn.Hardswish()
        return nn.Sequential(nn.Conv2D(into, 4, 3, padding=1, bias_attr=False), nn.BatchNorm2D(4, epsilon=eps), act)

    return nn.Sequential(unit(3), unit(4), nn.Flatten(), nn.Linear(4 * 6 * 6, 5))


def torch_text() -> Any:
    """Attention with four inputs, embeddings with two kinds of ids."""
    import torch
    from torch import nn

    class Attention(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.q, self.k, self.v = (nn.Linear(8, 8) for _ in range(3))

        def forward(self, query: Any, key: Any, value: Any, bias: Any) -> Any:
            weights = torch.softmax(self.q(query) @ self.k(key).mT / 8**0.5 + bias, -1)
            return weights @ self.v(value), weights

    class Words(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.words, self.types, self.norm = nn.Embedding(30, 8), nn.Embedding(2, 8), nn.LayerNorm(8)

        def forward(self, ids: Any, types: Any) -> Any:
            return self.norm(self.words(ids) + self.types(types))

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.words, self.first, self.second = Words(), Attention(), Attention()
            self.head = nn.Linear(8, 5)

        def forward(self, input_ids: Any, token_type_ids: Any, attention_mask: Any) -> Any:
            x = self.words(input_ids, token_type_ids)
            bias = (1 - attention_mask[:, None].to(x.dtype)) * -1e4
            x = x + self.first(x, x, x, bias)[0]
            return self.head((x + self.second(x, x.tanh(), x.sin(), bias)[0]).mean(1))

    return Net()


def paddle_text(*, scale: float = 1.0, types: int = 0) -> Any:
    """The same with arguments and outputs in another order, and the mask where the reference has a bias."""
    from paddle import nn

    class Attention(nn.Layer):
        def __init__(self, scale: float = 1.0) -> None:
            super().__init__()
            self.q, self.k, self.v = (nn.Linear(8, 8) for _ in range(3))
            self.scale = scale / 8**0.5

        def forward(self, mask: Any, v: Any, q: Any, k: Any) -> Any:
            bias = (mask == 0).astype(v.dtype).unsqueeze(1) * -1e4
            weights = nn.functional.softmax(self.q(q).matmul(self.k(k), transpose_y=True) * self.scale + bias, -1)
            return weights, weights.matmul(self.v(v))

    class Words(nn.Layer):
        def __init__(self) -> None:
            super().__init__()
            self.words, self.types, self.norm = nn.Embedding(30, 8), nn.Embedding(2, 8), nn.LayerNorm(8)

        def forward(self, kinds: Any, ids: Any) -> Any:
            return self.norm(self.words(ids) + self.types(1 - kinds if types else kinds))

    class Net(nn.Layer):
        def __init__(self) -> None:
            super().__init__()
            self.words, self.first, self.second = Words(), Attention(), Attention(scale)
            self.head = nn.Linear(8, 5)

        def forward(self, input_ids: Any, token_type_ids: Any, attention_mask: Any) -> Any:
            x = self.words(token_type_ids, input_ids)
            x = x + self.first(attention_mask, x, x, x)[1]
            return self.head((x + self.second(attention_mask, k=x.tanh(), v=x.sin(), q=x)[1]).mean(1))

    return Net()


def torch_patches() -> Any:
    """Patches as a map with the channels last."""
    from torch import nn

    class Patches(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(3, 4, (8, 4), (8, 4))

        def forward(self, x: Any) -> Any:
            return self.conv(x).permute(0, 2, 3, 1)

    class Mean(nn.Module):
        def forward(self, x: Any) -> Any:
            return x.mean((1, 2), keepdim=True)

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.patches, self.mean, self.norm, self.head = Patches(), Mean(), nn.LayerNorm(4), nn.Linear(4, 5)

        def forward(self, x: Any) -> Any:
            x = self.patches(x)
            return self.head(self.norm(x + self.mean(x).square()).mean((1, 2)))

    return Net()


def paddle_patches(*, eps: float = 1e-5, keepdim: bool = True) -> Any:
    """Patches as a sequence; the mean of the patches is added right only with its axis."""
    from paddle import nn

    class Patches(nn.Layer):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2D(3, 4, (8, 4), (8, 4))

        def forward(self, x: Any) -> Any:
            return self.conv(x).flatten(2).transpose([0, 2, 1])

    class Mean(nn.Layer):
        def forward(self, x: Any) -> Any:
            return x.mean(1, keepdim=keepdim)

    class Net(nn.Layer):
        def __init__(self) -> None:
            super().__init__()
            self.patches, self.mean, self.norm = Patches(), Mean(), nn.LayerNorm(4, epsilon=eps)
            self.head = nn.Linear(4, 5)

        def forward(self, x: Any) -> Any:
            x = self.patches(x)
            mean = self.mean(x).mean(1).reshape([x.shape[0], 1, -1])
            return self.head(self.norm(x + mean.square()).mean(1))

    return Net()


def _patches(**options: Any) -> Pair:
    sides = Side("torch", f"{_FILE}:torch_patches"), Side("paddle", f"{_FILE}:paddle_patches", options=options)
    return Pair("patches", *sides, input_shape=(3, 8, 8), rules="auto")


def _convolutional(**options: Any) -> Pair:
    sides = (
        Side("torch", f"{_FILE}:torch_convolutional"),
        Side("paddle", f"{_FILE}:paddle_convolutional", options=options),
    )
    return Pair("convolutional", *sides, input_shape=(3, 8, 8), rules="auto")


def _text(**options: Any) -> Pair:
    inputs = {"input_ids": Tokens(30, (6,)), "token_type_ids": Tokens(2, (6,)), "attention_mask": Mask((6,))}
    sides = Side("torch", f"{_FILE}:torch_text"), Side("paddle", f"{_FILE}:paddle_text", options=options)
    return Pair("text", *sides, inputs=inputs, rules="auto")


PADDING = _convolutional(mode="reflect")
EPSILON = _convolutional(eps=1e-3)
TEXT = _text()
SCALE = _text(scale=1.5)
TYPES = _text(types=1)
SEQUENCE = _patches(eps=1e-3)
AXIS = _patches(keepdim=False)


def torch_places() -> Any:
    """Positions are looked up with an axis for the batch."""
    import torch
    from torch import nn

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.words, self.places, self.head = nn.Embedding(9, 4), nn.Embedding(9, 4), nn.Linear(4, 5)

        def forward(self, x: Any) -> Any:
            return self.head((self.words(x) + self.places(torch.arange(x.shape[1])[None])).square().mean(1))

    return Net()


def paddle_places() -> Any:
    """The port looks them up without that axis, and begins them at one."""
    import paddle
    from paddle import nn

    class Net(nn.Layer):
        def __init__(self) -> None:
            super().__init__()
            self.words, self.places, self.head = nn.Embedding(9, 4), nn.Embedding(9, 4), nn.Linear(4, 5)

        def forward(self, x: Any) -> Any:
            return self.head((self.words(x) + self.places(paddle.arange(x.shape[1]) + 1)).square().mean(1))

    return Net()


def _places() -> Pair:
    sides = Side("torch", f"{_FILE}:torch_places"), Side("paddle", f"{_FILE}:paddle_places")
    names = ("words.weight", "places.weight", "head.bias")
    rules = [*(rule(name, name) for name in names), rule("head.weight", "head.weight", Transpose())]
    return Pair("places", *sides, inputs={"x": Tokens(9, (6,))}, rules=rules)


PLACES = _places()
UNITS = Pair(
    "units",
    Side("torch", f"{_FILE}:torch_units"),
    Side("paddle", f"{_FILE}:paddle_units", options={"eps": 1e-3}),
    input_shape=(3, 6, 6),
    rules="auto",
)
"""Another epsilon in every norm, so that none shows how they are cut."""
SWISH = Pair(
    "units",
    Side("torch", f"{_FILE}:torch_units"),
    Side("paddle", f"{_FILE}:paddle_units", options={"swish": True}),
    input_shape=(3, 6, 6),
    rules="auto",
)

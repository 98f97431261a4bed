"""Pairs without a published architecture: models and functions of a few lines, loaded by the workers."""

from dataclasses import replace
from typing import Any

from alignment.pair import Pair, Side
from porting.ops import Transpose
from porting.rules import drop, fill, rule

_FILE = "own_pairs.py"


def torch_net(*, bias: bool = True) -> Any:
    """Everything that a name or a shape could get wrong: square Linears, a norm, a bare parameter."""
    import torch
    from torch import nn

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.scale = nn.Parameter(torch.ones(1, 8))
            self.q, self.k = nn.Linear(8, 8), nn.Linear(8, 8)
            self.bn = nn.BatchNorm1d(8)
            self.head = nn.Linear(8, 4, bias=bias)

        def forward(self, x: Any) -> Any:
            x = x * self.scale
            return self.head(self.bn(torch.tanh(self.q(x)) * self.k(x)))

    return Net()


def paddle_net(*, scale: float = 1.0) -> Any:
    import paddle
    from paddle import nn

    from paddle_impl.norms import BatchNorm2D

    class Net(nn.Layer):
        def __init__(self) -> None:
            super().__init__()
            self.classifier = nn.Linear(8, 4)
            self.norm = BatchNorm2D(8)
            self.key, self.query = nn.Linear(8, 8), nn.Linear(8, 8)
            self.factor = self.create_parameter([1, 8])

        def forward(self, x: Any) -> Any:
            x = x * self.factor * scale
            x = paddle.tanh(self.query(x)) * self.key(x)
            return self.classifier(self.norm(x[:, :, None, None])[:, :, 0, 0])

    return Net()


def mindspore_net() -> Any:
    from mindspore import Parameter, nn, ops

    class Net(nn.Cell):
        def __init__(self) -> None:
            super().__init__()
            self.classifier, self.norm = nn.Dense(8, 4), nn.BatchNorm1d(8)
            self.key, self.query = nn.Dense(8, 8), nn.Dense(8, 8)
            self.factor = Parameter(ops.ones((1, 8)), name="factor")

        def construct(self, x: Any) -> Any:
            x = x * self.factor
            return self.classifier(self.norm(ops.tanh(self.query(x)) * self.key(x)))

    return Net()


def torch_language_model() -> Any:
    from torch import nn

    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embed, self.mix = nn.Embedding(11, 8), nn.Linear(8, 8)
            self.head = nn.Linear(8, 11, bias=False)
            self.head.weight = self.embed.weight

        def forward(self, tokens: Any) -> Any:
            return self.head(self.mix(self.embed(tokens)).tanh())

    return Model()


def paddle_language_model() -> Any:
    from paddle import nn

    class Model(nn.Layer):
        def __init__(self) -> None:
            super().__init__()
            self.tokens, self.hidden = nn.Embedding(11, 8), nn.Linear(8, 8)

        def forward(self, tokens: Any) -> Any:
            return self.hidden(self.tokens(tokens)).tanh().matmul(self.tokens.weight, transpose_y=True)

    return Model()


def torch_loss(logits: Any, smoothing: float = 0.1) -> Any:
    import torch

    labels = torch.arange(len(logits)) % logits.shape[1]
    return torch.nn.functional.cross_entropy(logits, labels, label_smoothing=smoothing)


def paddle_loss(logits: Any, smoothing: float = 0.1) -> Any:
    import paddle

    labels = paddle.arange(len(logits)) % logits.shape[1]
    target = paddle.nn.functional.one_hot(labels, logits.shape[1]).astype(logits.dtype)
    target = target * (1 - smoothing) + smoothing / logits.shape[1]
    return paddle.nn.functional.cross_entropy(logits, target, soft_label=True)


NET = Pair(
    name="net",
    reference=Side("torch", f"{_FILE}:torch_net"),
    candidate=Side("paddle", f"{_FILE}:paddle_net"),
    input_shape=(8,),
    rules="auto",
)
MINDSPORE = replace(NET, candidate=Side("mindspore", f"{_FILE}:mindspore_net"))
PADDLE_MINDSPORE = replace(MINDSPORE, reference=Side("paddle", f"{_FILE}:paddle_net"))
SCALED = replace(NET, candidate=Side("paddle", f"{_FILE}:paddle_net", options={"scale": 1.001}))
BACKWARDS = replace(NET, reference=NET.candidate, candidate=NET.reference)
ITSELF = replace(NET, candidate=NET.reference)
WITHOUT_BIAS = replace(NET, reference=Side("torch", f"{_FILE}:torch_net", options={"bias": False}))
FILLED = replace(WITHOUT_BIAS, rules=["auto", fill("classifier.bias", "the reference's head has none")])
PINNED = replace(NET, rules="pinned.json")
TABLE = replace(
    NET,
    rules=[
        rule("scale", "factor"),
        rule("q.weight", "query.weight", Transpose()),
        rule("q.bias", "query.bias"),
        rule("k.weight", "key.weight", Transpose()),
        rule("k.bias", "key.bias"),
        rule("bn.{part:weight|bias}", "norm.{part}"),
        rule("bn.running_mean", "norm._mean"),
        rule("bn.running_var", "norm._variance"),
        drop("bn.num_batches_tracked", "counts batches"),
        rule("head.weight", "classifier.weight", Transpose()),
        rule("head.bias", "classifier.bias"),
    ],
)
LANGUAGE = Pair(
    name="language",
    reference=Side("torch", f"{_FILE}:torch_language_model"),
    candidate=Side("paddle", f"{_FILE}:paddle_language_model"),
    input_shape=(5,),
    tokens=11,
    rules="auto",
)
GELU = Pair(
    name="gelu",
    reference=Side("torch", function="torch.nn.functional:gelu"),
    candidate=Side("paddle", function="paddle.nn.functional:gelu"),
    input_shape=(6, 3),
)
TANH_GELU = replace(GELU, candidate=Side("paddle", function="paddle.nn.functional:gelu", options={"approximate": True}))
LOSS = Pair(
    name="loss",
    reference=Side("torch", function=f"{_FILE}:torch_loss"),
    candidate=Side("paddle", function=f"{_FILE}:paddle_loss"),
    input_shape=(7,),
)
WRONG_LOSS = replace(LOSS, candidate=Side("paddle", function=f"{_FILE}:paddle_loss", options={"smoothing": 0.2}))


def _published(name: str, size: int) -> Pair:
    """A published pair, as if nobody had written down its table."""
    family = name.partition("_")[0]
    options = {"name": name, "num_classes": 10, "image_size": (size, size)}
    return Pair(
        name=name,
        reference=Side("torch", f"reference_torch.{family}:create", options=options),
        candidate=Side("paddle", f"paddle_impl.{family}:create", options=options),
        input_shape=(3, size, size),
        rules="auto",
    )


PIT = _published("pit_ti_distilled", 64)
DEIT = _published("deit_tiny_distilled", 48)

"""Pairs without a published architecture: models and functions of a few lines, loaded by the workers."""

from dataclasses import replace
from typing import Any

from alignment.pair import Pair, Side
from porting.operations import Transpose
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


def torch_constant(*, mean: float = 0.485, reversed_order: bool = False) -> Any:
    """Constants that are no ordinary numbers, a module under two names, an output of two tensors with names."""
    import torch
    from torch import nn

    class Two(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc = nn.Linear(8, 8)

        def forward(self, x: Any) -> Any:
            return torch.return_types.max((self.fc(x), torch.arange(8)))

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            order = torch.arange(8)
            self.register_buffer("mean", torch.full((8,), mean))
            self.register_buffer("order", order.flip(0) if reversed_order else order)
            self.register_buffer("mask", torch.tensor([0.0] * 7 + [-torch.inf]))
            self.register_buffer("keep", torch.tensor([True] * 8))
            self.register_buffer("halves", torch.ones(8, dtype=torch.bfloat16))
            self.register_buffer("nothing", torch.zeros(0))
            self.first = self.again = nn.Linear(8, 8)
            self.two, self.head = Two(), nn.Linear(8, 4)

        def forward(self, x: Any) -> Any:
            x = torch.tanh(self.again(torch.tanh(self.first((x - self.mean)[:, self.order] * self.halves))))
            return self.head(torch.softmax(self.two(x).values + self.mask, 1) * self.keep)

    return Net().double()


def torch_with_more() -> Any:
    from torch import nn

    net = torch_net()
    net.aux = nn.Linear(8, 4)
    return net


def torch_towers() -> Any:
    import torch
    from torch import nn

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.text, self.image = (nn.ModuleList([nn.Linear(8, 8), nn.Linear(8, 8)]) for _ in range(2))
            self.scale = nn.Parameter(torch.tensor(2.0))

        def forward(self, x: Any) -> Any:
            text, image = (tower[1](torch.tanh(tower[0](x[:, place]))) for place, tower in enumerate(self.towers))
            return text * torch.sigmoid(image) * self.scale

        @property
        def towers(self) -> Any:
            return self.text, self.image

    return Net()


def paddle_towers(*, crossed: bool = False) -> Any:
    """The other tower first, and other indices; `crossed` gives each what the other is for."""
    import paddle
    from paddle import nn

    class Net(nn.Layer):
        def __init__(self) -> None:
            super().__init__()
            self.factor = self.create_parameter([1])
            linears = [nn.Linear(8, 8) for _ in range(4)]
            self.image_tower = nn.Sequential(linears[0], nn.Identity(), linears[1])
            self.text_tower = nn.Sequential(linears[2], nn.Identity(), linears[3])

        def forward(self, x: Any) -> Any:
            first, second = (self.text_tower, self.image_tower) if crossed else (self.image_tower, self.text_tower)
            image = first[2](paddle.tanh(first[0](x[:, 1])))
            return second[2](paddle.tanh(second[0](x[:, 0]))) * paddle.nn.functional.sigmoid(image) * self.factor

    return Net()


def torch_recurrent() -> Any:
    from torch import nn

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.rnn, self.head = nn.LSTM(8, 6, 2, batch_first=True, dropout=0.3), nn.Linear(6, 4)

        def forward(self, x: Any) -> Any:
            return self.head(self.rnn(x)[0][:, -1])

    return Net()


def paddle_recurrent() -> Any:
    from paddle import nn

    class Net(nn.Layer):
        def __init__(self) -> None:
            super().__init__()
            self.rnn, self.head = nn.LSTM(8, 6, 2, dropout=0.3), nn.Linear(6, 4)

        def forward(self, x: Any) -> Any:
            return self.head(self.rnn(x)[0][:, -1])

    return Net()


def torch_ranks(x: Any) -> Any:
    return x.argsort(-1)


def paddle_ranks(x: Any) -> Any:
    return x.argsort(-1)


def torch_nothing(x: Any) -> Any:
    return x.mean((0, 2)) * 0


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


CONSTANT = Pair(
    name="constant",
    reference=Side("torch", f"{_FILE}:torch_constant"),
    candidate=Side("torch", f"{_FILE}:torch_constant"),
    input_shape=(8,),
    rules="auto",
)
WRONG_CONSTANT = replace(CONSTANT, candidate=Side("torch", f"{_FILE}:torch_constant", options={"mean": 0.5}))
WRONG_ORDER = replace(CONSTANT, candidate=Side("torch", f"{_FILE}:torch_constant", options={"reversed_order": True}))


DROPPED = replace(
    NET,
    reference=Side("torch", f"{_FILE}:torch_with_more"),
    rules=["auto", drop("aux.{part:weight|bias}", "for training only")],
)
TOWERS = Pair(
    name="towers",
    reference=Side("torch", f"{_FILE}:torch_towers"),
    candidate=Side("paddle", f"{_FILE}:paddle_towers"),
    input_shape=(2, 8),
    rules="auto",
)
CROSSED = replace(TOWERS, candidate=Side("paddle", f"{_FILE}:paddle_towers", options={"crossed": True}))
RECURRENT = Pair(
    name="recurrent",
    reference=Side("torch", f"{_FILE}:torch_recurrent"),
    candidate=Side("paddle", f"{_FILE}:paddle_recurrent"),
    input_shape=(5, 8),
    rules="auto",
)
RANKS = Pair(
    name="ranks",
    reference=Side("torch", function=f"{_FILE}:torch_ranks"),
    candidate=Side("paddle", function=f"{_FILE}:paddle_ranks"),
    input_shape=(16,),
)
NOTHING = Pair(
    name="nothing",
    reference=Side("torch", function=f"{_FILE}:torch_nothing"),
    candidate=Side("torch", function=f"{_FILE}:torch_nothing"),
    input_shape=(3, 4),
)


def needs_an_argument(name: str) -> Pair:
    return replace(NET, name=name)


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

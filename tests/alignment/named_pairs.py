"""Pairs whose models take named inputs and give several outputs: text with images, a decoder beside an encoder."""

from dataclasses import dataclass, replace
from typing import Any

from alignment.pair import Floats, Mask, Pair, Side, Tokens

_FILE = "named_pairs.py"


def torch_mixed(*, classes: int = 4) -> Any:
    """Ids, a mask and an image in; a dataclass of logits, a tuple of states, an unknown object and None out."""
    import torch
    from torch import nn

    @dataclass
    class Output:
        loss: Any
        logits: Any
        states: Any
        cache: Any

    class Block(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.mix = nn.Linear(8, 8)

        def forward(self, hidden: Any, *, mask: Any) -> Any:
            weights = torch.softmax((hidden @ hidden.mT) + (mask[:, None, :] == 0) * -1e4, -1)
            return {"hidden": hidden + self.mix(weights @ hidden)}

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.words, self.places = nn.Embedding(11, 8), nn.Embedding(6, 8)
            self.patches = nn.Conv2d(3, 8, 4, 4)
            self.block, self.head = Block(), nn.Linear(8, classes)

        def forward(self, input_ids: Any, attention_mask: Any, pixel_values: Any, use_cache: bool = True) -> Any:
            hidden = self.words(input_ids) + self.places(torch.arange(input_ids.shape[1])[None])
            hidden = hidden + self.patches(pixel_values).mean((2, 3))[:, None]
            states = self.block(hidden, mask=attention_mask)["hidden"]
            return Output(None, self.head(states.mean(1)), (hidden, states), object() if use_cache else None)

    return Net()


def paddle_mixed(*, eps: float = 0.0, padding: bool = False) -> Any:
    """The port, with arguments of other names and a dictionary of other names out."""
    import paddle
    from paddle import nn

    class Layer(nn.Layer):
        def __init__(self) -> None:
            super().__init__()
            self.dense = nn.Linear(8, 8)

        def forward(self, x: Any, mask: Any) -> Any:
            bias = (mask.unsqueeze(1) == 0).astype(x.dtype) * -1e4
            weights = nn.functional.softmax(x.matmul(x, transpose_y=True) + bias, -1)
            return x + self.dense(weights.matmul(x)) * (1 + eps)

    class Net(nn.Layer):
        def __init__(self) -> None:
            super().__init__()
            self.image = nn.Conv2D(3, 8, 4, 4)
            self.word_table = nn.Embedding(11, 8, padding_idx=0 if padding else None)
            self.place_table = nn.Embedding(6, 8)
            self.layer, self.classifier = Layer(), nn.Linear(8, 4)

        def forward(self, ids: Any, mask: Any, image: Any) -> Any:
            x = self.word_table(ids) + self.place_table(paddle.arange(ids.shape[1]).unsqueeze(0))
            x = x + self.image(image).mean((2, 3)).unsqueeze(1)
            y = self.layer(x, mask)
            return {"scores": self.classifier(y.mean(1)), "hidden": [x, y]}

    return Net()


def mindspore_mixed() -> Any:
    """The same port in MindSpore, which returns a tuple."""
    from mindspore import nn, ops

    class Layer(nn.Cell):
        def __init__(self) -> None:
            super().__init__()
            self.dense = nn.Dense(8, 8)

        def construct(self, x: Any, mask: Any) -> Any:
            bias = (mask.expand_dims(1) == 0).astype(x.dtype) * -1e4
            return x + self.dense(ops.softmax(x.matmul(x.swapaxes(1, 2)) + bias, -1).matmul(x))

    class Net(nn.Cell):
        def __init__(self) -> None:
            super().__init__()
            self.image = nn.Conv2d(3, 8, 4, 4, pad_mode="valid", has_bias=True)
            self.word_table, self.place_table = nn.Embedding(11, 8), nn.Embedding(6, 8)
            self.layer, self.classifier = Layer(), nn.Dense(8, 4)

        def construct(self, ids: Any, mask: Any, image: Any) -> Any:
            x = self.word_table(ids) + self.place_table(ops.arange(ids.shape[1])).expand_dims(0)
            x = x + self.image(image).mean((2, 3)).expand_dims(1)
            y = self.layer(x, mask)
            return self.classifier(y.mean(1)), x, y

    return Net()


def torch_tuple() -> Any:
    """A sequence to a sequence: ids of two kinds, two outputs without names."""
    from torch import nn

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.encoder, self.decoder = nn.Embedding(7, 8), nn.Embedding(7, 8)
            self.out = nn.Linear(8, 7)

        def forward(self, input_ids: Any, decoder_input_ids: Any) -> Any:
            memory = self.encoder(input_ids).mean(1, keepdim=True)
            return self.out(self.decoder(decoder_input_ids) * memory), memory

    return Net()


def paddle_tuple() -> Any:
    from paddle import nn

    class Net(nn.Layer):
        def __init__(self) -> None:
            super().__init__()
            self.encoder, self.decoder = nn.Embedding(7, 8), nn.Embedding(7, 8)
            self.out = nn.Linear(8, 7)

        def forward(self, decoder_input_ids: Any, input_ids: Any) -> Any:
            memory = self.encoder(input_ids).mean(1, keepdim=True)
            return {"tokens": self.out(self.decoder(decoder_input_ids) * memory), "memory": memory}

    return Net()


def torch_fails() -> Any:
    from torch import nn

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc = nn.Linear(5, 4)

        def forward(self, x: Any) -> Any:
            return self.fc(x)

    return Net()


_TEXT = {"input_ids": Tokens(11, (6,), special=(1, 2)), "attention_mask": Mask((6,))}
MIXED = Pair(
    name="mixed",
    reference=Side(
        "torch",
        f"{_FILE}:torch_mixed",
        call={"use_cache": False},
        gives={"logits": "logits", "states.0": "hidden.0", "states.1": "hidden.1"},
    ),
    candidate=Side(
        "paddle",
        f"{_FILE}:paddle_mixed",
        takes={"ids": "input_ids", "mask": "attention_mask", "image": "pixel_values"},
        gives={"scores": "logits", "hidden.0": "hidden.0", "hidden.1": "hidden.1"},
    ),
    inputs={**_TEXT, "pixel_values": Floats((3, 8, 8))},
    rules="auto",
)
MINDSPORE = replace(
    MIXED,
    candidate=replace(
        MIXED.candidate,
        framework="mindspore",
        build=f"{_FILE}:mindspore_mixed",
        gives=("logits", "hidden.0", "hidden.1"),
    ),
)
WRONG = replace(MIXED, candidate=replace(MIXED.candidate, options={"eps": 1e-3}))
PADDED = replace(MIXED, candidate=replace(MIXED.candidate, options={"padding": True}))
MISSING = replace(
    MIXED,
    reference=replace(MIXED.reference, gives=("logits", "states.0", "states.1")),
    candidate=Side(
        "torch",
        f"{_FILE}:torch_mixed",
        options={"classes": 4},
        gives={"logits": "logits", "states.0": "states.0", "states.1": "others"},
    ),
)
"""The candidate lacks an output of the reference and gives another one."""
TUPLE = Pair(
    name="tuple",
    reference=Side("torch", f"{_FILE}:torch_tuple"),
    candidate=Side("paddle", f"{_FILE}:paddle_tuple"),
    inputs={"input_ids": Tokens(7, (5,)), "decoder_input_ids": Tokens(7, (3,), dtype="int32")},
    rules="auto",
)
FAILS = Pair(
    name="fails",
    reference=Side("torch", f"{_FILE}:torch_fails"),
    candidate=Side("torch", f"{_FILE}:torch_fails"),
    inputs={"x": Floats((6,))},
    rules="auto",
)
MISSPELT = replace(FAILS, inputs={"x_": Floats((5,))})
"""A name of an input that no argument has."""
NO_OUTPUT = replace(MISSING, reference=replace(MISSING.reference, gives=("logit",)))

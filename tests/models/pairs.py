"""The twins as pairs of one input: what else a model takes is made of it, on both sides alike."""

from __future__ import annotations

import importlib
from typing import Any

from alignment.pair import Pair, Side

_BUILDERS = {
    "bert": ("bert", {}, "bert_paddle:bert"),
    "masked_bert": ("bert", {"masked": True}, "bert_paddle:masked_bert"),
    "gpt2": ("gpt2", {}, "gpt2_paddle:gpt2"),
    "llama": ("llama", {}, "llama_paddle:llama"),
    "t5": ("t5", {}, "t5_paddle:t5"),
    "vit": ("vit", {}, "vit_paddle:vit"),
    "whisper": ("whisper", {}, "whisper_paddle:whisper"),
}
_SHAPES = {"vit": (3, 16, 16), "whisper": (8, 20)}


def _arguments(name: str, x: Any, integer: Any) -> dict[str, Any]:
    """What a model of text is called with: masks and segments follow from the words."""
    if name in _SHAPES:
        return {"x": x}
    arguments = {"input_ids": x}
    if name in ("bert", "masked_bert", "t5"):
        arguments["attention_mask"] = integer(x % 5 != 0)
    if name in ("bert", "masked_bert"):
        arguments["token_type_ids"] = integer(x % 2 == 0)
    return arguments | ({"decoder_input_ids": x} if name == "t5" else {})


def reference(name: str) -> Any:
    """A model of transformers that takes one tensor and returns one."""
    import torch
    from torch import nn

    from tests.models import references

    builder, options, _ = _BUILDERS[name]

    class One(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = getattr(references, builder)(**options)

        def forward(self, x: Any) -> Any:
            arguments = _arguments(name, x, lambda mask: mask.to(torch.int64))
            outputs = self.model(*arguments.values()) if name in _SHAPES else self.model(**arguments)
            if name == "bert":
                return torch.cat([outputs.last_hidden_state, outputs.pooler_output[:, None]], 1)
            return getattr(outputs, "logits", outputs[0])

    return One()


def candidate(name: str) -> Any:
    """Its twin in Paddle, alike."""
    import paddle
    from paddle import nn

    module, _, function = _BUILDERS[name][2].partition(":")

    class One(nn.Layer):
        def __init__(self) -> None:
            super().__init__()
            self.model = getattr(importlib.import_module(f"tests.models.{module}"), function)()

        def forward(self, x: Any) -> Any:
            outputs = self.model(*_arguments(name, x, lambda mask: mask.astype("int64")).values())
            if name == "bert":
                return paddle.concat([outputs[0], outputs[1][:, None]], 1)
            return outputs

    return One()


def declared(name: str) -> Pair:
    """The pair of this name."""
    sides = (
        Side("torch", f"{__name__}:reference", options={"name": name}),
        Side("paddle", f"{__name__}:candidate", options={"name": name}),
    )
    shape = _SHAPES.get(name, (8,))
    return Pair(name, *sides, input_shape=shape, rules="auto", tokens=0 if name in _SHAPES else 29)


NAMES = tuple(_BUILDERS)

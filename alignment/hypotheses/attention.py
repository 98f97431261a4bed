"""Mistakes in self-attention: scale, order, heads, softmax."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import permutations

import numpy as np

from alignment.arrays import Array
from alignment.hypotheses.arithmetic import softmax
from alignment.hypotheses.base import Case, Prediction, predictions

_NEEDED = ("qkv.weight", "proj.weight")


class _Attention:
    """timm's attention, with an option for every known mistake."""

    def __init__(self, case: Case) -> None:
        self.x = case.inputs[0]
        self.case = case
        self.heads = int(case.settings["num_heads"])
        self.width = len(case.parameters["qkv.weight"]) // 3 // self.heads

    def run(
        self,
        *,
        scale: float | None = None,
        order: Sequence[int] = (0, 1, 2),
        heads: int | None = None,
        split: str = "3hd",
        merged: bool = True,
        axis: int = -1,
        soft: bool = True,
        causal: bool = False,
        qkv_bias: float = 1.0,
        proj: bool = True,
        proj_bias: float = 1.0,
    ) -> list[Array]:
        """Return the output with some of the options changed."""
        parameters, heads = self.case.parameters, heads or self.heads
        batch, tokens, _ = self.x.shape
        qkv = self.x @ parameters["qkv.weight"].T
        if "qkv.bias" in parameters:
            qkv = qkv + qkv_bias * parameters["qkv.bias"]
        parts = self._split(qkv, heads, split)
        q, k, v = (parts[index] for index in order)
        scale = q.shape[-1] ** -0.5 if scale is None else scale
        weights = (q * scale) @ k.swapaxes(-1, -2)
        if causal:
            weights = np.where(np.tri(tokens, dtype=bool), weights, -np.inf)
        weights = softmax(weights, axis) if soft else weights
        y = weights @ v
        y = (y.swapaxes(1, 2) if merged else y).reshape(batch, tokens, -1)
        if proj:
            y = y @ parameters["proj.weight"].T
            y = y + proj_bias * parameters["proj.bias"] if "proj.bias" in parameters else y
        return [y]

    def _split(self, qkv: Array, heads: int, split: str) -> Array:
        batch, tokens, _ = qkv.shape
        if split == "h3d":
            parts: Array = qkv.reshape(batch, tokens, heads, 3, -1).transpose(3, 0, 2, 1, 4)
        elif split == "3dh":
            parts = qkv.reshape(batch, tokens, 3, -1, heads).transpose(2, 0, 4, 1, 3)
        else:
            parts = qkv.reshape(batch, tokens, 3, heads, -1).transpose(2, 0, 3, 1, 4)
        return parts


def attention(case: Case) -> Iterator[Prediction]:
    """Predict the known mistakes of a module that is built like timm's attention."""
    usable = all(name in case.parameters for name in _NEEDED) and "num_heads" in case.settings
    if not usable or len(case.inputs) != 1 or case.inputs[0].ndim != 3 or case.finding.direction != "forward":
        return
    yield from predictions((_scales, _orders, _heads, _softmaxes, _losses), _Attention(case))


def _softmaxes(model: _Attention) -> Iterator[Prediction]:
    place = model.case.place("softmax")
    yield Prediction("softmax axis", "the softmax runs over the queries, not the keys", place, model.run(axis=-2))
    yield Prediction("no softmax", "the weights do not go through a softmax", place, model.run(soft=False))
    yield Prediction("causal mask", "tokens see those before them only", place, model.run(causal=True))


def _losses(model: _Attention) -> Iterator[Prediction]:
    place = model.case.place
    if "qkv.bias" in model.case.parameters:
        says = "the bias of q, k and v is not added"
        yield Prediction("bias lost", says, place("qkv bias"), model.run(qkv_bias=0))
    yield Prediction("bias lost", "the bias of the projection is not added", place("proj"), model.run(proj_bias=0))
    yield Prediction("projection lost", "the projection is left out", place("proj"), model.run(proj=False))


def _scales(model: _Attention) -> Iterator[Prediction]:
    width, channels = model.width, model.width * model.heads
    correct = width**-0.5
    scales = [
        (1.0, "1: there is none"),
        (channels**-0.5, f"1 / sqrt({channels}), of all channels"),
        (1 / width, f"1 / {width}: it is applied twice"),
        (width**-0.25, f"1 / sqrt(sqrt({width}))"),
        (width**0.5, f"sqrt({width}), not its inverse"),
        (model.heads**-0.5, f"1 / sqrt({model.heads}), of the heads"),
    ]
    scales = [(scale, words) for scale, words in scales if abs(scale - correct) > 1e-12]
    factors = (0.5, 2.0, 0.99, 1.01, 0.999, 1.001)
    scales += [(correct * factor, f"{factor:g} times 1 / sqrt({width})") for factor in factors]
    for scale, words in scales:
        says = f"the scale is {words}"
        yield Prediction("attention scale", says, model.case.place("scale"), model.run(scale=scale))


def _orders(model: _Attention) -> Iterator[Prediction]:
    place = model.case.place("the reshape and transpose after qkv")
    for order in tuple(permutations(range(3)))[1:]:
        says = f"it takes {', '.join('qkv'[i] for i in order)} for q, k, v"
        yield Prediction("q/k/v order", says, place, model.run(order=order))
    for split, words in (("h3d", "(heads, 3, width)"), ("3dh", "(3, width, heads)")):
        says = f"qkv is split as {words}, not (3, heads, width)"
        yield Prediction("head split order", says, place, model.run(split=split))
    says = "heads and tokens are not exchanged back before the heads are joined"
    yield Prediction("head merge order", says, place, model.run(merged=False))


def _heads(model: _Attention) -> Iterator[Prediction]:
    channels = model.width * model.heads
    for heads in range(1, channels + 1):
        if channels % heads == 0 and heads != model.heads:
            says, place = f"it has {heads} heads, not {model.heads}", model.case.place("num_heads")
            yield Prediction("head count", says, place, model.run(heads=heads))
            says += ", with the scale of the right ones"
            yield Prediction("head count", says, place, model.run(heads=heads, scale=model.width**-0.5))

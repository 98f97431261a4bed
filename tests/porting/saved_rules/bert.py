"""A small BERT on two sides, as porters write it: separate projections in torch, one fused and transposed in Paddle."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from porting.checkpoint.tensor import Array
from porting.operations import Concat, Each, Interleave, Tie, Transpose
from porting.rules import Rule, drop, keep, rule
from porting.saved_rules import SavedSide, SavedTable, TensorInfo, pack

WIDTH, HEADS, LAYERS, WORDS, LENGTH = 8, 2, 2, 11, 5
POSITIONS = np.arange(LENGTH, dtype=np.int64)[None]


def table() -> SavedTable:
    """The table between the sides."""
    rules = tuple(_rules())
    return SavedTable(SavedSide("torch", dict(_torch())), SavedSide("paddle", dict(_paddle())), rules)


def weights(seed: int = 0) -> dict[str, Array]:
    """Random weights of the torch side, as a file has them: with the constant, and the tied tensor once."""
    generator = np.random.default_rng(seed)
    infos = table().reference.tensors
    drawn: dict[str, Array] = {name: generator.standard_normal(info.shape, np.float32) for name, info in infos.items()}
    drawn["embeddings.position_ids"] = POSITIONS
    del drawn["decoder.weight"]
    return drawn


def _torch() -> Iterator[tuple[str, TensorInfo]]:
    yield "embeddings.position_ids", TensorInfo((1, LENGTH), "int64", buffer=True, values=pack(POSITIONS))
    yield "embeddings.word.weight", TensorInfo((WORDS, WIDTH))
    for layer in range(LAYERS):
        for part in ("query", "key", "value", "dense"):
            yield f"layer.{layer}.{part}.weight", TensorInfo((WIDTH, WIDTH))
            yield f"layer.{layer}.{part}.bias", TensorInfo((WIDTH,))
    yield "pooler.weight", TensorInfo((WIDTH, 3))
    yield "decoder.weight", TensorInfo((WORDS, WIDTH), same_as="embeddings.word.weight")
    yield "decoder.bias", TensorInfo((WORDS,))


def _paddle() -> Iterator[tuple[str, TensorInfo]]:
    yield "word_embeddings.weight", TensorInfo((WORDS, WIDTH))
    for layer in range(LAYERS):
        yield f"blocks.{layer}.qkv.weight", TensorInfo((WIDTH, 3 * WIDTH))
        yield f"blocks.{layer}.qkv.bias", TensorInfo((3 * WIDTH,))
        yield f"blocks.{layer}.out.weight", TensorInfo((WIDTH, WIDTH))
        yield f"blocks.{layer}.out.bias", TensorInfo((WIDTH,))
    yield "pool.weight", TensorInfo((3, WIDTH))
    yield "lm_bias", TensorInfo((WORDS,))
    yield "lm_bias_again", TensorInfo((WORDS,), same_as="lm_bias")


def _rules() -> Iterator[Rule]:
    yield keep("embeddings.position_ids", "positions")
    yield rule("embeddings.word.weight", "word_embeddings.weight")
    yield drop("decoder.weight", "the same tensor as embeddings.word.weight")
    parts = ("query", "key", "value")
    weight, bias = (tuple(f"layer.{{i}}.{part}.{kind}" for part in parts) for kind in ("weight", "bias"))
    fused = [Each((Transpose(),) * 3), Concat(3, 1), Interleave(3, HEADS, axis=1)]
    yield rule(weight, "blocks.{i}.qkv.weight", fused)
    yield rule(bias, "blocks.{i}.qkv.bias", [Concat(3), Interleave(3, HEADS)])
    yield rule("layer.{i}.dense.weight", "blocks.{i}.out.weight", Transpose())
    yield rule("layer.{i}.dense.bias", "blocks.{i}.out.bias")
    yield rule("pooler.weight", "pool.weight", Transpose())
    yield rule("decoder.bias", ("lm_bias", "lm_bias_again"), Tie(2))

"""What tables of models give beside the weights: multiply-accumulates, and accuracies as their authors publish them.

Two conventions are common. PaddleViT counts convolutions and linear layers; the paper and naver-ai/pit count the two
matrix products of every attention as well. Norms, activations, additions and biases count in neither.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import prod
from typing import NamedTuple, TypeAlias

from porting.architectures.base import Architecture

Positions: TypeAlias = Callable[[str], int]
"""Takes the name of a weight and returns at how many positions it is applied: pixels of a map, or tokens."""


class Macs(NamedTuple):
    """Multiply-accumulates for one image.

    Attributes:
        layers: Of convolutions and linear layers.
        with_attention: Of these and of both matrix products of every attention.
    """

    layers: int
    with_attention: int


class Accuracy(NamedTuple):
    """Accuracy on ImageNet's validation set, as published.

    Attributes:
        top1: Per cent.
        image_size: Pixels of a side.
        source: Who publishes it, and where.
    """

    top1: float
    image_size: int
    source: str


def macs(architecture: Architecture) -> Macs | None:
    """Return the multiply-accumulates of a model at its image size; None for one whose layers are not known here."""
    if architecture.family not in _FAMILIES:
        return None
    positions, attention = _FAMILIES[architecture.family](architecture)
    layers = sum(
        positions(name) * prod(spec.shape)
        for name, spec in architecture.tensors.items()
        if name.endswith(".weight") and len(spec.shape) > 1
    )
    return Macs(layers, layers + attention)


def _halved(size: tuple[int, int]) -> tuple[int, int]:
    """Height and width of a map after a convolution of stride 2 that is padded to keep the rest."""
    return (size[0] + 1) // 2, (size[1] + 1) // 2


def _pit(architecture: Architecture) -> tuple[Positions, int]:
    tensors = architecture.tensors
    heads = tensors["cls_token"].shape[1]
    maps = [(tensors["pos_embed"].shape[2], tensors["pos_embed"].shape[3])]
    stages = 1 + max(int(name.split(".")[1]) for name in tensors if name.startswith("transformers."))
    for _ in range(1, stages):
        maps.append(_halved(maps[-1]))

    def positions(name: str) -> int:
        part, _, rest = name.partition(".")
        stage = int(rest.split(".")[0]) if part in ("transformers", "pools") else 0
        if part == "transformers":
            return prod(maps[stage]) + heads
        if part == "pools":
            return prod(maps[stage + 1]) if ".conv." in name else heads
        return prod(maps[0]) if part == "patch_embed" else 1

    return positions, _attention(architecture, positions)


def _deit(architecture: Architecture) -> tuple[Positions, int]:
    tokens = architecture.tensors["pos_embed"].shape[1]
    special = 2 if "dist_token" in architecture.tensors else 1

    def positions(name: str) -> int:
        if name.startswith("patch_embed."):
            return tokens - special
        return tokens if name.startswith("blocks.") else 1

    return positions, _attention(architecture, positions)


def _attention(architecture: Architecture, positions: Positions) -> int:
    """Queries times keys, and weights times values: each takes tokens x tokens x width, over all heads together."""
    projections = (name for name in architecture.tensors if name.endswith(".attn.proj.weight"))
    return sum(2 * positions(name) ** 2 * architecture.tensors[name].shape[0] for name in projections)


def _regnet(architecture: Architecture) -> tuple[Positions, int]:
    stem = _halved(architecture.image_size)
    maps = [stem]
    for _ in range(4):
        maps.append(_halved(maps[-1]))

    def positions(name: str) -> int:
        if ".se." in name or name.startswith("head."):
            return 1
        if name.startswith("stem."):
            return prod(stem)
        stage, block = name.split(".")[:2]
        number = int(stage[1:])
        before = block == "b1" and ".conv1." in name  # the first block narrows the map in its second convolution
        return prod(maps[number - 1 if before else number])

    return positions, 0


_FAMILIES: Mapping[str, Callable[[Architecture], tuple[Positions, int]]] = {
    "pit": _pit,
    "deit": _deit,
    "regnet": _regnet,
}
_NAVER, _PADDLEVIT = "naver-ai/pit, README", "BR-IDL/PaddleViT, README"


def _of(source: str, *top1: tuple[str, float], image_size: int = 224) -> dict[str, Accuracy]:
    return {name: Accuracy(value, image_size, source) for name, value in top1}


_PUBLISHED: tuple[Mapping[str, Accuracy], ...] = (
    _of(
        _NAVER,
        *(("pit_ti", 73.0), ("pit_xs", 78.1), ("pit_s", 80.9), ("pit_b", 82.0)),
        *(("pit_ti_distilled", 74.6), ("pit_xs_distilled", 79.1), ("pit_s_distilled", 81.9)),
        ("pit_b_distilled", 84.0),
    ),
    _of(
        _PADDLEVIT,
        *(("pit_ti", 72.91), ("pit_xs", 78.18), ("pit_s", 81.08), ("pit_b", 82.44)),
        *(("pit_ti_distilled", 74.54), ("pit_xs_distilled", 79.31), ("pit_s_distilled", 81.99)),
        *(("pit_b_distilled", 84.14), ("deit_tiny_distilled", 74.52), ("deit_small_distilled", 81.17)),
        ("deit_base_distilled", 83.32),
    ),
    _of(_PADDLEVIT, ("deit_base_distilled", 85.43), image_size=384),
    _of("hatimwen/paddle_pit, README", ("pit_ti", 73.01)),
    _of("mindspore-lab/mindcv, configs/pit", ("pit_ti", 73.26)),
)


def accuracies(name: str) -> tuple[Accuracy, ...]:
    """Return the published accuracies of a model by its name, in the order of publication; none for an unknown one."""
    return tuple(table[name] for table in _PUBLISHED if name in table)

"""RegNetY-160 (arXiv 2003.13678), DeiT's distillation teacher: hyper-parameters, canonical names and shapes of timm."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from porting.architectures.base import Architecture, Shape, TensorSpec, affine


class RegnetConfig(NamedTuple):
    """Hyper-parameters of one RegNetY.

    Attributes:
        widths: Channels of each stage.
        depth: Blocks in each stage.
        group_width: Channels of one group of the 3x3 convolutions.
        stem_width: Channels of the stem.
        se_ratio: Width of squeeze-and-excitation over the block's input channels, as a divisor.
        image_size: Height and width of the input, pixels; no tensor depends on it.
        num_classes: Columns of the head; 0 leaves the head out.
        in_channels: Channels of the input.
    """

    widths: tuple[int, ...]
    depth: tuple[int, ...]
    group_width: int
    stem_width: int = 32
    se_ratio: int = 4
    image_size: tuple[int, int] = (224, 224)
    num_classes: int = 1000
    in_channels: int = 3


CONFIGS: Mapping[str, RegnetConfig] = {
    "regnety_160": RegnetConfig(widths=(224, 448, 1232, 3024), depth=(2, 4, 11, 1), group_width=112)
}
"""The teacher, at 224 pixels and 1000 classes."""

_BUFFERS = ("running_mean", "running_var", "num_batches_tracked")


def architecture(name: str, config: RegnetConfig) -> Architecture:
    """Return the canonical tensors of a RegNetY with these hyper-parameters."""
    tensors = {
        key: TensorSpec(shape, "int" if key.endswith("num_batches_tracked") else "float")
        for key, shape in _shapes(config)
    }
    buffers = frozenset(key for key in tensors if key.endswith(_BUFFERS))
    return Architecture("regnet", name, config.image_size, config.num_classes, tensors, buffers)


def recognise(shapes: Mapping[str, Shape]) -> Architecture | None:
    """Return the published model that has these canonical shapes, at any class count, or None."""
    stem = shapes.get("stem.conv.weight", ())
    for name, config in CONFIGS.items():
        last = [f"s{stage}.b{depth}.conv3.conv.weight" for stage, depth in enumerate(config.depth, 1)]
        beyond = [f"s{stage}.b{depth + 1}.conv3.conv.weight" for stage, depth in enumerate(config.depth, 1)]
        widths = tuple(shapes.get(key, (0,))[0] for key in last)
        if len(stem) == 4 and widths == config.widths and not any(key in shapes for key in beyond):
            classes = shapes.get("head.fc.bias", (0,))[0]
            return architecture(name, config._replace(num_classes=classes, in_channels=stem[1]))
    return None


def _shapes(config: RegnetConfig) -> Iterator[tuple[str, Shape]]:
    yield from _conv_norm("stem", (config.stem_width, config.in_channels, 3, 3))
    before = config.stem_width
    for stage, (depth, width) in enumerate(zip(config.depth, config.widths, strict=True), 1):
        for index in range(1, depth + 1):
            yield from _block(f"s{stage}.b{index}", before, width, config)
            before = width
    if config.num_classes:
        yield from affine("head.fc", (config.num_classes, before))


def _block(prefix: str, before: int, width: int, config: RegnetConfig) -> Iterator[tuple[str, Shape]]:
    squeezed = before // config.se_ratio
    yield from _conv_norm(f"{prefix}.conv1", (width, before, 1, 1))
    yield from _conv_norm(f"{prefix}.conv2", (width, config.group_width, 3, 3))
    yield from affine(f"{prefix}.se.fc1", (squeezed, width, 1, 1))
    yield from affine(f"{prefix}.se.fc2", (width, squeezed, 1, 1))
    yield from _conv_norm(f"{prefix}.conv3", (width, width, 1, 1))
    if prefix.endswith(".b1"):
        yield from _conv_norm(f"{prefix}.downsample", (width, before, 1, 1))


def _conv_norm(prefix: str, weight: Shape) -> Iterator[tuple[str, Shape]]:
    yield f"{prefix}.conv.weight", weight
    yield from affine(f"{prefix}.bn", weight[:1])
    yield f"{prefix}.bn.running_mean", weight[:1]
    yield f"{prefix}.bn.running_var", weight[:1]
    yield f"{prefix}.bn.num_batches_tracked", ()

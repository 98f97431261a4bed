"""Pooling-based Vision Transformer (arXiv 2103.16302, naver-ai/pit): hyper-parameters, canonical names and shapes."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from porting.architectures.base import Architecture, Shape, TensorSpec, affine, transformer_block
from porting.errors import ImpossibleModelError


class PitConfig(NamedTuple):
    """Hyper-parameters of one PiT.

    Attributes:
        patch_size: Kernel of the patch embedding, pixels.
        stride: Stride of the patch embedding, pixels.
        base_dims: Width of one attention head in each stage; a stage is `base_dims[i] * heads[i]` wide.
        depth: Blocks in each stage.
        heads: Attention heads in each stage.
        mlp_ratio: Width of the MLP over the width of its stage.
        image_size: Height and width of the input, pixels.
        num_classes: Columns of the head; 0 leaves the head out.
        in_channels: Channels of the input.
        distilled: Two class tokens and a second head.
    """

    patch_size: int
    stride: int
    base_dims: tuple[int, ...]
    depth: tuple[int, ...]
    heads: tuple[int, ...]
    mlp_ratio: int = 4
    image_size: tuple[int, int] = (224, 224)
    num_classes: int = 1000
    in_channels: int = 3
    distilled: bool = False

    @property
    def widths(self) -> tuple[int, ...]:
        """Channels of each stage."""
        return tuple(base * heads for base, heads in zip(self.base_dims, self.heads, strict=True))

    @property
    def grid(self) -> tuple[int, int]:
        """Height and width of the first stage's feature map."""
        height, width = ((pixels - self.patch_size) // self.stride + 1 for pixels in self.image_size)
        return height, width


_PLAIN = {
    "pit_ti": PitConfig(patch_size=16, stride=8, base_dims=(32, 32, 32), depth=(2, 6, 4), heads=(2, 4, 8)),
    "pit_xs": PitConfig(patch_size=16, stride=8, base_dims=(48, 48, 48), depth=(2, 6, 4), heads=(2, 4, 8)),
    "pit_s": PitConfig(patch_size=16, stride=8, base_dims=(48, 48, 48), depth=(2, 6, 4), heads=(3, 6, 12)),
    "pit_b": PitConfig(patch_size=14, stride=7, base_dims=(64, 64, 64), depth=(3, 6, 4), heads=(4, 8, 16)),
    "pit_micro": PitConfig(
        *(8, 4), base_dims=(12, 12, 12), depth=(2, 3, 1), heads=(2, 4, 8), image_size=(32, 32), num_classes=10
    ),
}
CONFIGS: Mapping[str, PitConfig] = _PLAIN | {
    f"{name}_distilled": config._replace(distilled=True) for name, config in _PLAIN.items()
}
"""The eight published variants at 224 pixels and 1000 classes, and the micro one at 32 pixels and 10 classes, which
nobody published: it is small enough to be trained in a minute."""


def architecture(name: str, config: PitConfig) -> Architecture:
    """Return the canonical tensors of a PiT with these hyper-parameters.

    Raises:
        ImpossibleModelError: The image is smaller than a patch.
    """
    if min(config.image_size) < config.patch_size:
        raise ImpossibleModelError(
            f"{name}: image size {config.image_size} is smaller than the patch size {config.patch_size}"
        )
    tensors = {key: TensorSpec(shape) for key, shape in _shapes(config)}
    return Architecture("pit", name, config.image_size, config.num_classes, tensors)


def recognise(shapes: Mapping[str, Shape]) -> Architecture | None:
    """Return the published variant that has these canonical shapes, at any image size and class count, or None.

    Only the tensors that tell the variants apart are compared; the plan refuses names and shapes of no variant, tensor
    by tensor.
    """
    conv, tokens, pos_embed = (shapes.get(key, ()) for key in ("patch_embed.conv.weight", "cls_token", "pos_embed"))
    if (len(conv), len(tokens), len(pos_embed)) != (4, 3, 4):
        return None
    for name, config in CONFIGS.items():
        same_skeleton = _skeleton(shapes) == (config.depth, config.widths)
        if same_skeleton and conv[2] == config.patch_size and config.distilled == (tokens[1] == 2):
            return architecture(
                name,
                config._replace(
                    image_size=(_pixels(config, pos_embed[2]), _pixels(config, pos_embed[3])),
                    num_classes=shapes.get("head.bias", (0,))[0],
                    in_channels=conv[1],
                ),
            )
    return None


def _shapes(config: PitConfig) -> Iterator[tuple[str, Shape]]:
    width = config.widths[0]
    patch = (config.patch_size, config.patch_size)
    yield "pos_embed", (1, width, *config.grid)
    yield "cls_token", (1, 2 if config.distilled else 1, width)
    yield from affine("patch_embed.conv", (width, config.in_channels, *patch))
    for stage, (depth, width) in enumerate(zip(config.depth, config.widths, strict=True)):
        for block in range(depth):
            yield from transformer_block(f"transformers.{stage}.blocks.{block}", width, width * config.mlp_ratio)
    for pool, (narrow, wide) in enumerate(zip(config.widths, config.widths[1:], strict=False)):
        yield from affine(f"pools.{pool}.conv", (wide, 1, 3, 3))
        yield from affine(f"pools.{pool}.fc", (wide, narrow))
    last = config.widths[-1]
    yield from affine("norm", (last,))
    if config.num_classes:
        for head in ("head", "head_dist")[: 2 if config.distilled else 1]:
            yield from affine(head, (config.num_classes, last))


def _skeleton(shapes: Mapping[str, Shape]) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Blocks and width of each stage, read off the first LayerNorm of every block."""
    norms = re.compile(r"transformers\.(\d{1,9})\.blocks\.(\d{1,9})\.norm1\.weight")
    blocks = {
        (int(match[1]), int(match[2])): shape[0]
        for key, shape in shapes.items()
        if (match := norms.fullmatch(key)) and shape
    }
    stages = sorted({stage for stage, _ in blocks})
    depth = tuple(max(block for stage, block in blocks if stage == at) + 1 for at in stages)
    widths = tuple(next(width for (stage, _), width in blocks.items() if stage == at) for at in stages)
    return depth, widths


def _pixels(config: PitConfig, grid: int) -> int:
    """An image side that gives this grid side: several do, and the roundest of them is what people train at."""
    smallest = (grid - 1) * config.stride + config.patch_size
    return next((pixels for pixels in range(smallest, smallest + config.stride) if pixels % 32 == 0), smallest)

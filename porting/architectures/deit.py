"""DeiT (arXiv 2012.12877, facebookresearch/deit = timm): hyper-parameters, canonical names and shapes."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from math import isqrt
from typing import NamedTuple

from porting.architectures.base import Architecture, Shape, TensorSpec, affine, transformer_block
from porting.errors import ImpossibleModelError


class DeitConfig(NamedTuple):
    """Hyper-parameters of one DeiT.

    Attributes:
        width: Channels of every block.
        heads: Attention heads.
        depth: Blocks.
        patch_size: Side of a patch, pixels.
        mlp_ratio: Width of the MLP over `width`.
        image_size: Height and width of the input, pixels.
        num_classes: Columns of the head; 0 leaves the head out.
        in_channels: Channels of the input.
        distilled: A distillation token and a second head.
    """

    width: int
    heads: int
    depth: int = 12
    patch_size: int = 16
    mlp_ratio: int = 4
    image_size: tuple[int, int] = (224, 224)
    num_classes: int = 1000
    in_channels: int = 3
    distilled: bool = False

    @property
    def tokens(self) -> int:
        """Class token, distillation token where there is one, and patches."""
        height, width = self.image_size
        return (2 if self.distilled else 1) + (height // self.patch_size) * (width // self.patch_size)


_PLAIN = {
    "deit_tiny": DeitConfig(width=192, heads=3),
    "deit_small": DeitConfig(width=384, heads=6),
    "deit_base": DeitConfig(width=768, heads=12),
}
CONFIGS: Mapping[str, DeitConfig] = _PLAIN | {
    f"{name}_distilled": config._replace(distilled=True) for name, config in _PLAIN.items()
}
"""The published variants at 224 pixels and 1000 classes; those at 384 differ in the position embedding only."""


def architecture(name: str, config: DeitConfig) -> Architecture:
    """Return the canonical tensors of a DeiT with these hyper-parameters.

    Raises:
        ImpossibleModelError: The image is no multiple of the patch.
    """
    if any(pixels < config.patch_size or pixels % config.patch_size for pixels in config.image_size):
        raise ImpossibleModelError(
            f"{name}: image size {config.image_size} is no multiple of the patch size {config.patch_size}"
        )
    tensors = {key: TensorSpec(shape) for key, shape in _shapes(config)}
    return Architecture("deit", name, config.image_size, config.num_classes, tensors)


def recognise(shapes: Mapping[str, Shape]) -> Architecture | None:
    """Return the published variant of these canonical shapes, at any square image size and class count, or None."""
    patch, pos_embed = shapes.get("patch_embed.proj.weight", ()), shapes.get("pos_embed", ())
    if (len(patch), len(pos_embed)) != (4, 3):
        return None
    distilled = "dist_token" in shapes
    depth = sum(re.fullmatch(r"blocks\.\d+\.norm1\.weight", name) is not None for name in shapes)
    side = isqrt(max(pos_embed[1] - (2 if distilled else 1), 0))
    for name, config in CONFIGS.items():
        if (config.width, config.depth, config.patch_size) == (patch[0], depth, patch[2]) and side:
            if config.distilled != distilled:
                continue
            at_size = config._replace(
                image_size=(side * config.patch_size,) * 2,
                num_classes=shapes.get("head.bias", (0,))[0],
                in_channels=patch[1],
            )
            return architecture(name, at_size)
    return None


def _shapes(config: DeitConfig) -> Iterator[tuple[str, Shape]]:
    width = config.width
    yield "cls_token", (1, 1, width)
    yield "pos_embed", (1, config.tokens, width)
    if config.distilled:
        yield "dist_token", (1, 1, width)
    yield from affine("patch_embed.proj", (width, config.in_channels, config.patch_size, config.patch_size))
    for index in range(config.depth):
        yield from transformer_block(f"blocks.{index}", width, width * config.mlp_ratio)
    yield from affine("norm", (width,))
    if config.num_classes:
        for head in ("head", "head_dist")[: 2 if config.distilled else 1]:
            yield from affine(head, (config.num_classes, width))

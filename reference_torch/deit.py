"""Data-efficient image transformers (arXiv 2012.12877) straight from timm, in timm's key layout, which is DeiT's own.

Added are the common `create` and `forward_intermediates`, and that a distilled model in training returns both heads, as
the recipe needs them.
"""

from __future__ import annotations

from typing import Any

from timm.models.deit import VisionTransformerDistilled
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn

from reference_torch.variants import check_classes, check_patches, config_of, size_of

_PATCH_SIZE = 16
_PLAIN: dict[str, dict[str, Any]] = {
    "deit_tiny": {"embed_dim": 192, "num_heads": 3},
    "deit_small": {"embed_dim": 384, "num_heads": 6},
    "deit_base": {"embed_dim": 768, "num_heads": 12},
}
CONFIGS = _PLAIN | {f"{name}_distilled": config for name, config in _PLAIN.items()}
"""The published variants; those for 384 pixels differ in the position embedding only."""


class _Intermediates(nn.Module):
    """Mixin that returns the logits beside the tokens of every block."""

    def forward_intermediates(self, x: Tensor) -> tuple[Tensor | tuple[Tensor, Tensor], list[Tensor]]:
        """The result of `forward`, and the tokens after every block, `(batch, tokens, width)`, class tokens first.

        timm's method of this name returns no logits, and splits the class tokens off.
        """
        sequences = []
        x = self.norm_pre(self.patch_drop(self._pos_embed(self.patch_embed(x))))
        for block in self.blocks:
            x = block(x)
            sequences.append(x)
        return self.forward_head(self.norm(x)), sequences


class PlainTransformer(_Intermediates, VisionTransformer):
    """timm's vision transformer without distillation."""


class DistilledTransformer(_Intermediates, VisionTransformerDistilled):
    """timm's vision transformer with a distillation token; in training it returns the pair of heads."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.set_distilled_training(True)


def create(
    name: str,
    *,
    image_size: int | tuple[int, int] = 224,
    num_classes: int = 1000,
    in_channels: int = 3,
    drop_rate: float = 0.0,
    attn_drop_rate: float = 0.0,
    drop_path_rate: float = 0.0,
) -> PlainTransformer | DistilledTransformer:
    """A published variant, freshly initialised, in training mode.

    Args:
        name: One of `CONFIGS`.
        image_size: Pixels, square or (height, width), multiples of the patch.
        num_classes: Columns of the head; 0 leaves the head out.
        in_channels: Channels of the input.
        drop_rate: Dropout rate of the embedding and after each projection, as DeiT's recipe has it; timm's `drop_rate`
            of today is another one, before the head.
        attn_drop_rate: Dropout rate of the attention weights.
        drop_path_rate: Drop path rate that the blocks rise to, linearly from 0.

    Raises:
        ValueError: No variant has this name, patches do not fill the image, or the class count is negative.
    """
    config = config_of(name, CONFIGS)
    size = size_of(image_size)
    check_patches(size, _PATCH_SIZE)
    kind = DistilledTransformer if name.endswith("_distilled") else PlainTransformer
    return kind(
        img_size=size,
        patch_size=_PATCH_SIZE,
        num_classes=check_classes(num_classes),
        in_chans=in_channels,
        pos_drop_rate=drop_rate,
        proj_drop_rate=drop_rate,
        attn_drop_rate=attn_drop_rate,
        drop_path_rate=drop_path_rate,
        **config,
    )

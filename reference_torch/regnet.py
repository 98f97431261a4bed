"""RegNetY (arXiv 2003.13678), the teacher of the distilled models, straight from timm, in timm's key layout.

Added are the common `create` and `forward_intermediates`.
"""

from __future__ import annotations

from timm.models import regnet
from torch import Tensor

from reference_torch.variants import check_classes, config_of

CONFIGS = {name: regnet.model_cfgs[name] for name in ("regnety_160", "regnety_002")}
"""The teacher, and the smallest one, for tests; timm's own hyper-parameters."""


class RegNet(regnet.RegNet):
    """timm's RegNet with feature maps."""

    def forward_intermediates(self, x: Tensor) -> tuple[Tensor, list[Tensor]]:
        """The result of `forward`, and the map after every stage, `(batch, width, rows, columns)`.

        timm's method of this name returns no logits.
        """
        x = self.stem(x)
        maps = [x := stage(x) for stage in (self.s1, self.s2, self.s3, self.s4)]
        return self.forward_head(self.final_conv(x)), maps


def create(
    name: str,
    *,
    image_size: int | tuple[int, int] = 224,
    num_classes: int = 1000,
    in_channels: int = 3,
    drop_rate: float = 0.0,
    drop_path_rate: float = 0.0,
) -> RegNet:
    """A published model, freshly initialised, in training mode.

    Args:
        name: One of `CONFIGS`.
        image_size: Pixels; the model takes images of any size, and no tensor depends on it.
        num_classes: Columns of the head; 0 leaves the head out.
        in_channels: Channels of the input.
        drop_rate: Dropout rate before the head.
        drop_path_rate: Drop path rate that the blocks rise to, linearly from 0.

    Raises:
        ValueError: No model has this name, or the class count is negative.
    """
    return RegNet(
        config_of(name, CONFIGS),
        in_chans=in_channels,
        num_classes=check_classes(num_classes),
        drop_rate=drop_rate,
        drop_path_rate=drop_path_rate,
    )

"""Pooling-based Vision Transformer (arXiv 2103.16302) in Paddle, under the names of naver-ai/pit.

It mirrors `reference_torch/pit.py`, so that a diff of the two shows the frameworks' differences only.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import pairwise

import paddle
from paddle import Tensor, nn
from paddle.nn.initializer import TruncatedNormal

from paddle_impl.heads import TokenClassifier
from paddle_impl.layers import Block, Conv2D, Dropout, Linear
from paddle_impl.variants import config_of, size_of

LayerNorm = partial(nn.LayerNorm, epsilon=1e-6)


@dataclass(frozen=True)
class PitConfig:
    """Hyper-parameters of one published PiT.

    Attributes:
        patch_size: Kernel of the patch embedding, pixels.
        stride: Stride of the patch embedding, pixels.
        base_dims: Width of one attention head in each stage; a stage is `base_dims[i] * heads[i]` wide.
        depth: Blocks in each stage.
        heads: Attention heads in each stage.
        mlp_ratio: Width of the MLP over the width of its stage.
        distilled: Two class tokens and a second head.
    """

    patch_size: int
    stride: int
    base_dims: tuple[int, ...]
    depth: tuple[int, ...]
    heads: tuple[int, ...]
    mlp_ratio: int = 4
    distilled: bool = False


_PLAIN = {
    "pit_ti": PitConfig(16, 8, base_dims=(32, 32, 32), depth=(2, 6, 4), heads=(2, 4, 8)),
    "pit_xs": PitConfig(16, 8, base_dims=(48, 48, 48), depth=(2, 6, 4), heads=(2, 4, 8)),
    "pit_s": PitConfig(16, 8, base_dims=(48, 48, 48), depth=(2, 6, 4), heads=(3, 6, 12)),
    "pit_b": PitConfig(14, 7, base_dims=(64, 64, 64), depth=(3, 6, 4), heads=(4, 8, 16)),
    "pit_micro": PitConfig(8, 4, base_dims=(12, 12, 12), depth=(2, 3, 1), heads=(2, 4, 8)),
}
CONFIGS = _PLAIN | {f"{name}_distilled": replace(config, distilled=True) for name, config in _PLAIN.items()}
"""The eight published variants, and the micro one, which is nobody's: for 32 pixels, trained in a minute."""


class ConvEmbedding(nn.Layer):
    """Overlapping patches as a feature map.

    Args:
        in_channels: Channels of the input.
        width: Channels of the map.
        patch_size: Kernel of the convolution, pixels.
        stride: Stride of the convolution, pixels.
    """

    def __init__(self, in_channels: int, width: int, patch_size: int, stride: int) -> None:
        super().__init__()
        self.conv = Conv2D(in_channels, width, kernel_size=patch_size, stride=stride)

    def forward(self, x: Tensor) -> Tensor:
        """Embeds images `(batch, channels, height, width)` as `(batch, width, rows, columns)`."""
        return self.conv(x)


class Pooling(nn.Layer):
    """Halves the map by a strided depthwise convolution and widens map and class tokens.

    Args:
        narrow: Channels of the stage before.
        wide: Channels of the stage after, a multiple of `narrow`.
    """

    def __init__(self, narrow: int, wide: int) -> None:
        super().__init__()
        self.conv = Conv2D(narrow, wide, kernel_size=3, stride=2, padding=1, groups=narrow)
        self.fc = Linear(narrow, wide)

    def forward(self, x: Tensor, cls_tokens: Tensor) -> tuple[Tensor, Tensor]:
        """Takes the map `(batch, narrow, rows, columns)` and the class tokens `(batch, tokens, narrow)`."""
        return self.conv(x), self.fc(cls_tokens)


class Transformer(nn.Layer):
    """One stage: the blocks, run over the class tokens and the cells of the feature map.

    Args:
        width: Channels of the stage.
        heads: Attention heads.
        mlp_ratio: Width of the MLP over the width of the stage.
        drop_rate: Dropout rate after each projection.
        attn_drop_rate: Dropout rate of the attention weights.
        drop_path_rates: Drop path rate of each block; their number is the depth.
    """

    def __init__(
        self,
        width: int,
        heads: int,
        mlp_ratio: float,
        drop_rate: float,
        attn_drop_rate: float,
        drop_path_rates: Sequence[float],
    ) -> None:
        super().__init__()
        self.blocks = nn.Sequential(
            *(
                Block(
                    width,
                    heads,
                    mlp_ratio,
                    proj_drop=drop_rate,
                    attn_drop=attn_drop_rate,
                    drop_path=drop_path_rate,
                    norm_layer=LayerNorm,
                )
                for drop_path_rate in drop_path_rates
            )
        )

    def forward(self, x: Tensor, cls_tokens: Tensor) -> tuple[Tensor, Tensor]:
        """Takes the map `(batch, width, rows, columns)` and the class tokens `(batch, tokens, width)`."""
        batch, width, rows, columns = x.shape
        tokens = cls_tokens.shape[1]
        x = paddle.concat((cls_tokens, x.flatten(2).transpose((0, 2, 1))), axis=1)
        x = self.blocks(x)
        cls_tokens = x[:, :tokens]
        x = x[:, tokens:].transpose((0, 2, 1)).reshape((batch, width, rows, columns))
        return x, cls_tokens


class PoolingTransformer(TokenClassifier):
    """PiT with the parameter names of the official checkpoints.

    A distilled model has two class tokens, a head each: in evaluation it returns the mean of the two heads, in training
    the pair.

    Args:
        config: Hyper-parameters.
        image_size: Height and width of the input, pixels.
        num_classes: Columns of the head; 0 leaves the head out.
        in_channels: Channels of the input.
        drop_rate: Dropout rate of the embedding and after each projection.
        attn_drop_rate: Dropout rate of the attention weights.
        drop_path_rate: Drop path rate that the blocks rise to, linearly from 0: `drop_path_rate * block / blocks`.

    Raises:
        ValueError: The image is smaller than a patch, or the class count is negative.
    """

    def __init__(
        self,
        config: PitConfig,
        image_size: tuple[int, int] = (224, 224),
        num_classes: int = 1000,
        in_channels: int = 3,
        drop_rate: float = 0.0,
        attn_drop_rate: float = 0.0,
        drop_path_rate: float = 0.0,
    ) -> None:
        super().__init__()
        rows, columns = _grid(config, image_size)
        widths = [base * heads for base, heads in zip(config.base_dims, config.heads, strict=True)]
        rates = _drop_path_rates(config, drop_path_rate)
        self.distilled = config.distilled
        self.num_features = widths[-1]
        self.pos_embed = _embedding(1, widths[0], rows, columns)
        self.cls_token = _embedding(1, 2 if config.distilled else 1, widths[0])
        self.patch_embed = ConvEmbedding(in_channels, widths[0], config.patch_size, config.stride)
        self.pos_drop = Dropout(drop_rate)
        self.transformers = nn.LayerList(
            Transformer(width, heads, config.mlp_ratio, drop_rate, attn_drop_rate, drop_path_rates)
            for width, heads, drop_path_rates in zip(widths, config.heads, rates, strict=True)
        )
        self.pools = nn.LayerList(Pooling(*pair) for pair in pairwise(widths))
        self.norm = LayerNorm(widths[-1])
        self.reset_classifier(num_classes)

    def no_weight_decay(self) -> set[str]:
        """Names of the parameters that the published recipe exempts from weight decay, beside biases and norms."""
        return {"pos_embed", "cls_token"}

    def forward_intermediates(self, x: Tensor) -> tuple[Tensor | tuple[Tensor, Tensor], list[Tensor]]:
        """What `forward` returns, and the feature map of every stage, `(batch, width, rows, columns)`."""
        cls_tokens, maps = self._forward_stages(x)
        return self.forward_head(cls_tokens), maps

    def forward_features(self, x: Tensor) -> Tensor:
        """Turns images `(batch, channels, height, width)` into normed class tokens `(batch, tokens, features)`."""
        cls_tokens, _ = self._forward_stages(x)
        return cls_tokens

    def _forward_stages(self, x: Tensor) -> tuple[Tensor, list[Tensor]]:
        x = self.patch_embed(x)
        self._check_grid(x)
        x = self.pos_drop(x + self.pos_embed)
        cls_tokens = self.cls_token.expand((x.shape[0], -1, -1))
        maps = []
        for stage, transformer in enumerate(self.transformers):
            if stage > 0:
                x, cls_tokens = self.pools[stage - 1](x, cls_tokens)
            x, cls_tokens = transformer(x, cls_tokens)
            maps.append(x)
        return self.norm(cls_tokens), maps

    def _check_grid(self, x: Tensor) -> None:
        found, expected = tuple(x.shape[2:]), tuple(self.pos_embed.shape[2:])
        if found != expected:
            raise ValueError(
                f"the image gives a map of {found[0]}x{found[1]} patches, the model was created for one of "
                f"{expected[0]}x{expected[1]}: create it with this image_size"
            )

    def forward(self, x: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        """Turns images `(batch, channels, height, width)` into logits `(batch, classes)`; see the class for a pair.

        Raises:
            ValueError: The image has another number of patches than the model was created for.
        """
        return self.forward_head(self.forward_features(x))


def create(
    name: str,
    *,
    image_size: int | tuple[int, int] = 224,
    num_classes: int = 1000,
    in_channels: int = 3,
    drop_rate: float = 0.0,
    attn_drop_rate: float = 0.0,
    drop_path_rate: float = 0.0,
) -> PoolingTransformer:
    """A variant, freshly initialised, in training mode.

    Args:
        name: One of `CONFIGS`.
        image_size: Pixels, square or (height, width).
        num_classes: Columns of the head; 0 leaves the head out.
        in_channels: Channels of the input.
        drop_rate: Dropout rate of the embedding and after each projection.
        attn_drop_rate: Dropout rate of the attention weights.
        drop_path_rate: Drop path rate that the blocks rise to, linearly from 0.

    Raises:
        ValueError: No variant has this name, the image is smaller than a patch, or the class count is negative.
    """
    return PoolingTransformer(
        config_of(name, CONFIGS),
        size_of(image_size),
        num_classes,
        in_channels,
        drop_rate,
        attn_drop_rate,
        drop_path_rate,
    )


def _embedding(*shape: int) -> Tensor:
    initial = TruncatedNormal(std=0.02)
    return paddle.create_parameter(shape, paddle.get_default_dtype(), default_initializer=initial)


def _grid(config: PitConfig, image_size: tuple[int, int]) -> tuple[int, int]:
    """Rows and columns of the first stage's feature map."""
    if min(image_size) < config.patch_size:
        raise ValueError(f"image size {image_size} is smaller than the patch size {config.patch_size}")
    height, width = image_size
    return (height - config.patch_size) // config.stride + 1, (width - config.patch_size) // config.stride + 1


def _drop_path_rates(config: PitConfig, drop_path_rate: float) -> list[list[float]]:
    """Drop path rate of each block, stage by stage."""
    blocks = sum(config.depth)
    rates = [drop_path_rate * block / blocks for block in range(blocks)]
    starts = [sum(config.depth[:stage]) for stage in range(len(config.depth))]
    return [rates[start : start + depth] for start, depth in zip(starts, config.depth, strict=True)]

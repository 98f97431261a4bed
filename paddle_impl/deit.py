"""Data-efficient image transformers (arXiv 2012.12877) in Paddle, under the names of PaddleViT.

The function and the initial values are those of timm, which `reference_torch/deit.py` builds on.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import ClassVar

import paddle
from paddle import Tensor, nn
from paddle.nn.initializer import Constant, Initializer, Normal, TruncatedNormal

from paddle_impl import layers
from paddle_impl.heads import TokenClassifier
from paddle_impl.layers import Conv2D, Dropout, Renamed, drop_path_rates
from paddle_impl.variants import check_patches, config_of, size_of

LayerNorm = partial(nn.LayerNorm, epsilon=1e-6)


@dataclass(frozen=True)
class DeitConfig:
    """Hyper-parameters of one published DeiT.

    Attributes:
        width: Channels of every block.
        heads: Attention heads.
        depth: Blocks.
        patch_size: Side of a patch, pixels.
        mlp_ratio: Width of the MLP over `width`.
        distilled: True adds a distillation token and a second head.
    """

    width: int
    heads: int
    depth: int = 12
    patch_size: int = 16
    mlp_ratio: int = 4
    distilled: bool = False


_PLAIN = {
    "deit_tiny": DeitConfig(width=192, heads=3),
    "deit_small": DeitConfig(width=384, heads=6),
    "deit_base": DeitConfig(width=768, heads=12),
}
CONFIGS = _PLAIN | {f"{name}_distilled": replace(config, distilled=True) for name, config in _PLAIN.items()}
"""The published variants; those for 384 pixels differ in the position embedding only."""


class PatchEmbedding(nn.Layer):
    """Patches that do not overlap, as tokens.

    Args:
        in_channels: Channels of the input.
        width: Channels of the tokens.
        patch_size: Side of a patch, pixels.
    """

    def __init__(self, in_channels: int, width: int, patch_size: int) -> None:
        super().__init__()
        self.patch_embedding = Conv2D(in_channels, width, kernel_size=patch_size, stride=patch_size)

    def forward(self, x: Tensor) -> Tensor:
        """Embeds images `(batch, channels, height, width)` as a map `(batch, width, rows, columns)`."""
        return self.patch_embedding(x)


class Attention(Renamed, layers.Attention):
    """Multi-head self-attention under the published names."""

    published: ClassVar = {"proj": "out"}


class EncoderLayer(Renamed, layers.Block):
    """A transformer block that norms first."""

    published: ClassVar = {"norm1": "attn_norm", "norm2": "mlp_norm"}


class Encoder(nn.Layer):
    """The blocks, and the norm after them.

    Args:
        config: Hyper-parameters.
        drop_rate: Dropout rate after each projection.
        attn_drop_rate: Dropout rate of the attention weights.
        drop_path_rates: Drop path rate of each block.
    """

    def __init__(
        self, config: DeitConfig, drop_rate: float, attn_drop_rate: float, drop_path_rates: Sequence[float]
    ) -> None:
        super().__init__()
        self.layers = nn.LayerList(
            EncoderLayer(
                config.width,
                config.heads,
                config.mlp_ratio,
                proj_drop=drop_rate,
                attn_drop=attn_drop_rate,
                drop_path=drop_path_rate,
                norm_layer=LayerNorm,
                attn_layer=Attention,
            )
            for drop_path_rate in drop_path_rates
        )
        self.encoder_norm = LayerNorm(config.width)

    def forward(self, x: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Take tokens `(batch, tokens, width)`; return them normed, and the tokens after every block."""
        sequences = []
        for layer in self.layers:
            x = layer(x)
            sequences.append(x)
        return self.encoder_norm(x), sequences


class DistillableTransformer(Renamed, TokenClassifier):
    """DeiT with the parameter names of PaddleViT's checkpoints.

    A distilled model has a class token and a distillation token, a head each: in evaluation it returns the mean of the
    two heads, in training the pair. The arguments after `config`, and the errors, are those of `create`.

    Args:
        config: Hyper-parameters.
    """

    published: ClassVar = {"pos_embed": "position_embedding", "head": "classifier", "head_dist": "classifier_dist"}

    def __init__(
        self,
        config: DeitConfig,
        image_size: tuple[int, int] = (224, 224),
        num_classes: int = 1000,
        in_channels: int = 3,
        drop_rate: float = 0.0,
        attn_drop_rate: float = 0.0,
        drop_path_rate: float = 0.0,
    ) -> None:
        super().__init__()
        rows, columns = check_patches(image_size, config.patch_size)
        self.image_size = image_size
        self.distilled = config.distilled
        self.num_features = width = config.width
        self.patch_embedding = PatchEmbedding(in_channels, width, config.patch_size)
        self.pos_embed = _embedding(TruncatedNormal(std=0.02), (2 if config.distilled else 1) + rows * columns, width)
        self.cls_token = _embedding(Normal(std=1e-6), 1, width)
        if config.distilled:
            self.dist_token = _embedding(TruncatedNormal(std=0.02), 1, width)
        self.pos_drop = Dropout(drop_rate)
        self.encoder = Encoder(config, drop_rate, attn_drop_rate, drop_path_rates(drop_path_rate, config.depth))
        self.reset_classifier(num_classes)
        _initialise(self)

    def no_weight_decay(self) -> set[str]:
        """Names of the parameters that the published recipe exempts from weight decay, beside biases and norms."""
        return {"position_embedding", "cls_token"} | ({"dist_token"} if self.distilled else set())

    def forward_intermediates(self, x: Tensor) -> tuple[Tensor | tuple[Tensor, Tensor], list[Tensor]]:
        """The result of `forward`, and the tokens after every block, `(batch, tokens, width)`, class tokens first."""
        tokens, sequences = self._forward_blocks(x)
        return self.forward_head(tokens), sequences

    def forward_features(self, x: Tensor) -> Tensor:
        """Turns images `(batch, channels, height, width)` into normed tokens `(batch, tokens, features)`."""
        tokens, _ = self._forward_blocks(x)
        return tokens

    def _forward_blocks(self, x: Tensor) -> tuple[Tensor, list[Tensor]]:
        self._check_size(x)
        x = self.patch_embedding(x).flatten(2).transpose((0, 2, 1))
        tokens = (self.cls_token, self.dist_token) if self.distilled else (self.cls_token,)
        x = paddle.concat((*(token.expand((x.shape[0], -1, -1)) for token in tokens), x), axis=1)
        return self.encoder(self.pos_drop(x + self.pos_embed))

    def _check_size(self, x: Tensor) -> None:
        height, width = x.shape[2:]
        if (height, width) != self.image_size:
            raise ValueError(
                f"the image is {height}x{width} pixels, the model was created for "
                f"{self.image_size[0]}x{self.image_size[1]}: create it with this image_size"
            )

    def forward(self, x: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        """Turns images `(batch, channels, height, width)` into logits `(batch, classes)`; see the class for a pair.

        Raises:
            ValueError: The image has another size than the model was created for.
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
) -> DistillableTransformer:
    """A published variant, freshly initialised, in training mode.

    Args:
        name: One of `CONFIGS`.
        image_size: Pixels, square or (height, width), multiples of the patch.
        num_classes: Columns of the head; 0 leaves the head out.
        in_channels: Channels of the input.
        drop_rate: Dropout rate of the embedding and after each projection.
        attn_drop_rate: Dropout rate of the attention weights.
        drop_path_rate: Drop path rate that the blocks rise to, linearly from 0.

    Raises:
        ValueError: No variant has this name, patches do not fill the image, or the class count is negative.
    """
    return DistillableTransformer(
        config_of(name, CONFIGS),
        size_of(image_size),
        num_classes,
        in_channels,
        drop_rate,
        attn_drop_rate,
        drop_path_rate,
    )


def _embedding(initial: Initializer, tokens: int, width: int) -> Tensor:
    return paddle.create_parameter((1, tokens, width), paddle.get_default_dtype(), default_initializer=initial)


def _initialise(model: nn.Layer) -> None:
    """Set every Linear to the initial values of timm's vision transformer; the convolution keeps torch's default."""
    for layer in model.sublayers():
        if isinstance(layer, nn.Linear):
            TruncatedNormal(std=0.02)(layer.weight)
            Constant(0.0)(layer.bias)

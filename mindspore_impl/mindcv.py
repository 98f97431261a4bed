"""MindCV's models: what makes them, and lets their stages be seen.

MindCV's PiT approximates GELU by tanh, which the published weights were not trained with, and draws initial values from
other distributions than the reference. The builder mends both unless it is asked for the model as it is shipped.
"""

from __future__ import annotations

import math
import warnings
from types import MethodType
from typing import Any

from mindspore import Parameter, Tensor, nn, ops
from mindspore.common.initializer import Uniform, initializer

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # MindCV warns of optional packages that it does without
    from mindcv import create_model
    from mindcv.models.pit import PoolingTransformer

__all__ = ["PoolingTransformer", "create"]

_NAMES = {"regnety_160": "regnet_y_16gf"}
_SIZE = (224, 224)
_MICRO: dict[str, Any] = {
    "image_size": 32,
    "patch_size": 8,
    "stride": 4,
    "mlp_ratio": 4.0,
    "base_dims": [12, 12, 12],
    "depth": [2, 3, 1],
    "heads": [2, 4, 8],
}
"""MindCV's class with the numbers of pit_micro, which nobody published."""


def create(
    name: str,
    *,
    image_size: tuple[int, int] = _SIZE,
    num_classes: int = 1000,
    exact_gelu: bool = True,
    reference_init: bool = True,
    **rates: float,
) -> nn.Cell:
    """A model of MindCV's, freshly initialised.

    Args:
        name: `pit_ti`, `pit_xs`, `pit_s`, `pit_b`, `regnety_160`, or `pit_micro`, which is MindCV's class too.
        image_size: Height and width, pixels. MindCV builds PiT for 224; the position embedding is changed for others.
        num_classes: Columns of the head.
        exact_gelu: Use GELU by the error function, as the published weights do.
        reference_init: Draw the initial values of a PiT's linears and convolutions as the reference, torch's defaults.
            MindCV takes a linear's outputs for its inputs there, and all channels for those of a group.
        rates: `drop_rate`, `attn_drop_rate` and `drop_path_rate` of a PiT, 0 by default.
    """
    if name == "pit_micro":
        model = PoolingTransformer(**_MICRO, num_classes=num_classes, **rates)
        base = _MICRO["image_size"]
    else:
        model = create_model(_NAMES.get(name, name), num_classes=num_classes, **rates)
        base = _SIZE[0]
    if name.startswith("pit"):
        if reference_init:
            _draw_as_reference(model)
        _resize(model, image_size, base)
        model.forward_intermediates = MethodType(_pit_intermediates, model)
    else:
        model.forward_intermediates = MethodType(_regnet_intermediates, model)
    if exact_gelu:
        _use_exact_gelu(model)
    return model


def _resize(model: nn.Cell, image_size: tuple[int, int], base: int) -> None:
    """Give a PiT that was built for a square of side `base` the position embedding of another image size."""
    if tuple(image_size) == (base, base):
        return
    _, width, rows, _ = model.pos_embed.shape
    patch = model.patch_size
    stride = (base - patch) // (rows - 1)
    grid = [(pixels - patch) // stride + 1 for pixels in image_size]
    model.pos_embed = Parameter(ops.zeros((1, width, *grid), model.pos_embed.dtype), name="pos_embed")


def _draw_as_reference(model: nn.Cell) -> None:
    """Draw weights and biases uniformly within one over the root of the inputs of an output."""
    for _, cell in model.cells_and_names():
        if isinstance(cell, nn.Dense | nn.Conv2d):
            bound = 1 / math.sqrt(math.prod(cell.weight.shape[1:]))
            for parameter in (cell.weight, cell.bias):
                parameter.set_data(initializer(Uniform(bound), parameter.shape, parameter.dtype))


def _use_exact_gelu(model: nn.Cell) -> None:
    for _, cell in model.cells_and_names():
        if isinstance(getattr(cell, "act", None), nn.GELU):
            cell.act = nn.GELU(approximate=False)


def _pit_intermediates(model: Any, x: Tensor) -> tuple[Tensor, list[Tensor]]:
    """Logits, and the feature map of every stage, `(batch, width, rows, columns)`."""
    x = model.pos_drop(model.patch_embed(x) + model.pos_embed)
    cls_tokens = ops.tile(model.cls_token, (x.shape[0], 1, 1))
    maps = []
    for stage, transformer in enumerate(model.transformers):
        if stage > 0:
            x, cls_tokens = model.pools[stage - 1](x, cls_tokens)
        x, cls_tokens = transformer(x, cls_tokens)
        maps.append(x)
    return model.forward_head(model.norm(cls_tokens)), maps


def _regnet_intermediates(model: Any, x: Tensor) -> tuple[Tensor, list[Tensor]]:
    """Logits, and the feature map of every stage, `(batch, width, rows, columns)`."""
    x = model.stem(x)
    maps = [x := stage(x) for stage in model.stages]
    return model.forward_head(x), maps

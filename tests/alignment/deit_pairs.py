"""A small-image DeiT, right and with the mistakes that ports make: loaded by the workers."""

from dataclasses import replace
from functools import partial
from typing import Any

from alignment.pair import Pair, published

RIGHT = published.build("deit_tiny_distilled", image_size=32, num_classes=10)


def create(**options: Any) -> Any:
    from paddle_impl import deit

    return deit.create(**options)


def with_tanh_gelu(**options: Any) -> Any:
    import paddle.nn.functional as functional

    model = create(**options)
    model.encoder.layers[5].mlp.act.forward = partial(functional.gelu, approximate=True)
    return model


def with_square_projection(**options: Any) -> Any:
    """A square projection that is applied as it is stored in torch."""
    import paddle

    model = create(**options)
    projection = model.encoder.layers[2].attn.proj
    projection.forward = lambda x: paddle.matmul(x, projection.weight, transpose_y=True) + projection.bias
    return model


def with_lost_bias(**options: Any) -> Any:
    import paddle

    model = create(**options)
    linear = model.encoder.layers[7].mlp.fc2
    linear.forward = lambda x: paddle.matmul(x, linear.weight)
    return model


def _wrong(builder: str) -> Pair:
    candidate = replace(RIGHT.candidate, build=f"deit_pairs.py:{builder}", options=dict(RIGHT.candidate.options))
    return replace(RIGHT, candidate=candidate)


GELU = _wrong("with_tanh_gelu")
PROJECTION = _wrong("with_square_projection")
BIAS = _wrong("with_lost_bias")

"""A candidate whose products cut their operands, as TensorFloat-32 and bfloat16 do: loaded by the workers."""

from dataclasses import replace
from typing import Any

from alignment.pair import Pair, published

RIGHT = published.build("pit_micro")


def with_cut_operands(dropped: int, **options: Any) -> Any:
    """A PiT that drops bits of the operands of every Linear and convolution in float32, as a tensor core does."""
    import paddle
    from paddle import nn
    from paddle.nn import functional

    from paddle_impl import pit

    class Cut(paddle.autograd.PyLayer):
        @staticmethod
        def forward(_: Any, x: Any) -> Any:
            if x.dtype != paddle.float32:
                return x.clone()
            return ((x.view("int32") + (1 << dropped - 1)) // (1 << dropped) * (1 << dropped)).view("float32")

        @staticmethod
        def backward(_: Any, gradient: Any) -> Any:
            return gradient

    def linear(layer: Any) -> Any:
        return lambda x: functional.linear(Cut.apply(x), Cut.apply(layer.weight), layer.bias)

    def convolution(layer: Any) -> Any:
        geometry = layer._stride, layer._padding, layer._dilation, layer._groups
        return lambda x: functional.conv2d(Cut.apply(x), Cut.apply(layer.weight), layer.bias, *geometry)

    model = pit.create(**options)
    for layer in model.sublayers():
        if isinstance(layer, nn.Linear | nn.Conv2D):
            layer.forward = (linear if isinstance(layer, nn.Linear) else convolution)(layer)
    return model


def _cut(dropped: int) -> Pair:
    options = {**RIGHT.candidate.options, "dropped": dropped}
    return replace(RIGHT, candidate=replace(RIGHT.candidate, build="cut_pairs.py:with_cut_operands", options=options))


TENSOR_FLOAT = _cut(13)
BFLOAT = _cut(16)

"""One update as MindSpore cells, which run op by op or are compiled to graphs, as the process's mode says."""

from __future__ import annotations

from typing import Any

from mindcv.loss import CrossEntropySmooth
from mindspore import ParameterTuple, Tensor, nn, ops
from mindspore import dtype as mstype

_unscaled = ops.MultitypeFuncGraph("unscaled")
_squared = ops.MultitypeFuncGraph("squared")
_times = ops.MultitypeFuncGraph("times")
_moved = ops.MultitypeFuncGraph("moved")
_map = ops.HyperMap()


@_unscaled.register("Tensor", "Tensor")
def _(scale: Tensor, gradient: Tensor) -> Tensor:
    return ops.cast(gradient, mstype.float32) / scale


@_squared.register("Tensor")
def _(gradient: Tensor) -> Tensor:
    return ops.reduce_sum(ops.square(gradient))


@_times.register("Tensor", "Tensor")
def _(share: Tensor, gradient: Tensor) -> Tensor:
    return gradient * share


@_moved.register("Tensor", "Tensor", "Tensor")
def _(decay: Tensor, mean: Tensor, weight: Tensor) -> Tensor:
    return ops.assign(mean, mean * decay + weight * (1 - decay))


def norm_of(gradients: tuple[Any, ...]) -> Tensor:
    """The norm of all gradients together, shape `()`; it is not finite where a gradient is not."""
    return ops.sqrt(ops.addn(_map(_squared, gradients)))


class PitForward(nn.Cell):
    """MindCV's PiT in training, with the factors of its drop paths as an input.

    MindCV's own drop path layers draw from MindSpore's generator, whose numbers no other framework has.

    Args:
        model: MindCV's `PoolingTransformer`.
    """

    def __init__(self, model: Any) -> None:
        super().__init__(auto_prefix=False)
        self.model = model
        self.stages = len(model.transformers)

    def construct(self, x: Tensor, factors: Tensor) -> Tensor:
        """Turn images `(batch, 3, height, width)` and factors `(2 * blocks, batch, 1, 1)` into logits."""
        model = self.model
        x = model.pos_drop(model.patch_embed(x) + model.pos_embed)
        cls_tokens = ops.tile(model.cls_token, (x.shape[0], 1, 1))
        at = 0
        for stage in range(self.stages):
            if stage > 0:
                x, cls_tokens = model.pools[stage - 1](x, cls_tokens)
            batch, width, rows, columns = x.shape
            cells = ops.transpose(ops.reshape(x, (batch, width, rows * columns)), (0, 2, 1))
            tokens = ops.concat((cls_tokens, cells), 1)
            for block in model.transformers[stage].blocks:
                tokens = tokens + block.attn(block.norm1(tokens)) * factors[at]
                tokens = tokens + block.mlp(block.norm2(tokens)) * factors[at + 1]
                at += 2
            cls_tokens = tokens[:, :1]
            x = ops.reshape(ops.transpose(tokens[:, 1:], (0, 2, 1)), (batch, width, rows, columns))
        return model.forward_head(model.norm(cls_tokens))


class PlainForward(nn.Cell):
    """A model without drop paths in training; the factors are not used."""

    def __init__(self, model: nn.Cell) -> None:
        super().__init__(auto_prefix=False)
        self.model = model

    def construct(self, x: Tensor, factors: Tensor) -> Tensor:
        """Turn images `(batch, 3, height, width)` into logits."""
        return self.model(x)


class Loss(nn.Cell):
    """The scaled loss of a micro-batch: MindCV's cross entropy of logits in float32.

    Args:
        forward: Turns images and factors into logits.
        smoothing: Smoothing of labels; 0 for shares of classes, which are smoothed already.
    """

    def __init__(self, forward: nn.Cell, smoothing: float) -> None:
        super().__init__(auto_prefix=False)
        self.forward = forward
        self.criterion = CrossEntropySmooth(smoothing)

    def construct(self, images: Tensor, targets: Tensor, factors: Tensor, scale: Tensor) -> Tensor:
        """The mean loss times the scale, shape `()`."""
        logits = ops.cast(self.forward(images, factors), mstype.float32)
        return self.criterion(logits, targets) * scale


class Gradients(nn.Cell):
    """Loss, gradients and their norm of a micro-batch, with the scale taken out again.

    Args:
        loss: The scaled loss.
        weights: The parameters that are trained.
    """

    def __init__(self, loss: Loss, weights: ParameterTuple) -> None:
        super().__init__(auto_prefix=False)
        self.loss_of, self.weights = loss, weights
        self.both = ops.value_and_grad(self.loss_of, None, weights)

    def construct(self, images: Tensor, targets: Tensor, factors: Tensor, scale: Tensor) -> tuple[Any, ...]:
        """Loss and norm of shape `()`, and a gradient for each weight, float32."""
        loss, scaled = self.both(images, targets, factors, scale)
        gradients = _map(ops.partial(_unscaled, scale), scaled)
        return loss / scale, norm_of(gradients), gradients


class Mean(nn.Cell):
    """The mean of several sets of gradients, and its norm."""

    def __init__(self, sets: int) -> None:
        super().__init__(auto_prefix=False)
        self.sets = sets

    def construct(self, *gradients: Tensor) -> tuple[Any, ...]:
        """Take the sets one after another: graphs take tuples of tensors for constants."""
        count = len(gradients) // self.sets
        means = ()  # type: tuple[Any, ...]  # MindSpore compiles no annotated assignment
        for at in range(count):
            total = gradients[at]
            for more in range(1, self.sets):
                total = total + gradients[at + more * count]
            means = (*means, total / self.sets)
        return norm_of(means), means


class Apply(nn.Cell):
    """A step of the optimizer with gradients times a share, then one of the moving average.

    Args:
        optimizer: MindCV's AdamW.
        weights: All parameters of the model, running statistics included.
        average: The parameters of the average, in the same order; None where there is none.
    """

    def __init__(self, optimizer: nn.Cell, weights: ParameterTuple, average: ParameterTuple | None) -> None:
        super().__init__(auto_prefix=False)
        self.optimizer, self.weights, self.average = optimizer, weights, average
        self.averages = average is not None

    def construct(self, share: Tensor, decay: Tensor, *gradients: Tensor) -> Tensor:
        """Update the parameters in place."""
        done = self.optimizer(_map(ops.partial(_times, share), gradients))
        if self.averages:
            done = ops.depend(_map(ops.partial(_moved, decay), self.average, self.weights), done)
        return ops.depend(share, done)

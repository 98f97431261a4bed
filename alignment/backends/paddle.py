"""PaddlePaddle behind `Backend`."""

from __future__ import annotations

import os
import platform
from collections.abc import Callable, Iterator, Mapping, MutableMapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

import ml_dtypes
import numpy as np
import paddle
import paddle.nn.functional as F
from paddle import Tensor, nn
from paddle.nn.layer.norm import _BatchNormBase
from paddle.nn.layer.rnn import RNNBase

from alignment.arrays import HALVES, Array, Batch, is_floating
from alignment.backends.base import FILLED, AdamW, Description, Outputs, Runtime
from alignment.backends.checks import draws_at_random, widen
from alignment.backends.common import FunctionModel, ModelBackend, named
from alignment.backends.functions.calls import Functions
from alignment.backends.graph import OperationGraph, walk
from alignment.backends.hooks import HookedTaps, Primitives
from alignment.backends.measured_rates import ways
from alignment.backends.randomness import Silence
from alignment.errors import AlignmentError
from alignment.recordings.kernels import Kernel

_SMOOTHING = 0.1


def _log_softmax(logits: Tensor) -> Tensor:
    """The logarithm of softmax over the last axis; Paddle's own on the CPU is never below -64."""
    return logits - paddle.logsumexp(logits, -1, keepdim=True)


def _soft_target(logits: Tensor, target: Tensor) -> Tensor:
    return -(target * _log_softmax(logits)).sum(-1).mean()


def _cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    return -paddle.take_along_axis(_log_softmax(logits), labels.unsqueeze(-1), -1).mean()


def _label_smoothing(logits: Tensor, labels: Tensor) -> Tensor:
    """Cross entropy with smoothed labels, in the precision of the logits.

    Paddle 3.3's own `label_smoothing` argument smooths in float32 whatever the precision: 4e-8 off in float64.
    """
    classes = logits.shape[-1]
    target = F.one_hot(labels, classes).astype(logits.dtype)
    return _soft_target(logits, target * (1 - _SMOOTHING) + _SMOOTHING / classes)


def _projection(outputs: Tensor, target: Tensor) -> Tensor:
    """The weighted sum of all outputs but those that a mask has filled in, with infinities or nearly so."""
    return (paddle.where(outputs.abs() < FILLED, outputs, paddle.zeros_like(outputs)) * target).sum()


_LOSSES: Mapping[str, Callable[[Tensor, Tensor], Tensor]] = {
    "cross_entropy": _cross_entropy,
    "label_smoothing": _label_smoothing,
    "soft_target": _soft_target,
    "projection": _projection,
}


class _Function(FunctionModel, nn.Layer):
    """A plain function of Paddle tensors as a model."""


class PaddleBackend(ModelBackend):
    """A Paddle model, with the process set up as the runtime says; see `alignment.backends.base.Backend`.

    Args:
        runtime: Device, threads and determinism; they hold for the whole process. Paddle reads its threads and the
            switches of its GPU libraries from the environment when it is imported; `Settings.environment` sets them.

    Raises:
        AlignmentError: A GPU is asked for and Paddle sees none.
    """

    title, model_type, tensor_type, losses = "Paddle", nn.Layer, Tensor, _LOSSES

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._dtype = "float32"
        self._model: nn.Layer = nn.Identity()
        self._silence = Silence()
        self._handles: list[Any] = []
        paddle.set_device(_device(runtime.device))
        if runtime.device == "cpu":  # where Paddle has no kernel for it; over one process it is the usual batch norm
            nn.SyncBatchNorm.forward = _norm_over_one_process
        paddle.seed(runtime.seed)
        if runtime.threads is not None:
            paddle.set_flags({"FLAGS_paddle_num_threads": runtime.threads})

    def ways_of_dropping(self) -> frozenset[str]:
        """See `alignment.backends.base.Backend`."""

        def call(layer: Any, ones: Array) -> Array:
            return self._array(layer(self._tensor(ones)))

        state = paddle.get_rng_state()
        try:
            with paddle.no_grad():
                return super().ways_of_dropping() | ways(self._model, call, "paddle", self._silence.wide)
        finally:
            paddle.set_rng_state(state)

    def functions(self) -> Functions:
        """The functions of Paddle, its tensors' methods and operators."""
        from alignment.backends.functions.paddle import PaddleFunctions

        return PaddleFunctions(self._model, self._array)

    def exact(self, peer: str) -> AbstractContextManager[Mapping[str, Kernel]]:
        """Exact versions of pooling, norms, activations and resizing; see `alignment.backends.stand_ins.paddle`."""
        from alignment.backends.stand_ins.paddle import exact

        return exact()

    def _lifting(self, used: MutableMapping[str, Kernel]) -> AbstractContextManager[None]:
        """Compute in float64 what the model casts to float32; see `alignment.backends.stand_ins.paddle_casts`."""
        from alignment.backends.stand_ins.paddle_casts import lifted

        return lifted(used)

    def describe(self) -> Description:
        """Versions, settings and threads in use."""
        versions = {"paddle": paddle.__version__, "numpy": np.__version__, "python": platform.python_version()}
        if self._runtime.device == "gpu":
            versions["cuda"] = str(paddle.version.cuda())
            versions["cudnn"] = str(paddle.version.cudnn())
            versions["device"] = paddle.device.cuda.get_device_name()
        flags = {
            "tf32": os.environ.get("NVIDIA_TF32_OVERRIDE") != "0",
            "deterministic": os.environ.get("FLAGS_cudnn_deterministic") == "1",  # noqa: SIM112 - Paddle's own spelling
        }
        return Description(versions, flags, paddle.get_flags("FLAGS_paddle_num_threads")["FLAGS_paddle_num_threads"])

    def build(self, builder: Callable[..., Any], options: Mapping[str, Any]) -> None:
        """Make the model, put it on the device and in evaluation mode."""
        self._model = self._built(builder, options)
        self.train(False)

    def wrap(self, function: Callable[..., Any], options: Mapping[str, Any]) -> None:
        """Take a plain function of tensors for the model."""
        self._model = _Function(function, options)
        self._model.eval()

    def load(self, path: Path) -> None:
        """Read a `.pdparams` with Paddle's own loader, strictly.

        `paddle.load` executes what a pickle says: only files that the toolkit wrote may come here.
        """
        arrays = paddle.load(str(path), return_numpy=True)
        self._check(path, arrays)
        self._model.set_state_dict(widen(arrays, self._dtype))

    def use(self, dtype: str) -> None:
        """Convert the model to a precision, and in float32 and float64 what it creates while it runs.

        In half precision the scales, shifts and statistics of batch norms are float32: Paddle's kernels take no others.
        """
        self._dtype = dtype
        paddle.set_default_dtype("float32" if dtype in HALVES else dtype)
        with _left_alone(self._model):
            self._model.to(dtype=dtype)
        for layer in self._model.sublayers(include_self=True) if dtype in HALVES else ():
            if isinstance(layer, _BatchNormBase):
                layer.to(dtype="float32")

    def set_state(self, arrays: Mapping[str, Array]) -> None:
        """Overwrite tensors of the state dict, converting floating-point values to the dtype in use."""
        own = self._model.state_dict()
        half = self._dtype in HALVES
        for name, array in (arrays if half else widen(arrays, self._dtype)).items():
            own[name].set_value(self._tensor(array).astype(own[name].dtype) if half else np.asarray(array))

    def buffers(self) -> frozenset[str]:
        """Names in the state dict that are no parameters."""
        parameters = {id(parameter) for parameter in self._model.parameters()}
        return frozenset(name for name, tensor in self._model.state_dict().items() if id(tensor) not in parameters)

    def train(self, training: bool, *, scaled: bool = False) -> None:
        """Put the model in training mode, or back in evaluation mode."""
        self._silence.end()
        while self._handles:
            self._handles.pop().remove()
        _give_rates_back(self._model)
        self._model.train() if training else self._handles.extend(_evaluate(self._model))
        if training:
            self._silence.begin(self._model.sublayers(include_self=True), "paddle", scales=scaled)
        for layer in self._model.sublayers():
            if not layer.sublayers() and draws_at_random(layer):
                layer.eval()

    @paddle.no_grad()
    def forward(self, images: Batch, intermediates: str | None) -> Outputs:
        """Run the model without gradients."""
        return super().forward(images, intermediates)

    def accuracy(self, scores: Array, labels: Array, k: int) -> float:
        """Fraction of rows whose label is among the `k` best scores, by `paddle.metric.accuracy`."""
        return float(paddle.metric.accuracy(paddle.to_tensor(scores), paddle.to_tensor(labels[:, None]), k=k))

    def top_classes(self, scores: Array, k: int) -> Array:
        """Classes of the `k` best scores, best first, int64 `(batch, k)`."""
        return self._array(paddle.topk(paddle.to_tensor(scores), k, axis=1)[1])

    def backward(self, images: Batch, target: Batch, loss: str = "soft_target") -> Array:
        """Run the model and the gradient of a loss; returns the loss, shape `()`."""
        return self.differentiate(images, lambda given: self._loss_of(given, target, loss))

    def differentiate(self, images: Batch, criterion: Callable[[Any], Tensor]) -> Array:
        """Run the model and the gradient of a function of what it returns; gives the function's value."""
        self._clear()
        arrays = named(images)
        self._inputs = {name: self._input(array) for name, array in arrays.items()}
        value = criterion(self._called(self._model, arrays, _copied(self._inputs)))
        if not value.stop_gradient:
            value.backward()
        return self._array(value)

    def _criterion(self, loss: str) -> Callable[[Any, Any], Any]:
        # By its name, so that the self-test can replace the criterion of training alone.
        return _soft_target if loss == "soft_target" else _LOSSES[loss]

    def graph(self, images: Batch) -> OperationGraph:
        """The operations of a pass, as Paddle recorded them for the backward pass; every parameter takes part."""
        frozen = [parameter for parameter in self._model.parameters() if parameter.stop_gradient]
        arrays = named(images)
        inputs = {name: self._input(array) for name, array in arrays.items()}
        try:
            for parameter in frozen:
                parameter.stop_gradient = False
            outputs, _ = self._outputs(self._called(self._model, arrays, _copied(inputs)))
            tensors, leaves = _accumulations(self._tensors()), _accumulations(inputs)
            return walk(
                [output.grad_fn for output in outputs.values() if output.grad_fn is not None],
                key=lambda node: node.node_ptr(),
                operands=lambda node: node.next_functions,
                tensor=lambda node: tensors.get(node.node_ptr()),
                model_input=lambda node: leaves.get(node.node_ptr()),
                kind=lambda node: str(node.name()),
            )
        finally:
            for parameter in frozen:
                parameter.stop_gradient = True

    def taps(self) -> HookedTaps:
        """The modules of the model that was built."""
        names = tuple(self._model.state_dict())
        return HookedTaps(
            Primitives(
                modules=list(self._model.named_sublayers(include_self=True)),
                common=frozenset(vars(nn.Layer())),
                package="paddle",
                state_names=lambda path, _: tuple(name for name in names if name.rpartition(".")[0] == path),
                before=lambda layer, hook: layer.register_forward_pre_hook(hook, with_kwargs=True),
                after=lambda layer, hook: layer.register_forward_post_hook(hook),
                is_tensor=self._is_tensor,
                is_float=self._is_float,
                array=self._array,
                tensor=lambda array, wanted: paddle.to_tensor(array, stop_gradient=not wanted),
                alias=lambda tensor: tensor.clone(),
                version=lambda tensor: tensor.inplace_version,
                write=lambda tensor, array: tensor.detach().set_value(array),
                on_gradient=lambda tensor, visit: None if tensor.stop_gradient else tensor.register_hook(visit),
                backward=lambda tensors, gradients: paddle.autograd.backward(list(tensors), list(gradients)),
                gradient=lambda tensor: None if tensor.grad is None else self._array(tensor.grad),
                clear=self._clear,
                detach=lambda tensor: tensor.detach(),
            )
        )

    def _clear(self) -> None:
        for parameter in self._model.parameters():
            parameter.clear_gradient(False)

    def start_optimizer(self, recipe: AdamW) -> None:
        """A fresh optimiser over all parameters."""
        self._optimizer = paddle.optimizer.AdamW(
            learning_rate=recipe.learning_rate,
            beta1=recipe.betas[0],
            beta2=recipe.betas[1],
            epsilon=recipe.epsilon,
            parameters=self._model.parameters(),
            weight_decay=recipe.weight_decay,
        )

    def _input(self, array: Array) -> Tensor:
        """A tensor at which gradients arrive, where it is floating-point."""
        tensor = self._tensor(array)
        tensor.stop_gradient = not is_floating(array)
        return tensor

    def _tensor(self, array: Array) -> Tensor:
        if array.dtype == ml_dtypes.bfloat16:  # Paddle takes none of NumPy's
            return paddle.to_tensor(array.astype(np.float32)).astype("bfloat16")
        return paddle.to_tensor(array)

    def _array(self, tensor: Tensor) -> Array:
        values = tensor.detach().numpy().copy()
        return values.view(ml_dtypes.bfloat16) if tensor.dtype == paddle.bfloat16 else values

    def _is_frozen(self, tensor: Tensor) -> bool:
        return bool(tensor.stop_gradient)

    def _gradient(self, tensor: Tensor) -> Array:
        return self._array(paddle.zeros_like(tensor) if tensor.grad is None else tensor.grad)


create = PaddleBackend


def _copied(inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Inputs through which gradients flow back to the given ones, and which a model may change in place."""
    return {name: tensor.clone() for name, tensor in inputs.items()}


def _accumulations(tensors: Mapping[str, Tensor]) -> dict[int, str]:
    """The nodes at which gradients of tensors that nothing has made arrive, to the first name of each tensor."""
    nodes = [(name, tensor.grad_fn) for name, tensor in reversed([*tensors.items()]) if not tensor.stop_gradient]
    return {node.node_ptr(): name for name, node in nodes if node is not None}


def _evaluate(model: nn.Layer) -> Iterator[Any]:
    """Put a model in evaluation mode, its recurrent layers in training mode without dropout: that is the same function.

    In evaluation mode Paddle's recurrent kernels keep nothing for the backward pass, which then fails.

    Yields:
        Handles of the hooks that keep the rate of a dropout from a layer's calls; it stays an attribute.
    """
    model.eval()
    for layer in model.sublayers(include_self=True):
        if isinstance(layer, RNNBase):
            layer.training = True
            if layer.dropout:
                yield layer.register_forward_pre_hook(_begin_without_dropout)
                yield layer.register_forward_post_hook(_end_without_dropout)


def _norm_over_one_process(layer: nn.SyncBatchNorm, x: Tensor) -> Tensor:
    """A batch norm whose processes exchange their means, where there is one."""
    return F.batch_norm(
        x,
        *(layer._mean, layer._variance, layer.weight, layer.bias),
        training=layer.training,
        momentum=layer._momentum,
        epsilon=layer._epsilon,
        data_format=layer._data_format,
    )


_RATES: WeakKeyDictionary[nn.Layer, float] = WeakKeyDictionary()
"""Rate of each recurrent layer that is being called in evaluation mode."""


def _begin_without_dropout(layer: nn.Layer, inputs: Any) -> None:
    _RATES.setdefault(layer, layer.dropout)  # a call that failed has left it
    layer.dropout = 0.0


def _end_without_dropout(layer: nn.Layer, inputs: Any, outputs: Any) -> None:
    layer.dropout = _RATES.pop(layer)


def _give_rates_back(model: nn.Layer) -> None:
    """Set the rates of recurrent layers whose calls in evaluation mode have failed, so that no hook came after them."""
    for layer in model.sublayers(include_self=True):
        if layer in _RATES:
            layer.dropout = _RATES.pop(layer)


@contextmanager
def _left_alone(model: nn.Layer) -> Iterator[None]:
    """The model without the buffers that `Layer.to` must not be given.

    Those are integers and booleans, which it would make floating-point numbers of, and what has no memory yet: the
    state of dropout on a GPU, which every LSTM and GRU holds, and `Layer.to` cannot read.
    """
    held = [(layer._buffers, dict(layer._buffers)) for layer in model.sublayers(include_self=True)]
    for buffers, before in held:
        for name, buffer in before.items():
            if buffer is not None and not (buffer._is_initialized() and buffer.is_floating_point()):
                del buffers[name]
    try:
        yield
    finally:
        for buffers, before in held:
            now = {name: buffers.get(name, buffer) for name, buffer in before.items()}
            buffers.clear()
            buffers.update(now)


def _device(name: str) -> str:
    if name == "cpu":
        return "cpu"
    if not paddle.device.is_compiled_with_cuda() or paddle.device.cuda.device_count() == 0:
        raise AlignmentError(
            f"the paddle side is asked to run on a GPU, and PaddlePaddle {paddle.__version__} sees none: "
            "use --device cpu, or an interpreter with paddlepaddle-gpu (--paddle-python)"
        )
    return "gpu:0"

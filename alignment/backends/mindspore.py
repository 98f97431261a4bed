"""MindSpore behind `Backend`, in PyNative mode.

It runs in float32 and half precision: MindSpore has no float64 convolution on CPU. It has to have an environment of its
own, since MindSpore 2.10 needs NumPy 1.
"""

from __future__ import annotations

import contextlib
import inspect
import platform
from collections.abc import Callable, Container, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import mindspore
import ml_dtypes
import numpy as np
from mindspore import Tensor, nn, ops, train
from mindspore.experimental import optim
from mindspore.nn.layer.normalization import _BatchNorm

from alignment.arrays import HALVES, Array, Batch, is_floating
from alignment.backends.base import FILLED, AdamW, Description, Runtime
from alignment.backends.checks import draws_at_random, widen
from alignment.backends.common import FunctionModel, ModelBackend, named
from alignment.backends.graph import OperationGraph
from alignment.backends.hooks import HookedTaps, Primitives
from alignment.backends.mindspore_graph import graph_of
from alignment.backends.randomness import Silence
from alignment.errors import AlignmentError
from alignment.recordings.kernels import Kernel

_SMOOTHING = 0.1


def _cross_entropy(logits: Tensor, target: Tensor) -> Tensor:
    return ops.cross_entropy(logits, target)


def _label_smoothing(logits: Tensor, target: Tensor) -> Tensor:
    return ops.cross_entropy(logits, target, label_smoothing=_SMOOTHING)


def _projection(outputs: Tensor, target: Tensor) -> Tensor:
    """The weighted sum of all outputs but those that a mask has filled in, with infinities or nearly so."""
    return (ops.where(outputs.abs() < FILLED, outputs, ops.zeros_like(outputs)) * target).sum()


_LOSSES: Mapping[str, Callable[[Tensor, Tensor], Tensor]] = {
    "cross_entropy": _cross_entropy,
    "label_smoothing": _label_smoothing,
    "soft_target": _cross_entropy,
    "projection": _projection,
}


class _Function(FunctionModel, nn.Cell):
    """A plain function of MindSpore tensors as a model."""


class MindSporeBackend(ModelBackend):
    """A MindSpore model, with the process set up as the runtime says; see `alignment.backends.base.Backend`.

    Args:
        runtime: Device and determinism; they hold for the whole process.

    Raises:
        AlignmentError: A GPU is asked for and MindSpore has none.
    """

    title, model_type, tensor_type, losses = "MindSpore", nn.Cell, Tensor, _LOSSES
    finest = "float32"

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._dtype = "float32"
        self._model: nn.Cell = nn.Identity()
        self._silence = Silence()
        self._gradients: dict[str, Tensor] = {}
        self._input_gradients: dict[str, Tensor] = {}
        mindspore.set_context(mode=mindspore.PYNATIVE_MODE)
        mindspore.set_device(_device(runtime.device))
        mindspore.set_seed(runtime.seed)
        with contextlib.suppress(AttributeError):  # memory that the system's cache would give up is no shortage
            mindspore.train.serialization._get_available_memory = lambda: None

    def describe(self) -> Description:
        """Versions and settings in use; MindSpore does not tell its threads."""
        versions = {
            "mindspore": mindspore.__version__,
            "numpy": np.__version__,
            "python": platform.python_version(),
        }
        return Description(versions, {"deterministic": self._runtime.deterministic}, None)

    def build(self, builder: Callable[..., Any], options: Mapping[str, Any]) -> None:
        """Make the model, and put it in evaluation mode."""
        self._model = self._built(builder, options).set_train(False)

    def wrap(self, function: Callable[..., Any], options: Mapping[str, Any]) -> None:
        """Take a plain function of tensors for the model."""
        self._model = _Function(function, options).set_train(False)

    def load(self, path: Path) -> None:
        """Read a `.ckpt` with MindSpore's own loader, its checksum checked, strictly."""
        loaded = mindspore.load_checkpoint(str(path), crc_check=True)
        self._check(path, loaded)
        left, unused = mindspore.load_param_into_net(self._model, loaded, strict_load=True)
        if left or unused:
            raise AlignmentError(f"{path}: MindSpore did not load every parameter", [*left, *unused])

    def use(self, dtype: str) -> None:
        """Convert the model to `float32` or half precision.

        In half precision the scales, shifts and statistics of batch norms are float32: MindSpore leaves statistics of
        less as they are.

        Raises:
            AlignmentError: Another precision is asked for.
        """
        if dtype not in ("float32", *HALVES):
            raise AlignmentError(f"MindSpore runs in no {dtype} here: it has no convolution in it on CPU")
        self._dtype = dtype
        for parameter in self._model.get_parameters():
            if self._is_float(parameter):
                parameter.set_dtype(getattr(mindspore, dtype))
        for _, cell in self._model.cells_and_names() if dtype in HALVES else ():
            if isinstance(cell, _BatchNorm):
                for parameter in cell.get_parameters(expand=False):
                    parameter.set_dtype(mindspore.float32)

    def set_state(self, arrays: Mapping[str, Array]) -> None:
        """Overwrite the values of parameters by name."""
        own = self._tensors()
        half = self._dtype in HALVES
        for name, array in (arrays if half else widen(arrays, self._dtype)).items():
            own[name].set_data(self._tensor(array).astype(own[name].dtype) if half else self._tensor(array))

    def buffers(self) -> frozenset[str]:
        """Names of the parameters that are not trained."""
        return frozenset(parameter.name for parameter in self._model.get_parameters() if not parameter.requires_grad)

    def train(self, training: bool, *, scaled: bool = False) -> None:
        """Put the model in training mode, or back in evaluation mode."""
        self._model.set_train(training)
        self._silence.end()
        if training:
            self._silence.begin((), "mindspore", scales=scaled)
        for _, cell in self._model.cells_and_names():
            if not cell.name_cells() and draws_at_random(cell):
                cell.set_train(False)

    @property
    def hides_dropouts(self) -> bool:
        """True: nobody sees what a cell is given."""
        return True

    def loss(self, name: str, logits: Array, target: Array) -> Array:
        """A loss of given logits, averaged over the batch, shape `()`; MindSpore takes labels in int32."""
        labels = np.issubdtype(target.dtype, np.integer)
        return super().loss(name, logits, target.astype(np.int32) if labels else target)

    def accuracy(self, scores: Array, labels: Array, k: int) -> float:
        """Fraction of rows whose label is among the `k` best scores, by MindSpore's own metric."""
        metric = train.TopKCategoricalAccuracy(k)
        metric.update(Tensor(scores), Tensor(labels.astype(np.int32)))
        return float(metric.eval())

    def top_classes(self, scores: Array, k: int) -> Array:
        """Classes of the `k` best scores, best first, int64 `(batch, k)`."""
        return self._array(ops.topk(Tensor(scores), k, dim=1)[1]).astype(np.int64)

    def backward(self, images: Batch, target: Batch, loss: str = "soft_target") -> Array:
        """Run the model and the gradient of a loss; returns the loss, shape `()`."""
        return self.differentiate(images, lambda given: self._loss_of(given, target, loss))

    def differentiate(self, images: Batch, criterion: Callable[[Any], Any]) -> Array:
        """Run the model and the gradient of a function of what it returns; gives the function's value."""
        arrays, weights = named(images), self._model.trainable_params()
        floating = [name for name, array in arrays.items() if is_floating(array)]
        fixed = {name: Tensor(array) for name, array in arrays.items() if name not in floating}

        def loss_of(*tensors: Tensor) -> Tensor:
            by_name = {**dict(zip(floating, tensors, strict=True)), **fixed}
            ordered = {name: by_name[name] for name in arrays}
            return criterion(self._called(self._model, arrays, ordered))

        places = tuple(range(len(floating))) or None
        if not weights and places is None:
            self._gradients, self._input_gradients = {}, {}
            return self._array(loss_of())
        value, gradients = mindspore.value_and_grad(loss_of, places, weights or None)(
            *(self._tensor(arrays[name]) for name in floating)
        )
        both = weights and places is not None
        of_inputs, of_weights = gradients if both else ((), gradients) if weights else (gradients, ())
        of_inputs = of_inputs if isinstance(of_inputs, tuple) else (of_inputs,)  # one is given back without a tuple
        self._input_gradients = dict(zip(floating, of_inputs, strict=True))
        names = [parameter.name for parameter in weights]
        self._gradients = dict(zip(names, of_weights, strict=True))
        return self._array(value)

    def gradients(self, names: Container[str] | None = None) -> dict[str, Array]:
        """Gradients of parameters: those of these names, or all; zeros where none arrived."""
        tensors = self._chosen(names)
        zeros = {name: np.zeros(tensor.shape, np.float32) for name, tensor in tensors.items()}
        chosen = {name: gradient for name, gradient in self._gradients.items() if names is None or name in names}
        return zeros | {name: self._array(gradient) for name, gradient in chosen.items()}

    def input_gradients(self) -> dict[str, Array]:
        """Gradient of every floating-point input from the last `backward`, by name."""
        return {name: self._array(gradient) for name, gradient in self._input_gradients.items()}

    def graph(self, images: Batch) -> OperationGraph | None:
        """The operations of a pass, as MindSpore compiles the model; None where it cannot, or Python decides in it."""
        arrays = named(images)
        tensors = {name: self._tensor(array) for name, array in arrays.items()}
        positional, by_name = self._interface.arguments(tensors, self._signature())
        taken = list(inspect.signature(self._signature()).parameters)
        places = [taken.index(argument) for argument in by_name]
        if sorted(places) != list(range(len(positional), len(positional) + len(places))):
            return None  # an argument is left out, and what is compiled takes them by their places
        ordered = [*positional, *(by_name[taken[place]] for place in sorted(places))]
        names = {id(tensor): name for name, tensor in tensors.items() if is_floating(arrays[name])}
        inputs = {place: names[id(tensor)] for place, tensor in enumerate(ordered) if id(tensor) in names}
        trained = [parameter.name for parameter in self._model.trainable_params()]
        return graph_of(self._model, ordered, inputs, trained)

    def taps(self) -> HookedTaps:
        """The cells of the model that was built; their gradients cannot be watched."""
        return HookedTaps(
            Primitives(
                modules=list(self._model.cells_and_names()),
                common=frozenset(vars(nn.Cell())),
                package="mindspore",
                state_names=lambda _, cell: tuple(parameter.name for parameter in cell.get_parameters(expand=False)),
                before=lambda cell, hook: cell.register_forward_pre_hook(hook, with_kwargs=True),
                after=lambda cell, hook: cell.register_forward_hook(hook),
                is_tensor=self._is_tensor,
                is_float=self._is_float,
                array=self._array,
                tensor=lambda array, _: Tensor(array),
                alias=lambda tensor: tensor,
                version=lambda tensor: 0,
                write=lambda tensor, array: None,
                on_gradient=lambda tensor, visit: None,
                backward=None,
                gradient=lambda tensor: None,
                clear=lambda: None,
                detach=ops.stop_gradient,
            )
        )

    def exact(self, peer: str) -> AbstractContextManager[Mapping[str, Kernel]]:
        """Exact versions of tanh, exponentials and logarithms; see `alignment.backends.stand_ins.mindspore`."""
        from alignment.backends.stand_ins.mindspore import exact

        return exact()

    def start_optimizer(self, recipe: AdamW) -> None:
        """A fresh optimiser over all parameters; `nn.AdamWeightDecay` would leave the bias correction out."""
        self._optimizer = optim.AdamW(
            self._model.trainable_params(),
            lr=recipe.learning_rate,
            betas=recipe.betas,
            eps=recipe.epsilon,
            weight_decay=recipe.weight_decay,
        )

    def optimizer_step(self) -> None:
        """Apply the last gradients."""
        if self._optimizer is None:
            raise RuntimeError("optimizer_step comes after start_optimizer")
        self._optimizer(tuple(self._gradients.values()))

    def _is_frozen(self, tensor: Tensor) -> bool:
        return not tensor.requires_grad

    def _unreached(self, tensor: Tensor) -> str:
        return ""  # MindSpore gives zeros

    def _tensors(self) -> Mapping[str, Tensor]:
        return {parameter.name: parameter for parameter in self._model.get_parameters()}

    def _tensor(self, array: Array) -> Tensor:
        if array.dtype == ml_dtypes.bfloat16:
            return Tensor(array.astype(np.float32)).astype(mindspore.bfloat16)
        return Tensor(array)

    def _array(self, tensor: Tensor) -> Array:
        if tensor.dtype == mindspore.bfloat16:  # NumPy has no such numbers of its own; float32 holds each of them
            return np.asarray(tensor.astype(mindspore.float32).asnumpy(), ml_dtypes.bfloat16)
        return np.array(tensor.asnumpy())


create = MindSporeBackend


def _device(name: str) -> str:
    if name == "cpu":
        return "CPU"
    raise AlignmentError("the mindspore side runs on CPU only here: use --device cpu, and record the other side alone")

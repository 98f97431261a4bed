"""What the backends of PyTorch, Paddle and MindSpore do in the same way."""

from __future__ import annotations

import operator
from collections.abc import Callable, Container, Mapping, MutableMapping
from contextlib import AbstractContextManager, nullcontext
from functools import reduce
from pathlib import Path
from typing import Any

import numpy as np

from alignment.arrays import Array, Batch, is_floating
from alignment.backends.base import BUFFER, FROZEN, UNREACHED, Outputs
from alignment.backends.calling import ONLY, Interface, failed
from alignment.backends.checks import check_state, one_output
from alignment.backends.configured import construct
from alignment.backends.functions.calls import Functions
from alignment.backends.graph import OperationGraph
from alignment.backends.measured_rates import CHANNELS
from alignment.backends.randomness import Silence
from alignment.backends.trees import named_leaves
from alignment.errors import AlignmentError
from alignment.pair.outputs import LOGITS
from alignment.recordings.kernels import Kernel
from porting.errors import ExpectedError


class FunctionModel:
    """A plain function as a model without parameters; a subclass adds the framework's class of models.

    Args:
        function: Takes and returns the framework's tensors.
        options: Its keyword arguments.
    """

    def __init__(self, function: Callable[..., Any], options: Mapping[str, Any]) -> None:
        super().__init__()
        self._function, self._options = function, dict(options)

    def forward(self, *inputs: Any, **named: Any) -> Any:
        """Result of the function."""
        return self._function(*inputs, **named, **self._options)

    construct = forward  # MindSpore's name of it


class ModelBackend:
    """The methods of `alignment.backends.base.Backend` that need little of a framework.

    Attributes:
        title: Name of the framework in messages.
        model_type: Class of its models.
        tensor_type: Class of its tensors.
        losses: Name of a loss to the function of outputs and targets.
        finest: The most exact precision that it runs models in.
    """

    title: str
    finest: str = "float64"
    model_type: type
    tensor_type: type
    losses: Mapping[str, Callable[[Any, Any], Any]]
    _model: Any
    _interface: Interface = Interface()
    _inputs: Mapping[str, Any] = {}
    _optimizer: Any = None
    _dtype: Any = None
    _lifted: dict[str, Kernel] | None = None
    _silence: Silence

    @property
    def casts(self) -> Mapping[str, Kernel]:
        """Casts to float32 in the model's own code that are lifted in float64, since it does not run with them."""
        return self._lifted or {}

    @property
    def drawn(self) -> frozenset[float]:
        """Rates above zero that the model has called dropouts with as functions, since it is in training mode."""
        return frozenset(self._silence.called)

    @property
    def idle_rates(self) -> frozenset[float]:
        """Rates above zero of dropouts that are modules and that nothing has used since it is in training mode."""
        return frozenset(self._silence.held - self._silence.read)

    @property
    def hides_dropouts(self) -> bool:
        """True if something draws that was not scaled in the last training mode that scales dropouts."""
        return self._silence.hidden

    def ways_of_dropping(self) -> frozenset[str]:
        """What dropouts and drop paths do otherwise than the frameworks' usual ones.

        Such as `0.1_unscaled`, for one of rate 0.1 of the user's own that does not divide what it keeps, and
        `0.1_channels` for one that drops whole channels. Of MindSpore only the latter is known.
        """
        return frozenset(f"{rate:.6g}_{CHANNELS}" for rate in self._silence.channels)

    def _lifting(self, used: MutableMapping[str, Kernel]) -> AbstractContextManager[None]:
        """Compute in float64 what the model casts to float32; nothing is known of that in this framework."""
        del used
        return nullcontext()

    def _tensors(self) -> Mapping[str, Any]:
        """Tensors of the state dict, of which one with several names is the same object under each."""
        return self._model.state_dict()

    def _tensor(self, array: Array) -> Any:
        raise NotImplementedError

    def _array(self, tensor: Any) -> Array:
        raise NotImplementedError

    def _gradient(self, tensor: Any) -> Array:
        """Gradient of a tensor from the last `backward`; zeros where none arrived."""
        raise NotImplementedError

    def _is_float(self, tensor: Any) -> bool:
        return bool(tensor.is_floating_point())

    def _is_tensor(self, value: Any) -> bool:
        return isinstance(value, self.tensor_type)

    def _built(self, builder: Callable[..., Any], options: Mapping[str, Any]) -> Any:
        try:
            model = construct(builder, options)
        except (ExpectedError, MemoryError):
            raise
        except Exception as error:
            raise failed(error, f"the builder of the {self.title} model fails", {}, builder) from error
        expected = self.model_type
        if not isinstance(model, expected):
            name = f"{expected.__module__.partition('.')[0]}.nn.{expected.__name__}"
            returned = "nothing (is a `return` missing?)" if model is None else f"a {type(model).__name__}"
            raise AlignmentError(f"the builder returned {returned}, expected a {name}")
        return model

    def functions(self) -> Functions | None:
        """None: calls of the framework's functions cannot be watched."""
        return None

    def exact(self, peer: str) -> AbstractContextManager[Mapping[str, Kernel]]:
        """No kernel of the framework is known to lose precision."""
        return nullcontext({})

    def connect(self, interface: Interface) -> None:
        """Say how the model is called and what its outputs are called."""
        self._interface = interface

    def _check(self, path: Path, tensors: Mapping[str, Any]) -> None:
        """Refuse the tensors of a weight file that are not exactly the model's."""
        shapes, expected = (
            {name: tuple(tensor.shape) for name, tensor in named.items()} for named in (tensors, self._tensors())
        )
        check_state(path, shapes, expected)

    def state(self, names: Container[str] | None = None) -> dict[str, Array]:
        """Tensors of the model's state dict: those of these names, or all."""
        return {name: self._array(tensor) for name, tensor in self._chosen(names).items()}

    def _chosen(self, names: Container[str] | None) -> Mapping[str, Any]:
        tensors = self._tensors()
        return tensors if names is None else {name: tensor for name, tensor in tensors.items() if name in names}

    def tied(self) -> Mapping[str, str]:
        """Further names of tensors, to their first."""
        first: dict[int, str] = {}
        names = {name: first.setdefault(id(tensor), name) for name, tensor in self._tensors().items()}
        return {name: other for name, other in names.items() if name != other}

    def forward(self, images: Batch, intermediates: str | None) -> Outputs:
        """Run the model without gradients."""
        arrays = named(images)
        inputs = {name: self._tensor(array) for name, array in arrays.items()}
        returned = self._called(self._model_or(intermediates), arrays, inputs)
        stages: Any = ()
        if intermediates is not None:
            returned, stages = returned
        tensors, others = self._outputs(returned)
        by_name = {name: self._array(tensor) for name, tensor in tensors.items()}
        main = self._main(tensors)
        unnamed = self._is_tensor(returned) and main == LOGITS
        changed = tuple(name for name, array in arrays.items() if not _same_bits(array, self._array(inputs[name])))
        return Outputs(by_name[main], tuple(map(self._array, stages)), {} if unnamed else by_name, others, changed)

    def _model_or(self, intermediates: str | None) -> Callable[..., Any]:
        if intermediates is None:
            return self._model
        method = getattr(self._model, intermediates, None)
        if method is None:
            raise AlignmentError(f"the {self.title} model has no method {intermediates!r}; see Pair.intermediates")
        return method

    def _called(self, function: Callable[..., Any], arrays: Mapping[str, Array], tensors: Mapping[str, Any]) -> Any:
        """What the model, or a method of it, returns.

        Args:
            function: The model or the method.
            arrays: What it is given, for messages.
            tensors: The same as the framework's tensors.
        """
        signature = self._signature() if function is self._model else function
        positional, by_name = self._interface.arguments(tensors, signature)
        try:
            return self._run(lambda: function(*positional, **by_name))
        except (ExpectedError, MemoryError):
            raise
        except Exception as error:
            raise failed(
                error, f"the {self.title} model fails in forward", arrays, signature, declared=self._interface.declared
            ) from error

    def _run(self, call: Callable[[], Any]) -> Any:
        """Run the model; in float64 without its casts to float32 where it fails with them, and from then on."""
        wide = "float64" in str(self._dtype)
        if wide and self._lifted:
            with self._lifting(self._lifted):
                return call()
        try:
            return call()
        except (ExpectedError, MemoryError):
            raise
        except Exception as error:
            if not wide:
                raise
            used: dict[str, Kernel] = {}
            try:
                with self._lifting(used):
                    result = call()
            except Exception:
                raise error from None
            if not used:
                raise
            self._lifted = used
            return result

    def _signature(self) -> Callable[..., Any]:
        """The function that says which arguments the model takes."""
        if isinstance(self._model, FunctionModel):
            return self._model._function
        forward: Callable[..., Any] = getattr(self._model, "forward", None) or self._model.construct
        return forward

    def _outputs(self, given: Any) -> tuple[dict[str, Any], dict[str, str]]:
        """The tensors that the model gives by name, and what else it gives."""
        if self._interface.single:
            one_output(given, self.tensor_type)
        leaves, others = named_leaves(given, self._is_tensor)
        if not leaves:
            raise AlignmentError(f"the {self.title} model returned a {type(given).__name__} without a tensor in it")
        return self._interface.outputs(leaves), others

    def _main(self, tensors: Mapping[str, Any]) -> str:
        """Name of the output that losses and metrics of a classifier are computed of."""
        if LOGITS in tensors:
            return LOGITS
        return next((name for name, tensor in tensors.items() if self._is_float(tensor)), next(iter(tensors)))

    def graph(self, images: Batch) -> OperationGraph | None:
        """The operations of a pass; None, as this framework does not tell."""
        del images
        return None

    def differentiate(self, images: Batch, criterion: Callable[[Any], Any]) -> Array:
        """Run the model and the gradient of a function of what it returns; gives the function's value."""
        raise NotImplementedError

    def loss(self, name: str, logits: Array, target: Array) -> Array:
        """A loss of given logits, averaged over the batch, shape `()`."""
        return self._array(self.losses[name](self._tensor(logits), self._tensor(target)))

    def _loss_of(self, given: Any, target: Batch, loss: str) -> Any:
        """The loss of what the model gives; see `alignment.backends.base.Backend.backward`."""
        tensors, _ = self._outputs(given)
        if not isinstance(target, Mapping):
            return self._term(loss, tensors[self._main(tensors)], target)
        terms = [
            self._term(loss if name == LOGITS else "projection", tensors[name], array)
            for name, array in target.items()
            if name in tensors and self._is_float(tensors[name])
        ]
        if not terms:
            raise AlignmentError(
                f"the {self.title} model gives none of the outputs whose gradients are compared",
                [f"it gives: {', '.join(tensors)}", f"compared: {', '.join(target)}"],
            )
        return reduce(operator.add, terms)

    def _term(self, loss: str, output: Any, target: Array) -> Any:
        """A loss of one output; of one in another shape than expected it differs, and any target will do."""
        shape = tuple(output.shape)
        return self._criterion(loss)(
            output, self._tensor(target if shape == target.shape else np.resize(target, shape))
        )

    def _criterion(self, loss: str) -> Callable[[Any, Any], Any]:
        """The function of a loss by its name."""
        return self.losses[loss]

    def gradients(self, names: Container[str] | None = None) -> dict[str, Array]:
        """Gradients of tensors of the state dict: those of these names, or all; zeros where none arrived."""
        return {name: self._gradient(tensor) for name, tensor in self._chosen(names).items()}

    def untrained(self) -> dict[str, str]:
        """Names of what no optimizer would update, to the reason."""
        buffers = self.buffers()
        reasons = {
            name: BUFFER if name in buffers else FROZEN if self._is_frozen(tensor) else self._unreached(tensor)
            for name, tensor in self._tensors().items()
        }
        return {name: reason for name, reason in reasons.items() if reason}

    def buffers(self) -> frozenset[str]:
        """Names of the tensors of the state dict that are no parameters."""
        raise NotImplementedError

    def _is_frozen(self, tensor: Any) -> bool:
        """Whether a parameter takes no gradient."""
        raise NotImplementedError

    def _unreached(self, tensor: Any) -> str:
        return UNREACHED if tensor.grad is None else ""

    def input_gradient(self) -> Array:
        """Gradient of the images from the last `backward`; of several inputs, of the first floating-point one."""
        gradients = self.input_gradients()
        if not gradients:
            raise RuntimeError("input_gradient comes after backward, with a floating-point input")
        return next(iter(gradients.values()))

    def input_gradients(self) -> dict[str, Array]:
        """Gradient of every floating-point input from the last `backward`, by name."""
        floating = {name: tensor for name, tensor in self._inputs.items() if self._is_float(tensor)}
        return {name: self._gradient(tensor) for name, tensor in floating.items()}

    def train(self, training: bool) -> None:
        """Put the model in training mode, or back in evaluation mode."""
        raise NotImplementedError

    def use(self, dtype: str) -> None:
        """Convert the model, and what it creates while it runs."""
        raise NotImplementedError

    def build(self, builder: Callable[..., Any], options: Mapping[str, Any]) -> None:
        """Make the model, put it on the device and in evaluation mode."""
        raise NotImplementedError

    def set_state(self, arrays: Mapping[str, Array]) -> None:
        """Overwrite tensors of the state dict."""
        raise NotImplementedError

    def optimizer_step(self) -> None:
        """Apply the last gradients."""
        if self._optimizer is None:
            raise RuntimeError("optimizer_step comes after start_optimizer")
        self._optimizer.step()


def _same_bits(given: Array, left: Array) -> bool:
    """Whether a model has left an input as it was given."""
    return given.shape == left.shape and np.array_equal(given, left, equal_nan=is_floating(left))


def named(batch: Batch) -> Mapping[str, Array]:
    """The arrays of a batch by name; one array has the name `ONLY`."""
    return batch if isinstance(batch, Mapping) else {ONLY: batch}

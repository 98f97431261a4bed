"""What the backends of PyTorch, Paddle and MindSpore do in the same way."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from alignment.arrays import Array
from alignment.backends.base import Outputs, check_state, one_output
from alignment.errors import AlignmentError


class FunctionModel:
    """A plain function as a model without parameters; a subclass adds the framework's class of models.

    Args:
        function: Takes and returns the framework's tensors.
        options: Its keyword arguments.
    """

    def __init__(self, function: Callable[..., Any], options: Mapping[str, Any]) -> None:
        super().__init__()
        self._function, self._options = function, dict(options)

    def forward(self, *inputs: Any) -> Any:
        """Result of the function."""
        return self._function(*inputs, **self._options)

    construct = forward  # MindSpore's name of it


class ModelBackend:
    """The methods of `alignment.backends.base.Backend` that need little of a framework.

    Attributes:
        title: Name of the framework in messages.
        model_type: Class of its models.
        tensor_type: Class of its tensors.
        losses: Name of a loss to the function of outputs and targets.
    """

    title: str
    model_type: type
    tensor_type: type
    losses: Mapping[str, Callable[[Any, Any], Any]]
    _model: Any
    _images: Any = None
    _optimizer: Any = None

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

    def _built(self, builder: Callable[..., Any], options: Mapping[str, Any]) -> Any:
        model, expected = builder(**options), self.model_type
        if not isinstance(model, expected):
            name = f"{expected.__module__.partition('.')[0]}.nn.{expected.__name__}"
            raise AlignmentError(f"the builder returned a {type(model).__name__}, expected a {name}")
        return model

    def _check(self, path: Path, tensors: Mapping[str, Any]) -> None:
        """Refuse the tensors of a weight file that are not exactly the model's."""
        shapes, expected = (
            {name: tuple(tensor.shape) for name, tensor in named.items()} for named in (tensors, self._tensors())
        )
        check_state(path, shapes, expected)

    def state(self) -> dict[str, Array]:
        """Every tensor of the model's state dict."""
        return {name: self._array(tensor) for name, tensor in self._tensors().items()}

    def tied(self) -> Mapping[str, str]:
        """Further names of tensors, to their first."""
        first: dict[int, str] = {}
        names = {name: first.setdefault(id(tensor), name) for name, tensor in self._tensors().items()}
        return {name: other for name, other in names.items() if name != other}

    def forward(self, images: Array, intermediates: str | None) -> Outputs:
        """Run the model without gradients."""
        inputs = self._tensor(images)
        if intermediates is None:
            logits, stages = self._model(inputs), []
        else:
            method = getattr(self._model, intermediates, None)
            if method is None:
                raise AlignmentError(f"the {self.title} model has no method {intermediates!r}; see Pair.intermediates")
            logits, stages = method(inputs)
        one_output(logits, self.tensor_type)
        return Outputs(self._array(logits), tuple(self._array(stage) for stage in stages))

    def loss(self, name: str, logits: Array, target: Array) -> Array:
        """A loss of given logits, averaged over the batch, shape `()`."""
        return self._array(self.losses[name](self._tensor(logits), self._tensor(target)))

    def gradients(self) -> dict[str, Array]:
        """Gradient of every tensor of the state dict; zeros where none arrived."""
        return {name: self._gradient(tensor) for name, tensor in self._tensors().items()}

    def input_gradient(self) -> Array:
        """Gradient of the images from the last `backward`."""
        if self._images is None:
            raise RuntimeError("input_gradient comes after backward")
        return self._gradient(self._images)

    def optimizer_step(self) -> None:
        """Apply the last gradients."""
        if self._optimizer is None:
            raise RuntimeError("optimizer_step comes after start_optimizer")
        self._optimizer.step()

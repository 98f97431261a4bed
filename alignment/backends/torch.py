"""PyTorch behind `Backend`, with timm's losses and metrics."""

from __future__ import annotations

import os
import platform
from collections.abc import Callable, Mapping, MutableMapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import torch
from torch import Tensor, nn

from alignment.arrays import HALVES, Array, Batch, is_floating
from alignment.backends.base import FILLED, AdamW, Description, Outputs, Runtime
from alignment.backends.checks import draws_at_random
from alignment.backends.common import FunctionModel, ModelBackend, named
from alignment.backends.functions.calls import Functions
from alignment.backends.graph import OperationGraph, walk
from alignment.backends.hooks import HookedTaps, Primitives
from alignment.backends.kept import renewed
from alignment.backends.measured_rates import ways
from alignment.backends.randomness import Silence
from alignment.backends.stand_ins import torch_wide
from alignment.errors import AlignmentError
from alignment.recordings.kernels import Kernel
from reference_torch.compat import prepare_timm

prepare_timm()

import timm
from timm.loss import LabelSmoothingCrossEntropy, SoftTargetCrossEntropy
from timm.utils import accuracy

_DTYPES = {
    "float32": torch.float32,
    "float64": torch.float64,
    "bfloat16": torch.bfloat16,
    "float16": torch.float16,
}


def _projection(outputs: Tensor, target: Tensor) -> Tensor:
    """The weighted sum of all outputs but those that a mask has filled in, with infinities or nearly so."""
    return (torch.where(outputs.abs() < FILLED, outputs, torch.zeros_like(outputs)) * target).sum()


_LOSSES: Mapping[str, Callable[[Tensor, Tensor], Tensor]] = {
    "cross_entropy": nn.CrossEntropyLoss(),
    "label_smoothing": LabelSmoothingCrossEntropy(smoothing=0.1),
    "soft_target": SoftTargetCrossEntropy(),
    "projection": _projection,
}


class _Function(FunctionModel, nn.Module):
    """A plain function of torch tensors as a model."""


class TorchBackend(ModelBackend):
    """A torch model, with the process set up as the runtime says; see `alignment.backends.base.Backend`.

    Args:
        runtime: Device, threads and determinism; they hold for the whole process.

    Raises:
        AlignmentError: A GPU is asked for and PyTorch sees none.
    """

    title, model_type, tensor_type, losses = "torch", nn.Module, Tensor, _LOSSES

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._device = _device(runtime.device)
        self._dtype = torch.float32
        self._model: nn.Module = nn.Identity()
        self._silence = Silence()
        _configure(runtime)

    def ways_of_dropping(self) -> frozenset[str]:
        """See `alignment.backends.base.Backend`."""

        def call(module: Any, ones: Array) -> Array:
            return self._array(module(self._tensor(ones)))

        with torch.random.fork_rng(devices=[]), torch.no_grad():
            return super().ways_of_dropping() | ways(self._model, call, "torch", self._silence.wide)

    def functions(self) -> Functions:
        """The functions of torch, its tensors' methods and operators."""
        from alignment.backends.functions.torch import TorchFunctions

        return TorchFunctions(self._array)

    def exact(self, peer: str) -> AbstractContextManager[Mapping[str, Kernel]]:
        """An exact hard sigmoid, and Paddle's running variance; see `alignment.backends.stand_ins.torch`."""
        from alignment.backends.stand_ins.torch import exact

        return exact(peer)

    def _lifting(self, used: MutableMapping[str, Kernel]) -> AbstractContextManager[None]:
        """Compute in float64 what the model casts to float32; see `alignment.backends.stand_ins.torch_casts`."""
        from alignment.backends.stand_ins.torch_casts import lifted

        return lifted(used)

    def describe(self) -> Description:
        """Versions, settings and threads in use."""
        versions = {
            "torch": torch.__version__,
            "timm": timm.__version__,
            "numpy": np.__version__,
            "python": platform.python_version(),
        }
        if self._device.type == "cuda":
            versions["cuda"] = str(torch.version.cuda)
            versions["cudnn"] = str(torch.backends.cudnn.version())
            versions["device"] = torch.cuda.get_device_name(self._device)
        else:
            versions["cpu"] = torch.backends.cpu.get_cpu_capability()
        flags = {"tf32": self._runtime.tf32, "deterministic": torch.are_deterministic_algorithms_enabled()}
        return Description(versions, flags, torch.get_num_threads())

    def build(self, builder: Callable[..., Any], options: Mapping[str, Any]) -> None:
        """Make the model, put it on the device and in evaluation mode."""
        self._model = self._built(builder, options).to(self._device).eval()

    def wrap(self, function: Callable[..., Any], options: Mapping[str, Any]) -> None:
        """Take a plain function of tensors for the model."""
        self._model = _Function(function, options).eval()

    def load(self, path: Path) -> None:
        """Read a `.pth` with torch's own loader, tensors only, strictly."""
        tensors = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
        self._check(path, tensors)
        with renewed(self._model, nn.Module):
            self._model.load_state_dict(tensors, strict=True)

    def use(self, dtype: str) -> None:
        """Convert the model to a precision, and in float32 and float64 what it creates while it runs."""
        self._dtype = _DTYPES[dtype]
        torch.set_default_dtype(torch.float32 if dtype in HALVES else self._dtype)
        if dtype == "float64":
            torch_wide.install()
        with renewed(self._model, nn.Module):
            self._model.to(self._dtype)

    def set_state(self, arrays: Mapping[str, Array]) -> None:
        """Overwrite tensors of the state dict, converting floating-point values to the dtype in use."""
        own = self._tensors()
        with renewed(self._model, nn.Module), torch.no_grad():
            for name, array in arrays.items():
                own[name].copy_(self._tensor(array))

    def buffers(self) -> frozenset[str]:
        """Names in the state dict that are no parameters."""
        return frozenset(self._model.state_dict()) - dict(self._model.named_parameters(remove_duplicate=False)).keys()

    def train(self, training: bool, *, scaled: bool = False) -> None:
        """Put the model in training mode, or back in evaluation mode."""
        self._model.train(training)
        self._silence.end()
        if training:
            self._silence.begin(self._model.modules(), "torch", scales=scaled)
        for module in self._model.modules():
            if not [*module.children()] and draws_at_random(module):
                module.eval()

    @torch.no_grad()
    def forward(self, images: Batch, intermediates: str | None) -> Outputs:
        """Run the model without gradients."""
        return super().forward(images, intermediates)

    def accuracy(self, scores: Array, labels: Array, k: int) -> float:
        """Fraction of rows whose label is among the `k` best scores, by timm's `accuracy` (which gives percent)."""
        (percent,) = accuracy(self._tensor(scores), self._tensor(labels), topk=(k,))
        return float(percent) / 100

    def top_classes(self, scores: Array, k: int) -> Array:
        """Classes of the `k` best scores, best first, int64 `(batch, k)`."""
        return self._array(self._tensor(scores).topk(k, dim=1).indices)

    def backward(self, images: Batch, target: Batch, loss: str = "soft_target") -> Array:
        """Run the model and the gradient of a loss; returns the loss, shape `()`."""
        return self.differentiate(images, lambda given: self._loss_of(given, target, loss))

    def differentiate(self, images: Batch, criterion: Callable[[Any], Tensor]) -> Array:
        """Run the model and the gradient of a function of what it returns; gives the function's value."""
        self._model.zero_grad(set_to_none=True)
        with renewed(self._model, nn.Module):
            pass  # what an earlier pass without gradients has left would hide its weights from this one
        arrays = named(images)
        self._inputs = {name: self._tensor(array).requires_grad_(is_floating(array)) for name, array in arrays.items()}
        value = criterion(self._called(self._model, arrays, _copied(self._inputs)))
        if value.requires_grad:
            value.backward()
        return self._array(value)

    def graph(self, images: Batch) -> OperationGraph:
        """The operations of a pass, as autograd recorded them; every floating-point parameter takes part.

        Modules may hide parameters from a pass in evaluation mode, behind what they keep of them; where those in
        training mode show more, their pass is taken.
        """
        with renewed(self._model, nn.Module) as has_own:
            shown = self._graph(images) if has_own and not any(map(_counts, self._model.modules())) else None
        graph = self._graph(images)
        return shown if shown and {*shown.tensors.values()} > {*graph.tensors.values()} else graph

    def _graph(self, images: Batch) -> OperationGraph:
        tensors = {id(tensor): name for name, tensor in reversed([*self._tensors().items()])}
        frozen = [p for p in self._model.parameters() if p.is_floating_point() and not p.requires_grad]
        arrays = named(images)
        inputs = {name: self._tensor(array).requires_grad_(is_floating(array)) for name, array in arrays.items()}
        names = {id(tensor): name for name, tensor in inputs.items()}
        try:
            for parameter in frozen:
                parameter.requires_grad_(True)
            with torch.enable_grad():
                outputs, _ = self._outputs(self._called(self._model, arrays, _copied(inputs)))
        finally:
            for parameter in frozen:
                parameter.requires_grad_(False)
        return walk(
            [output.grad_fn for output in outputs.values() if output.grad_fn is not None],
            key=lambda node: node,
            operands=lambda node: [child for child, _ in node.next_functions],
            tensor=lambda node: tensors.get(id(getattr(node, "variable", None))),
            model_input=lambda node: names.get(id(getattr(node, "variable", None))),
            kind=lambda node: str(node.name()),
        )

    def taps(self) -> HookedTaps:
        """The modules of the model that was built."""
        names = tuple(self._model.state_dict())
        return HookedTaps(
            Primitives(
                modules=list(self._model.named_modules()),
                common=frozenset(vars(nn.Module())),
                package="torch",
                state_names=lambda path, _: tuple(name for name in names if name.rpartition(".")[0] == path),
                before=lambda module, hook: module.register_forward_pre_hook(hook, with_kwargs=True),
                after=lambda module, hook: module.register_forward_hook(hook),
                is_tensor=self._is_tensor,
                is_float=self._is_float,
                array=self._array,
                tensor=lambda array, wanted: self._tensor(array).requires_grad_(wanted),
                alias=lambda tensor: tensor.clone(),
                version=lambda tensor: 0 if tensor.is_inference() else tensor._version,
                write=lambda tensor, array: tensor.data.copy_(self._tensor(array)),
                on_gradient=lambda tensor, visit: tensor.register_hook(visit) if tensor.requires_grad else None,
                backward=torch.autograd.backward,
                gradient=lambda tensor: None if tensor.grad is None else self._array(tensor.grad),
                clear=lambda: self._model.zero_grad(set_to_none=True),
                detach=lambda tensor: tensor.detach(),
            )
        )

    def start_optimizer(self, recipe: AdamW) -> None:
        """A fresh optimiser over all parameters."""
        self._optimizer = torch.optim.AdamW(
            self._model.parameters(),
            lr=recipe.learning_rate,
            betas=recipe.betas,
            eps=recipe.epsilon,
            weight_decay=recipe.weight_decay,
        )

    def optimizer_step(self) -> None:
        """Apply the last gradients; what modules keep of their weights is made of the new ones."""
        with renewed(self._model, nn.Module):
            super().optimizer_step()

    def _tensors(self) -> Mapping[str, Tensor]:
        return self._model.state_dict(keep_vars=True)

    def _tensor(self, array: Array) -> Tensor:
        if array.dtype == ml_dtypes.bfloat16:
            return torch.tensor(array.view(np.int16), device=self._device).view(torch.bfloat16)
        return torch.tensor(array, device=self._device)

    def _array(self, tensor: Tensor) -> Array:
        values = tensor.detach().cpu()
        if values.dtype == torch.bfloat16:
            return values.view(torch.int16).numpy().view(ml_dtypes.bfloat16).copy()
        return values.numpy().copy()

    def _is_frozen(self, tensor: Tensor) -> bool:
        return bool(not tensor.requires_grad)

    def _gradient(self, tensor: Tensor) -> Array:
        return self._array(torch.zeros_like(tensor) if tensor.grad is None else tensor.grad)


create = TorchBackend


def _copied(inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Inputs through which gradients flow back to the given ones, and which a model may change in place."""
    return {name: tensor.clone() for name, tensor in inputs.items()}


def _counts(module: nn.Module) -> bool:
    """Whether a module is a norm that would change its statistics in a pass."""
    return isinstance(module, nn.modules.batchnorm._NormBase) and module.training and module.track_running_stats


def _device(name: str) -> torch.device:
    if name == "cpu":
        return torch.device("cpu")
    if not torch.cuda.is_available():
        raise AlignmentError(
            f"the torch side is asked to run on a GPU, and PyTorch {torch.__version__} sees none: "
            "use --device cpu, or an interpreter whose PyTorch is built for the GPU (--torch-python)"
        )
    return torch.device("cuda", 0)


def _configure(runtime: Runtime) -> None:
    if runtime.deterministic:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    # An operation without a deterministic form, as max_unpool2d, runs all the same: a reference that gives something
    # else once more is refused by the steps.
    torch.use_deterministic_algorithms(runtime.deterministic, warn_only=True)
    torch.backends.cudnn.benchmark = not runtime.deterministic
    torch.backends.cudnn.deterministic = runtime.deterministic
    torch.backends.cuda.matmul.allow_tf32 = runtime.tf32
    torch.backends.cudnn.allow_tf32 = runtime.tf32
    torch.manual_seed(runtime.seed)
    if runtime.threads is not None:
        torch.set_num_threads(runtime.threads)

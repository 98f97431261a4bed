"""Makes timm draw from streams: stand-ins for the modules that it draws with, and layers that take injected draws."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from types import ModuleType
from typing import Any
from unittest.mock import patch

import numpy as np
import timm.data.auto_augment
import timm.data.distributed_sampler
import timm.data.mixup
import timm.data.random_erasing
import timm.data.transforms
import torch
import torchvision.transforms.transforms
from PIL import Image, ImageOps
from timm.layers import DropPath
from torch import Tensor, nn

from recipe.draws import Draws, Key, Randomness, Scoped


class PythonFace:
    """The functions of the module `random` that timm uses."""

    def __init__(self, draws: Draws) -> None:
        self._draws = draws

    def random(self) -> float:
        """Uniform in [0, 1)."""
        return float(self._draws.random())

    def uniform(self, a: float, b: float) -> float:
        """Uniform in [a, b)."""
        return float(self._draws.uniform(a, b))

    def gauss(self, mu: float, sigma: float) -> float:
        """Normal."""
        return float(self._draws.normal(mu, sigma))

    def randint(self, a: int, b: int) -> int:
        """An integer from a to b, both included."""
        return int(self._draws.integers(a, b + 1))

    def choice(self, items: Sequence[Any]) -> Any:
        """One of the items."""
        return items[int(self._draws.integers(0, len(items)))]


class NumpyFace:
    """The functions of the module `numpy.random` that timm uses."""

    def __init__(self, draws: Draws) -> None:
        self._draws = draws

    def rand(self, *shape: int) -> Any:
        """Uniform in [0, 1)."""
        return self._draws.random(shape or None)

    def beta(self, a: float, b: float, size: int | None = None) -> Any:
        """Beta-distributed."""
        return self._draws.beta(a, b, size)

    def randint(self, low: int, high: int, size: int | None = None) -> Any:
        """Integers from low to high - 1."""
        return self._draws.integers(low, high, size)

    def choice(self, items: Sequence[Any], size: int, replace: bool = True, p: Any = None) -> list[Any]:
        """Some of the items."""
        return [items[at] for at in self._draws.choice(len(items), size, replace, p)]


class TorchFace:
    """The functions of torch that timm and torchvision draw with on the CPU."""

    def __init__(self, draws: Draws) -> None:
        self._draws = draws

    def rand(self, *shape: int) -> Tensor:
        """Uniform in [0, 1), float64."""
        return torch.from_numpy(np.asarray(self._draws.random(shape)))

    def randperm(self, count: int, generator: Any = None) -> Tensor:
        """The numbers below `count` in random order."""
        return torch.from_numpy(self._draws.permutation(count))

    def empty(self, *shape: Any, dtype: torch.dtype = torch.float64, device: Any = None) -> _Unfilled:
        """A tensor that its next method, `uniform_` or `normal_`, fills with draws."""
        return _Unfilled(self._draws, shape[0] if isinstance(shape[0], tuple) else shape, dtype)


class _Unfilled:
    def __init__(self, draws: Draws, shape: tuple[int, ...], dtype: torch.dtype) -> None:
        self._draws, self._shape, self._dtype = draws, shape, dtype

    def uniform_(self, low: float, high: float) -> Tensor:
        return torch.from_numpy(self._draws.uniform(low, high, self._shape)).to(self._dtype)

    def normal_(self) -> Tensor:
        return torch.from_numpy(self._draws.normal(size=self._shape)).to(self._dtype)


class _Instead:
    """A module with some attributes replaced."""

    def __init__(self, module: ModuleType, **attributes: Any) -> None:
        self._module = module
        self.__dict__.update(attributes)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._module, name)


def _posterize(image: Image.Image, bits: int) -> Image.Image:
    return ImageOps.posterize(image, bits) if bits > 0 else image.point([0] * (256 * len(image.getbands())))


IMAGE_OPERATIONS = _Instead(ImageOps, posterize=_posterize)
"""`PIL.ImageOps`, but posterize with no bit left (level 10) gives black as in older Pillow; recent Pillow raises."""


@contextmanager
def drawing_from(draws: Draws) -> Iterator[None]:
    """Make timm's augmentation, mixup, erasing and sampler, and torchvision's transforms, draw from a stream.

    Their module-level names `random`, `np`, `torch` and `ImageOps` are replaced while the context is open, for the
    whole process: do not use it from several threads.
    """
    face, tensors = PythonFace(draws), TorchFace(draws)
    numpy = _Instead(np, random=NumpyFace(draws))
    drawing = _Instead(torch, rand=tensors.rand, randperm=tensors.randperm, empty=tensors.empty)
    faces: list[tuple[Any, dict[str, Any]]] = [
        (timm.data.auto_augment, {"random": face, "np": numpy, "ImageOps": IMAGE_OPERATIONS}),
        (timm.data.mixup, {"np": numpy}),
        (timm.data.random_erasing, {"random": face, "torch": drawing}),
        (timm.data.transforms, {"random": face}),
        (timm.data.distributed_sampler, {"torch": drawing}),
        (torchvision.transforms.transforms, {"torch": drawing}),
    ]
    with ExitStack() as stack:
        for module, names in faces:
            stack.enter_context(patch.multiple(module, **names))
        yield


class _Injectable:
    """A layer that draws each mask from the stream of its path and the number of the call."""

    randomness: Randomness | None = None
    path = ""
    calls = 0

    def mask(self, x: Tensor, shape: tuple[int, ...], rate: float) -> Tensor:
        """Zero or 1 / (1 - rate) for each entry of `shape`, in the type of `x`."""
        if self.randomness is None:
            raise RuntimeError(f"{self.path} was not handed any randomness")
        draws = self.randomness.stream(self.path, self.calls)
        self.calls += 1
        kept = torch.from_numpy(np.asarray(draws.random(shape) < 1 - rate)).to(x.device, x.dtype)
        return kept / (1 - rate)


class InjectableDropout(_Injectable, nn.Dropout):
    """`torch.nn.Dropout` whose draws can be injected."""

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002 (torch's own name)
        """Takes and returns a tensor of any shape."""
        if self.randomness is None or not self.training or self.p == 0:
            return super().forward(input)
        return input * self.mask(input, tuple(input.shape), self.p)


class InjectableDropPath(_Injectable, DropPath):
    """timm's `DropPath` whose draws can be injected."""

    def forward(self, x: Tensor) -> Tensor:
        """Takes and returns `(batch, ...)`."""
        if self.randomness is None or not self.training or self.drop_prob == 0:
            return super().forward(x)
        return x * self.mask(x, (x.shape[0],) + (1,) * (x.ndim - 1), self.drop_prob)


def inject(model: nn.Module, randomness: Randomness | None, *prefix: Key) -> None:
    """Give every dropout and drop path of a model streams to draw from, or torch's generator again.

    Layers are replaced in place by injectable ones. A layer's n-th call from now on draws from the stream
    `(*prefix, path, n)`: `random` of the mask's shape; an entry is kept where it is below 1 - rate. Fused attention,
    which does not use its dropout layer, is off as long as draws are injected.

    Args:
        model: Any model.
        randomness: Source of the streams; None leaves the draws to torch.
        prefix: First words of the streams' names.
    """
    for path, module in list(model.named_modules()):
        layer = _injectable(model, path, module)
        if layer is not None:
            layer.randomness = None if randomness is None else Scoped(randomness, *prefix)
            layer.path, layer.calls = path, 0
        elif isinstance(getattr(module, "fused_attn", None), bool):
            fused = module.__dict__.setdefault("_fused_unless_injected", module.fused_attn)
            module.fused_attn = fused and randomness is None


def _injectable(model: nn.Module, path: str, module: nn.Module) -> InjectableDropout | InjectableDropPath | None:
    if isinstance(module, (InjectableDropout, InjectableDropPath)):
        return module
    layer: InjectableDropout | InjectableDropPath
    if type(module) is nn.Dropout:
        layer = InjectableDropout(module.p, module.inplace)
    elif type(module) is DropPath:
        layer = InjectableDropPath(module.drop_prob, module.scale_by_keep)
    else:
        return None
    parent, _, name = path.rpartition(".")
    setattr(model.get_submodule(parent), name, layer.train(module.training))
    return layer

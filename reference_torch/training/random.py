"""Makes timm draw from streams: stand-ins for the modules that it draws with, and layers that take injected draws."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from types import ModuleType, SimpleNamespace
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


def python_random(draws: Draws) -> SimpleNamespace:
    """The functions of the module `random` that timm uses, drawing from a stream."""
    return SimpleNamespace(
        random=lambda: float(draws.random()),
        uniform=lambda a, b: float(draws.uniform(a, b)),
        gauss=lambda mu, sigma: float(draws.normal(mu, sigma)),
        randint=lambda a, b: int(draws.integers(a, b + 1)),
        choice=lambda items: items[int(draws.integers(0, len(items)))],
    )


def numpy_random(draws: Draws) -> SimpleNamespace:
    """The functions of the module `numpy.random` that timm uses, drawing from a stream."""

    def choice(items: Sequence[Any], size: int, replace: bool = True, p: Any = None) -> list[Any]:
        return [items[at] for at in draws.choice(len(items), size, replace, p)]

    return SimpleNamespace(
        rand=lambda *shape: draws.random(shape or None), beta=draws.beta, randint=draws.integers, choice=choice
    )


def torch_random(draws: Draws) -> dict[str, Callable[..., Any]]:
    """The functions of torch that timm and torchvision draw with on the CPU, drawing from a stream.

    `rand` is float64; the tensor of `empty` is filled by its next method, `uniform_` or `normal_`.
    """

    def empty(*shape: Any, dtype: torch.dtype = torch.float64, device: Any = None) -> _Unfilled:
        return _Unfilled(draws, shape[0] if isinstance(shape[0], tuple) else shape, dtype)

    return {
        "rand": lambda *shape: torch.from_numpy(np.asarray(draws.random(shape))),
        "randperm": lambda count, generator=None: torch.from_numpy(draws.permutation(count)),
        "empty": empty,
    }


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
    python, numpy = python_random(draws), _Instead(np, random=numpy_random(draws))
    drawing = _Instead(torch, **torch_random(draws))
    replaced: list[tuple[Any, dict[str, Any]]] = [
        (timm.data.auto_augment, {"random": python, "np": numpy, "ImageOps": IMAGE_OPERATIONS}),
        (timm.data.mixup, {"np": numpy}),
        (timm.data.random_erasing, {"random": python, "torch": drawing}),
        (timm.data.transforms, {"random": python}),
        (timm.data.distributed_sampler, {"torch": drawing}),
        (torchvision.transforms.transforms, {"torch": drawing}),
    ]
    with ExitStack() as stack:
        for module, names in replaced:
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

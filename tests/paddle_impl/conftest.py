"""Weights for the ports, both sides of a pair in float64 with the same ones, and configurations of small models."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import paddle
import pytest
import torch

from porting.architectures import Architecture, build
from porting.checkpoint.tensor import LazyTensor
from porting.conversion import translate, write_random
from porting.synthetic import random_weights
from recipe.config import Config
from recipe.loading import load
from reference_torch.compat import prepare_timm

prepare_timm()

Array: TypeAlias = npt.NDArray[Any]
Gradients: TypeAlias = dict[str, float]


@pytest.fixture
def published() -> Callable[..., dict[str, Array]]:
    """Random weights of a model in PaddleViT's layout."""
    return _published


@pytest.fixture
def load_twins() -> Callable[..., None]:
    """Gives a reference and its port the same random weights, strictly, and makes both float64."""

    def load(architecture: Architecture, reference: Any, candidate: Any) -> None:
        weights = random_weights(architecture)
        reference.load_state_dict({name: torch.from_numpy(array) for name, array in weights.items()}, strict=True)
        assert candidate.set_state_dict(_published(architecture)) == ([], [])
        reference.double()
        candidate.to(dtype="float64")

    return load


@pytest.fixture
def assert_same_function() -> Callable[..., None]:
    """Holds outputs, intermediates and every gradient of a port against the reference's, in float64."""
    return _assert_same_function


@pytest.fixture(scope="session")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Writes a checkpoint of random weights, each once a session."""
    folder = tmp_path_factory.mktemp("weights")

    def write(model: str = "pit_ti", image_size: int = 32, classes: int = 10, suffix: str = "safetensors") -> Path:
        path = folder / f"{model}-{image_size}-{classes}.{suffix}"
        if not path.exists():
            write_random(build(model, image_size=image_size, num_classes=classes), path)
        return path

    return write


@pytest.fixture
def small() -> Callable[..., Config]:
    """A configuration of a PiT of 32 pixels and ten classes, in float64."""

    def make(*overrides: str, base: str = "pit_ti_224") -> Config:
        fixed = ("model.image_size=32", "model.num_classes=10", "run.precision=float64", "data.batch_size=4")
        return load(base, (*fixed, *overrides))

    return make


def _published(architecture: Architecture) -> dict[str, Array]:
    lazy = {name: LazyTensor.of(array) for name, array in random_weights(architecture).items()}
    ported = translate(lazy, architecture, "canonical", "paddlevit")
    return {name: np.ascontiguousarray(tensor.load()) for name, tensor in ported.items()}


def _assert_same_function(
    architecture: Architecture, reference: Any, candidate: Any, images: Array, limit: float = 1e-10
) -> None:
    x, y = torch.from_numpy(images).requires_grad_(), paddle.to_tensor(images, stop_gradient=False)
    (expected, maps), (actual, ported_maps) = reference.forward_intermediates(x), candidate.forward_intermediates(y)
    outputs = list(zip(_several(actual), _several(expected), strict=True))
    for ours, theirs in [*outputs, *zip(ported_maps, maps, strict=True)]:
        assert _relative(ours.numpy(), theirs.detach().numpy()) < limit
    draw = np.random.default_rng(0)
    for ours, theirs in outputs:
        weight = draw.standard_normal(ours.shape)
        (ours * paddle.to_tensor(weight)).sum().backward(retain_graph=True)
        (theirs * torch.from_numpy(weight)).sum().backward(retain_graph=True)
    assert _relative(y.grad.numpy(), x.grad.numpy()) < 10 * limit
    gradients = _canonical_gradients(architecture, candidate)
    for name, parameter in reference.named_parameters():
        assert _relative(gradients[name], parameter.grad.numpy()) < 10 * limit, name


def _canonical_gradients(architecture: Architecture, candidate: Any) -> Mapping[str, Array]:
    state = candidate.state_dict()
    arrays = {
        name: np.zeros(tensor.shape) if tensor.grad is None else tensor.grad.numpy() for name, tensor in state.items()
    }
    lazy = {name: LazyTensor.of(array) for name, array in arrays.items()}
    translated = translate(lazy, architecture, "paddlevit", "canonical")
    return {name: np.asarray(tensor.load()) for name, tensor in translated.items()}


def _relative(actual: Array, expected: Array) -> float:
    assert actual.shape == expected.shape
    return float(np.linalg.norm(actual - expected) / np.linalg.norm(expected))


def _several(output: Any) -> tuple[Any, ...]:
    return output if isinstance(output, tuple) else (output,)

"""The two twins are one function, and one file but for the frameworks."""

from __future__ import annotations

import ast
import inspect
import re
from dataclasses import replace
from types import ModuleType
from typing import Any

import numpy as np
import numpy.typing as npt
import paddle
import pytest
import torch

from paddle_impl import pit as candidate
from porting import architectures
from porting.architectures import pit as architecture
from porting.synthetic import random_weights
from reference_torch import pit as reference

Array = npt.NDArray[Any]
LINEAR = re.compile(r"(qkv|proj|fc1|fc2|pools\.\d\.fc|head|head_dist)\.weight")


def to_paddle(key: str, array: Array) -> Array:
    return array.T if LINEAR.search(key) else array


def pair(name: str, **size: Any) -> tuple[reference.PoolingTransformer, candidate.PoolingTransformer]:
    """Both twins in float64, with the same random weights."""
    arrays = random_weights(architectures.build(name, **size))
    with torch.device("meta"):
        ours = reference.create(name, **size)
    ours.load_state_dict({key: torch.from_numpy(array) for key, array in arrays.items()}, assign=True)
    theirs = candidate.create(name, **size)
    assert theirs.set_state_dict({key: to_paddle(key, array) for key, array in arrays.items()}) == ([], [])
    return ours.double(), theirs.to(dtype="float64")


@pytest.fixture
def shallow_pit_b(monkeypatch: pytest.MonkeyPatch) -> None:
    """Patches, strides and heads of pit_b, a hundredth of its parameters."""
    smaller: dict[str, Any] = {"depth": (1, 2, 1), "heads": (1, 2, 4)}
    for configs in (reference.CONFIGS, candidate.CONFIGS):
        assert isinstance(configs, dict)
        monkeypatch.setitem(configs, "pit_b", replace(configs["pit_b"], **smaller))
    known: Any = architecture.CONFIGS
    monkeypatch.setitem(known, "pit_b", known["pit_b"]._replace(**smaller))


def relative(actual: Array, expected: Array) -> float:
    assert actual.shape == expected.shape
    return float(np.linalg.norm(actual - expected) / np.linalg.norm(expected))


def heads(output: Any) -> tuple[Any, ...]:
    return output if isinstance(output, tuple) else (output,)


@pytest.mark.parametrize(
    ("name", "size", "training"),
    [
        ("pit_ti", {"image_size": (72, 57), "num_classes": 11}, True),
        ("pit_ti_distilled", {"image_size": 40, "num_classes": 11}, True),
        ("pit_xs", {"image_size": 48, "num_classes": 0}, False),
        ("pit_s_distilled", {"image_size": 32, "num_classes": 5}, False),
        ("pit_b", {"image_size": (28, 42), "num_classes": 3}, False),
    ],
)
@pytest.mark.usefixtures("shallow_pit_b")
def test_same_function(name: str, size: dict[str, Any], training: bool) -> None:
    ours, theirs = pair(name, **size)
    (ours.train if training else ours.eval)()
    (theirs.train if training else theirs.eval)()
    shape = size["image_size"] if isinstance(size["image_size"], tuple) else (size["image_size"],) * 2
    generator = np.random.default_rng(0)
    images = generator.standard_normal((2, 3, *shape))
    x, y = torch.from_numpy(images).requires_grad_(), paddle.to_tensor(images, stop_gradient=False)
    (expected, maps), (actual, their_maps) = ours.forward_intermediates(x), theirs.forward_intermediates(y)
    assert len(heads(expected)) == len(heads(actual)) == (2 if training and ours.distilled else 1)
    for a, b in zip([*heads(actual), *their_maps], [*heads(expected), *maps], strict=True):
        assert relative(a.numpy(), b.detach().numpy()) < 1e-10
    for a, b in zip(heads(actual), heads(expected), strict=True):
        weight = generator.standard_normal(a.shape)
        (a * paddle.to_tensor(weight)).sum().backward(retain_graph=True)
        (b * torch.from_numpy(weight)).sum().backward(retain_graph=True)
    gradients = dict(theirs.named_parameters())
    assert relative(y.grad.numpy(), x.grad.numpy()) < 1e-9
    for key, parameter in ours.named_parameters():
        assert relative(to_paddle(key, gradients[key].grad.numpy()), parameter.grad.numpy()) < 1e-9, key


def test_transposed_projection_changes_the_logits() -> None:
    ours, theirs = pair("pit_ti", image_size=32, num_classes=3)
    projection = theirs.transformers[1].blocks[2].attn.proj.weight
    projection.set_value(projection.T)
    ours.eval()
    theirs.eval()
    images = np.random.default_rng(0).standard_normal((1, 3, 32, 32))
    assert relative(theirs(paddle.to_tensor(images)).numpy(), ours(torch.from_numpy(images)).detach().numpy()) > 1e-3


def test_same_hyper_parameters() -> None:
    assert {name: vars(config) for name, config in reference.CONFIGS.items()} == {
        name: vars(config) for name, config in candidate.CONFIGS.items()
    }


def outline(module: ModuleType) -> list[str]:
    """Every definition of a module with its parameters, in order."""
    tree = ast.parse(inspect.getsource(module))
    return [
        f"{type(node).__name__} {node.name} "
        + ("" if isinstance(node, ast.ClassDef) else ", ".join(a.arg for a in (*node.args.args, *node.args.kwonlyargs)))
        for node in ast.walk(tree)
        if isinstance(node, ast.ClassDef | ast.FunctionDef)
    ]


def test_the_files_mirror_each_other() -> None:
    assert outline(reference) == outline(candidate)
    ours, theirs = (inspect.getsource(module).splitlines() for module in (reference, candidate))
    same = len(set(ours) & set(theirs)) / len(set(ours))
    assert same > 0.8
    assert abs(len(ours) - len(theirs)) < 5

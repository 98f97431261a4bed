"""Recordings of a small NumPy model, right and wrong, in both precisions; weight files, and a bare interpreter."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Literal, TypeAlias

import numpy as np
import numpy.typing as npt
import pytest

from alignment.recordings.recording import Entry, Manifest, Recorder, Recording
from porting.architectures import build
from porting.checkpoint import LazyTensor, write_checkpoint
from porting.synthetic import random_weights

Array: TypeAlias = npt.NDArray[Any]
Quantities: TypeAlias = Mapping[str, tuple[Entry, Any]]
Write: TypeAlias = Callable[..., Recording]
Run: TypeAlias = Callable[..., dict[str, Recording]]

_WIDTH, _CLASSES, _BATCH, _PERTURBATIONS = 32, 10, 6, 3


@pytest.fixture
def write(tmp_path: Path) -> Iterator[Write]:
    """Writes quantities, `(entry, array)` by key, as a recording, and opens it."""
    opened: list[Recording] = []

    def write(quantities: Quantities, **fields: Any) -> Recording:
        recorder = Recorder()
        for key, (entry, array) in quantities.items():
            recorder.add(key, np.asarray(array), entry)
        manifest = Manifest(**{"backend": "torch", "dtype": "float32", "model": "mlp", **fields})
        opened.append(recorder.write(tmp_path / f"recording-{len(opened)}", manifest))
        return opened[-1]

    yield write
    for recording in opened:
        recording.close()


@pytest.fixture
def run(write: Write) -> Run:
    """Runs one side of a two-layer network and records it in the precisions asked for."""

    def run(
        role: Literal["reference", "candidate"],
        seed: int = 0,
        *,
        dtypes: tuple[str, ...] = ("float32", "float64"),
        eps: float = 1e-6,
        lost_bias: bool = False,
        change: Callable[[dict[str, Array]], None] = lambda arrays: None,
    ) -> dict[str, Recording]:
        weights, x = _draw(seed)
        if lost_bias:
            weights["bias"] *= 0
        recordings = {}
        for dtype in dtypes:
            arrays = _compute(weights, x, dtype, eps, backwards=role == "candidate")
            change(arrays)
            spreads = _spreads(weights, x, eps, arrays) if (role, dtype) == ("reference", "float32") else {}
            quantities = {key: (_entry(key, spreads), array) for key, array in arrays.items()}
            backend = {"reference": "torch", "candidate": "paddle"}[role]
            recordings[dtype] = write(quantities, role=role, dtype=dtype, backend=backend, steps=("forward", "bp"))
        return recordings

    return run


@pytest.fixture
def bare_python(tmp_path: Path) -> str:
    """An interpreter without any installed package."""
    script = tmp_path / "bare-python"
    script.write_text(f'#!/bin/sh\nunset PYTHONPATH\nexec {sys.executable} -S "$@"\n')
    script.chmod(0o755)
    return str(script)


@pytest.fixture
def write_random() -> Callable[..., Path]:
    """Writes random weights of a model in the canonical layout."""

    def write(name: str, path: Path, **form: int) -> Path:
        weights = random_weights(build(name, **form))
        write_checkpoint(path, {key: LazyTensor.of(array) for key, array in weights.items()})
        return path

    return write


def _draw(seed: int) -> tuple[dict[str, Array], Array]:
    draw = np.random.default_rng(seed)
    weights = {
        "weight": draw.standard_normal((_WIDTH, _WIDTH), np.float32) / np.float32(_WIDTH**0.5),
        "bias": draw.standard_normal(_WIDTH, np.float32) * np.float32(0.1),
        "head": draw.standard_normal((_WIDTH, _CLASSES), np.float32) / np.float32(_WIDTH**0.5),
    }
    return weights, draw.standard_normal((_BATCH, _WIDTH), np.float32)


def _compute(weights: Mapping[str, Array], x: Array, dtype: str, eps: float, backwards: bool) -> dict[str, Array]:
    """Forward, loss and the head's gradient; `backwards` sums every product in the opposite order."""
    weight, bias, head, x = (array.astype(dtype) for array in (*weights.values(), x))

    def product(a: Array, b: Array) -> Array:
        order = slice(None, None, -1) if backwards else slice(None)
        total = np.zeros((a.shape[0], b.shape[1]), a.dtype)
        for column, row in zip(a.T[order], b[order], strict=True):
            total = total + np.outer(column, row)
        return total

    hidden = product(x, weight) + bias
    centred = hidden - hidden.mean(1, keepdims=True)
    normed = centred / np.sqrt((centred**2).mean(1, keepdims=True) + np.asarray(eps, dtype))
    logits = product(normed, head)
    shifted = np.exp(logits - logits.max(1, keepdims=True))
    shares = shifted / shifted.sum(1, keepdims=True)
    targets = np.eye(_CLASSES, dtype=dtype)[np.arange(_BATCH) % _CLASSES]
    ranking = np.argsort(-logits, axis=1, kind="stable")[:, :3]
    return {
        "forward/logits": logits,
        "forward/parameters/bias": weights["bias"],
        "forward/top3": ranking,
        "forward/acc_top1": np.asarray(np.mean(ranking[:, 0] == np.arange(_BATCH) % _CLASSES)),
        "bp/loss_0": np.asarray(-(targets * np.log(shares)).sum(1).mean(), dtype),
        "bp/gradient/head": product(normed.T, (shares - targets) / np.asarray(_BATCH, dtype)),
    }


def _spreads(weights: Mapping[str, Array], x: Array, eps: float, arrays: Mapping[str, Array]) -> dict[str, Array]:
    changes: dict[str, list[tuple[float, float]]] = {key: [] for key in arrays}
    for seed in range(_PERTURBATIONS):
        draw = np.random.default_rng(seed)

        def nudge(array: Array, draw: np.random.Generator = draw) -> Array:
            return np.nextafter(array, np.where(draw.random(array.shape) < 0.5, np.inf, -np.inf).astype(array.dtype))

        moved = _compute({key: nudge(w) for key, w in weights.items()}, nudge(x), "float32", eps, backwards=False)
        for key, array in arrays.items():
            difference = moved[key].astype(np.float64) - array
            changes[key].append((float(np.linalg.norm(difference)), float(np.abs(difference).max())))
    return {key: np.max(values, axis=0) for key, values in changes.items()}


def _entry(key: str, spreads: Mapping[str, Array]) -> Entry:
    step, name = key.split("/", 1)
    if name == "top3":
        return Entry("ranking", step, scores="forward/logits")
    if name == "acc_top1":
        return Entry("metric", step)
    if name.startswith("parameters/"):
        return Entry("parameter", step)
    kind: Any = "gradient" if name.startswith("gradient/") else "loss" if name.startswith("loss") else "output"
    spread, spread_max = spreads.get(key, (None, None))
    return Entry(kind, step, None, spread and float(spread), spread_max and float(spread_max))

"""One contestant of `twins.py`, in a process of its own: builds a model, then times steps when asked."""

from __future__ import annotations

import re
import sys
from collections import defaultdict
from collections.abc import Callable
from time import perf_counter
from typing import Any

import numpy as np

from benchmarks.contestants import serve

KINDS = {
    "fused attention": "scaled_dot_product",
    "softmax": "softmax",
    "layer norm": "layer_?norm",
    "gelu": "gelu",
    "convolution": "conv",
    "matrix products": "matmul|mm$|mkldnn_linear|linear",
    "sums and scales": "add|mul|scale|sum|div",
}
"""Kind of an operator in the profile: the first one whose pattern is in its name; all others move data."""


class Contestant:
    """A model and its batch, in a framework.

    Attributes:
        step: Runs the model forward and returns the backward pass, to be timed on its own.
    """

    step: Callable[[], Callable[[], None]]

    def times(self) -> tuple[float, float]:
        """Seconds of one forward and one backward pass."""
        start = perf_counter()
        backward = self.step()
        forward_end = perf_counter()
        backward()
        return forward_end - start, perf_counter() - forward_end

    def operators(self) -> dict[str, float]:
        """Seconds of each operator in one step."""
        raise NotImplementedError


class TorchContestant(Contestant):
    """The reference."""

    def __init__(self, model: str, batch: int, threads: int) -> None:
        import torch

        from reference_torch import pit

        torch.set_num_threads(threads)
        network = pit.create(model)
        images = torch.from_numpy(_images(batch))

        def step() -> Callable[[], None]:
            network.zero_grad()
            loss = network(images).square().mean()
            return lambda: loss.backward()

        self.step = step

    def operators(self) -> dict[str, float]:
        """Seconds of each operator in one step."""
        import torch

        with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as profile:
            self.times()
        return {event.key: event.self_cpu_time_total / 1e6 for event in profile.key_averages()}


class PaddleContestant(Contestant):
    """The port, or the plain model, eager or as a static graph."""

    def __init__(self, model: str, batch: int, *, plain: bool, static: bool) -> None:
        import paddle

        network = _plain(model) if plain else _twin(model)
        images = paddle.to_tensor(_images(batch))
        call = paddle.jit.to_static(network, full_graph=True) if static else network

        def step() -> Callable[[], None]:
            network.clear_gradients()
            loss = call(images).square().mean()
            return lambda: loss.backward()

        self.step = step

    def operators(self) -> dict[str, float]:
        """Seconds of each operator in one step."""
        from paddle import profiler
        from paddle.profiler.profiler_statistic import StatisticData

        results: list[Any] = []
        trace = profiler.Profiler(
            targets=[profiler.ProfilerTarget.CPU], on_trace_ready=lambda done: results.append(done.profiler_result)
        )
        with trace:
            self.times()
        statistics = StatisticData(results[0].get_data(), results[0].get_extra_info())
        return {name: item.cpu_time / 1e9 for name, item in statistics.event_summary.items.items()}


def _plain(model: str) -> Any:
    from benchmarks.plain_pit import PlainPit

    return PlainPit(model)


def _twin(model: str) -> Any:
    from paddle_impl import pit

    return pit.create(model)


def _images(batch: int) -> Any:
    return np.random.default_rng(0).standard_normal((batch, 3, 224, 224), dtype=np.float32)


def _kinds(operators: dict[str, float]) -> dict[str, float]:
    totals: dict[str, float] = defaultdict(float)
    for name, seconds in operators.items():
        kind = next((kind for kind, pattern in KINDS.items() if re.search(pattern, name, re.IGNORECASE)), "moving data")
        totals[kind] += seconds
    return dict(totals)


def _build(name: str, model: str, batch: int, threads: int) -> Contestant:
    if name == "torch":
        return TorchContestant(model, batch, threads)
    return PaddleContestant(model, batch, plain="plain" in name, static="static" in name)


def main() -> None:
    """Answer lines of stdin: `step` with its two times, `profile` with seconds per kind of operator."""
    name, model, batch, threads = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
    contestant = _build(name, model, batch, threads)
    for _ in range(2):
        contestant.times()
    serve(lambda request: contestant.times() if request == "step" else _kinds(contestant.operators()))


if __name__ == "__main__":
    main()

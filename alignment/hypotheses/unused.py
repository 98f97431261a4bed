"""Tensors that take no part in what a module gives, where the reference's do: a scale, a norm or a block left out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

import numpy as np

from alignment.arrays import Array
from alignment.hypotheses.base import Case, Prediction
from alignment.hypotheses.bench import Bench, OutOfTimeError
from alignment.hypotheses.calls.sites import outcome
from porting.names import fold

_GRADIENT = "expected/gradient of "
_SMALL = 1e-6
"""Share of the largest gradient below which one may be rounding."""
_MOST = 64


def unused(case: Case) -> Iterator[Prediction]:
    """Predict tensors without any effect, whose gradients are not zero in the reference.

    That no gradient arrives at them is not enough, since one may be stopped: they are changed, and nothing else does.
    """
    if case.finding.direction != "forward" or case.bench is None:
        return
    expected = {name.removeprefix(_GRADIENT): case.extra[name] for name in case.extra if name.startswith(_GRADIENT)}
    largest = max((float(np.abs(array).max(initial=0.0)) for array in expected.values()), default=0.0)
    idle = [
        name
        for name, array in expected.items()
        if np.abs(array).max(initial=0.0) > _SMALL * largest and not case.extra[f"found/gradient of {name}"].any()
    ]
    bench = case.bench() if idle and (len(idle) < len(expected) or len(expected) == 1) else None
    if bench is None:
        return
    try:
        names = _without_effect(bench, [expected[name] for name in idle])
    except OutOfTimeError:
        return
    if not names:
        return
    prefix = f"{case.finding.candidate}." if case.finding.candidate else ""
    words = _words([name.removeprefix(prefix) for name in names], [*bench.tensors], prefix)
    verb = "take" if "," in words or "{" in words else "takes"
    zeros = [np.zeros_like(expected[name]) for name in idle]
    yield Prediction(
        "not used",
        f"its {words} {verb} no part in what it gives",
        case.place("forward"),
        zeros,
        [expected[name] for name in idle],
        zeros,
    )


def _without_effect(bench: Bench, arrays: Sequence[Array]) -> list[str]:
    """The candidate's tensors, as large as these, that change nothing; none if there are not as many."""
    sizes = [array.size for array in arrays]
    fitting = {name: array for name, array in bench.tensors.items() if array.size in sizes}
    before = outcome(bench) if len(fitting) <= _MOST else None
    if before is None:
        return []
    names = []
    for name, array in fitting.items():
        after = outcome(bench, weights={name: array * array.dtype.type(1.5) + array.dtype.type(0.25)})
        if after is not None and all(np.array_equal(a, b) for a, b in zip(before.outputs, after.outputs, strict=True)):
            names.append(name)
    surplus = Counter(fitting[name].size for name in names)
    surplus.subtract(sizes)
    norms = sum(number > 2 for number in Counter(name.rpartition(".")[0] for name in names).values())
    fits = min(surplus.values(), default=0) >= 0 and surplus.total() <= 2 * norms  # their running mean and variance
    return names if fits else []


def _words(names: Sequence[str], tensors: Sequence[str], prefix: str) -> str:
    """The tensors, or the modules that hold them and nothing else."""
    own = [name.removeprefix(prefix) for name in tensors]
    whole: dict[str, None] = {}
    for name in names:
        parts = name.split(".")
        heads = (".".join(parts[:count]) for count in range(1, len(parts)))
        held = (head for head in heads if all(other in names for other in own if other.startswith(f"{head}.")))
        whole[next(held, name)] = None
    return ", ".join(fold(whole))

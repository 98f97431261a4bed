"""Mistakes in the running statistics of a batch normalisation: another momentum, another variance, no update at all."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from alignment.arrays import Array
from alignment.hypotheses.base import FITTED, Case, Prediction, ratio

_SHARE = 0.1
"""What torch takes up of a batch by default."""


def running_statistics(case: Case) -> Iterator[Prediction]:
    """Predict the running statistics after a batch."""
    names = [name.removeprefix("before/") for name in case.extra if name.startswith("before/running")]
    if not names or case.finding.mode != "train":
        return
    if case.finding.evidence and not any(one.what.startswith("running statistic") for one in case.finding.evidence):
        return  # something else differs
    before, expected, actual = (
        [case.extra[f"{what}/{name}"].astype(np.float64) for name in names] for what in ("before", "expected", "found")
    )
    right = _right_share(case)
    taken = [after - (1 - right) * old for old, after in zip(before, expected, strict=True)]  # share times batch
    changes = [part / right - old for part, old in zip(taken, before, strict=True)]

    def after(share: float, biased: float = 1.0) -> list[Array]:
        factors = [biased if "var" in name else 1.0 for name in names]
        parts = zip(before, taken, factors, strict=True)
        return [(1 - share) * old + share / right * part * factor for old, part, factor in parts]

    def predict(short: str, says: str, arrays: list[Array], place: str = "momentum") -> Prediction:
        return Prediction(short, says, case.place(place), arrays, expected, actual)

    if case.candidate_settings.get("use_global_stats"):
        says = "it normalises by its running statistics in training, too, and does not update them: leave it out"
        yield predict("statistics frozen", says, before, "use_global_stats=True")
    yield predict("statistics frozen", "the running statistics are not updated", before)
    share = _fitted(names, before, changes, actual)
    wrong = share is not None and abs(share - right) > 1e-6
    if share is not None and wrong:
        yield predict("batchnorm momentum", _momentum(share, right), after(share))
    for count in dict.fromkeys(_counts(case)) if any("var" in name for name in names) else ():
        says = f"the running variance takes up the biased one, over {count} values"
        for exact in (right, 1 - float(np.float32(1 - right))):  # Paddle's kernel holds its momentum in float32
            arrays = after(exact, (count - 1) / count)
            yield predict("biased variance", says, arrays, "forward, which keeps Paddle's own")
        if share is not None and wrong:
            says = f"{_momentum(share, right)}; and the running variance takes up the biased one, over {count} values"
            yield predict("batchnorm momentum", says, after(share, (count - 1) / count))


def _right_share(case: Case) -> float:
    """What the reference takes up of a batch: torch's momentum, one minus that of the others."""
    momentum = case.settings.get("momentum", _SHARE)
    share = float(momentum) if isinstance(momentum, int | float) and 0 < momentum < 1 else _SHARE
    return 1 - share if share > 0.5 else share


def _fitted(names: list[str], before: list[Array], changes: list[Array], actual: list[Array]) -> float | None:
    """What the candidate takes up of a batch, from the running means, which nothing else changes."""
    means = [index for index, name in enumerate(names) if "var" not in name]
    if sum(changes[index].size for index in means) < FITTED:
        return None
    moved = [actual[index] - before[index] for index in means]
    share = ratio([changes[index] for index in means], moved)
    return share if 0 < share <= 1 + 1e-9 else None


def _momentum(share: float, right: float) -> str:
    says = f"its momentum is wrong: a batch has a share of {share:.6g} in them, not {right:.6g}"
    if abs(share + right - 1) < 1e-6:
        says += ": Paddle's momentum is one minus torch's"
    return f"{says}; pass momentum={1 - right:.6g} to Paddle's, {right:.6g} to torch's"


def _counts(case: Case) -> Iterator[int]:
    for array in case.inputs:
        if array.ndim == 4:
            for shrunk in (1, 2):
                yield array.shape[0] * math.ceil(array.shape[2] / shrunk) * math.ceil(array.shape[3] / shrunk)
        elif array.ndim in (2, 3):
            yield array.size // array.shape[1]

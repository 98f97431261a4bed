"""Mistakes in the rates of a run: one has to explain all that were recorded."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import pytest

from alignment.hypotheses.training import RecipeCase
from alignment.hypotheses.training.rates import rates_of
from alignment.results.findings import Finding
from alignment.training.explain import _tried
from recipe.config import Config, Optimizer, Schedule

Array: TypeAlias = npt.NDArray[Any]
PEAK = 0.01
SHORT = Schedule(epochs=6, warmup_epochs=2, warmup_rate=1e-4, minimum_rate=5e-4, cooldown_epochs=1, deit_quirk=False)
UPDATES = 12
RIGHT = np.repeat(rates_of(SHORT, PEAK), 2)[:UPDATES]


def explained(rates: Array, expected: Array = RIGHT) -> tuple[str, str] | None:
    """What is said of the rates of a run, of which the first one that differs is blamed."""
    at = int(np.flatnonzero(rates != expected)[0])
    return _explained(f"train/lr_{at}", (f"train/lr_{at}",), *(
        {f"train/lr_{number}": np.asarray(rate) for number, rate in enumerate(side)} for side in (expected, rates)
    ))  # fmt: skip


def of_schedule(rates: Array) -> tuple[str, str] | None:
    """What is said of the rates of all epochs."""
    expected = np.repeat(np.array(rates_of(SHORT, PEAK))[:, None], 2, axis=1)
    return _explained("schedule/lr", ("schedule/lr",), {"schedule/lr": expected}, {"schedule/lr": rates})


def _explained(
    path: str, keys: Sequence[str], expected: dict[str, Array], rates: dict[str, Array]
) -> tuple[str, str] | None:
    config = replace(Config(), schedule=SHORT, optimizer=replace(Optimizer(), learning_rate=PEAK, base_batch=0))
    finding = Finding("quantity", path, path, "train", "forward", ())
    causes = _tried(RecipeCase(finding, tuple(keys), expected, rates, config, lambda change: {})).causes
    return (causes[0].name, causes[0].says) if causes else None


def test_a_factor_of_all_rates_is_named() -> None:
    assert explained(RIGHT / 2) == ("rate scaled", "every rate is 0.5 times what it should be")


@pytest.mark.parametrize(
    "rates",
    [
        np.where(np.arange(UPDATES) == 4, RIGHT * 0.87939, RIGHT),
        np.where(np.arange(UPDATES) >= 4, 0.0, RIGHT),
        RIGHT * np.linspace(1, 0.5, UPDATES),
        RIGHT * 0,
        RIGHT * np.inf,
        RIGHT * np.nan,
    ],
)
def test_other_wrong_rates_are_not_explained_by_a_factor_of_one_of_them(rates: Array) -> None:
    assert explained(rates) is None


@pytest.mark.parametrize("updates", [1, 2])
def test_one_rate_alone_has_no_factor(updates: int) -> None:
    """Two updates of one epoch have one rate: any other one is a multiple of it."""
    assert explained(RIGHT[:updates] * 0.7, RIGHT[:updates]) is None


@pytest.mark.parametrize(
    ("change", "name"),
    [
        ({"warmup_epochs": 0}, "warm-up lost"),
        ({"warmup_epochs": 3}, "warm-up length"),
        ({"deit_quirk": True}, "schedule off by one"),
        ({"minimum_rate": 0.0}, "minimum rate"),
        ({"warmup_rate": 2e-4}, "warm-up rate"),
    ],
)
def test_rates_of_a_run_have_the_same_causes_as_those_of_a_schedule(change: dict[str, Any], name: str) -> None:
    curve = rates_of(replace(SHORT, **change), PEAK)
    cause = explained(np.repeat(curve, 2)[:UPDATES])
    assert cause is not None
    assert cause[0] == name
    known = of_schedule(np.repeat(np.array(curve)[:, None], 2, axis=1))
    assert known == cause


def test_a_linear_fall_is_not_called_a_factor() -> None:
    reach = PEAK - SHORT.minimum_rate
    fall = [SHORT.minimum_rate + reach * (1 - t / SHORT.epochs) for t in range(2, 6)]
    rates = np.repeat([*rates_of(SHORT, PEAK)[:2], *fall], 2)
    assert explained(rates) == ("linear", "it falls linearly, not as a cosine")


def test_rates_one_update_late_are_named() -> None:
    cause = explained(np.concatenate((RIGHT[:1], RIGHT[:-1])))
    assert cause is not None
    assert cause[0] == "rate one step late"


def test_a_schedule_of_other_rates_is_left_unexplained() -> None:
    expected = np.repeat(np.array(rates_of(SHORT, PEAK))[:, None], 2, axis=1)
    assert of_schedule(expected * np.linspace(1, 0.5, expected.size).reshape(expected.shape)) is None

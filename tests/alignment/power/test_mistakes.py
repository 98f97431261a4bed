"""Which mistakes are made of a module's settings and weights, and how an attribute is changed and given back."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from alignment.errors import AlignmentError
from alignment.power.catalogue import mistakes_of
from alignment.power.mistakes import Witness
from alignment.power.run import Budget
from tests.alignment.power.conftest import MakeBench, find


def changed(subject: Any, kind: str, path: str) -> tuple[Any, Any, Witness]:
    """The module before and while the mistake is in it, as `vars`, and whether it was read."""
    module, witness = subject.taps.objects[path], Witness()
    before = dict(vars(module))
    with ExitStack() as stack:
        find(subject, kind, path).plant(replace(subject.trial), stack, witness)
        during = dict(vars(module))
    assert vars(module) == before
    return before, during, witness


@pytest.mark.parametrize(
    ("kind", "path", "attribute", "wrong"),
    [
        ("eps", "block.norm", "eps", 1e-5),
        ("slope", "block.act", "negative_slope", 0.11),
        ("momentum", "bn", "momentum", 0.01),
        ("rate", "drop", "p", 0.1),
        ("padding", "conv", "padding", (0, 0)),
        ("padding mode", "conv", "padding_mode", "replicate"),
        ("stride", "conv", "stride", (2, 2)),
        ("left in training", "bn", "training", True),
    ],
)
def test_setting_has_another_value_and_gets_its_own_back(
    kind: str, path: str, attribute: str, wrong: object, bench: MakeBench
) -> None:
    before, during, _ = changed(bench("net").subject, kind, path)
    assert before[attribute] != wrong
    assert during[attribute] == pytest.approx(wrong) if isinstance(wrong, float) else during[attribute] == wrong


def test_attribute_counts_once_the_model_reads_it(bench: MakeBench) -> None:
    subject = bench("net").subject
    module, witness = subject.taps.objects["block.norm"], Witness()
    own = type(module)
    with ExitStack() as stack:
        find(subject, "eps", "block.norm").plant(replace(subject.trial), stack, witness)
        reached = [witness.reached]
        assert module.eps == pytest.approx(1e-5)
        reached.append(witness.reached)
        assert type(module).__name__ == own.__name__
    assert reached == [False, True]
    assert type(module) is own


def test_weights_are_changed_in_the_trial_only(bench: MakeBench) -> None:
    subject = bench("net").subject
    with ExitStack() as stack:
        trial = find(subject, "weight transposed", "block.mix.weight").plant(subject.trial, stack, Witness())
    right, wrong = (own.weights["block.mix.weight"] for own in (subject.trial, trial))
    np.testing.assert_array_equal(wrong, right.T)
    others = [name for name, array in trial.weights.items() if array is not subject.trial.weights[name]]
    assert others == ["block.mix.weight"]


def test_mistake_that_changes_nothing_is_not_made(bench: MakeBench) -> None:
    made = {(mistake.kind, mistake.path) for mistake in mistakes_of(bench("net").subject)}
    assert ("statistics not loaded", "bn.running_mean") in made
    assert ("weight transposed", "head.weight") not in made  # it is not square
    assert not {path for kind, path in made if kind == "left out" and path == "drop"}  # it is the identity


@pytest.mark.parametrize(
    ("fields", "message"),
    [({"limit": 0}, "the limit of planted mistakes: 0"), ({"seconds": -1.0}, "the seconds of planted mistakes: -1")],
)
def test_budget_of_nothing_is_refused(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(AlignmentError, match=message):
        Budget(**fields)

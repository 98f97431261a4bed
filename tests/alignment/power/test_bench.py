"""Mistakes that are planted into a small model are noticed, not noticed or never reached, and are taken out again."""

from __future__ import annotations

import numpy as np
import pytest

from alignment.backends.base import Backend
from alignment.errors import AlignmentError
from alignment.pair import Mask, Tokens
from alignment.power.bench import Bench
from alignment.power.catalogue import mistakes_of
from alignment.results.power import Planted
from tests.alignment.power.conftest import MakeBench, find


def planted(bench: Bench, kind: str, path: str | None = None) -> Planted:
    outcome = bench.plant(find(bench.subject, kind, path))
    assert outcome is not None
    return outcome


def outputs(backend: Backend, bench: Bench) -> np.ndarray:
    bench.subject.trial.reset()
    return backend.forward(bench.subject.trial.inputs.batch, None).logits


def test_every_mistake_that_the_model_meets_is_noticed_and_taken_out_again(bench: MakeBench) -> None:
    net = bench("net", labels=np.array([0, 1, 4]))
    before = outputs(net.subject.job.backend, net)
    one_a_kind = {(mistake.kind, mistake.of): mistake for mistake in mistakes_of(net.subject)}
    outcomes = [net.plant(mistake) for mistake in one_a_kind.values()]
    reached = [outcome for outcome in outcomes if outcome is not None]
    assert len(reached) > 40
    assert not [(outcome.kind, outcome.path) for outcome in reached if not outcome.noticed]
    np.testing.assert_array_equal(outputs(net.subject.job.backend, net), before)
    net.finish()
    kinds = {outcome.kind for outcome in reached}
    assert {"eps", "slope", "padding", "padding mode", "left in training", "momentum", "rate"} <= kinds
    assert {"gradient stopped", "factor in training", "left out", "shortcut lost", "state kept"} <= kinds
    assert {"bias off", "weight transposed", "rows exchanged", "statistics not loaded", "kernel turned"} <= kinds


@pytest.mark.parametrize(
    ("kind", "path", "by"),
    [
        ("eps", "block.norm", "forward/"),
        ("gradient stopped", "conv", "bp/gradient/"),
        ("factor in training", "head", "batchnorm/"),
        ("rate", "drop", "train_mode/rate_"),
        ("momentum", "bn", "batchnorm/running/"),
        ("bias off", "head.bias", "forward/logits"),
        ("left out", "relu", "forward/logits"),
    ],
)
def test_mistake_is_noticed_by_the_step_that_shows_it(kind: str, path: str, by: str, bench: MakeBench) -> None:
    outcome = planted(bench("net"), kind, path)
    assert outcome.noticed
    assert outcome.by.startswith(by)


@pytest.mark.parametrize(
    ("kind", "needs"), [("batch size", "a batch of another size"), ("rate", "the step train_mode")]
)
def test_mistake_that_only_a_step_shows_is_not_exercised_without_it(kind: str, needs: str, bench: MakeBench) -> None:
    outcome = planted(bench("net", without=("other_inputs", "train_mode")), kind)
    assert not outcome.noticed
    assert not outcome.changes
    assert outcome.needs.startswith(needs)


def test_module_that_is_never_called_counts_neither_way_in_what_it_computes(bench: MakeBench) -> None:
    net = bench("net")
    assert net.plant(find(net.subject, "eps", "unused")) is None
    assert net.plant(find(net.subject, "gradient stopped", "unused")) is None


def test_wrong_weights_of_a_module_that_is_never_called_are_noticed_as_weights(bench: MakeBench) -> None:
    outcome = planted(bench("net"), "bias off", "unused.bias")
    assert outcome.by_weights
    assert outcome.by == "forward/parameters/unused.bias"


def test_class_that_is_no_label_is_named_unless_it_is_one(bench: MakeBench) -> None:
    def ignored(labels: list[int]) -> Planted | None:
        net = bench("net", labels=np.array(labels))
        mistakes = [mistake for mistake in mistakes_of(net.subject) if mistake.says == "class 0 ignored"]
        return net.plant(mistakes[0])

    lacks, has = ignored([1, 2, 2]), ignored([0, 2, 2])
    assert lacks is not None
    assert has is not None
    assert not lacks.noticed
    assert not lacks.changes
    assert lacks.needs == "a label of class 0: class 0 is never a label, 2 other classes are"
    assert has.noticed


@pytest.mark.parametrize("holds", [True, False])
def test_mistakes_of_tokens_show_if_the_inputs_hold_them(holds: bool, bench: MakeBench) -> None:
    ids, mask = np.full((3, 5), 3), np.ones((3, 5), np.int64)
    ids[1] = 7, 2, 3, 4, 5
    if holds:
        ids[0, 0], ids[1, 4], mask[1, 3] = 10, 0, 0
    net = bench("attention", input_shape=(), inputs={"ids": Tokens(11, (5,)), "mask": Mask((5,))}, given=(ids, mask))
    last, row = planted(net, "last row", "words.weight"), planted(net, "padding_idx", "words")
    masked = planted(net, "input ignored", "mask")
    assert last.noticed
    assert last.by_weights is not holds
    assert row.noticed is holds
    assert masked.noticed is holds
    if not holds:
        assert row.needs == "the id 0"
        assert masked.needs == "a row that it masks"
    for kind in ("attention scale", "number of heads", "q and k exchanged"):
        assert planted(net, kind).noticed


def test_model_that_gives_something_else_every_time_is_refused(bench: MakeBench) -> None:
    with pytest.raises(AlignmentError, match="the candidate passed, and does not when it runs once more"):
        bench("draws", input_shape=(3,))


def test_mistakes_are_the_same_for_the_same_seed_and_kinds_take_turns(bench: MakeBench) -> None:
    net = bench("net")
    first, again = ([(item.kind, item.path) for item in mistakes_of(net.subject)] for _ in range(2))
    assert first == again
    kinds = {kind for kind, _ in first}
    assert {kind for kind, _ in first[: len(kinds)]} == kinds

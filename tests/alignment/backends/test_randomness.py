"""Rates of what draws at random are read off modules, and set to zero and back."""

from __future__ import annotations

from alignment.backends.randomness import Silence, rates


class Dropout:
    def __init__(self, p: float) -> None:
        self.p = p


class DropPath:
    def __init__(self, drop_prob: float) -> None:
        self._drop_prob = drop_prob


class Linear:
    def __init__(self) -> None:
        self.p = 0.5


def test_rates_are_those_above_zero_of_dropouts_and_of_the_frameworks_attention() -> None:
    assert rates("Dropout", (), {"p": 0.5, "inplace": False}) == {"p": 0.5}
    assert rates("DropPath", (), {"_drop_prob": 0.1}) == {"drop_prob": 0.1}
    assert rates("Dropout", (), {"p": 0.0}) == {}
    assert rates("Dropout", (), {"p": "half"}) == {}
    assert rates("Linear", ("Linear",), {"p": 0.5}) == {}
    assert rates("MultiheadAttention", ("MultiheadAttention",), {"dropout": 0.1}) == {"dropout": 0.1}
    assert rates("MyAttention", ("Module",), {"dropout": 0.1}) == {}


def test_silence_sets_rates_to_zero_and_back() -> None:
    modules = Dropout(0.5), DropPath(0.1), Linear()
    silence = Silence()
    for _ in range(2):
        silence.begin(modules, "torch")
        assert (modules[0].p, modules[1]._drop_prob, modules[2].p) == (0.0, 0.0, 0.5)
    silence.end()
    assert (modules[0].p, modules[1]._drop_prob, modules[2].p) == (0.5, 0.1, 0.5)

"""Rates of what draws at random are read off modules, and set to zero and back."""

from __future__ import annotations

import pytest

from alignment import backends
from alignment.backends.base import Runtime
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


@pytest.mark.parametrize("framework", ["torch", "paddle"])
def test_dropouts_that_are_called_as_functions_are_silent_and_their_rates_are_known(framework: str) -> None:
    functional = pytest.importorskip(f"{framework}.nn.functional")
    ones = pytest.importorskip(framework).ones([3, 67])
    usual, silence = functional.dropout, Silence()
    silence.begin((), framework)
    assert float(functional.dropout(ones).sum()) == 201  # by the usual rate, 0.5
    assert float(functional.dropout(ones, 0.25).sum()) == 201
    assert float(functional.dropout(ones, p=0.75, training=False).sum()) == 201
    assert float(functional.dropout(ones, p=0.0).sum()) == 201
    assert silence.called == {0.5, 0.25}
    silence.end()
    assert functional.dropout is usual
    assert silence.called == {0.5, 0.25}
    assert float(functional.dropout(ones).sum()) != 201  # a sum of twos


def test_attention_whose_signature_is_not_told_is_silent_too() -> None:
    torch = pytest.importorskip("torch")
    functional, query = torch.nn.functional, torch.ones(1, 4, 8)
    plain, silence = functional.scaled_dot_product_attention(query, query, query), Silence()
    silence.begin((), "torch")
    for attended in (
        functional.scaled_dot_product_attention(query, query, query, None, 0.5),
        functional.scaled_dot_product_attention(query, query, query, dropout_p=0.4),
    ):
        assert torch.equal(attended, plain)
    silence.end()
    assert silence.called == {0.5, 0.4}


def test_functions_draw_again_whatever_the_order_in_which_two_models_leave_training_mode() -> None:
    functional = pytest.importorskip("torch").nn.functional
    usual, first, second = functional.dropout, Silence(), Silence()
    first.begin((), "torch")
    second.begin((), "torch")
    first.end()
    assert functional.dropout is not usual
    second.end()
    assert functional.dropout is usual


def test_model_that_is_thrown_away_in_training_mode_leaves_no_silent_function() -> None:
    torch = pytest.importorskip("torch")
    Silence().begin((), "torch")
    assert torch.nn.functional.dropout(torch.ones(201)).sum() != 201
    ended = Silence()
    ended.begin((), "torch")
    ended.end()
    assert not hasattr(torch.nn.functional.dropout, "__wrapped__")


def test_dropouts_of_paddle_that_scale_in_evaluation_are_silent_as_they_are_there() -> None:
    paddle = pytest.importorskip("paddle")
    layer, ones = paddle.nn.Dropout(0.25, mode="downscale_in_infer"), paddle.ones([3, 67])
    backend = backends.create("paddle", Runtime(threads=1))
    backend.build(lambda: paddle.nn.Sequential(layer), {})
    backend.train(True)
    assert float(layer(ones).sum()) == 201 * 0.75
    dropout = paddle.nn.functional.dropout
    assert float(dropout(ones, 0.25, mode="downscale_in_infer").sum()) == 201 * 0.75
    assert float(dropout(ones, 0.5, None, True, False, "downscale_in_infer").sum()) == 201 * 0.5
    backend.train(False)
    assert layer.p == 0.25
    assert backend.drawn == {0.25, 0.5}


def test_dropouts_of_torch_itself_are_silent_and_their_rates_are_used() -> None:
    torch = pytest.importorskip("torch")
    layer, ones, silence = torch.nn.Dropout(0.25), torch.ones([3, 67]), Silence()
    silence.begin((layer,), "torch")
    assert float(torch.dropout(ones, 0.5, True).sum()) == 201
    assert float(torch.dropout(ones, p=0.75, train=False).sum()) == 201
    assert silence.read == set()
    assert float(torch.dropout(ones, layer.p, layer.training).sum()) == 201
    assert (silence.called, silence.read) == ({0.5}, {0.25})
    silence.end()
    assert float(torch.dropout(ones, 0.5, True).sum()) != 201


def test_dropout_that_scales_in_evaluation_is_known_and_used_once_it_is_called() -> None:
    paddle = pytest.importorskip("paddle")
    layer, silence = paddle.nn.Dropout(0.25, mode="downscale_in_infer"), Silence()
    silence.begin((layer,), "paddle")
    assert (silence.held, silence.read) == ({0.25}, set())
    layer(paddle.ones([2, 3]))
    assert silence.read == {0.25}
    silence.end()
    assert "forward" not in vars(layer)

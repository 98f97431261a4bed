"""A module that is right is not blamed for what it is given, nor for a shape that the model around it needs."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

import cli
from alignment.results.findings import Bisection

pytest.importorskip("torch")
PAIRS = Path(__file__).parents[1] / "given_otherwise_pairs.py"
SMALL = ("--batch-size", "2", "--threads", "1")


def found(name: str, folder: Path) -> tuple[int, Bisection]:
    words = ["diagnose", "--pair", f"{PAIRS}:{name}", *SMALL, "--out", str(folder)]
    done = CliRunner().invoke(cli.pit_align, words, prog_name="pit-align")
    return done.exit_code, Bisection.read(folder / "bisection.json")


def test_cell_whose_two_inputs_are_exchanged_is_right_and_the_model_is_wrong(tmp_path: Path) -> None:
    code, bisection = found("CELL", tmp_path)
    assert code == 1
    assert [finding.candidate for finding in bisection.findings] == [""]


def test_inputs_that_are_the_references_stay_in_their_order_where_another_one_differs(tmp_path: Path) -> None:
    code, bisection = found("TURNS", tmp_path)
    assert code == 1
    assert [finding.candidate for finding in bisection.findings] == ["turns.0", "turns.1"]


def test_embedding_in_the_place_of_a_bag_is_right_where_the_model_makes_the_mean(tmp_path: Path) -> None:
    code, bisection = found("BAG", tmp_path)
    assert code == 0, bisection.findings


def test_embedding_in_the_place_of_a_bag_is_not_blamed_for_a_sum_around_it(tmp_path: Path) -> None:
    code, bisection = found("SUMMED", tmp_path)
    assert code == 1
    (finding,) = bisection.findings
    assert finding.candidate == ""
    assert "it takes the sum over axis 1, where the mean is meant" in finding.causes[0].says


@pytest.mark.parametrize("name", ["TIED", "ONCE"])
def test_module_is_not_blamed_for_gradients_that_come_from_elsewhere_or_from_a_call_that_is_missing(
    name: str, tmp_path: Path
) -> None:
    code, bisection = found(name, tmp_path)
    assert code == 1
    assert [finding.candidate for finding in bisection.findings] == [""]


def test_later_call_is_compared_with_the_later_calls_of_the_modules_within(tmp_path: Path) -> None:
    code, bisection = found("CONTINUED", tmp_path)
    assert code == 1
    assert [finding.candidate for finding in bisection.findings] == ["block"]
    assert not any("is what it gets" in cause.says for finding in bisection.findings for cause in finding.causes)


def test_layer_whose_framework_means_masks_the_other_way_round_is_right(tmp_path: Path) -> None:
    pytest.importorskip("paddle")
    code, bisection = found("SCALED", tmp_path)
    assert code == 1
    assert [finding.candidate for finding in bisection.findings] == [""]
    assert "is to be multiplied by 3.5" in bisection.findings[0].causes[0].says


def test_mask_that_is_the_wrong_way_round_for_its_framework_is_named(tmp_path: Path) -> None:
    pytest.importorskip("paddle")
    code, bisection = found("HIDDEN", tmp_path)
    assert code == 1
    assert [finding.candidate for finding in bisection.findings] == [""]
    assert "is the wrong way round" in bisection.findings[0].causes[0].says


def test_dropout_of_another_rate_is_named_though_nothing_that_is_compared_shows_it(tmp_path: Path) -> None:
    code, bisection = found("RATE", tmp_path)
    assert code == 1
    assert bisection.diverges
    assert bisection.cause.startswith("drop in training mode: its rate is 0.2, not 0.3")


def test_rates_that_both_models_have_elsewhere_are_named_where_they_are_exchanged(tmp_path: Path) -> None:
    code, bisection = found("ELSEWHERE", tmp_path)
    assert code == 1
    causes = {finding.candidate: finding.causes[0].says for finding in bisection.findings}
    assert causes == {"drop": "its rate is 0.1, not 0.3", "last": "its rate is 0.3, not 0.1"}


def test_gradient_that_should_be_stopped_is_named_by_the_operation_to_detach(tmp_path: Path) -> None:
    code, bisection = found("UNSTOPPED", tmp_path)
    assert code == 1
    (cause, *_) = bisection.findings[0].causes
    assert cause.says == "no gradient is to flow through what its subtract gives: detach it"
    assert "off = torch.round(x * 4) / 4 - x" in cause.look_at


@pytest.mark.parametrize(
    ("name", "says"),
    [
        (
            "PADDED",
            "the padding_mode of its grid_sample is 'zeros', where 'border' is meant: pass padding_mode='border'",
        ),
        ("SUMMED_ALONG", "the axis of its cumsum is 2, where 1 is meant: pass axis=1"),
        ("OTHER_BORDER", "the pad of its pad is (1, 0, 1, 0), where [0, 1, 0, 1] is meant: pass pad=[0, 1, 0, 1]"),
        ("BOTH_BORDERS", "the pad of its pad is (1, 0, 0, 1), where [0, 1, 0, 1] is meant: pass pad=[0, 1, 0, 1]"),
        ("EQUATION", "its einsum is 'bi,ji->bj', where 'bi,ij->bj' is meant"),
    ],
)
def test_argument_of_a_function_is_named_by_asking_the_function(name: str, says: str, tmp_path: Path) -> None:
    code, bisection = found(name, tmp_path)
    assert code == 1
    (cause, *_) = bisection.findings[0].causes
    assert says in cause.says
    assert "given_otherwise_pairs.py" in cause.look_at

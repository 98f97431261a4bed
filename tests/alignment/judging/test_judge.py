"""Verdicts over whole recordings: correct pairs are never accused, mistakes are always named."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import pytest

from alignment.errors import AlignmentError, NothingComparedError, RefusedError
from alignment.judging.judge import judge, judge_arrays
from alignment.judging.tolerance import Tolerances
from alignment.recordings.recording import Entry, Recording
from alignment.results.report import DIVERGENCE, ROUNDING, SAME_FUNCTION, WITHIN_TOLERANCE, Report, Row

Array: TypeAlias = npt.NDArray[Any]
Run: TypeAlias = Callable[..., dict[str, Recording]]
Write: TypeAlias = Callable[..., Recording]

OUTPUT, LOSS = Entry("output", "forward"), Entry("loss", "forward")


def row(report: Report, key: str, dtype: str) -> Row:
    (found,) = (row for row in report.rows if (row.key, row.dtype) == (key, dtype))
    return found


@pytest.mark.parametrize("seed", range(40))
def test_correct_pair_is_the_same_function(run: Run, seed: int) -> None:
    report = judge(run("reference", seed), run("candidate", seed))
    assert not report.failures
    assert report.verdict == SAME_FUNCTION
    assert row(report, "forward/logits", "float64").verdict == SAME_FUNCTION
    assert row(report, "forward/logits", "float32").verdict == ROUNDING
    assert report.steps == ("forward", "bp")
    assert [r.step for r in report.rows] == sorted((r.step for r in report.rows), reverse=True)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("mistake", [{"eps": 1e-5}, {"lost_bias": True}, {"eps": 2e-6}])
def test_a_mistake_is_a_divergence_in_float64(run: Run, mistake: dict[str, Any], seed: int) -> None:
    report = judge(run("reference", seed), run("candidate", seed, **mistake))
    assert report.verdict == DIVERGENCE
    failure = row(report, "forward/logits", "float64")
    assert failure.verdict == DIVERGENCE
    assert "differs in float64 by" in failure.reason
    assert "worst at [" in failure.reason


@pytest.mark.parametrize("seed", range(5))
def test_a_mistake_above_the_noise_is_a_divergence_in_float32_alone(run: Run, seed: int) -> None:
    reference = run("reference", seed)
    correct = judge(reference, run("candidate", seed, dtypes=("float32",)))
    assert correct.verdict == ROUNDING
    assert "not recorded in float64" in " ".join(correct.notes)
    wrong = judge(reference, run("candidate", seed, dtypes=("float32",), lost_bias=True))
    assert row(wrong, "forward/logits", "float32").verdict == DIVERGENCE
    assert "times the rounding noise" in row(wrong, "forward/logits", "float32").reason


def test_without_float64_recordings_tolerance_decides_and_the_report_says_so(run: Run) -> None:
    reference, candidate = (run(role, dtypes=("float32",)) for role in ("reference", "candidate"))
    report = judge(reference, candidate)
    assert report.verdict == WITHIN_TOLERANCE
    assert "by tolerance only" in row(report, "forward/logits", "float32").reason
    assert "by tolerance only" in " ".join(report.notes)
    strict = judge(reference, candidate, tolerances=Tolerances.parse(rtol=["forward/log*:1e-12"]))
    assert [failure.key for failure in strict.failures] == ["forward/logits"]
    assert "rtol 1e-12" in strict.failures[0].reason


def test_a_tolerance_for_no_key_is_refused(run: Run) -> None:
    tolerances = Tolerances.parse(rtol=["forward/logit:1e-3"])
    with pytest.raises(AlignmentError, match=r"matches none of 6 keys; did you mean 'forward/logits'"):
        judge(run("reference"), run("candidate"), tolerances=tolerances)


def set_nan(arrays: dict[str, Array]) -> None:
    arrays["forward/logits"][0, 0] = np.nan


@pytest.mark.parametrize("sides", [(True, False), (False, True), (True, True)])
def test_nan_on_either_side_is_a_divergence(run: Run, sides: tuple[bool, bool]) -> None:
    changes = [{"change": set_nan} if side else {} for side in sides]
    report = judge(run("reference", **changes[0]), run("candidate", **changes[1]))
    for dtype in ("float32", "float64"):
        assert row(report, "forward/logits", dtype).verdict == DIVERGENCE
        assert "NaN" in row(report, "forward/logits", dtype).reason


def test_nan_in_the_float64_reference_alone_fails_float32(write: Write) -> None:
    good, bad = np.ones(3), np.array([1, np.nan, 1])
    reference = {
        "float32": write({"forward/x": (OUTPUT, good.astype("f4"))}),
        "float64": write({"forward/x": (OUTPUT, bad)}, dtype="float64"),
    }
    report = judge(reference, {"float32": write({"forward/x": (OUTPUT, good.astype("f4"))})})
    assert report.verdict == DIVERGENCE
    assert "the reference's own float64 and float32 results do not fit: 1 NaN" in report.failures[0].reason


def test_parameter_that_differs_is_a_divergence_even_if_outputs_agree(run: Run) -> None:
    def change(arrays: dict[str, Array]) -> None:
        arrays["forward/parameters/bias"] = arrays["forward/parameters/bias"] + np.float32(1)

    report = judge(run("reference"), run("candidate", change=change))
    assert {failure.key for failure in report.failures} == {"forward/parameters/bias"}
    assert "parameters must be equal" in report.failures[0].reason


def test_missing_and_extra_keys_are_divergences(run: Run) -> None:
    def change(arrays: dict[str, Array]) -> None:
        arrays["bp/loss_9"] = arrays.pop("bp/loss_0")

    report = judge(run("reference"), run("candidate", change=change))
    assert {failure.key for failure in report.failures} == {"bp/loss_0", "bp/loss_9"}
    assert all("missing from the" in failure.reason for failure in report.failures)


def test_float32_arrays_in_a_float64_recording_certify_nothing(write: Write) -> None:
    same = {"forward/x": (OUTPUT, np.ones(3, np.float32))}
    report = judge({"float64": write(same, dtype="float64")}, {"float64": write(same, dtype="float64")})
    assert report.verdict == DIVERGENCE
    assert "computed in the wrong precision" in report.failures[0].reason


def test_a_gradient_that_is_zero_but_for_rounding_is_certified(write: Write) -> None:
    entry = Entry("gradient", "bp")
    noise = np.random.default_rng(0).standard_normal((3, 50))
    reference = {
        "float32": write({"bp/key_bias": (entry, (noise[0] * 1e-9).astype("f4"))}),
        "float64": write({"bp/key_bias": (entry, noise[1] * 1e-18)}, dtype="float64"),
    }
    candidate = {"float64": write({"bp/key_bias": (entry, noise[2] * 1e-18)}, dtype="float64")}
    assert judge(reference, candidate).verdict == SAME_FUNCTION
    lost = {"float64": write({"bp/key_bias": (entry, noise[2] * 1e-15)}, dtype="float64")}
    assert judge(reference, lost).verdict == DIVERGENCE


def test_gradient_that_vanishes_in_training_mode_is_judged_by_its_rounding_in_float64(write: Write) -> None:
    noise = np.random.default_rng(0).standard_normal((2, 50))
    norm, largest = np.linalg.norm(noise[0]) * 1e-18, np.abs(noise[0]).max() * 1e-18
    entry = Entry("gradient", "batchnorm", spread=norm, spread_max=largest)
    key = "batchnorm/gradient/norm.bias"
    reference = {"float64": write({key: (entry, noise[0] * 1e-18)}, dtype="float64")}
    candidate = {"float64": write({key: (entry, noise[1] * 1e-18)}, dtype="float64")}
    assert judge(reference, candidate).verdict == SAME_FUNCTION
    for wrong in (noise[1] * 1e-16, np.full(50, 1e-9)):
        lost = {"float64": write({key: (entry, wrong)}, dtype="float64")}
        assert judge(reference, lost).verdict == DIVERGENCE


def test_a_loss_has_at_least_the_noise_of_the_losses_before_it(write: Write) -> None:
    losses = {"forward/loss_0": 2.0, "forward/loss_1": 1.0}
    spreads = {"forward/loss_0": 2e-4, "forward/loss_1": 0.0}

    def side(dtype: str, errors: tuple[float, float]) -> Recording:
        quantities = {
            key: (Entry("loss", "forward", None, spreads[key], spreads[key]), np.asarray(value + error, dtype))
            for (key, value), error in zip(losses.items(), errors, strict=True)
        }
        return write(quantities, dtype=dtype)

    reference = {"float64": side("float64", (0, 0)), "float32": side("float32", (0, 0))}
    assert judge(reference, {"float32": side("float32", (1e-4, 1e-4))}).verdict == ROUNDING
    assert judge(reference, {"float32": side("float32", (1e-4, 1e-1))}).verdict == DIVERGENCE


def test_a_scalar_without_a_spread_may_be_off_by_its_tolerance(write: Write) -> None:
    def side(dtype: str, value: float) -> Recording:
        return write({"forward/loss": (LOSS, np.asarray(value, dtype))}, dtype=dtype)

    reference = {"float64": side("float64", 1.0), "float32": side("float32", 1.0)}
    assert judge(reference, {"float32": side("float32", 1.00009)}).verdict == ROUNDING
    assert judge(reference, {"float32": side("float32", 1.001)}).verdict == DIVERGENCE


def test_squeeze_lets_shapes_differ_in_every_precision(run: Run) -> None:
    def change(arrays: dict[str, Array]) -> None:
        arrays["forward/logits"] = arrays["forward/logits"][:, None]

    reference, candidate = run("reference"), run("candidate", change=change)
    assert "--squeeze" in judge(reference, candidate).failures[0].reason
    assert judge(reference, candidate, squeeze=True).verdict == SAME_FUNCTION


def test_recordings_of_different_inputs_are_refused(write: Write) -> None:
    quantities = {"forward/x": (OUTPUT, np.ones(3, np.float32))}
    sides = [{"float32": write(quantities, digests={"inputs": digest})} for digest in ("aa", "bb")]
    with pytest.raises(RefusedError, match="different inputs") as caught:
        judge(*sides)
    assert caught.value.details == ("inputs of the reference (float32): aa", "inputs of the candidate (float32): bb")


def test_no_common_precision_and_empty_recordings_are_refused(write: Write) -> None:
    with pytest.raises(RefusedError, match="the reference in float64, the candidate in float32"):
        judge({"float64": write({}, dtype="float64")}, {"float32": write({})})
    with pytest.raises(NothingComparedError):
        judge({"float32": write({})}, {"float32": write({})})


def test_different_weights_are_noted(write: Write) -> None:
    quantities = {"forward/x": (OUTPUT, np.ones(3, np.float32))}
    sides = [{"float32": write(quantities, digests={"weights": digest})} for digest in ("aa", "bb")]
    assert "different weights" in " ".join(judge(*sides).notes)


def test_environments_name_inputs_seed_and_batch_size(write: Write) -> None:
    quantities = {"forward/x": (OUTPUT, np.ones(3, np.float32))}
    given = {"digests": {"inputs": "abc"}, "seeds": {"run": 7}, "batch_size": 4}
    report = judge(*({"float32": write(quantities, **given)} for _ in range(2)))
    for side in report.environments.values():
        assert (side["inputs"], side["seed"], side["batch size"]) == ("abc", "7", "4")


def test_environments_and_report_name_both_sides(run: Run) -> None:
    report = judge(run("reference"), run("candidate"), command="pit-align all")
    assert report.environments["reference"]["backend"] == "torch"
    assert report.environments["candidate"]["backend"] == "paddle"
    assert (report.model, report.device, report.command) == ("mlp", "cpu", "pit-align all")


def test_arrays_of_unknown_kind_are_judged_by_tolerance_or_equality() -> None:
    arrays: dict[str, Array] = {"forward/x": np.ones(3, np.float32), "data/labels": np.arange(3)}
    report = judge_arrays(arrays, {**arrays, "data/labels": np.array([0, 1, 3])})
    assert [failure.key for failure in report.failures] == ["data/labels"]
    assert report.steps == ("forward", "data")
    assert judge_arrays(arrays, arrays, step="compare").steps == ("compare",)


def swapped_ranking(write: Write, dtype: str, gap: float, spread: float | None = None, **options: Any) -> Row:
    """Judge a ranking whose two best classes, `gap` apart with scores of about 5, are swapped by the candidate.

    With the spread of one score there are recordings in float64, too, so that its noise is known.
    """
    ranked, scored = (
        Entry("ranking", "forward", scores="forward/logits"),
        Entry("output", "forward", None, spread, spread),
    )
    scores = np.array([[5.0, 5.0 - gap, 1.0]])
    sides = [
        {
            name: write(
                {"forward/top": (ranked, np.array([top])), "forward/logits": (scored, scores.astype(name))}, dtype=name
            )
            for name in (dtype, *(["float64"] if spread else []))
        }
        for top in ([0, 1], [1, 0])
    ]
    return row(judge(*sides, **options), "forward/top", dtype)


@pytest.mark.parametrize(
    ("dtype", "tie", "verdict"),
    [("float64", 2 * 1e-10 * 5, SAME_FUNCTION), ("float32", 2 * 1e-5 * 5, WITHIN_TOLERANCE)],
)
def test_scores_tie_within_twice_the_admissible_error(write: Write, dtype: str, tie: float, verdict: str) -> None:
    assert swapped_ranking(write, dtype, 0.9 * tie).verdict == verdict
    assert swapped_ranking(write, dtype, 1.1 * tie).verdict == DIVERGENCE


def test_scores_tie_within_twice_the_admissible_error_of_an_element_with_their_noise(write: Write) -> None:
    tie = 2 * (2 * 64 * 1e-3)  # two errors, each of twice the limit of a single carrier of noise
    assert swapped_ranking(write, "float32", 0.9 * tie, spread=1e-3).verdict == ROUNDING
    assert swapped_ranking(write, "float32", 1.1 * tie, spread=1e-3).verdict == DIVERGENCE


def test_scores_tie_by_the_tolerance_of_their_own_key(write: Write) -> None:
    tolerances = Tolerances.parse(rtol=["forward/logits:1e-3"])
    assert swapped_ranking(write, "float32", 0.9e-2, tolerances=tolerances).verdict == WITHIN_TOLERANCE
    assert swapped_ranking(write, "float32", 1.1e-2, tolerances=tolerances).verdict == DIVERGENCE


@pytest.mark.parametrize(
    ("dtypes", "expected"),
    [
        (("float64",), {"float64": SAME_FUNCTION}),
        (("float32", "float64"), {"float64": SAME_FUNCTION, "float32": ROUNDING}),
        (("float32",), {"float32": WITHIN_TOLERANCE}),
    ],
)
def test_equal_counts_prove_what_their_precision_does(
    write: Write, dtypes: tuple[str, ...], expected: dict[str, str]
) -> None:
    counted = {
        "forward/labels": (OUTPUT, np.arange(3)),
        "forward/top": (Entry("ranking", "forward"), np.array([[0, 1]])),
        "forward/acc": (Entry("metric", "forward"), np.array(0.5)),
    }
    sides = [{dtype: write(counted, dtype=dtype) for dtype in dtypes} for _ in range(2)]
    assert {(r.key, r.dtype): r.verdict for r in judge(*sides).rows} == {
        (key, dtype): verdict for key in counted for dtype, verdict in expected.items()
    }


def test_metric_is_explained_by_ties_of_a_ranking_that_is_recorded_after_it(write: Write) -> None:
    scores = (OUTPUT, np.array([[5.0, 5.0, 1.0], [3.0, 2.0, 1.0]]))
    sides = [
        {
            "float64": write(
                {
                    "forward/acc": (Entry("metric", "forward"), np.array(accuracy)),
                    "forward/top": (Entry("ranking", "forward", scores="forward/logits"), np.array([[top], [0]])),
                    "forward/logits": scores,
                },
                dtype="float64",
            )
        }
        for top, accuracy in ((0, 1.0), (1, 0.5))
    ]
    report = judge(*sides)
    assert not report.failures
    assert [r.key for r in report.rows] == ["forward/acc", "forward/top", "forward/logits"]


def test_drift_of_the_reference_passes_what_the_default_tolerance_does_not(write: Write) -> None:
    def side(error: float) -> dict[str, Recording]:
        entry = Entry("loss", "forward", spread=1e-3, spread_max=1e-3)
        return {"float32": write({"forward/loss": (entry, np.float32(1 + error))})}

    reference, candidate = side(0), side(1e-2)
    (judged,) = judge(reference, candidate).rows
    assert judged.verdict == WITHIN_TOLERANCE
    assert "times the drift of two runs of the reference" in judged.reason
    assert judge(reference, candidate, tolerances=Tolerances.parse(rtol=["1e-3"])).failures
    assert judge(reference, side(1.0)).failures


def test_tolerance_for_no_key_of_plain_arrays_is_refused() -> None:
    with pytest.raises(AlignmentError, match="matches none of 1 keys"):
        judge_arrays({"x": np.ones(3)}, {"x": np.ones(3)}, tolerances=Tolerances.parse(rtol=["y:1"]))


def relu_gradients(write: Write, jumps: bool, change: Callable[[Array], Array]) -> Report:
    """Twenty gradients of a pass: most are noisy since some unit switched, the last one is not; `change` is made to it.

    The candidate is the reference but for that change.
    """
    draw = np.random.default_rng(0)
    exact = {f"bp/gradient/{index}": draw.standard_normal(1000) for index in range(20)}
    quiet = "bp/gradient/19"
    rough = {key: value + (0 if key == quiet else 1e-4) * draw.standard_normal(1000) for key, value in exact.items()}
    entry = Entry("gradient", "bp", jumps=jumps)

    def recordings(role: str, changes: dict[str, Array]) -> dict[str, Recording]:
        arrays = {"float64": exact, "float32": rough | changes}
        return {
            dtype: write({key: (entry, value.astype(dtype)) for key, value in values.items()}, role=role, dtype=dtype)
            for dtype, values in arrays.items()
        }

    return judge(recordings("reference", {}), recordings("candidate", {quiet: change(rough[quiet])}))


def switched(values: Array) -> Array:
    """One element off by what a unit that switches does."""
    return values + 0.01 * (np.arange(len(values)) == 7)


def test_switching_unit_is_rounding_where_gradients_jump(write: Write) -> None:
    assert relu_gradients(write, True, switched).verdict == SAME_FUNCTION
    strict = relu_gradients(write, False, switched)
    assert [(failure.key, failure.dtype) for failure in strict.failures] == [("bp/gradient/19", "float32")]


@pytest.mark.parametrize(
    "mistake",
    [lambda values: 0 * values, lambda values: 1.01 * values, lambda values: values[::-1]],
    ids=["lost", "1 % off", "reversed"],
)
def test_a_wrong_gradient_is_a_divergence_even_where_it_jumps(write: Write, mistake: Callable[[Array], Array]) -> None:
    report = relu_gradients(write, True, mistake)
    assert [(failure.key, failure.dtype) for failure in report.failures] == [("bp/gradient/19", "float32")]


def losses(write: Write, value: float, gradient: float, logits: float = -np.inf) -> dict[str, Recording]:
    arrays = {
        "forward/logits": (OUTPUT, np.array([logits, 1.0, 2.0])),
        "bp/loss_0": (Entry("loss", "bp"), np.array(value)),
        "bp/gradient/x": (Entry("gradient", "bp"), np.array([1.0, gradient])),
        "bp/gradient/y": (Entry("gradient", "bp"), np.array([1.0, 2.0])),
    }
    return {"float64": write(arrays, dtype="float64")}


def test_loss_that_neither_side_can_take_is_left_out_with_a_note(write: Write) -> None:
    report = judge(losses(write, np.inf, np.nan), losses(write, np.nan, np.nan))
    assert report.verdict == SAME_FUNCTION
    assert {found.key for found in report.rows} == {"forward/logits", "bp/gradient/y"}
    assert (
        "left out in float64, since no side gets a finite number in the step bp: bp/loss_0, bp/gradient/x"
        in "".join(report.notes)
    )


def test_loss_that_one_side_can_take_is_a_divergence(write: Write) -> None:
    report = judge(losses(write, 1.0, 2.0), losses(write, np.nan, 2.0))
    assert [failure.key for failure in report.failures] == ["bp/loss_0"]


def test_gradient_that_is_nan_beside_a_finite_loss_is_a_divergence(write: Write) -> None:
    report = judge(losses(write, 1.0, np.nan), losses(write, 1.0, np.nan))
    assert [failure.key for failure in report.failures] == ["bp/gradient/x"]

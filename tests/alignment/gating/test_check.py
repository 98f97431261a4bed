"""The gate: what passes, what fails, and what it says of its own configuration."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from alignment.errors import AlignmentError, FileError, NothingComparedError, RefusedError
from alignment.gating.check import Failure, gate
from alignment.gating.config import GateConfig, Regression, Requirement, Threshold, Waiver, find_config, load_config
from alignment.results.report import DIVERGENCE, ROUNDING, SAME_FUNCTION, Report, Row

REQUIRE = (Requirement("forward", "float64"),)


def row(key: str, dtype: str = "float64", **fields: Any) -> Row:
    given = {
        "kind": "output",
        "mean": 1e-12,
        "max": 1e-11,
        "rel_l2": 1e-12,
        "verdict": SAME_FUNCTION if dtype == "float64" else ROUNDING,
        "reason": "because",
        "error": 1e-12,
        "margin": 0.5,
        **fields,
    }
    return Row(key=key, step=key.split("/")[0], dtype=dtype, **given)


def report(*rows: Row, **fields: Any) -> Report:
    verdict = DIVERGENCE if any(row.verdict == DIVERGENCE for row in rows) else SAME_FUNCTION
    return Report(verdict, "pit_ti", tuple(dict.fromkeys(row.step for row in rows)), rows, **fields)


GOOD = report(row("forward/logits"), row("forward/logits", "float32"), row("bp/gradient/norm.weight", kind="gradient"))


def test_a_report_within_all_limits_passes() -> None:
    config = GateConfig(REQUIRE, (Threshold(key="logits", max_rel_l2=1e-10), Threshold(step="bp", max_margin=1)))
    result = gate(GOOD, config)
    assert result.passed
    assert not result.failures
    assert result.checked == 3


@pytest.mark.parametrize(
    ("threshold", "what", "found"),
    [
        (Threshold(key="forward/logits", dtype="float64", max_mean=1e-13), "mean", "1e-12"),
        (Threshold(key="logits", dtype="float64", max_abs=1e-13), "max", "1e-11"),
        (Threshold(step="forward", dtype="float64", max_rel_l2=1e-13), "rel_l2", "1e-12"),
        (Threshold(key="forward/*", dtype="float64", max_error=0), "error", "1e-12"),
        (Threshold(key="log*", dtype="float64", device="cpu", max_margin=0.4), "margin", "0.5"),
    ],
)
def test_row_above_a_limit_fails(threshold: Threshold, what: str, found: str) -> None:
    result = gate(GOOD, GateConfig(REQUIRE, (threshold,)))
    assert not result.passed
    (failure,) = result.failures
    assert (failure.key, failure.step, failure.dtype) == ("forward/logits", "forward", "float64")
    assert (failure.what, failure.found) == (what, found)
    assert f"forward/logits (float64): {what} is {found}, expected at most" in str(failure)


@pytest.mark.parametrize("value", [None, float("nan"), float("inf")])
def test_number_that_is_not_known_fails(value: float | None) -> None:
    result = gate(report(row("forward/logits", rel_l2=value)), GateConfig(REQUIRE, (Threshold(max_rel_l2=1),)))
    assert [failure.what for failure in result.failures] == ["rel_l2"]


def test_identical_rows_have_no_margin_and_need_none() -> None:
    identical = row("forward/parameters/w", max=0.0, rel_l2=0.0, margin=None)
    assert gate(report(identical), GateConfig(REQUIRE, (Threshold(max_margin=1),))).passed


def test_a_divergence_fails_whatever_the_thresholds_say() -> None:
    diverged = report(row("forward/logits", verdict=DIVERGENCE))
    (failure,) = gate(diverged, GateConfig(REQUIRE)).failures
    assert (failure.what, failure.found) == ("verdict", "divergence (because)")
    edited = replace(report(row("forward/logits")), verdict=DIVERGENCE)
    assert not gate(edited, GateConfig(REQUIRE)).passed


@pytest.mark.parametrize(
    "requirement",
    [Requirement("loss", "float64"), Requirement("bp", "float32"), Requirement("forward", "float64", key="stage_0")],
)
def test_required_row_that_is_missing_fails(requirement: Requirement) -> None:
    (failure,) = gate(GOOD, GateConfig((requirement,))).failures
    assert (failure.what, failure.step) == ("missing", requirement.step)


def test_weaker_verdict_than_required_fails() -> None:
    config = GateConfig((Requirement("forward", "float32", verdict=SAME_FUNCTION),))
    (failure,) = gate(GOOD, config).failures
    assert failure == Failure("forward/logits", "forward", "float32", "verdict", "rounding", "same function")


def test_a_stale_threshold_fails_and_one_for_another_device_does_not_apply() -> None:
    stale = gate(GOOD, GateConfig(REQUIRE, (Threshold(key="stage_*", max_abs=1),)))
    assert "no row that this threshold matches" in str(stale.failures[0])
    assert gate(GOOD, GateConfig(REQUIRE, (Threshold(device="gpu", max_abs=0),))).passed
    on_gpu = replace(GOOD, device="gpu")
    assert not gate(on_gpu, GateConfig(REQUIRE, (Threshold(device="gpu", max_abs=0),))).passed


def test_a_threshold_for_another_model_does_not_apply() -> None:
    assert gate(GOOD, GateConfig(REQUIRE, (Threshold(model="another_*", max_abs=0),))).passed
    assert not gate(GOOD, GateConfig(REQUIRE, (Threshold(model=GOOD.model[:2] + "*", max_abs=0),))).passed


def test_an_empty_report_compares_nothing() -> None:
    with pytest.raises(NothingComparedError, match="the report has no rows"):
        gate(report(), GateConfig(REQUIRE))


def load(tmp_path: Path, text: str) -> GateConfig:
    path = tmp_path / "pit-align.toml"
    path.write_text(text)
    return load_config(path)


def test_a_configuration_is_read(tmp_path: Path) -> None:
    text = 'require = [{step = "forward", dtype = "float64"}]\n[[threshold]]\nkey = "logits"\nmax_margin = 4\n'
    assert load(tmp_path, text) == GateConfig(REQUIRE, (Threshold(key="logits", max_margin=4.0),))


HEAD = 'require = [{step = "forward", dtype = "float64"}]\n'


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "field 'require' is missing"),
        ("require = []", "require: is empty"),
        (HEAD + "[[thresholds]]\nmax_abs = 1", "thresholds: unknown field; did you mean 'threshold'"),
        (
            HEAD + "[[threshold]]\nmax_rel_l3 = 1",
            r"threshold\[0\].max_rel_l3: unknown field; did you mean 'max_rel_l2'",
        ),
        (HEAD + '[[threshold]]\nmax_abs = "1"', r"threshold\[0\].max_abs: expected a number, found '1'"),
        (HEAD + "[[threshold]]\nmax_abs = true", r"threshold\[0\].max_abs: expected a number, found True"),
        (HEAD + "[[threshold]]\nmax_abs = nan", r"threshold\[0\].max_abs: nan is no finite number of 0 or more"),
        (HEAD + "[[threshold]]\nmax_abs = -1.0", r"threshold\[0\].max_abs: -1.0 is no finite number of 0 or more"),
        (HEAD + '[[threshold]]\nkey = "x"', r"threshold\[0\]: sets no limit; set one of max_mean"),
        (HEAD + "[threshold]\nmax_abs = 1", "threshold: expected a list, found a table"),
        (
            'require = [{step = "forward", dtype = "float64", verdict = "same"}]',
            r"require\[0\].verdict: 'same' is not known",
        ),
        (HEAD + '[[waiver]]\nkey = "x"\nexpires = 2027-01-01', r"waiver\[0\]: field 'reason' is missing"),
        (HEAD + '[[waiver]]\nkey = "x"\nreason = "y"\nexpires = "soon"', r"waiver\[0\].expires: expected a date"),
        (HEAD + '[[waiver]]\nkey = "x"\nreason = " "\nexpires = 2027-01-01', r"waiver\[0\].reason: is empty"),
        (HEAD + '[[waiver]]\nreason = "y"\nexpires = 2027-01-01', r"waiver\[0\]: accepts every failure"),
        (HEAD + "[regression]\nfactor = 0.5", "regression.factor: 0.5 is no finite number of 1 or more"),
        ("require = }", r"not valid TOML: .*line 1"),
    ],
)
def test_a_configuration_that_is_not_valid_is_refused(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(FileError, match=message) as caught:
        load(tmp_path, text)
    assert "pit-align.toml" in str(caught.value)


def test_missing_configuration_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FileError, match="cannot be read"):
        load_config(tmp_path / "none.toml")


def test_the_shipped_configuration_is_valid_and_wants_all_four_steps() -> None:
    config = load_config(Path(__file__).parents[3] / "pit-align.toml")
    wanted = {(requirement.step, requirement.dtype) for requirement in config.require}
    assert wanted == {(step, f"float{n}") for step in ("forward", "metric", "loss", "bp") for n in (32, 64)}
    assert not gate(GOOD, config).passed


LAST = date(2027, 3, 31)
WAIVER = Waiver("known upstream", LAST, key="logits", dtype="float32")


@pytest.mark.parametrize(("today", "passes"), [(date(2027, 1, 1), True), (LAST, True), (date(2027, 4, 1), False)])
def test_a_waiver_accepts_a_failure_until_its_last_day(today: date, passes: bool) -> None:
    failing = report(row("forward/logits"), row("forward/logits", "float32", verdict=DIVERGENCE))
    result = gate(failing, GateConfig(REQUIRE, waiver=(WAIVER,)), today=today)
    assert result.passed is passes
    assert [waived.waiver for waived in result.waived] == [WAIVER] * passes
    assert [failure.what for failure in result.failures] == ([] if passes else ["verdict", "waiver"])
    if passes:
        assert "accepted until 2027-03-31: known upstream" in str(result.waived[0])
    else:
        assert "logits (float32): waiver is expired since 2027-03-31 (known upstream)" in str(result.failures[1])


@pytest.mark.parametrize(
    "other",
    [{"key": "stage_0"}, {"step": "bp"}, {"dtype": "float64"}, {"what": "margin"}, {"model": "x"}, {"device": "gpu"}],
)
def test_a_waiver_accepts_nothing_else(other: dict[str, str]) -> None:
    failing = report(row("forward/logits"), row("forward/logits", "float32", verdict=DIVERGENCE))
    # A field from the parameters of the test.
    config = GateConfig(REQUIRE, waiver=(replace(WAIVER, **other),))  # type: ignore[arg-type]
    assert not gate(failing, config, today=LAST).passed


@pytest.mark.parametrize("field", ["key", "step"])
@pytest.mark.parametrize("pattern", ["*", "**", "?*", "*/*", "[!_]*", "[a-z]*"])
def test_a_waiver_for_everything_is_refused(tmp_path: Path, field: str, pattern: str) -> None:
    waiver = f'[[waiver]]\n{field} = "{pattern}"\nreason = "y"\nexpires = 2027-01-01\n'
    with pytest.raises(FileError, match=r"waiver\[0\]: accepts every failure"):
        load(tmp_path, HEAD + waiver)
    assert load(tmp_path, f'{HEAD}{waiver}{"step" if field == "key" else "key"} = "[b]p*"').waiver


def test_waiver_that_accepts_nothing_is_noted() -> None:
    result = gate(GOOD, GateConfig(REQUIRE, waiver=(WAIVER, replace(WAIVER, model="other"))), today=LAST)
    assert result.unused == (WAIVER,)
    assert "key logits, step *, precision float32 accepts nothing" in result.notes[-1]
    failing = report(row("forward/logits"), row("forward/logits", "float32", verdict=DIVERGENCE))
    assert not gate(failing, GateConfig(REQUIRE, waiver=(WAIVER,)), today=LAST).unused


@pytest.mark.parametrize(
    ("thresholds", "note"),
    [
        ((), "the configuration sets no thresholds"),
        ((Threshold(model="x", max_abs=1),), "no threshold is for pit_ti on cpu, all 1 are for others"),
        ((Threshold(device="gpu", max_abs=1), Threshold(model="x", max_abs=1)), "all 2 are for others"),
        ((Threshold(max_abs=1), Threshold(model="x", max_abs=1)), None),
    ],
)
def test_thresholds_that_match_no_report_are_noted(thresholds: tuple[Threshold, ...], note: str | None) -> None:
    notes = gate(GOOD, GateConfig(REQUIRE, thresholds)).notes
    assert len(notes) == (note is not None)
    assert note is None or note in notes[0]


def test_an_expired_waiver_fails_where_there_is_nothing_to_accept() -> None:
    assert gate(GOOD, GateConfig(REQUIRE, waiver=(WAIVER,)), today=LAST).passed
    assert not gate(GOOD, GateConfig(REQUIRE, waiver=(WAIVER,)), today=date(2028, 1, 1)).passed


def float32(margin: float | None, **fields: Any) -> Report:
    return report(row("forward/logits", "float32", margin=margin, floor=1e-7, **fields))


_ANY = GateConfig((Requirement("forward", "float32"),))


@pytest.mark.parametrize(
    ("before", "now", "passes"),
    [
        (1.5, 1.5, True),
        (1.5, 2.9, True),
        (1.5, 3.1, False),
        (0.1, 1.9, True),
        (0.1, 2.1, False),
        (None, 1.9, True),
        (1.5, None, False),
        (1.5, float("nan"), False),
    ],
)
def test_a_much_larger_margin_than_the_baselines_is_a_regression(
    before: float | None, now: float | None, passes: bool
) -> None:
    result = gate(float32(now), _ANY, baseline=float32(before))
    assert [failure.what for failure in result.failures] == ([] if passes else ["regression"])


def test_regression_without_a_floor_is_judged_by_the_share_of_the_limit() -> None:
    before, slightly, much = (report(row("forward/logits", margin=margin)) for margin in (1e-5, 1.9e-3, 2.1e-3))
    assert gate(slightly, GateConfig(REQUIRE), baseline=before).passed
    (failure,) = gate(much, GateConfig(REQUIRE), baseline=before).failures
    assert str(failure) == (
        "forward/logits (float64): regression is a margin of 0.0021, expected at most 0.002 after 1e-05 in the baseline"
    )
    assert gate(much, GateConfig(REQUIRE, regression=Regression(share=1e-2)), baseline=before).passed


def test_row_missing_or_weaker_than_in_the_baseline_fails() -> None:
    certified = report(row("forward/logits"), row("forward/stage_0"))
    (failure,) = gate(report(row("forward/logits")), GateConfig(REQUIRE), baseline=certified).failures
    assert (failure.key, failure.what) == ("forward/stage_0", "missing")
    weaker = report(row("forward/logits", verdict=ROUNDING), row("forward/stage_0"))
    (failure,) = gate(weaker, GateConfig(REQUIRE), baseline=certified).failures
    assert (failure.what, failure.found) == ("verdict", "rounding")


def test_row_that_is_equal_now_is_no_regression() -> None:
    assert gate(float32(None, max=0.0), _ANY, baseline=float32(1.5)).passed


def test_margin_of_the_baseline_counts_only_if_noise_was_measured_in_both() -> None:
    without_noise = report(row("forward/logits", "float32", margin=1.5))
    assert not gate(float32(2.9), _ANY, baseline=without_noise).passed
    assert gate(float32(2.9), _ANY, baseline=float32(1.5)).passed


def test_divergence_is_one_failure_whatever_was_required_and_proved_before() -> None:
    diverged = report(row("forward/logits", "float32", verdict=DIVERGENCE, margin=90.0, floor=1e-7))
    config = GateConfig((Requirement("forward", "float32", verdict=ROUNDING),))
    (failure,) = gate(diverged, config, baseline=float32(1.5)).failures
    assert (failure.what, failure.allowed) == ("verdict", "no divergence")


@pytest.mark.parametrize("other", [{"model": "pit_s"}, {"device": "gpu"}])
def test_a_baseline_of_something_else_is_refused(other: dict[str, Any]) -> None:
    with pytest.raises(RefusedError, match="cannot be compared"):
        gate(GOOD, GateConfig(REQUIRE), baseline=replace(GOOD, **other))


def ran(**environment: str) -> Report:
    return replace(GOOD, environments={"reference": {"backend": "torch", **environment}})


@pytest.mark.parametrize(
    ("before", "now", "message"),
    [
        ({"batch size": "1"}, {"batch size": "4"}, "batch size '1' in the baseline, '4' in the report"),
        (
            {"seed": "0", "inputs": "a"},
            {"seed": "1", "inputs": "b"},
            "seed '0' in the baseline, '1' in the report; inputs 'a' in",
        ),
        ({"batch size": "1"}, {"batch size": "1", "inputs": "a"}, None),
        ({}, {"batch size": "4"}, None),
        ({"threads": "1"}, {"threads": "2"}, None),
    ],
)
def test_a_baseline_of_another_batch_is_refused(
    before: dict[str, str], now: dict[str, str], message: str | None
) -> None:
    if message is None:
        assert gate(ran(**now), GateConfig(REQUIRE), baseline=ran(**before)).passed
        return
    with pytest.raises(RefusedError, match=f"{message}.*: they cannot be compared; make both with the same options"):
        gate(ran(**now), GateConfig(REQUIRE), baseline=ran(**before))


@pytest.mark.parametrize(
    ("content", "message"),
    [(b"\xff\xfe", "byte 0 is no UTF-8"), (b"a = " + b"[" * 10**5, "not valid TOML"), (None, "cannot be read")],
)
@pytest.mark.parametrize("name", ["pit-align.toml", "pyproject.toml"])
def test_file_that_is_no_configuration_is_refused(
    tmp_path: Path, name: str, content: bytes | None, message: str
) -> None:
    path = tmp_path / name
    path.mkdir() if content is None else path.write_bytes(content)
    for read in (load_config, lambda path: find_config(path.parent)) if name == "pyproject.toml" else (load_config,):
        with pytest.raises(FileError, match=message):
            read(path)


def test_the_configuration_may_stand_in_pyproject(tmp_path: Path) -> None:
    project = tmp_path / "pyproject.toml"
    project.write_text("[tool.other]\nx = 1\n")
    with pytest.raises(AlignmentError, match=r"no gate is configured here.*--init"):
        find_config(tmp_path)
    with pytest.raises(FileError, match=r"has no table \[tool.pit-align\]"):
        load_config(project)
    project.write_text('[tool.pit-align]\nrequire = [{ step = "forward", dtype = "float64" }]\n')
    assert find_config(tmp_path) == project
    assert load_config(project) == GateConfig(REQUIRE)
    (tmp_path / "pit-align.toml").write_text("")
    assert find_config(tmp_path) == tmp_path / "pit-align.toml"


def test_report_that_is_its_own_baseline_and_equal_sides_are_said_to_be_so() -> None:
    config = GateConfig(REQUIRE)
    run = replace(GOOD, created="2026-01-01T00:00:00+00:00")
    assert "the baseline is the report itself, the run of 2026-01-01" in " ".join(gate(run, config, baseline=run).notes)
    later = replace(run, created="2026-01-02T00:00:00+00:00")
    assert "baseline is" not in " ".join(gate(later, config, baseline=run).notes)
    equal = report(row("forward/logits", max=0.0, mean=0.0, rel_l2=0.0, error=0.0, margin=0.0))
    assert "both sides are equal bit by bit in all 1 results" in " ".join(gate(equal, config).notes)
    assert "bit by bit" not in " ".join(gate(GOOD, config).notes)

"""Users' own pairs from end to end: models of two frameworks, functions, tokens; rules derived, given and pinned."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner

from alignment.bisection.bisect import bisect
from alignment.cli.steps import pit_align
from alignment.errors import AlignmentError, NothingComparedError
from alignment.pair import Pair, load_pair
from alignment.processes.settings import Settings
from alignment.results.report import DIVERGENCE, Report
from alignment.rules.settle import settle
from alignment.running.prepare import workspace
from alignment.running.run import align
from porting.architectures import build
from porting.converters import outward

DECLARED = Path(__file__).parents[1] / "own_pairs.py"
STEPS = ("forward", "metric", "loss", "bp", "batchnorm")


def _pair(name: str) -> Pair:
    return load_pair(f"{DECLARED}:{name}")


def _align(pair: Pair, out: Path, steps: tuple[str, ...] = STEPS, **settings: object) -> Report:
    # Options by name.
    return align(pair, out, Settings(steps=steps, batch_size=6, threads=1, **settings))  # type: ignore[arg-type]


def _keys(report: Report, step: str) -> set[str]:
    return {row.key for row in report.rows if row.step == step}


def test_tensors_dropped_by_a_rule_do_not_diverge(tmp_path: Path) -> None:
    report = _align(_pair("DROPPED"), tmp_path, ("forward", "bp"))
    assert report.verdict != DIVERGENCE, [row for row in report.rows if row.verdict == DIVERGENCE]
    assert not [key for key in _keys(report, "forward") if "aux" in key]


@pytest.mark.parametrize("name", ["NET", "BACKWARDS", "ITSELF", "TABLE"])
def test_models_of_the_same_function_do_not_diverge(name: str, tmp_path: Path) -> None:
    report = _align(_pair(name), tmp_path)
    assert report.verdict != DIVERGENCE, [row for row in report.rows if row.verdict == DIVERGENCE]
    first = "classifier" if name == "BACKWARDS" else "head"
    assert {"bp/gradient/input", f"bp/gradient/{first}.weight", "bp/loss_2"} <= _keys(report, "bp")
    assert ("bp/gradient/head.bias" in _keys(report, "bp")) == (name != "BACKWARDS")
    if name == "BACKWARDS":
        assert {"batchnorm/running/norm.running_mean", "batchnorm/running/norm.running_var"} <= _keys(
            report, "batchnorm"
        )
    assert any(note.startswith("weights mapped by workers/rules.json: ") for note in report.notes)


def test_constants_of_any_kind_and_modules_under_two_names(tmp_path: Path) -> None:
    report = _align(_pair("CONSTANT"), tmp_path, ("forward", "bp"))
    assert report.verdict != DIVERGENCE, [row for row in report.rows if row.verdict == DIVERGENCE]
    constants = {key for key in _keys(report, "forward") if "/constants/" in key}
    assert constants == {f"forward/constants/{name}" for name in ("mean", "order", "mask", "keep", "halves")}
    assert "tensors without elements are not compared: nothing" in report.notes
    assert not {"bp/gradient/mean", "bp/gradient/nothing"} & _keys(report, "bp")


def test_towers_are_matched_by_name_and_their_layers_by_data_flow(tmp_path: Path) -> None:
    report = _align(_pair("TOWERS"), tmp_path, ("forward", "bp"))
    assert report.verdict != DIVERGENCE, [row for row in report.rows if row.verdict == DIVERGENCE]
    crossed = _align(_pair("CROSSED"), tmp_path / "crossed", ("forward",), dtypes=("float32",))
    assert {row.key for row in crossed.rows if row.verdict == DIVERGENCE} == {"forward/logits"}


def test_recurrent_layers_and_their_gradients(tmp_path: Path) -> None:
    report = _align(_pair("RECURRENT"), tmp_path, ("forward", "bp"))
    assert report.verdict != DIVERGENCE, [row for row in report.rows if row.verdict == DIVERGENCE]
    assert "bp/gradient/rnn.weight_hh_l0" in _keys(report, "bp")


def test_integer_outputs_are_compared_exactly(tmp_path: Path) -> None:
    report = _align(_pair("RANKS"), tmp_path)
    assert report.verdict != DIVERGENCE
    assert {row.key for row in report.rows} == {"forward/logits"}
    assert "the step bp does not apply: ranks gives int64, which has no gradient" in report.notes


def test_reference_that_gives_only_zeros_is_noted_in_the_report(tmp_path: Path) -> None:
    report = _align(_pair("NOTHING"), tmp_path, ("forward", "bp"), dtypes=("float32",))
    assert report.verdict != DIVERGENCE
    assert any(note.startswith("the reference gives nothing but zeros") for note in report.notes)


def test_declaration_that_needs_arguments_is_refused() -> None:
    with pytest.raises(AlignmentError, match="needs_an_argument is a function that cannot be called so: missing a req"):
        _pair("needs_an_argument")


@pytest.mark.parametrize(("name", "constant"), [("WRONG_CONSTANT", "mean"), ("WRONG_ORDER", "order")])
def test_constant_that_the_candidate_builds_differently_diverges(name: str, constant: str, tmp_path: Path) -> None:
    report = _align(_pair(name), tmp_path / "drawn", ("forward",), dtypes=("float32",))
    assert {row.key for row in report.rows if row.verdict == DIVERGENCE} == {f"forward/constants/{constant}"}
    weights = tmp_path / "drawn" / "weights" / "reference.pth"
    report = _align(_pair(name), tmp_path / "file", ("forward",), dtypes=("float32",), weights=weights)
    assert report.verdict != DIVERGENCE
    words = (
        f"the candidate builds other constants than the reference: {constant}; both sides run on those of the weight"
    )
    assert any(note.startswith(words) for note in report.notes)


def test_parameter_filled_on_one_side_diverges_in_training(tmp_path: Path) -> None:
    report = _align(_pair("FILLED"), tmp_path, ("forward", "bp"))
    assert {row.key for row in report.rows if row.verdict == DIVERGENCE} == {"bp/loss_1", "bp/loss_2"}


def test_mistake_diverges_and_bisect_finds_it(tmp_path: Path) -> None:
    assert _align(_pair("SCALED"), tmp_path / "all", ("forward",)).verdict == DIVERGENCE
    found = bisect(_pair("SCALED"), tmp_path / "bisect", Settings(batch_size=6, threads=1))
    assert found.diverges
    assert [finding.path for finding in found.findings] == [""]


def test_models_of_tokens_with_tied_weights_are_aligned(tmp_path: Path) -> None:
    report = _align(_pair("LANGUAGE"), tmp_path, ("forward", "metric", "loss", "bp"))
    assert report.verdict != DIVERGENCE
    assert report.steps == ("forward", "bp")
    assert "the step metric does not apply: language gives no logits, (batch, classes)" in report.notes
    assert _keys(report, "bp") == {
        *(f"bp/gradient/{name}" for name in ("embed.weight", "mix.weight", "mix.bias")),
        *(f"bp/loss_{number}" for number in range(3)),
    }


def test_bisect_of_a_correct_model_of_tokens_finds_nothing(tmp_path: Path) -> None:
    found = bisect(_pair("LANGUAGE"), tmp_path, Settings(batch_size=6, threads=1))
    assert not found.diverges
    assert {module.status for module in found.modules} == {"agrees"}


@pytest.mark.parametrize(("name", "wrong"), [("GELU", "TANH_GELU"), ("LOSS", "WRONG_LOSS")])
def test_plain_functions_are_compared_with_their_gradients(name: str, wrong: str, tmp_path: Path) -> None:
    report = _align(_pair(name), tmp_path / "right", ("forward", "bp"))
    assert report.verdict != DIVERGENCE
    assert _keys(report, "bp") == {"bp/loss_0", "bp/gradient/input"}
    diverging = [
        row.key for row in _align(_pair(wrong), tmp_path / "wrong", ("forward", "bp")).rows if row.verdict == DIVERGENCE
    ]
    assert {"forward/logits", "bp/loss_0", "bp/gradient/input"} <= set(diverging)


@pytest.mark.parametrize(("name", "count"), [("PIT", 162), ("DEIT", 155)])
def test_derived_rules_equal_the_published_tables(name: str, count: int, tmp_path: Path) -> None:
    pair = _pair(name)
    with workspace(tmp_path) as folder:
        contract = settle(pair, folder, Settings(threads=1)).contract
    assert contract is not None
    written = outward(build(pair.name, image_size=pair.input_shape[-1], num_classes=10), "paddlevit")
    assert len(written.outputs) == count
    derived, expected = (
        {target: (plan.sources_of(target), plan.operations_of(target)) for target in plan.outputs}
        for plan in (contract.table, written)
    )
    assert derived == expected


def test_tensor_without_counterpart_is_refused_with_the_remedy(tmp_path: Path) -> None:
    with pytest.raises(AlignmentError) as caught:
        _align(_pair("WITHOUT_BIAS"), tmp_path)
    assert "not every tensor of the reference (torch) could be matched with one of the candidate (paddle)" in str(
        caught.value
    )
    assert "only in the candidate: classifier.bias (4,), of a Linear" in caught.value.details[0]
    assert "fill('b.bias', 'why')" in caught.value.details[-1]


def test_rules_are_shown_saved_and_pinned(tmp_path: Path) -> None:
    shutil.copy(DECLARED, tmp_path)
    pinned = tmp_path / "pinned.json"
    arguments = ["rules", "--pair", f"{tmp_path / 'own_pairs.py'}:NET", "--out", str(tmp_path / "rules")]
    shown = CliRunner().invoke(pit_align, [*arguments, "--save", str(pinned)], catch_exceptions=False)
    assert shown.exit_code == 0
    for words in ("q.weight", "transpose", "drop: counts batches", "relative L2 of 3e-05"):
        assert words in shown.stdout
    rows = json.loads(pinned.read_text())["rules"]
    head = next(row for row in rows if row["target"] == "classifier.weight")
    assert head == {
        "target": "classifier.weight",
        "sources": ["head.weight"],
        "operations": ["transpose"],
        "shape": [8, 4],
        "evidence": "structure",
    }
    report = _align(load_pair(f"{tmp_path / 'own_pairs.py'}:PINNED"), tmp_path / "run", ("forward",))
    assert report.verdict != DIVERGENCE
    assert not list((tmp_path / "run" / "workers").glob("*-described.json"))


def test_weights_are_read_in_the_names_of_either_side(tmp_path: Path) -> None:
    _align(_pair("NET"), tmp_path / "first", ("forward",), dtypes=("float32",))
    weights = tmp_path / "first" / "weights" / "paddle.pdparams"
    report = _align(_pair("NET"), tmp_path / "second", ("forward",), dtypes=("float32",), weights=weights)
    assert report.verdict != DIVERGENCE
    digests = [
        json.loads(path.read_text())["digests"]["weights"]
        for path in tmp_path.glob("*/recordings/*-float32/manifest.json")
    ]
    assert len(digests) == 4
    assert len(set(digests)) == 1


def test_steps_that_do_not_apply_are_refused_with_the_reason(tmp_path: Path) -> None:
    with pytest.raises(NothingComparedError, match="gelu gives no logits"):
        _align(_pair("GELU"), tmp_path, ("metric", "loss", "batchnorm"))

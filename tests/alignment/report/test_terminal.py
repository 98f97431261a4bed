"""What people see: the verdict first, why, a row a quantity, and every failure."""

from __future__ import annotations

import io
import math
from dataclasses import replace

import pytest
from rich.console import Console

from alignment.gating.check import Failure, GateResult
from alignment.gating.terminal import print_gate
from alignment.report.terminal import print_report
from alignment.results.report import (
    DIVERGENCE,
    ROUNDING,
    SAME_FUNCTION,
    WITHIN_TOLERANCE,
    Report,
    Row,
    Verdict,
    overall,
)
from alignment.results.summary import KNOWN_OF, badness, headline


def row(key: str, dtype: str, verdict: Verdict, size: float = 1e-7, kind: str = "output", margin: float = 0.7) -> Row:
    return Row(
        key=key,
        step=key.split("/")[0],
        kind=kind,
        dtype=dtype,
        mean=size,
        max=10 * size,
        rel_l2=size,
        verdict=verdict,
        reason=f"reason of {key}",
        error=size,
        floor=size,
        margin=margin,
        limit=4.0,
    )


def report(*rows: Row, model: str = "pit_ti") -> Report:
    steps = tuple(dict.fromkeys(row.step for row in rows))
    environment = {"backend": "torch", "torch": "2.13.0", "device": "cpu", "threads": "2"}
    return Report(overall(rows), model, steps, rows, environments={"reference": environment}, notes=("a note",))


def shown(result: Report, *, verbose: bool = False, width: int = 80, terminal: bool = False) -> str:
    console = Console(
        file=io.StringIO(), width=width, force_terminal=terminal, color_system="truecolor" if terminal else None
    )
    print_report(result, console, verbose=verbose)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


GRADIENTS = [
    row(f"bp/gradient/blocks.{i}.weight", "float32", ROUNDING, 1e-7 * (i + 1), "gradient", 0.01 * i) for i in range(160)
]
GOOD = report(
    row("forward/logits", "float64", SAME_FUNCTION, 1e-14),
    row("forward/logits", "float32", ROUNDING),
    *GRADIENTS,
)


def test_verdict_comes_first_and_its_reason_second() -> None:
    first, second, note, environment = shown(report(*GOOD.rows[:2]), width=160).splitlines()[:4]
    assert first == "pit_ti: SAME FUNCTION"
    assert second == (
        "float64 agrees in the one quantity, to a relative L2 of 1.0e-14 or better; "
        "float32 differs by rounding, at most 0.7 times the measured noise"
    )
    assert note == "note: a note"
    assert environment == "reference: torch 2.13.0, cpu, 2 threads"


@pytest.mark.parametrize("verbose", [False, True])
@pytest.mark.parametrize("width", [80, 100, 200])
def test_lines_fit_the_terminal(width: int, verbose: bool) -> None:
    for result in (GOOD, report(*GOOD.rows, row("loss/x", "float64", DIVERGENCE, margin=1e9))):
        text = shown(result, width=width, verbose=verbose)
        assert max(len(line.rstrip()) for line in text.splitlines()) <= width


def test_one_row_a_quantity_with_its_numbers() -> None:
    lines = [line.split() for line in shown(GOOD, verbose=True).splitlines()]
    assert ["logits", "1.0e-14", "1.0e-13", "1.0e-14", "1.0e-14", "0.70", "same", "function"] in lines
    assert ["logits", "1.0e-07", "1.0e-06", "1.0e-07", "1.0e-07", "0.70", "rounding"] in lines
    few = [line.split() for line in shown(report(*GOOD.rows[:2])).splitlines()]
    assert ["logits", "(float32)", "1.0e-07", "4.0e-07", "18%", "rounding"] in few


def test_many_rows_that_pass_are_one_line_a_step() -> None:
    text = shown(GOOD, width=80)
    assert len(text.splitlines()) < 12
    lines = [" ".join(line.split()) for line in text.splitlines()]
    assert "bp, float32: 160 rows 1.6e-05 6.4e-05 40% rounding" in lines
    assert "gradient/blocks.3.weight" in shown(GOOD, width=120, verbose=True)


def test_known_cause_is_shown_in_place_of_the_rows() -> None:
    rows = [row(f"forward/stage_{i}", "float64", DIVERGENCE, 1e-3) for i in range(9)]
    known = f"{KNOWN_OF}paddle, Conv2D: something"
    broken = replace(report(*rows), cause="norm: its epsilon is 1e-3", notes=(known, "weights mapped"))
    text = shown(broken)
    assert "cause: norm: its epsilon is 1e-3" in text
    assert "forward/stage_0 (float64): reason of forward/stage_0" in text
    assert "stage_1" not in text
    assert "Conv2D" not in text
    assert "note: weights mapped" in text
    whole = shown(broken, verbose=True)
    assert "stage_8" in whole
    assert "Conv2D" in whole


def test_rows_that_diverge_are_shown_with_their_reasons_and_no_others() -> None:
    broken = report(*GRADIENTS[:100], row("bp/gradient/head", "float32", DIVERGENCE, 1e-3, "gradient", 70.0))
    text = shown(broken, width=120)
    assert text.startswith("pit_ti: DIVERGENCE\n1 of 101 rows diverge, the first is bp/gradient/head (float32)")
    assert "bp/gradient/head (float32): reason of bp/gradient/head" in text
    assert "bp/gradient/head (float32) 1.0e-03 4.0e-03 18x" in " ".join(text.split())
    assert "blocks" not in text


def test_many_failures_are_folded_and_counted() -> None:
    rows = [row(f"bp/gradient/blocks.{i}.weight", "float32", DIVERGENCE, 1e-3, "gradient", 100 + i) for i in range(40)]
    others = [row(f"bp/{chr(97 + i)}", "float32", DIVERGENCE, 1e-3, "gradient", 100) for i in range(20)]
    text = " ".join(shown(report(*rows, *others), width=120).split())
    assert "bp/gradient/blocks.{0..39}.weight (float32)" in text
    assert "and 6 more quantities that diverge: bp/o, bp/p, bp/q, ..." in text
    assert text.count("reason of") == 3
    assert shown(report(*rows), verbose=True).count("reason of") == 40


def test_weights_that_differ_are_the_headline() -> None:
    weights = row("forward/parameters/a.weight", "float32", DIVERGENCE, kind="parameter")
    text = " ".join(shown(report(row("forward/logits", "float64", DIVERGENCE), weights)).split())
    assert "the two sides started from different weights: 1 of 1 tensors differ; 2 of 2 rows diverge" in text
    assert "the first is forward/parameters/a.weight" in text


def test_long_key_has_a_line_of_its_own() -> None:
    key = "transformers.2.blocks.3.attn.relative_position_bias_table.weight"
    long = report(row(f"bp/gradient/{key}", "float32", ROUNDING, kind="gradient"))
    for verbose, name in ((True, f"gradient/{key}"), (False, f"gradient/{key} (float32)")):
        lines = [line.strip() for line in shown(long, width=90, verbose=verbose).splitlines()]
        assert lines[lines.index(name) + 1].split()[-1] == "rounding"


def test_plain_text_without_a_terminal_and_with_no_color(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "\x1b" not in shown(GOOD)
    assert "\x1b[1;32m" in shown(GOOD, terminal=True)
    monkeypatch.setenv("NO_COLOR", "1")
    assert "32m" not in shown(GOOD, terminal=True)


def test_a_name_with_markup_is_shown_as_it_is() -> None:
    assert "[red]x[/red]" in shown(report(row("forward/[red]x[/red]", "float32", ROUNDING)))


def test_report_is_printed_to_an_ascii_terminal() -> None:
    console = Console(file=io.TextIOWrapper(io.BytesIO(), encoding="ascii"), width=80)
    print_report(GOOD, console)


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        ([row("a/x", "float32", WITHIN_TOLERANCE)], "1 within tolerance, to a relative L2 of 1.0e-07, without float64"),
        ([], "nothing was compared"),
        (
            [
                row("a/x", "float64", SAME_FUNCTION, 1e-15),
                row("a/gradient/b", "float64", SAME_FUNCTION, 1.2, "gradient"),
            ],
            "float64 agrees in all 2 quantities, to a relative L2 of 1.0e-15 or better (1 nothing but rounding",
        ),
    ],
)
def test_the_headline_says_what_the_evidence_is(rows: list[Row], expected: str) -> None:
    assert headline(report(*rows)).startswith(expected)


@pytest.mark.parametrize("verbose", [True, False])
def test_printing_does_not_compare_rows_with_each_other(verbose: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: Row, other: object) -> bool:
        raise AssertionError("as many comparisons as there are pairs of rows")

    rows = [row(f"bp/gradient/{i}", "float32", DIVERGENCE, 1e-3, "gradient", 100 + i) for i in range(40)]
    broken = report(*rows)
    monkeypatch.setattr(Row, "__eq__", refuse)
    assert "40 of 40 rows diverge" in shown(broken, verbose=verbose)


@pytest.mark.parametrize("threads", ["many", "1" * 50, ""])
def test_an_environment_may_say_anything(threads: str) -> None:
    odd = replace(GOOD, environments={"reference": {"backend": "torch", "threads": threads}})
    assert f"torch, {threads} threads" in shown(odd) or not threads


@pytest.mark.parametrize("rows", [(0.5, math.nan), (math.nan, 0.5)])
def test_unknown_margin_is_never_shown_as_small(rows: tuple[float, float]) -> None:
    known = [row(f"forward/{i}", "float32", ROUNDING, margin=margin) for i, margin in enumerate(rows)]
    assert "at most not known times" in headline(report(*known))
    many = [replace(found, key=f"{found.key}{i}", margin=rows[i % 2]) for i, found in enumerate(known * 5)]
    (line,) = [line for line in shown(report(*many * 2)).splitlines() if "forward, float32" in line]
    assert line.split()[-2] == "unknown"
    assert badness(known[rows.index(math.nan)]) > badness(known[rows.index(0.5)])


def test_gate_result_is_printed_with_its_failures() -> None:
    console = Console(file=io.StringIO(), width=120)
    print_gate(GateResult(True, (), 12), console)
    failures = tuple(
        Failure(f"bp/gradient/blocks.{i}.w", "bp", "float32", "rel_l2", "1", "at most 0.1") for i in range(20)
    )
    print_gate(GateResult(False, failures, 12), console)
    assert isinstance(console.file, io.StringIO)
    text = console.file.getvalue()
    assert text.startswith("PASSED  12 rows held against thresholds\nFAILED  20 failures\n")
    assert "bp/gradient/blocks.0.w (float32): rel_l2 is 1, expected at most 0.1" in text
    assert "and 14 more: bp/gradient/blocks.{6..19}.w" in text

"""The page: verdict first, nothing loaded from elsewhere, nothing of a report taken for markup."""

from __future__ import annotations

import base64
import hashlib
import io
import math
import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from rich.console import Console

import cli
from alignment.errors import AlignmentError, FileError
from alignment.report.charts import FOOT, TOP, charts
from alignment.report.html import render, write_html
from alignment.report.terminal import print_report
from alignment.results.report import DIVERGENCE, ROUNDING, SAME_FUNCTION, Report, Row, Verdict, overall, write_report
from alignment.running import matrix

_EVIL = "<script>alert('x')</script>\"'&{{ 7 * 7 }}"
_VOID = {"meta", "link", "br", "img", "input", "hr"}


def row(key: str, dtype: str = "float32", verdict: Verdict = ROUNDING, **fields: Any) -> Row:
    given: dict[str, Any] = {"kind": "gradient" if "gradient" in key else "output", "reason": f"reason of {key}"}
    given |= {"mean": 1e-8, "max": 1e-7, "rel_l2": 1e-7, "error": 1e-7, "floor": 2e-7, "margin": 0.5, "limit": 4.0}
    if dtype == "float64":
        given |= {"floor": None, "error": 1e-14, "rel_l2": 1e-14, "margin": 1e-4, "limit": 1e-10}
    return Row(key=key, step=key.split("/")[0], dtype=dtype, verdict=verdict, **(given | fields))


def report(*rows: Row, **fields: Any) -> Report:
    steps = tuple(dict.fromkeys(row.step for row in rows))
    sides = {"reference": {"backend": "torch", "threads": "1"}, "candidate": {"backend": "paddle", "threads": "1"}}
    given = {"model": "pit_ti", "environments": sides, "command": "pit-align all --model pit_ti", **fields}
    return Report(overall(rows), steps=steps, rows=rows, **given)


_OUTPUTS = ("forward/logits", "forward/stage_0", "forward/stage_1")
_GRADIENTS = tuple(
    f"bp/gradient/{name}"
    for name in (
        "input",
        "patch_embed.weight",
        *(f"transformers.{stage}.blocks.{block}.weight" for stage in range(3) for block in range(4)),
        "pools.0.weight",
        "pools.1.weight",
        "norm.weight",
        "head.weight",
    )
)
HEALTHY = report(
    *(row(key, dtype, SAME_FUNCTION if dtype == "float64" else ROUNDING) for dtype in ("float64", "float32")
      for key in (*_OUTPUTS, *_GRADIENTS)),
    notes=("a note",),
    created="2027-01-02T03:04:05+00:00",
)  # fmt: skip
BROKEN = report(
    *(replace(found, verdict=DIVERGENCE, error=1e-3, margin=5e3) if found.key.endswith("stage_1") else found
      for found in HEALTHY.rows)
)  # fmt: skip


class Page(HTMLParser):
    """What a page holds; refuses elements that are not closed in order, and asks for nothing from elsewhere."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self._open: list[str] = []
        self.feed(text)
        self.close()
        assert not self._open, self._open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in _VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words.append(data)

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())


@pytest.mark.parametrize("reports", [[HEALTHY], [BROKEN], [HEALTHY, replace(BROKEN, model="pit_s")]])
def test_the_page_is_whole_and_loads_nothing(reports: list[Report]) -> None:
    text = render(reports)
    page = Page(text)
    assert not {"link", "iframe", "img", "object", "base", "form"} & {tag for tag, _ in page.elements}
    addresses = [value for _, found in page.elements for name, value in found.items() if name in ("href", "src")]
    assert addresses
    assert all(value is not None and value.startswith("#") for value in addresses)
    assert not re.search(r"url\(|@import|https?://", text)
    assert any("default-src 'none'" in str(meta.get("content")) for meta in page.all("meta"))
    assert "prefers-color-scheme: dark" in text


@pytest.mark.parametrize("reports", [[HEALTHY], [HEALTHY, replace(BROKEN, model="pit_s")]])
def test_the_page_can_be_read_by_keyboard_and_screen_reader(reports: list[Report]) -> None:
    page = Page(render(reports))
    assert page.all("html") == [{"lang": "en"}]
    assert [tag for tag, _ in page.elements].count("h1") == 1
    assert [tag for tag, _ in page.elements].count("table") == [tag for tag, _ in page.elements].count("caption")
    assert all(head.get("scope") for head in page.all("th"))
    ids = [str(found["id"]) for _, found in page.elements if "id" in found]
    assert len(ids) == len(set(ids))
    for _, found in page.elements:
        for name in ("aria-labelledby", "href"):
            for target in str(found.get(name) or "").replace("#", "").split():
                assert target in ids
    for drawing in page.all("svg"):
        assert drawing.get("aria-hidden") == "true" or drawing.get("role") == "img"
    for found in page.all("div"):
        if "scroll" in str(found.get("class")):
            assert (found["tabindex"], found["role"]) == ("0", "region")
            assert found["aria-label"]


def script_of(page: str) -> str:
    """The text of the only script of a page."""
    (text,) = re.findall(r"<script>(.*?)</script>", page, re.DOTALL)
    return str(text)


def test_policy_of_the_page_allows_its_own_script_and_no_other() -> None:
    text = render([HEALTHY])
    digest = base64.b64encode(hashlib.sha256(script_of(text).encode()).digest()).decode()
    (policy,) = (meta for meta in Page(text).all("meta") if meta.get("http-equiv") == "Content-Security-Policy")
    allowed = f"default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-{digest}'"
    assert policy["content"] == f"{allowed}; base-uri 'none'; form-action 'none'"
    parses_or_loads = r"innerHTML|outerHTML|insertAdjacent|document\.write|eval|Function|fetch|import"
    assert not re.search(parses_or_loads, script_of(text))


def test_long_table_has_columns_to_sort_and_choose_by() -> None:
    heads = [found for found in Page(render([HEALTHY])).all("th") if "data-sort" in found]
    assert [found["data-sort"] for found in heads[:10]] == ["text", "text", *["number"] * 7, "text"]
    assert ["data-choices" in found for found in heads[:10]] == [False, True, *[False] * 7, True]


_BROWSER = next(filter(None, map(shutil.which, ("chromium", "google-chrome", "chromium-browser"))), None)


@pytest.mark.skipif(_BROWSER is None, reason="no Chromium is installed")
def test_page_opened_in_a_browser_has_filters_and_sort_buttons(tmp_path: Path) -> None:
    rows = [row(f"forward/{_EVIL}{number}") for number in range(100)]
    write_html([report(*rows)], tmp_path / "page.html")
    words = [str(_BROWSER), "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path / 'profile'}"]
    shown = subprocess.run(
        [*words, "--dump-dom", f"file://{tmp_path / 'page.html'}"], capture_output=True, text=True, timeout=60
    ).stdout
    assert "100 of 100 lines" in shown
    assert shown.count('class="sort"') == 20
    assert '<option value="≈ rounding">' in shown
    assert shown.count("<script") == 1


def test_the_verdict_comes_first_and_every_part_is_there() -> None:
    text = Page(render([HEALTHY])).text
    order = ["pit_ti: same function", "same function", "float64 agrees", "Steps and precisions", "a note"]
    order += ["Error in the order of execution", "Worst rows", "Environment", "backend torch paddle differs"]
    order += ["Run it again", "pit-align all --model pit_ti", "2027-01-02T03:04:05+00:00"]
    places = [text.index(word, 0) for word in order[2:]]
    assert places == sorted(places)
    assert text.startswith(order[0])


def test_a_divergence_says_why_before_anything_else() -> None:
    text = Page(render([BROKEN])).text
    assert "✗ divergence" in text.partition("Why")[0]
    assert text.index("reason of forward/stage_1") < text.index("Steps and precisions")
    assert "1 of 3 rows diverge" in text


def test_several_reports_share_a_matrix_that_leads_to_each() -> None:
    page = Page(render([HEALTHY, replace(BROKEN, model="pit_s")]))
    assert "1 of 2 diverge: pit_s" in page.text
    assert [found["href"] for found in page.all("a")][1:] == ["#report-2", "#report-1", "#report-2"]


def test_nothing_in_a_report_is_taken_for_markup() -> None:
    evil = replace(
        BROKEN,
        model=_EVIL,
        command=_EVIL,
        created=_EVIL,
        device=_EVIL,
        notes=(_EVIL,),
        steps=(_EVIL,),
        environments={_EVIL: {_EVIL: _EVIL}},
        rows=tuple(
            replace(found, key=f"{_EVIL}/{index}", step=_EVIL, reason=_EVIL, kind=_EVIL, dtype=_EVIL)
            for index, found in enumerate(BROKEN.rows)
        ),
    )
    text = render([evil, evil], title=_EVIL)
    page = Page(text)
    assert text.count("<script") == len(page.all("script")) == 1
    assert script_of(text) == script_of(render([HEALTHY]))
    names = {name for _, found in page.elements for name in found}
    assert not any(name.startswith("on") or "alert" in name for name in names)
    assert _EVIL in page.text


def test_charts_follow_the_order_of_execution() -> None:
    (forward, outputs), (backward, gradients) = charts(HEALTHY)
    assert (forward, backward) == (
        "forward: outputs, from first to last",
        "bp: gradients, from the head back to the input",
    )
    assert [chart.title for chart in outputs] == ["float64", "float32"]
    assert [tick.text for tick in outputs[0].groups] == ["stage_0", "stage_1", "logits"]
    labels = [point.label.split(":")[0].removeprefix("bp/gradient/") for point in gradients[1].points]
    tops = list(dict.fromkeys(".".join(label.split(".")[:2]) for label in labels))
    order = ["head.weight", "norm.weight", "transformers.2", "pools.1", "transformers.1", "pools.0", "transformers.0"]
    assert tops == [*order, "patch_embed.weight", "input"]


def test_a_chart_draws_noise_limit_and_divergence() -> None:
    _, (_, single) = charts(BROKEN)[0]
    assert single.floor
    assert single.limit
    stage, diverged, logits = single.points
    assert (stage.diverged, diverged.diverged, logits.diverged) == (False, True, False)
    assert TOP < diverged.y < stage.y < FOOT
    assert "1 diverge, the first is forward/stage_1" in single.summary
    assert 'class="cross"' in render([BROKEN])


def test_zero_and_infinite_errors_are_drawn_beside_the_log_axis() -> None:
    zero, lost = row("forward/a", error=0.0, rel_l2=0.0, margin=0.0), row("forward/b", error=None, rel_l2=None)
    infinite = row("forward/c", error=math.inf, rel_l2=math.inf, margin=math.inf, verdict=DIVERGENCE)
    ((_, (chart,)),) = charts(report(zero, lost, infinite))
    assert [point.where for point in chart.points] == ["zero", "off", "off"]
    assert (chart.zero, chart.off) == (FOOT, TOP)
    Page(render([report(zero, lost, infinite)]))


@pytest.mark.parametrize(
    ("given", "share"),
    [
        (row("forward/a"), 0.125),
        (row("forward/a", "float64"), 1e-4),
        (row("forward/a", margin=None), None),
        (row("forward/a", limit=0.0), math.inf),
        (row("forward/a", limit=0.0, margin=0.0), 0.0),
        (row("forward/a", limit=None), None),
    ],
)
def test_share_of_limit_of_a_row(given: Row, share: float | None) -> None:
    assert given.share_of_limit == share


def test_many_equal_rows_are_one_line() -> None:
    equal = [row(f"forward/parameters/{i}", kind="parameter", max=0.0, verdict=SAME_FUNCTION) for i in range(500)]
    text = render([report(*equal)])
    assert "500 rows of kind parameter, exactly equal" in text
    assert len(text) < 40_000


def test_a_report_without_rows_has_a_page() -> None:
    assert "nothing was compared" in Page(render([report()])).text


@pytest.mark.parametrize("reports", [[HEALTHY], []])
def test_page_with_models_that_could_not_be_aligned_shows_no_success(reports: list[Report]) -> None:
    page = Page(render(reports, problems={"pit_b": _EVIL}))
    assert "1 could not be aligned: pit_b" in page.text
    assert f"pit_b : {_EVIL}" in page.text
    assert page.all("header") == [{"class": "within-tolerance" if reports else "divergence"}]


def test_page_with_models_that_no_step_applies_to_shows_no_failure() -> None:
    page = Page(render([HEALTHY], skipped={"resnet": "has no\n  loss"}))
    assert "could not be aligned" not in page.text
    assert "What no step applies to resnet : has no loss" in page.text
    assert page.all("header") == [{"class": "same-function"}]
    assert "nothing was compared" in Page(render([], skipped={"resnet": "no"})).text


def test_page_of_a_matrix_separates_failures_from_models_without_steps(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    results = [
        matrix.Result("pit_ti", HEALTHY),
        matrix.Result("resnet", None, "no loss", applies=False),
        matrix.Result("deit", None, "no memory"),
    ]
    monkeypatch.setattr(matrix, "align_all", lambda *_, **__: results)
    page = tmp_path / "page.html"
    done = CliRunner().invoke(cli.pit_align, ["matrix", "pit_ti", "--out", str(tmp_path), "--html", str(page)])
    assert done.exit_code == 3, done.output
    text = Page(page.read_text()).text
    assert "✗ 1 could not be aligned: deit" in text
    assert "What no step applies to resnet : no loss" in text


def test_page_shows_control_characters_and_unknown_numbers() -> None:
    odd = replace(
        HEALTHY,
        model="a\x1b\ud800\u202e",
        rows=tuple(replace(found, margin=math.nan, limit=math.nan) for found in HEALTHY.rows),
    )
    text = render([odd])
    text.encode()
    assert r"a\x1b\ud800\u202e" in text
    assert "not known how much of the limit" in text
    assert "nan admissible" not in text
    assert "below 1% of the limit" not in text


@pytest.mark.parametrize("index", ["9" * 5000, "\u0663", "1" * 10])
def test_long_index_in_a_key_is_no_list_index(index: str) -> None:
    names = ("a.0", "a.1", f"a.{index}", "b.0", "b.1")
    rows = [row(f"bp/gradient/{name}.w") for name in names]
    assert len(charts(report(*rows))[0][1][0].points) == 5


class Counted(tuple[Row, ...]):
    """Rows that count how often somebody goes through them."""

    passes = 0

    def __iter__(self) -> Iterator[Row]:
        Counted.passes += 1
        return super().__iter__()


def passes(count: int) -> int:
    """How often the page goes through rows of so many steps and kinds."""
    rows = [row(f"step{i}/x", kind=f"kind{i}", verdict=DIVERGENCE) for i in range(count)]
    found = replace(report(*rows), rows=Counted(rows))
    Counted.passes = 0
    render([found])
    return Counted.passes


def test_page_iterates_over_rows_a_constant_number_of_times() -> None:
    assert passes(5) == passes(40)


def test_page_without_any_report_is_refused() -> None:
    with pytest.raises(AlignmentError, match="no report was given"):
        render([])


def test_page_in_a_folder_that_cannot_be_made_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(FileError, match="cannot be written"):
        write_html([HEALTHY], tmp_path / "file" / "page.html")


def test_the_command_writes_one_page_of_all_reports(tmp_path: Path) -> None:
    for name, found in (("a", HEALTHY), ("b", BROKEN)):
        write_report(found, tmp_path / f"{name}.json")
    words = [
        "report",
        str(tmp_path / "a.json"),
        str(tmp_path / "b.json"),
        "--html",
        str(tmp_path / "new" / "page.html"),
    ]
    done = CliRunner().invoke(cli.pit_align, words)
    assert done.exit_code == 1, done.output
    assert "2 alignments" in (tmp_path / "new" / "page.html").read_text()
    done = CliRunner().invoke(cli.pit_align, [*words[:2], "--html", words[-1]])
    assert done.exit_code == 0, done.output
    assert "<title>pit_ti: same function</title>" in (tmp_path / "new" / "page.html").read_text()


def test_cause_stands_in_the_headline_of_the_page_and_below_the_verdict_at_the_terminal() -> None:
    wrong = report(row("forward/logits", "float64", DIVERGENCE), cause=f"layers.0.attn: why {_EVIL}")
    head = render([wrong]).partition("</header>")[0]
    assert "Cause: layers.0.attn: why &lt;script&gt;" in head
    several = render([HEALTHY, replace(wrong, model="pit_s")])
    assert "Cause in pit_s: layers.0.attn: why &lt;script&gt;" in several.partition("</header>")[0]
    assert "<b>Cause: layers.0.attn" in several.partition("</header>")[2]
    console = Console(width=200, file=io.StringIO(), record=True)
    print_report(wrong, console)
    assert console.export_text().splitlines()[1].startswith("cause: layers.0.attn: why")

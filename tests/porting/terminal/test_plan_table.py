"""A plan as a table: every fact of it in as many columns as the terminal has."""

from __future__ import annotations

import pytest

from porting.architectures.base import TensorSpec
from porting.operations import Concat, Drop, Each, Split, Transpose
from porting.plan import Plan, plan
from porting.rules import rule
from porting.terminal.plan_table import table_json, table_text

LONG = "transformer.encoder.layers.{i}.attention.self"
COUNTED = "counts batches, which takes no part in the function, so that no model of the other framework has one"


def made() -> Plan:
    """A plan with one to one, three to one, one to three, and a tensor that is dropped."""
    rules = (
        rule("stem.weight", "first.weight"),
        rule(
            tuple(f"{LONG}.{part}_projection.weight" for part in "qkv"),
            "blocks.{i}.qkv.weight",
            [Concat(3), Transpose()],
        ),
        rule(
            "mlp.{i}.joined",
            ("mlp.{i}.up", "mlp.{i}.down", "mlp.{i}.gate"),
            [Split(3), Each((Transpose(),) * 3)],
        ),
        rule("norm.num_batches_tracked", (), Drop(COUNTED)),
    )
    sources = {"stem.weight": (2, 2), "norm.num_batches_tracked": ()}
    sources |= {f"{LONG.replace('{i}', str(at))}.{part}_projection.weight": (2, 2) for at in range(2) for part in "qkv"}
    sources |= {f"mlp.{at}.joined": (6, 2) for at in range(2)}
    return plan(rules, {name: TensorSpec(shape, "float") for name, shape in sources.items()})


@pytest.mark.parametrize("folded", [True, False])
def test_table_fits_eighty_columns_and_loses_nothing(folded: bool) -> None:
    table = made()
    narrow = table_text(table, folded=folded, width=80)
    wide = table_text(table, folded=folded, width=1000)
    assert max(map(len, narrow.splitlines())) <= 80
    assert max(map(len, wide.splitlines())) > 80
    words, lost = narrow.split(), {"source", "operations", "target"}
    assert {word.strip(",:") for word in wide.split()} - {word.strip(",:") for word in words} <= lost


def test_row_that_is_too_wide_has_its_sources_and_operations_below_it() -> None:
    lines = table_text(made(), folded=True, width=80).splitlines()
    start = lines.index("blocks.{0..1}.qkv.weight" + " " * 55 + "2")
    assert lines[start + 1 : start + 5] == [
        "  <- transformer.encoder.layers.{0..1}.attention.self.q_projection.weight",
        "   + transformer.encoder.layers.{0..1}.attention.self.k_projection.weight",
        "   + transformer.encoder.layers.{0..1}.attention.self.v_projection.weight",
        "   : join 3, transpose",
    ]
    assert lines[1] == "first.weight <- stem.weight" + " " * 52 + "1"


def test_row_says_which_part_of_its_source_it_is() -> None:
    table = made()
    rows = [
        line.split("  ")[0] for line in table_text(table, folded=True, width=1000).splitlines() if ", part " in line
    ]
    assert rows == ["mlp.{0..1}.up", "mlp.{0..1}.down", "mlp.{0..1}.gate"]
    assert "split in 3, transpose each of 3, part 2 of 3" in table_text(table, folded=True, width=1000)
    parts = {row["target"]: row["part"] for row in table_json(table)}
    assert (parts["mlp.1.gate"], parts["first.weight"], parts[None]) == ((3, 3), None, None)


def test_name_that_is_wider_than_the_terminal_is_not_broken() -> None:
    name = "a" * 90
    table = plan((rule(name, "b"),), {name: TensorSpec((1,), "float")})
    assert name in table_text(table, folded=True, width=80).split()

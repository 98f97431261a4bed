"""The library of tables in `porting/tables`: made of derived rules, and proven by both models in float64.

python -m benchmarks.rules.tables make resnet          # derives the rules, and writes porting/tables/resnet.json
python -m benchmarks.rules.tables prove resnet         # runs every model of the family on both sides
python -m benchmarks.rules.tables add NAME my_rules.json --model my_net --head fc
python -m benchmarks.rules.tables layout mobilenet_v2 mindcv mindcv_rules.json
"""

from __future__ import annotations

import json
import re
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import click
import numpy as np

from alignment.backends.base import Runtime
from alignment.backends.building import build_model, in_finest
from alignment.pair import Origin
from alignment.pair.inputs import random_inputs
from alignment.processes.settings import Settings
from alignment.rules.settle import settle
from benchmarks.rules.patterns import Row, folded, generalised
from benchmarks.rules.vision_pairs import PAIRS, declared
from porting import tables
from porting.checkpoint.tensor import LazyTensor, Shape
from porting.errors import ExpectedError, PlanError
from porting.operations.grammar import texts
from porting.plan import plan
from porting.saved_rules import SavedTable, read_table
from porting.synthetic import random_weights

_COUNTER = "num_batches_tracked"
_NAME = re.compile(r"[a-z]\w*", re.ASCII)
_LIMIT = 1e-8
"""Relative L2 up to which outputs in float64 are those of one function: Paddle keeps the slope of its hard sigmoid in
float32, which moves outputs by 1e-9; without it they agree to 1e-12. A wrong mapping moves them by 1e-3 or more.
"""


class Recipe(NamedTuple):
    """What a family is made of.

    Attributes:
        derived: Pairs of which the rules are derived; those of the others are their patterns.
        models: All pairs.
        reference: Name of the first layout.
        head: Module whose rows are the classes.
        legacy: Pattern of names in old files of the reference's, to names; None where it has no norms.
        candidate: Name of the second layout.
        frameworks: Of the reference, and of the candidate.
        published: Layout to who publishes it, if that is not its name.
    """

    derived: tuple[str, ...]
    models: tuple[str, ...]
    reference: str = "torchvision"
    head: str = "fc"
    legacy: Mapping[str, str] | None = {}
    candidate: str = "paddle"
    frameworks: tuple[str, str] = ("torch", "paddle")
    published: Mapping[str, str] = {"paddle": "paddle.vision.models"}


RECIPES: Mapping[str, Recipe] = {
    "resnet": Recipe(
        ("resnet18", "resnet50"),
        (
            *("resnet18", "resnet34", "resnet50", "resnet101", "resnet152", "wide_resnet50_2", "wide_resnet101_2"),
            *("resnext50_32x4d", "resnext50_64x4d", "resnext101_32x4d", "resnext101_64x4d"),
            *("resnext152_32x4d", "resnext152_64x4d"),
        ),
    ),
    "densenet": Recipe(
        ("densenet121",),
        ("densenet121", "densenet161", "densenet169", "densenet201", "densenet264"),
        head="classifier",
        legacy={"norm": "norm.", "conv": "conv."},
    ),
    "mobilenet_v1": Recipe(("mobilenet_v1",), ("mobilenet_v1",), "timm", "classifier", None),
    "mobilenet_v2": Recipe(("mobilenet_v2",), ("mobilenet_v2",), head="classifier.1"),
    "mobilenet_v3_small": Recipe(("mobilenet_v3_small",), ("mobilenet_v3_small",), head="classifier.3"),
    "mobilenet_v3_large": Recipe(("mobilenet_v3_large",), ("mobilenet_v3_large",), head="classifier.3"),
    "shufflenet_v2": Recipe(
        ("shufflenet_v2_x0_5",),
        tuple(f"shufflenet_v2_{size}" for size in ("x0_25", "x0_33", "x0_5", "x1_0", "x1_5", "x2_0")),
    ),
    "alexnet": Recipe(("alexnet",), ("alexnet",), head="classifier.6", legacy=None),
    "vgg": Recipe(("vgg11",), ("vgg11", "vgg13", "vgg16", "vgg19"), head="classifier.6", legacy=None),
    "vgg_bn": Recipe(("vgg11_bn",), ("vgg11_bn", "vgg13_bn", "vgg16_bn", "vgg19_bn"), head="classifier.6"),
}
"""Family to how it is made."""

Sides = tuple[Mapping[str, Shape], Mapping[str, Shape]]
"""Names and shapes of the reference, and of the candidate."""


def rows_of_table(table: SavedTable) -> list[Row]:
    """The rows of saved rules; several names of one rule are joined by ` + `, as the files hold them."""
    return [
        Row(tables.joined(group.sources), tables.joined(group.targets) or None, " then ".join(texts(group.op)))
        for group in table.plan("reference").groups
        if group.sources
    ]


def content(
    family: str, models: Mapping[str, Sides], rows: Iterable[Row], recipe: Recipe, classes: int = 10
) -> dict[str, Any]:
    """The file of a family.

    Args:
        family: Its name.
        models: Name to names and shapes of both sides, built with `classes` classes.
        rows: Rules of some of the models, which those of all are derived from.
        recipe: How the family is made.
        classes: Rows of the heads.

    Raises:
        PlanError: The patterns do not map the sides of a model onto each other.
    """
    names = [name for reference, _ in models.values() for name in reference]
    frameworks = dict(zip((recipe.reference, recipe.candidate), recipe.frameworks, strict=True))
    rules = {recipe.reference: generalised(Row(name, name) for name in names), recipe.candidate: generalised(rows)}
    if recipe.legacy is not None:
        rules[f"{recipe.reference}-legacy"] = generalised(_legacy(names, recipe.legacy))
        frameworks[f"{recipe.reference}-legacy"] = "torch"
    published = {recipe.reference: recipe.reference, recipe.candidate: recipe.candidate, **recipe.published}
    layouts = {
        layout: {
            "framework": frameworks[layout],
            "published_by": published.get(layout, f"{recipe.reference}, files saved before counters of batches"),
            "rules": [list(row) for row in found],
        }
        for layout, found in rules.items()
    }
    described = {name: _model(sides, recipe, classes) for name, sides in models.items()}
    value = {"family": family, "layouts": layouts, "models": described}
    read = tables.family_of(value)
    for name, sides in models.items():
        _fill_layouts(described[name], tables.architecture(read, name, classes), read, {recipe.candidate: sides[1]})
    return value


def _legacy(names: Iterable[str], renamed: Mapping[str, str]) -> Iterable[Row]:
    """The rows to names as files had them before batches were counted; denselayers had `norm.1` for `norm1`."""
    for name in names:
        if name.endswith(_COUNTER):
            yield Row(name, None, "drop: counts batches, which takes no part in the function")
            continue
        parts = name.split(".")
        old = [
            f"{renamed[part[:-1]]}{part[-1]}" if place == 3 and part[:-1] in renamed else part
            for place, part in enumerate(parts)
        ]
        yield Row(name, ".".join(old))


def _model(sides: Sides, recipe: Recipe, classes: int) -> dict[str, Any]:
    shapes = dict(sides[0])
    for part in ("weight", "bias"):
        name = f"{recipe.head}.{part}"
        if shapes.get(name, ())[:1] != (classes,):
            found = f"{shapes[name]} has not {classes} rows" if name in shapes else "there is no such tensor"
            raise click.ClickException(f"{name}: {found}; --head names the module whose rows are the classes")
        shapes[name] = (0, *shapes[name][1:])
    tensors = {name: list(shape) for name, shape in folded(shapes).items()}
    return {"head": recipe.head, "classes": 1000, "tensors": tensors, "layouts": {}}


def _fill_layouts(
    model: dict[str, Any], architecture: Any, read: tables.Family, known: Mapping[str, Mapping[str, Shape]]
) -> None:
    for layout, table in read.tables.items():
        if layout == tables.CANONICAL:
            continue
        specs = plan(table.rules, architecture.tensors).specs
        found = {name: spec.shape for name, spec in specs.items()}
        expected = known.get(layout)
        if expected is not None and found != {name: tuple(shape) for name, shape in expected.items()}:
            raise PlanError(f"{architecture.name}: the patterns do not give the names and shapes in {layout}")
        model["layouts"][layout] = tables.digest(found)


def write(value: Mapping[str, Any], folder: Path = tables.FOLDER) -> Path:
    """Write the file of a family, a line for each rule and each folded tensor."""
    path = folder / f"{value['family']}.json"
    path.write_text(_text(value, 0) + "\n", encoding="utf-8")
    return path


def _text(value: Any, depth: int) -> str:
    """JSON with a line for each entry, where an entry holds no table."""
    if isinstance(value, dict) or _is_rows(value):
        pad = "\n" + " " * (depth + 1)
        if isinstance(value, dict):
            inside = [f"{json.dumps(key)}: {_text(item, depth + 1)}" for key, item in value.items()]
            return "{" + pad + f",{pad}".join(inside) + "\n" + " " * depth + "}"
        return "[" + pad + f",{pad}".join(json.dumps(item) for item in value) + "\n" + " " * depth + "]"
    return json.dumps(value)


def _is_rows(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and isinstance(value[0], list) and isinstance(value[0][0], str)


def prove(model: str) -> float:
    """The relative L2 between the outputs of both models in float64, with weights that the library converted."""
    pair = declared(model)
    architecture = tables.build(model, 10)
    known = tables.family(architecture.family)
    weights = random_weights(architecture, 0)
    outputs = []
    for side, layout in ((pair.reference, tables.CANONICAL), (pair.candidate, "paddle")):
        backend = build_model(side, Runtime(threads=1))
        planned = plan(known.tables[layout].rules, architecture.tensors)
        tensors = planned.apply({name: LazyTensor.of(array) for name, array in weights.items()})
        backend.set_state({name: tensor.load() for name, tensor in tensors.items()})
        inputs = random_inputs(pair.input_shape, 2, pair.tokens, seed=0).astype(np.float64)
        with in_finest(backend):
            outputs.append(np.asarray(backend.forward(inputs, None).logits, np.float64))
    return float(np.linalg.norm(outputs[0] - outputs[1]) / np.linalg.norm(outputs[0]))


def derived(model: str) -> SavedTable:
    """The rules of a pair of `benchmarks.rules.vision_pairs`, derived now."""
    pair = replace(declared(model), origin=Origin("benchmarks.rules.vision_pairs:declared", {"name": model}))
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "workers").mkdir()
        contract = settle(pair, Path(folder), Settings(threads=1)).contract
    assert contract is not None
    return contract.saved


def sides_of(model: str) -> Sides:
    """Names and shapes of both models of a pair."""
    pair = declared(model)
    reference, candidate = (
        {name: array.shape for name, array in build_model(side, Runtime(threads=1)).state().items()}
        for side in (pair.reference, pair.candidate)
    )
    return reference, candidate


@click.group()
def main() -> None:
    """Make and prove the library of tables."""


@main.command("make")
@click.argument("families", nargs=-1, type=click.Choice([*RECIPES]))
def make_command(families: Sequence[str]) -> None:
    """Derive the rules of FAMILIES, of all by default, and write their files."""
    for family in families or RECIPES:
        recipe = RECIPES[family]
        rows = [row for model in recipe.derived for row in rows_of_table(derived(model))]
        value = content(family, {model: sides_of(model) for model in recipe.models}, rows, recipe)
        _keep_further(value)
        click.echo(f"{write(value)}: {len(recipe.models)} models")


def _keep_further(value: dict[str, Any]) -> None:
    """Take over the layouts that `layout` added to the file of a family, for the models that still have their names."""
    path = tables.FOLDER / f"{value['family']}.json"
    before = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {"layouts": {}}
    for layout, entry in before["layouts"].items():
        if layout not in value["layouts"]:
            add_layout(value, layout, entry)


def add_layout(value: dict[str, Any], layout: str, entry: Mapping[str, Any]) -> None:
    """Add a layout to what a file holds, for all of its models.

    Raises:
        PlanError: Its rules do not take every tensor of a model.
    """
    value["layouts"][layout] = entry
    read = tables.family_of(value)
    for name, model in value["models"].items():
        specs = plan(read.tables[layout].rules, tables.architecture(read, name, model["classes"]).tensors).specs
        model["layouts"][layout] = tables.digest(specs)


@main.command("layout")
@click.argument("family", type=click.Choice(tables.names()))
@click.argument("name")
@click.argument("rules", type=click.Path(path_type=Path, exists=True))
@click.option("--published-by", help="Who publishes it; by default its name.")
def layout_command(family: str, name: str, rules: Path, published_by: str | None) -> None:
    """Add the layout NAME to FAMILY from saved RULES, whose reference is one of its models.

    Rules that a run contradicts are refused. MindSpore has no float64 for such a run: its float32 is compared by
    `python -m benchmarks.rules.vision` with the reference's float64.
    """
    table = _read(rules)
    if table.proven is False:
        raise click.ClickException(f"{rules}: {table.proof}")
    framework = table.candidate.framework
    path = tables.FOLDER / f"{family}.json"
    value = json.loads(path.read_text(encoding="utf-8"))
    found = generalised(rows_of_table(table))
    entry = {"framework": framework, "published_by": published_by or name, "rules": [list(row) for row in found]}
    try:
        add_layout(value, name, entry)
    except PlanError as error:
        raise click.ClickException("\n  ".join((error.summary, *error.details))) from None
    _require_same(tables.family_of(value), name, table)
    click.echo(f"{write(value)}: layout {name}")


def _require_same(read: tables.Family, layout: str, table: SavedTable) -> None:
    """Raise an error unless a model of the family has the names of the candidate that the rules lead to."""
    wanted = tables.digest(table.candidate.tensors)
    if all(model.layouts[layout] != wanted for model in read.models.values()):
        raise click.ClickException(f"no model of {read.name} has the names of the candidate in these rules")


@main.command("prove")
@click.argument("names", nargs=-1)
def prove_command(names: Sequence[str]) -> None:
    """Run both models of every model of the families, or of the models, that NAMES are; of all by default."""
    chosen = [m for m, family in tables.models().items() if (not names or m in names or family in names) and m in PAIRS]
    if not chosen:
        raise click.UsageError(f"no model and no family is called {', '.join(names)}")
    wrong = []
    for model in chosen:
        difference = prove(model)
        same = difference <= _LIMIT
        click.echo(f"{model:<22} {difference:.1e}  {'same function' if same else 'DIFFERENT'}")
        wrong += [] if same else [model]
    if wrong:
        raise click.ClickException(f"not proven: {', '.join(wrong)}")


@main.command("add")
@click.argument("family")
@click.argument("rules", type=click.Path(path_type=Path, exists=True))
@click.option("--model", required=True, help="Name of the model.")
@click.option("--head", required=True, help="Module of the reference whose rows are the classes.")
@click.option("--reference", help="Name of the first layout; by default that of its framework.")
@click.option("--candidate", help="Name of the second layout; by default that of its framework.")
@click.option("--force", is_flag=True, help="Replace the file of a family.")
def add_command(
    family: str, rules: Path, model: str, head: str, reference: str | None, candidate: str | None, force: bool
) -> None:
    """Write the file of FAMILY from saved RULES, which a run must have proven."""
    _require_free(family, model, force=force)
    table = _read(rules)
    if table.proven is not True:
        raise click.ClickException(f"{rules}: {table.proof}")
    shapes = [{name: info.shape for name, info in side.tensors.items()} for side in (table.reference, table.candidate)]
    frameworks = table.reference.framework, table.candidate.framework
    first, second = reference or frameworks[0], candidate or frameworks[1]
    if first == second:
        raise click.UsageError(f"both layouts are called {first}; name them with --reference and --candidate")
    recipe = Recipe((), (model,), first, head, None, second, frameworks, {})
    classes = next(iter(shapes[0].get(f"{head}.bias", ())), 0)
    try:
        value = content(family, {model: (shapes[0], shapes[1])}, rows_of_table(table), recipe, classes)
    except PlanError as error:
        raise click.ClickException("\n  ".join((error.summary, *error.details))) from None
    click.echo(f"{write(value)}: 1 model")


def _read(rules: Path) -> SavedTable:
    try:
        return read_table(rules)
    except ExpectedError as error:
        raise click.ClickException("\n  ".join((error.summary, *error.details))) from None


def _require_free(family: str, model: str, *, force: bool) -> None:
    """Raise an error for a name that is no file's, and for a family or a model that is there already."""
    if not _NAME.fullmatch(family):
        raise click.UsageError(f"{family!r} is no name of a family: letters, digits and _")
    if family in tables.names() and not force:
        raise click.UsageError(f"there is a family {family} already; --force replaces it")
    other = tables.models().get(model)
    if other is not None and other != family:
        raise click.UsageError(f"there is a model {model} already, in the family {other}")


if __name__ == "__main__":
    main()

"""What `pit-port list` and `pit-port inspect` print: models and files as text for people and as JSON for programs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from porting import architectures, tables
from porting.architectures.base import Architecture
from porting.architectures.figures import accuracies, macs
from porting.converters import LAYOUTS
from porting.terminal.common import architecture_json, dtypes_text, fields_json, model_text, rows_of, size_text
from porting.visible import lines_of

if TYPE_CHECKING:
    from porting.describe import Description

_CONVENTIONS = "G MACs: billions of multiply-accumulates for an image, of convolutions and linears / with attention"


def describe_text(description: Description, *, verbose: bool = False) -> str:
    """Return a checkpoint in a few lines; with `verbose`, a line for every tensor as well."""
    known = description.architecture
    rows = {
        "format": description.format,
        "unwrapped": " > ".join(description.envelope),
        "also inside": "; ".join(description.notes),
        "model": model_text(known) if known else _unknown(description),
        "": "; ".join(description.problem[1:4]),
        "rules": description.rules or "",
        "layout": description.layout or "",
        "tensors": f"{description.tensors}, {description.parameters:,} parameters, {size_text(description.nbytes)}",
        "MACs": _macs_text(known),
        "dtype": dtypes_text(description.dtypes),
        "content": description.digest,
    }
    width = max(map(len, description.contents), default=0)
    contents = (f"  {name:<{width}}  {dtype}  {shape}" for name, (dtype, shape) in description.contents.items())
    return lines_of(str(description.path), *rows_of(rows), *(contents if verbose else ()))


def _unknown(description: Description) -> str:
    """What is said of a model that is none of the published ones; nothing for a side of rules of the user's."""
    return f"not known: {description.problem[0]}" if description.problem else ""


def describe_json(description: Description, *, verbose: bool = False) -> dict[str, Any]:
    """Return a checkpoint for programs, with `verbose` every tensor; the fields of an unknown model are null."""
    values = fields_json(description, {"nbytes": "bytes"}, left_out=("contents",))
    values["macs"] = _macs_json(description.architecture) if description.architecture else None
    if verbose:
        values["contents"] = {
            name: {"dtype": dtype, "shape": list(shape)} for name, (dtype, shape) in description.contents.items()
        }
    return values


def list_text(*, verbose: bool = False) -> str:
    """Return the known models and layouts as text; with `verbose`, the published accuracies as well."""
    lines = ["model                parameters  G MACs        image    classes  layouts"]
    for model in map(_listed, map(architectures.build, architectures.NAMES)):
        size = "x".join(map(str, model["image_size"]))
        macs = "/".join(f"{value / 1e9:.3f}" for value in (model["macs"] or {}).values())
        lines.append(
            f"{model['model']:<19} {model['parameters']:>11,}  {macs:<13} {size}  {model['num_classes']:>5}  "
            f"{', '.join(layout['layout'] for layout in model['layouts'])}"
        )
        lines += [
            f"    {one['top1']:.2f} % top-1 at {one['image_size']} pixels ({one['source']})"
            for one in (model["accuracies"] if verbose else ())
        ]
    lines += ["", _CONVENTIONS]
    lines += ["", "layout       published by"]
    published = {table.layout: table.published_by for family in LAYOUTS.values() for table in family.values()}
    lines += [f"{layout:<12} {published_by}" for layout, published_by in published.items()]
    return "\n".join((*lines, "", *_library_lines()))


def _library_lines() -> Iterator[str]:
    """Yield the models of the library, a line for each family, any image size and class count."""
    rows = [("further models, images of any size", "layouts")]
    for name in tables.names():
        family = tables.family(name)
        layouts = ", ".join(layout for layout in family.tables if layout != tables.CANONICAL)
        models = list(family.models)
        shown = models if len(models) < 4 else [*models[:2], "...", models[-1]]
        rows.append((", ".join(shown) + (f" ({len(models)})" if len(models) > 3 else ""), layouts))
    width = max(len(models) for models, _ in rows) + 2
    yield from (f"{models:<{width}}{layouts}" for models, layouts in rows)


def list_json() -> list[dict[str, Any]]:
    """Return the known models with their layouts for programs."""
    return [
        *map(_listed, map(architectures.build, architectures.NAMES)),
        *map(_listed, map(tables.build, tables.models())),
    ]


def _listed(architecture: Architecture) -> dict[str, Any]:
    return {
        **architecture_json(architecture),
        "parameters": architecture.parameters,
        "macs": _macs_json(architecture),
        "accuracies": [one._asdict() for one in accuracies(architecture.name)],
        "layouts": [
            {"layout": table.layout, "published_by": table.published_by}
            for table in LAYOUTS[architecture.family].values()
            if table.refusal(architecture.name) is None
        ],
    }


def _macs_json(architecture: Architecture) -> dict[str, int] | None:
    """Multiply-accumulates by both conventions; None where they are not known."""
    figures = macs(architecture)
    return figures._asdict() if figures else None


def _macs_text(architecture: Architecture | None) -> str:
    figures = macs(architecture) if architecture else None
    if figures is None:
        return ""
    layers, all_of_them = (value / 1e9 for value in figures)
    return f"{layers:.3f} G of convolutions and linears, {all_of_them:.3f} G with attention"

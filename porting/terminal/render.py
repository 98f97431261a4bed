"""What `pit-port` prints: reports as text for people and as JSON for programs."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from porting import architectures, tables
from porting.architectures.base import Architecture
from porting.architectures.figures import accuracies, macs
from porting.conversion import ConvertReport, Port
from porting.converters import LAYOUTS
from porting.fields import encode
from porting.names import fold
from porting.terminal.plan_table import table_text, wrapped
from porting.visible import lines_of, visible

if TYPE_CHECKING:
    from porting.by_rules import RulesPort
    from porting.describe import Description


_PART = re.compile(r"\{[^{}]*\}|[^.]+")
"""A part of a name, which may be folded indices: `{0..2}`."""
_PROVEN: Mapping[bool | None, str] = {
    True: "proven in float64",
    False: "not proven: the outputs differ",
    None: "not proven yet",
}


def convert_text(report: ConvertReport, *, verbose: bool = False) -> str:
    """Return a conversion in a few lines, the outcome first; with `verbose`, every tensor that was changed as well."""
    done = "Would write" if report.digest is None else "Wrote"
    parameters = f"{report.architecture.parameters:,} parameters, " if report.architecture else ""
    rows = {
        "model": _models(report),
        "rules": f"{report.rules} ({_PROVEN[report.proven]})" if report.rules else "",
        "source": f"{report.source} ({report.source_format}, layout {report.source_layout})",
        "unwrapped": " > ".join(report.envelope),
        "left behind": "; ".join(report.notes),
        "tensors": f"{report.tensors}, {parameters}{_size(report.nbytes)}",
        "training": "; ".join(report.training),
        "transposed": _transposed(report.transposed),
        "dropped": _by_reason(report.dropped),
        "filled": f"{len(report.filled)} tensors that the source does not keep" if report.filled else "",
        "folded": _by_reason(report.remarks),
        "changed": "; ".join(f"{name}: {what}" for name, what in report.changes.items()),
        "shards": _shards(report),
        "dtype": _dtypes(report.dtypes) + (f", cast from {_dtypes(report.cast_from)}" if report.cast_from else ""),
        "verified": f"read back, {report.digest}" if report.digest else "",
        "note": "; ".join(report.advice),
    }
    head = f"{done} {report.target} ({report.target_format}, layout {report.target_layout})"
    return lines_of(head, *_rows(rows), *(_touched(report) if verbose else ()))


def _models(report: ConvertReport) -> str:
    """The model that was written, and the one that was read where it is another; nothing for rules of the user's."""
    after, before = report.architecture, report.source_architecture
    if after is None or before is None:
        return ""
    return _model(after) + (f", from {_model(before)}" if after != before else "")


def _touched(report: ConvertReport) -> Iterator[str]:
    """Yield a line for every tensor that differs from the source's."""
    yield from (f"  transposed: {name}" for name in report.transposed)
    yield from (f"  dropped: {name}: {reason}" for name, reason in report.dropped.items())
    yield from (f"  filled: {name}" for name in report.filled)
    yield from (f"  changed: {name}: {what}" for name, what in {**report.remarks, **report.changes}.items())


def _shards(report: ConvertReport) -> str:
    """The shards in words; nothing for a single file."""
    if not report.shards:
        return ""
    names = f"{len(report.shards)}: {report.shards[0]} to {report.shards[-1]}"
    return names + (f"; {report.kept} of them kept from a run that ended early, checksums compared" * bool(report.kept))


def convert_json(report: ConvertReport) -> dict[str, Any]:
    """Return a conversion for programs."""
    return _fields_json(report, {"nbytes": "bytes", "digest": "file_digest"}, left_out=("source_architecture",))


def describe_text(description: Description, *, verbose: bool = False) -> str:
    """Return a checkpoint in a few lines; with `verbose`, a line for every tensor as well."""
    known = description.architecture
    rows = {
        "format": description.format,
        "unwrapped": " > ".join(description.envelope),
        "also inside": "; ".join(description.notes),
        "model": _model(known) if known else _unknown(description),
        "": "; ".join(description.problem[1:4]),
        "rules": description.rules or "",
        "layout": description.layout or "",
        "tensors": f"{description.tensors}, {description.parameters:,} parameters, {_size(description.nbytes)}",
        "MACs": _macs_text(known),
        "dtype": _dtypes(description.dtypes),
        "content": description.digest,
    }
    width = max(map(len, description.contents), default=0)
    contents = (f"  {name:<{width}}  {dtype}  {shape}" for name, (dtype, shape) in description.contents.items())
    return lines_of(str(description.path), *_rows(rows), *(contents if verbose else ()))


def _unknown(description: Description) -> str:
    """What is said of a model that is none of the published ones; nothing for a side of rules of the user's."""
    return f"not known: {description.problem[0]}" if description.problem else ""


def describe_json(description: Description, *, verbose: bool = False) -> dict[str, Any]:
    """Return a checkpoint for programs, with `verbose` every tensor; the fields of an unknown model are null."""
    values = _fields_json(description, {"nbytes": "bytes"}, left_out=("contents",))
    values["macs"] = _macs(description.architecture) if description.architecture else None
    if verbose:
        values["contents"] = {
            name: {"dtype": dtype, "shape": list(shape)} for name, (dtype, shape) in description.contents.items()
        }
    return values


def _fields_json(
    report: ConvertReport | Description, renamed: Mapping[str, str], left_out: tuple[str, ...]
) -> dict[str, Any]:
    """The fields of a report in their order, some under other names; those of an unknown model are null."""
    values: dict[str, Any] = {}
    for name in (field.name for field in fields(report) if field.name not in left_out):
        value = getattr(report, name)
        if name == "architecture":
            values |= _architecture_json(value)
        else:
            values[renamed.get(name, name)] = str(value) if isinstance(value, Path) else encode(value)
    return values


def plan_text(port: Port, *, folded: bool, width: int) -> str:
    """Return a port's plan as a table; `folded` and `width` as for `table_text`."""
    before = f"{_model(port.identity.architecture)}, layout {port.identity.layout}"
    after = f"{_model(port.architecture)}, layout {port.layout}"
    return f"{_headed(before, after, width)}\n{table_text(port.plan, folded=folded, width=width)}"


def rules_text(port: RulesPort, *, folded: bool, width: int) -> str:
    """Return a port by rules of the user's as a table; `folded` and `width` as for `table_text`."""
    table = port.table
    head = _headed(f"{table.title(port.source)} of {visible(table.name)}", table.title(port.target), width)
    told = "\n".join(wrapped(visible(line), width) for line in (table.proof, table.crosswise) if line)
    return f"{head}\n{told}\n{table_text(port.plan, folded=folded, width=width)}"


def _headed(before: str, after: str, width: int) -> str:
    """Return what becomes what, in two lines where one is too long."""
    line = f"{before} -> {after}"
    return line if len(line) <= width else f"{before}\n-> {after}"


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
        **_architecture_json(architecture),
        "parameters": architecture.parameters,
        "macs": _macs(architecture),
        "accuracies": [one._asdict() for one in accuracies(architecture.name)],
        "layouts": [
            {"layout": table.layout, "published_by": table.published_by}
            for table in LAYOUTS[architecture.family].values()
            if table.refusal(architecture.name) is None
        ],
    }


_CONVENTIONS = "G MACs: billions of multiply-accumulates for an image, of convolutions and linears / with attention"


def _macs(architecture: Architecture) -> dict[str, int] | None:
    """Multiply-accumulates by both conventions; None where they are not known."""
    figures = macs(architecture)
    return figures._asdict() if figures else None


def _macs_text(architecture: Architecture | None) -> str:
    figures = macs(architecture) if architecture else None
    if figures is None:
        return ""
    layers, all_of_them = (value / 1e9 for value in figures)
    return f"{layers:.3f} G of convolutions and linears, {all_of_them:.3f} G with attention"


def _rows(rows: Mapping[str, str]) -> Iterator[str]:
    return (f"  {name:<12} {value}" for name, value in rows.items() if value)


def _model(architecture: Architecture) -> str:
    height, width = architecture.image_size
    size = "" if architecture.image_size == tables.ANY_SIZE else f" at {height}x{width}"
    heads = f"{architecture.num_classes} classes" if architecture.num_classes else "no head"
    return f"{architecture.name}{size}, {heads}"


def _architecture_json(architecture: Architecture | None) -> dict[str, Any]:
    if architecture is None:
        return dict.fromkeys(("family", "model", "image_size", "num_classes"))
    return {
        "family": architecture.family,
        "model": architecture.name,
        "image_size": None if architecture.image_size == tables.ANY_SIZE else list(architecture.image_size),
        "num_classes": architecture.num_classes,
    }


def _transposed(names: tuple[str, ...]) -> str:
    """The number of transposed Linear weights, and their names without stages and blocks."""
    kinds = ", ".join(filter(None, dict.fromkeys(map(_kind, fold(names)))))
    return f"{len(names)} Linear weights{f' ({kinds})' if kinds else ''}" if names else ""


def _by_reason(names: Mapping[str, str]) -> str:
    """The number of tensors for each reason."""
    counts = Counter(names.values())
    return "; ".join(f"{count} tensor{'s' if count > 1 else ''}: {reason}" for reason, count in counts.items())


def _kind(name: str) -> str:
    """`transformers.0.blocks.{0..2}.attn.qkv.weight` is an `attn.qkv`."""
    parts = _PART.findall(name.removesuffix(".weight"))
    return ".".join(part for part in parts[-2:] if not part[0].isdigit() and not part.startswith("{"))


def _dtypes(counts: Mapping[str, int]) -> str:
    return next(iter(counts)) if len(counts) == 1 else ", ".join(f"{name} x{count}" for name, count in counts.items())


def _size(nbytes: int) -> str:
    return f"{nbytes / 1e6:,.1f} MB" if nbytes >= 1e5 else f"{nbytes:,} bytes"

"""Parts of what `pit-port` prints of models and files: a line for each fact, and a model's fields for programs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from porting import tables
from porting.architectures.base import Architecture

if TYPE_CHECKING:
    from porting.conversion import ConvertReport
    from porting.describe import Description


def rows_of(rows: Mapping[str, str]) -> Iterator[str]:
    """Yield a line for each fact that is known: its name, and its text."""
    return (f"  {name:<12} {value}" for name, value in rows.items() if value)


def model_text(architecture: Architecture) -> str:
    """Return a model's name, its image size and its number of classes."""
    height, width = architecture.image_size
    size = "" if architecture.image_size == tables.ANY_SIZE else f" at {height}x{width}"
    heads = f"{architecture.num_classes} classes" if architecture.num_classes else "no head"
    return f"{architecture.name}{size}, {heads}"


def architecture_json(architecture: Architecture | None) -> dict[str, Any]:
    """Return what programs are told of a model; null for each fact of an unknown one."""
    if architecture is None:
        return dict.fromkeys(("family", "model", "image_size", "num_classes"))
    return {
        "family": architecture.family,
        "model": architecture.name,
        "image_size": None if architecture.image_size == tables.ANY_SIZE else list(architecture.image_size),
        "num_classes": architecture.num_classes,
    }


def dtypes_text(counts: Mapping[str, int]) -> str:
    """Return the dtypes of tensors, with the number of tensors of each where there are several."""
    return next(iter(counts)) if len(counts) == 1 else ", ".join(f"{name} x{count}" for name, count in counts.items())


def size_text(nbytes: int) -> str:
    """Return a number of bytes, in millions where it is long."""
    return f"{nbytes / 1e6:,.1f} MB" if nbytes >= 1e5 else f"{nbytes:,} bytes"


def fields_json(
    report: ConvertReport | Description, renamed: Mapping[str, str], left_out: tuple[str, ...]
) -> dict[str, Any]:
    """Return the fields of a report in their order.

    Args:
        report: What was done, or what a file holds.
        renamed: Field to the name that programs know it by, where that is another.
        left_out: Fields that programs are not told.
    """
    from porting.fields import encode

    values: dict[str, Any] = {}
    for name in (field.name for field in fields(report) if field.name not in left_out):
        value = getattr(report, name)
        if name == "architecture":
            values |= architecture_json(value)
        else:
            values[renamed.get(name, name)] = str(value) if isinstance(value, Path) else encode(value)
    return values

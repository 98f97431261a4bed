"""What `pit-port convert` prints: a conversion as text for people and as JSON for programs."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from porting.names import fold
from porting.terminal.common import dtypes_text, fields_json, model_text, rows_of, size_text
from porting.visible import lines_of

if TYPE_CHECKING:
    from porting.conversion import ConvertReport


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
        "tensors": f"{report.tensors}, {parameters}{size_text(report.nbytes)}",
        "training": "; ".join(report.training),
        "transposed": _transposed(report.transposed),
        "dropped": _by_reason(report.dropped),
        "filled": f"{len(report.filled)} tensors that the source does not keep" if report.filled else "",
        "folded": _by_reason(report.remarks),
        "changed": "; ".join(f"{name}: {what}" for name, what in report.changes.items()),
        "shards": _shards(report),
        "dtype": ", cast from ".join(map(dtypes_text, filter(None, (report.dtypes, report.cast_from)))),
        "verified": f"read back, {report.digest}" if report.digest else "",
        "note": "; ".join(report.advice),
    }
    head = f"{done} {report.target} ({report.target_format}, layout {report.target_layout})"
    return lines_of(head, *rows_of(rows), *(_touched(report) if verbose else ()))


def _models(report: ConvertReport) -> str:
    """The model that was written, and the one that was read where it is another; nothing for rules of the user's."""
    after, before = report.architecture, report.source_architecture
    if after is None or before is None:
        return ""
    return model_text(after) + (f", from {model_text(before)}" if after != before else "")


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
    return fields_json(report, {"nbytes": "bytes", "digest": "file_digest"}, left_out=("source_architecture",))


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

"""Files of rules, read and written: JSON of a known version, checked row by row; nothing in it is run unasked."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any

from porting.checkpoint.tensor import Malformed, checked_shape, is_name
from porting.errors import FieldError, RulesError
from porting.fields import decode, decode_value, encode, parse_json, shown
from porting.names import did_you_mean
from porting.operations.grammar import Loader
from porting.operations.own import load, own_operations, require_savable
from porting.plain_files import read_plain_text
from porting.saved_rules.rows import Row, applications_of, problems_of, rows_of, wrong_shapes_of
from porting.saved_rules.table import ROLES, SavedSide, SavedTable
from porting.saved_rules.tensors import TensorInfo, too_large

FORMAT = 2
"""The version of the files that are written; those of the versions before are read too."""
FRAMEWORKS = ("torch", "paddle", "mindspore")
_TITLE = "pit-align rules"
_LARGEST = 64 << 20
"""Bytes of a file that are read: a table of 10,000 tensors takes three megabytes."""
_FIELDS = ("format", "proven", "rules", *ROLES)
_HOW = "`pit-align rules --pair FILE --save RULES.json` writes them"


def read_table(path: str | PathLike[str], *, allowed: Iterable[str] | None = ()) -> SavedTable:
    """Return the table of a file that `write_table` wrote, or a user changed.

    Args:
        path: The file.
        allowed: Names of modules of the user's own that may be imported for operations in it, which runs their code;
            None for any module.

    Raises:
        RulesError: It cannot be read, is no file of rules or one of a newer version, or a row does not fit; all rows
            that do not are in one error.
    """
    value = _json(path)
    try:
        _require_version(path, value)
        _require_known(value, _FIELDS)
        reference, candidate = (_side(value.get(role), role) for role in ROLES)
        rows = decode_value(tuple[Row, ...], _rows(value.get("rules")), "rules")
        proven = _proven(value.get("proven"), rows)
    except FieldError as error:
        raise RulesError(path, str(error)) from None
    except RecursionError:
        raise RulesError(path, "cannot be read as rules: nested too deeply") from None
    applications, problems = applications_of(rows, _loader(allowed))
    shapes = _shapes(reference), _shapes(candidate)
    problems = problems or [*problems_of(applications, *shapes), *wrong_shapes_of(rows, shapes[1])]
    if problems:
        raise _refusal(path, problems)
    evidence = {row.target or row.sources[0]: row.evidence for row in rows}
    rules = tuple(one.rule for one in applications)
    return SavedTable(reference, candidate, rules, evidence, str(path), proven)


def write_table(table: SavedTable, path: str | PathLike[str]) -> None:
    """Write a table as JSON.

    Raises:
        PlanError: The rules do not map the sides onto each other.
        RulesError: An operation of the user's own cannot be saved by its name, or the file cannot be written.
    """
    value = table_to_json(table)
    try:
        for rule in table.rules:
            for op in own_operations(rule.op):
                require_savable(op)
        Path(path).write_text(json.dumps(value, indent=1) + "\n", encoding="utf-8")
    except (OSError, ValueError) as error:
        raise RulesError(path, f"the rules cannot be written: {error}") from None


def table_to_json(table: SavedTable) -> dict[str, Any]:
    """Return a table as plain JSON values; `rules` has the form that `pit-port plan --json` prints.

    Raises:
        PlanError: The rules do not map the sides onto each other.
    """
    rows = rows_of(table.plan("reference"), table.evidence)
    proven = None if table.proven is None else encode(Proven(table.proven, _digest(rows)))
    sides = {"reference": _side_json(table.reference), "candidate": _side_json(table.candidate)}
    return {"format": f"{_TITLE} {FORMAT}", "proven": proven, "rules": [_plain(row) for row in rows], **sides}


@dataclass(frozen=True)
class Proven:
    """What a run in float64 said of rules, and of which.

    Attributes:
        same: Whether the outputs of both models agreed.
        rules: Digest of the rows that were run: of other rows, edited by hand, nothing is known.
    """

    same: bool
    rules: str


def _proven(value: object, rows: Sequence[Row]) -> bool | None:
    if value is None:
        return None
    if not isinstance(value, dict):
        raise FieldError("proven", f"expected a table or null, found {type(value).__name__}")
    proven = decode(Proven, value, "proven")
    return proven.same if proven.rules == _digest(rows) else None


def _digest(rows: Iterable[Row]) -> str:
    """The digest of what rows do, in any order of theirs."""
    lines = sorted(json.dumps((row.target, row.sources, row.operations, row.output)) for row in rows)
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:32]


def _side_json(side: SavedSide) -> dict[str, Any]:
    return {"framework": side.framework, **side.model, "tensors": encode(side.tensors)}


def _plain(row: Row) -> dict[str, Any]:
    value: dict[str, Any] = encode(row)
    if row.output is None:
        del value["output"]
    return value


def _json(path: str | PathLike[str]) -> Any:
    try:
        return parse_json(read_plain_text(path, largest=_LARGEST))
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise RulesError(path, f"cannot be read as rules: {reason}; check the path") from None
    except ValueError as error:
        if str(path).endswith(".py"):
            raise RulesError(path, "is Python, and rules are JSON; a file that declares a pair is for --pair") from None
        reason = "nested too deeply" if "nested too deep" in str(error) else str(error)
        raise RulesError(path, f"cannot be read as rules: {reason}") from None


def _require_version(path: str | PathLike[str], value: Any) -> None:
    title, _, number = str(value.get("format")).rpartition(" ") if isinstance(value, dict) else ("", "", "")
    if title != _TITLE or not number.isascii() or not number.isdigit() or len(number) > 9:
        raise RulesError(path, f"holds no rules; {_HOW}")
    if int(number) > FORMAT:
        raise RulesError(path, f"is of format {number}, and this version reads formats up to {FORMAT}; update pit-port")


def _require_known(value: Mapping[str, Any], known: Sequence[str]) -> None:
    for name in value:
        if name not in known:
            hint = did_you_mean(name, known) or f"; known: {', '.join(known)}"
            raise FieldError(shown(name), f"unknown field{hint}")


def _rows(value: object) -> Any:
    if not isinstance(value, list):
        raise FieldError("rules", f"expected a list, found {type(value).__name__}")
    return value


def _side(value: object, where: str) -> SavedSide:
    if not isinstance(value, dict):
        raise FieldError(where, f"expected a table, found {type(value).__name__}")
    framework = decode_value(str, value.get("framework"), f"{where}.framework")
    if framework not in FRAMEWORKS:
        raise FieldError(f"{where}.framework", f"{framework!r} is not known; known: {', '.join(FRAMEWORKS)}")
    model = {name: item for name, item in value.items() if name not in ("framework", "tensors")}
    return SavedSide(framework, _tensors(value.get("tensors"), f"{where}.tensors"), model)


def _tensors(value: object, where: str) -> dict[str, TensorInfo]:
    if not isinstance(value, dict):
        raise FieldError(where, f"expected a table, found {type(value).__name__}")
    tensors = {name: decode(TensorInfo, info, f"{where}.{name}") for name, info in value.items()}
    if too_large(tensors.values()):
        raise FieldError(where, "the constants have more values than a file of rules may hold")
    for name, info in tensors.items():
        _check_tensor(name, info, tensors, f"{where}.{name}")
    return tensors


def _check_tensor(name: str, info: TensorInfo, tensors: Mapping[str, TensorInfo], where: str) -> None:
    if not is_name(name):
        raise FieldError(where, "is too long for a name, or has characters that cannot be printed")
    try:
        checked_shape(info.shape)
    except Malformed as error:
        raise FieldError(f"{where}.shape", str(error)) from None
    try:
        _ = info.stored
    except ValueError as error:
        raise FieldError(f"{where}.values", str(error)) from None
    if info.same_as:
        other = tensors.get(info.same_as)
        if other is None:
            raise FieldError(f"{where}.same_as", f"there is no tensor {info.same_as!r}")
        if other.shape != info.shape or other.same_as:
            raise FieldError(f"{where}.same_as", f"{info.same_as!r} is another tensor, or another name itself")


def _loader(allowed: Iterable[str] | None) -> Loader:
    def build(name: str, arguments: Mapping[str, Any]) -> Any:
        return load(name, arguments, [name.partition(":")[0]] if allowed is None else allowed)

    return build


def _shapes(side: SavedSide) -> dict[str, tuple[int, ...]]:
    return {name: info.shape for name, info in side.tensors.items()}


def _refusal(path: str | PathLike[str], problems: Sequence[str]) -> RulesError:
    if len(problems) == 1:
        return RulesError(path, problems[0])
    return RulesError(path, f"the rules have {len(problems)} mistakes", problems)

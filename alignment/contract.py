"""What the weights of two models have to do with each other, settled: every tensor of both sides is accounted for.

Canonical names are those of the reference's modules, in the common form of `alignment.units`. A contract is a JSON
file, for the workers to read and for users to review, change and pin.
"""

from __future__ import annotations

import json
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from os import PathLike
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from alignment.description import TRACED_BATCH, ModelDescription, TensorInfo
from alignment.errors import AlignmentError, FieldError, FileError
from alignment.fields import decode, encode
from alignment.units import BARE, COUNTER, Part, Unit, units_of
from porting.architectures import Architecture, TensorSpec
from porting.errors import PlanError
from porting.ops import Concat, Drop, Fill, Op, Split, Tie, Transpose, Untie
from porting.plan import Plan, plan
from porting.render import table_json
from porting.rules import Rule, invert, rule

_FORMAT = "pit-align rules 1"
_OPS: Mapping[str, Callable[[int], Op]] = {"split in": Split, "join": Concat, "tie": Tie, "untie": Untie}
_EVIDENCE: Mapping[str, str] = {
    "only one": "being the only one of their kind and shape",
    "order": "order of execution",
    "counter": "being counters",
}
_JUMPS = re.compile(r"relu|maxpool|hardtanh|hardswish|hardsigmoid", re.IGNORECASE)


@dataclass(frozen=True)
class Contract:
    """Names and shapes of both sides, and the rules between them.

    Attributes:
        reference: The reference.
        candidate: The candidate.
        rules: From the reference's state dict to the candidate's.
        evidence: Name in the candidate's state dict to what its rule was derived from; empty for one that was given.
    """

    reference: ModelDescription
    candidate: ModelDescription
    rules: tuple[Rule, ...]
    evidence: Mapping[str, str] = field(default_factory=dict)

    @property
    def classes(self) -> int:
        """Columns of the output, where that is `(batch, classes)`; else 0."""
        output = self.reference.output
        return output[1] if len(output) == 2 and output[0] == TRACED_BATCH and output[1] >= 2 else 0

    def output(self, batch_size: int) -> tuple[int, ...]:
        """Shape of what the models give for so many inputs."""
        first, *rest = self.reference.output or (0,)
        return (batch_size, *rest) if first == TRACED_BATCH else self.reference.output

    @property
    def smooth(self) -> bool:
        """Whether no module is known to have gradients that jump."""
        kinds = [module.kind for side in (self.reference, self.candidate) for module in side.modules]
        return not any(_JUMPS.search(kind) for kind in kinds)

    @cached_property
    def table(self) -> Plan:
        """What every tensor of the candidate is made of.

        Raises:
            AlignmentError: A tensor of either side is unaccounted for, or the rules do not fit.
        """
        try:
            return plan(self.rules, specs(self.reference), specs(self.candidate))
        except PlanError as error:
            summary = f"the rules do not map the reference onto the candidate: {error.summary}"
            raise AlignmentError(summary, error.details) from None

    def architecture(self, name: str, input_shape: Sequence[int]) -> Architecture:
        """The canonical tensors, under the name of the pair."""
        canonical = {str(each.sources[0]): self._canonical(each) for each in self._reference_rules}
        buffers = {name for name, (_, part) in canonical.items() if part.buffer and name not in self.constants}
        size = tuple(input_shape[-2:]) if len(input_shape) >= 2 else (1, input_shape[-1])
        tensors = {name: spec for name, (spec, _) in canonical.items()}
        return Architecture("own", name, (size[0], size[1]), self.classes, tensors, frozenset(buffers))

    @cached_property
    def constants(self) -> Mapping[str, npt.NDArray[Any]]:
        """Canonical names of the buffers that are no statistics, with their values in the reference as it is built."""
        found = {}
        for each in self._reference_rules:
            info = self.reference.tensors[str(each.targets[0])]
            if info.buffer and info.values:
                found[str(each.sources[0])] = np.array(info.values).reshape(info.shape).astype(info.dtype)
        return found

    def outward(self, role: Literal["reference", "candidate"]) -> Plan:
        """The plan from the canonical names to those of a side."""
        tensors = {str(each.sources[0]): self._canonical(each)[0] for each in self._reference_rules}
        to_reference = plan(self._reference_rules, tensors, specs(self.reference))
        return to_reference if role == "reference" else to_reference.then(self.table)

    def inward(self, role: Literal["reference", "candidate"]) -> Plan:
        """The plan from the names of a side to the canonical ones."""
        tensors = {str(each.sources[0]): self._canonical(each)[0] for each in self._reference_rules}
        from_reference = plan(invert(self._reference_rules), specs(self.reference), tensors)
        if role == "reference":
            return from_reference
        return plan(invert(self.rules), specs(self.candidate), specs(self.reference)).then(from_reference)

    def specs(self, role: Literal["reference", "candidate"]) -> Mapping[str, TensorSpec]:
        """Names, shapes and kinds of a side's state dict."""
        return specs(self.reference if role == "reference" else self.candidate)

    @property
    def summary(self) -> str:
        """How many tensors there are, and what says which is which."""
        counts = Counter(self.evidence.get(name) or "a given rule" for name in self.table.outputs)
        found = ", ".join(f"{count} by {_EVIDENCE.get(what, what)}" for what, count in counts.most_common())
        dropped = f"; {len(self.table.dropped)} dropped" if self.table.dropped else ""
        return f"{len(self.table.outputs)} tensors ({found}{dropped})"

    def to_json(self) -> dict[str, Any]:
        """For programs, and to be pinned; `rules` is what `pit-port plan --json` prints."""
        rows = table_json(self.table)
        for row in rows:
            row["evidence"] = self.evidence.get(row["target"] or row["sources"][0], "")
        sides = {"reference": encode(self.reference), "candidate": encode(self.candidate)}
        return {"format": _FORMAT, "rules": rows, **sides}

    def write(self, path: str | PathLike[str]) -> None:
        """Write the contract as JSON."""
        Path(path).write_text(json.dumps(self.to_json(), indent=1) + "\n", encoding="utf-8")

    @classmethod
    def read(cls, path: str | PathLike[str]) -> Contract:
        """Read what `write` wrote, or a user changed.

        Raises:
            FileError: It cannot be read, or is no such file.
        """
        try:
            value = json.loads(Path(path).read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise FileError(path, f"cannot be read as rules: {error}") from None
        if not isinstance(value, dict) or value.get("format") != _FORMAT:
            raise FileError(path, "holds no rules; `pit-align rules --pair FILE --save RULES.json` writes them")
        try:
            sides = [decode(ModelDescription, value[name], name) for name in ("reference", "candidate")]
            evidence = {row["target"] or row["sources"][0]: row.get("evidence", "") for row in value["rules"]}
            return cls(sides[0], sides[1], tuple(_rules(value["rules"])), evidence)
        except FieldError as error:
            raise FileError(path, str(error)) from None
        except (KeyError, TypeError, ValueError) as error:
            raise FileError(path, f"a rule is written wrongly: {error}") from None

    @cached_property
    def _reference_rules(self) -> tuple[Rule, ...]:
        return tuple(_canonical_rules(self.reference, {str(name) for name in self.table.dropped}))

    @cached_property
    def _parts(self) -> Mapping[str, Part]:
        return {part.name: part for unit in units_of(self.reference) for part in unit.parts.values()}

    def _canonical(self, each: Rule) -> tuple[TensorSpec, Part]:
        part = self._parts[str(each.targets[0])]
        info = self.reference.tensors[part.name]
        shape = part.shape if len(each.targets) == 1 else info.shape
        return TensorSpec(shape, _kind(info, part.name)), part


def specs(model: ModelDescription) -> dict[str, TensorSpec]:
    """Names, shapes and kinds of a model's state dict."""
    return {name: TensorSpec(info.shape, _kind(info, name)) for name, info in model.tensors.items()}


def ties_of(model: ModelDescription) -> dict[str, list[str]]:
    """First name to all names of every tensor that has several."""
    found: dict[str, list[str]] = defaultdict(list)
    for name, info in model.tensors.items():
        if info.same_as:
            found[info.same_as].append(name)
    return {first: [first, *others] for first, others in found.items()}


def _kind(info: TensorInfo, name: str) -> str:
    """`int` is for counters alone: what is filled and not compared. Other integers are constants of the function."""
    return "int" if name.rpartition(".")[2] == COUNTER else "float"


def _canonical_rules(model: ModelDescription, dropped: set[str]) -> Iterator[Rule]:
    """From the common form to the state dict; a tied tensor is read from a name that the candidate has as well."""
    ties = ties_of(model)
    for unit in units_of(model):
        for part, tensor in unit.parts.items():
            if model.tensors[tensor.name].same_as:
                continue
            names = sorted(ties.get(tensor.name, [tensor.name]), key=lambda name: name in dropped)
            op = tensor.op if len(names) == 1 else Tie(len(names))
            yield rule(unit.canonical(part), tuple(names), op)


def _rules(rows: Iterable[Mapping[str, Any]]) -> Iterator[Rule]:
    """The rules that rows of a table stand for; those that share their sources and operation are one."""
    together: dict[tuple[tuple[str, ...], str], list[str]] = defaultdict(list)
    for row in rows:
        if len(row["operations"]) > 1:
            raise ValueError(f"{row['target']} has several operations")
        operation = row["operations"][0] if row["operations"] else ""
        sources = tuple(row["sources"]) or (f"\0{row['target']}",)
        together[sources, operation].extend([row["target"]] if row["target"] else [])
    for (sources, operation), targets in together.items():
        own = () if sources[0].startswith("\0") else sources
        yield rule(own, tuple(targets), _op(operation))


def _op(operation: str) -> Op | None:
    what, _, reason = operation.partition(":")
    if not operation:
        return None
    if operation == "transpose":
        return Transpose()
    if what == "drop":
        return Drop(reason.strip())
    words, _, number = what.rpartition(" ")
    if words == "fill with":
        return Fill(reason.strip(), int(number))
    if words in _OPS:
        return _OPS[words](int(number))
    raise ValueError(f"{operation!r} is no operation; known: transpose, drop: REASON, fill with 0, split in N, join N")


def bare(units: Iterable[Unit]) -> Iterator[Part]:
    """The tensors of modules of no known kind."""
    return (part for unit in units if unit.kind == BARE for part in unit.parts.values())

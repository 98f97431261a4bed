"""Which weights of two models are the same: the rules between them, and every tensor of both sides accounted for.

Canonical names are those of the reference's modules, in the common form of `alignment.pair.units`. A contract is a JSON
file, for the workers to read and for users to review, change and pin.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from functools import cached_property
from os import PathLike
from typing import Any, Literal

import numpy.typing as npt

from alignment.errors import AlignmentError, FileError
from alignment.pair.model_description import ModelDescription, OutputInfo
from alignment.pair.outputs import LOGITS, common_names, floating_in_both, shape_for
from alignment.pair.units import BARE, COUNTER, Part, Unit, units_of
from porting.architectures import Architecture, TensorSpec
from porting.checkpoint.tensor import LazyTensor
from porting.errors import FieldError, PlanError, RulesError
from porting.fields import decode, encode
from porting.operations import Tie
from porting.plan import Plan, plan
from porting.rules import Rule, invert, rule
from porting.saved_rules import ROLES as SIDES
from porting.saved_rules import SavedSide, SavedTable, read_table, table_to_json, write_table
from porting.saved_rules.table import ties_of as ties_among
from porting.saved_rules.table import with_further_names

OWN = "own"
"""Family of an architecture that is no published one."""
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
        proven: Whether the outputs of both models agreed in float64 with these rules; None where that was not tried.
    """

    reference: ModelDescription
    candidate: ModelDescription
    rules: tuple[Rule, ...]
    evidence: Mapping[str, str] = field(default_factory=dict)
    proven: bool | None = None

    @property
    def classes(self) -> int:
        """Columns of the output `logits`, where that is floating-point numbers `(batch, classes)`; else 0.

        One tensor without a name is called `logits`.
        """
        logits = self.floating.get(LOGITS)
        if logits is None or self.reference.function or len(logits.shape) != 2 or logits.shape[1] < 2:
            return 0
        return logits.shape[1] if shape_for(logits, 1) == (1, logits.shape[1]) else 0

    @property
    def has_gradients(self) -> bool:
        """Whether both models give floating-point numbers under one name."""
        return bool(self.floating)

    @cached_property
    def floating(self) -> Mapping[str, OutputInfo]:
        """Common name to each floating-point output that both models give, as the reference gives it."""
        return floating_in_both(self.reference, self.candidate)

    def names(self, role: Literal["reference", "candidate"]) -> Mapping[str, str]:
        """Own name of an output of a side to the name that both sides use, where they differ."""
        return common_names(self.reference, self.candidate)[role == "candidate"]

    def output(self, batch_size: int) -> tuple[int, ...]:
        """Shape of what the models give for a batch: axes that followed the batch size when traced follow it here."""
        model = self.reference
        return shape_for(OutputInfo(model.output, model.fewer, model.gives), batch_size)

    def projected(self, batch_size: int) -> dict[str, tuple[int, ...]]:
        """Shapes of the outputs, by name, whose weighted sum is differentiated; none for one tensor without a name.

        The logits of a classifier are not among them: they have a loss of their own.
        """
        if not (self.reference.outputs or self.candidate.outputs):
            return {}
        apart = LOGITS if self.classes else ""
        return {name: shape_for(info, batch_size) for name, info in self.floating.items() if name != apart}

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
            return plan(self.rules, specs(self.reference), specs(self.candidate), _constants(self.candidate))
        except PlanError as error:
            summary = f"the rules do not map the reference onto the candidate: {error.summary}"
            raise AlignmentError(summary, error.details) from None

    def architecture(self, name: str, input_shape: Sequence[int]) -> Architecture:
        """The canonical tensors, under the name of the pair."""
        buffers = {name for name, part in self._canonical.items() if part.buffer and name not in self.constants}
        size = (1, 1, *input_shape)[-2:]
        return Architecture(OWN, name, (size[0], size[1]), self.classes, self._canonical_specs, frozenset(buffers))

    @cached_property
    def constants(self) -> Mapping[str, npt.NDArray[Any]]:
        """Canonical names of the buffers that are no statistics, with their values in the reference as it is built."""
        values = {name: self.reference.tensors[part.name].constant for name, part in self._canonical.items()}
        return {name: constant for name, constant in values.items() if constant is not None}

    @cached_property
    def built(self) -> Mapping[str, tuple[npt.NDArray[Any], npt.NDArray[Any]]]:
        """Name in the candidate to what a constant is made of there from the reference's, and to what it builds."""
        theirs = {name: info.constant for name, info in self.reference.tensors.items()}
        lazy = {name: LazyTensor.of(array) for name, array in theirs.items() if array is not None}
        pairs = {}
        for name, expression in self.table.outputs.items():
            ours, sources = self.candidate.tensors[name].constant, self.table.sources_of(name)
            if ours is not None and sources and all(source in lazy for source in sources):
                one = Plan({name: expression}, {name: self.table.specs[name]})
                pairs[name] = one.apply(lazy)[name].load(), ours
        return pairs

    @cached_property
    def padding(self) -> Mapping[str, int]:
        """Canonical name of each embedding's weight in the reference to its `padding_idx`, where it has one."""
        rows = self.reference.padding
        return {name: rows[part.name] for name, part in self._canonical.items() if part.name in rows}

    @cached_property
    def empty(self) -> tuple[str, ...]:
        """Canonical names of the tensors that have no elements."""
        return tuple(name for name, part in self._canonical.items() if 0 in part.shape)

    @cached_property
    def dropped(self) -> tuple[str, ...]:
        """Canonical names of the tensors that the candidate does not have under any name."""
        gone = self.table.dropped
        return tuple(
            str(rule.sources[0])
            for rule in self._reference_rules
            if all(str(target) in gone for target in rule.targets)
        )

    def outward(self, role: Literal["reference", "candidate"]) -> Plan:
        """The plan from the canonical names to those of a side."""
        to_reference = plan(self._reference_rules, self._canonical_specs, specs(self.reference))
        return to_reference if role == "reference" else to_reference.then(self.table)

    def inward(self, role: Literal["reference", "candidate"]) -> Plan:
        """The plan from the names of a side to the canonical ones."""
        from_reference = plan(invert(self._reference_rules), specs(self.reference), self._canonical_specs)
        if role == "reference":
            return from_reference
        back = plan(invert(self.rules), specs(self.candidate), specs(self.reference), _constants(self.reference))
        kept = set(self.reference.tensors) - set(self.table.dropped)
        return with_further_names(back, ties_of(self.reference), kept).then(from_reference)

    def specs(self, role: Literal["reference", "candidate"]) -> Mapping[str, TensorSpec]:
        """Names, shapes and kinds of a side's state dict."""
        return specs(self.reference if role == "reference" else self.candidate)

    @property
    def summary(self) -> str:
        """Number of tensors, and by what evidence they were matched."""
        counts = Counter(self.evidence.get(name) or "a given rule" for name in self.table.outputs)
        evidence = ", ".join(f"{count} by {_EVIDENCE.get(what, what)}" for what, count in counts.most_common())
        dropped = f"; {len(self.table.dropped)} dropped" if self.table.dropped else ""
        return f"{len(self.table.outputs)} tensors ({evidence}{dropped})"

    def to_json(self) -> dict[str, Any]:
        """The contract as plain JSON values; `rules` has the form that `pit-port plan --json` prints."""
        _ = self.table
        return table_to_json(self.saved)

    def write(self, path: str | PathLike[str]) -> None:
        """Write the contract as JSON.

        Raises:
            FileError: It cannot be written, or an operation of the user's own cannot be saved by its name.
        """
        _ = self.table
        try:
            write_table(self.saved, path)
        except RulesError as error:
            raise FileError(path, error.problem) from None

    @cached_property
    def saved(self) -> SavedTable:
        """The contract as the table that `pit-port --rules` uses."""
        sides = _saved(self.reference), _saved(self.candidate)
        return SavedTable(*sides, self.rules, self.evidence, proven=self.proven)

    @classmethod
    def read(cls, path: str | PathLike[str], *, allowed: Iterable[str] | None = ()) -> Contract:
        """Read what `write` wrote, or a user changed.

        Args:
            path: The file.
            allowed: Modules that may be imported for operations of the user's own; None for any.

        Raises:
            FileError: It cannot be read, or is no such file.
        """
        try:
            saved = read_table(path, allowed=allowed)
            reference, candidate = (_model(saved.side(role), role) for role in SIDES)
        except RulesError as error:
            raise FileError(path, error.problem, error.details) from None
        except FieldError as error:
            raise FileError(path, str(error)) from None
        except RecursionError:
            raise FileError(path, "cannot be read as rules: nested too deeply") from None
        return cls(reference, candidate, saved.rules, saved.evidence, saved.proven)

    @cached_property
    def _reference_rules(self) -> tuple[Rule, ...]:
        return tuple(_canonical_rules(self.reference, {str(name) for name in self.table.dropped}))

    @cached_property
    def _canonical(self) -> Mapping[str, Part]:
        """Canonical name to tensor of the reference."""
        parts = {part.name: part for unit in units_of(self.reference) for part in unit.parts.values()}
        return {str(rule.sources[0]): parts[str(rule.targets[0])] for rule in self._reference_rules}

    @property
    def _canonical_specs(self) -> dict[str, TensorSpec]:
        return {name: TensorSpec(part.shape, _kind(part.name)) for name, part in self._canonical.items()}


def specs(model: ModelDescription) -> dict[str, TensorSpec]:
    """Names, shapes and kinds of a model's state dict."""
    return {name: TensorSpec(info.shape, _kind(name)) for name, info in model.tensors.items()}


def _constants(model: ModelDescription) -> dict[str, npt.NDArray[Any]]:
    values = {name: info.constant for name, info in model.tensors.items()}
    return {name: constant for name, constant in values.items() if constant is not None}


def ties_of(model: ModelDescription) -> dict[str, list[str]]:
    """First name to all names of every tensor that has several."""
    return ties_among(model.tensors)


def _kind(name: str) -> str:
    """`int` for counters, which are filled and not compared; else `float`, for other integers are constants."""
    return "int" if name.rpartition(".")[2] == COUNTER else "float"


def _canonical_rules(model: ModelDescription, dropped: set[str]) -> Iterator[Rule]:
    """From the common form to the state dict; a tied tensor is read from a name that the candidate has as well."""
    ties = ties_of(model)
    for unit in units_of(model):
        for part, tensor in unit.parts.items():
            if model.tensors[tensor.name].same_as:
                continue
            names = sorted(ties.get(tensor.name, [tensor.name]), key=lambda name: name in dropped)
            op = tensor.op if len(names) == 1 else Tie(len(names), tensor.op)
            yield rule(unit.canonical(part), tuple(names), op)


def _saved(model: ModelDescription) -> SavedSide:
    rest = {field.name: encode(getattr(model, field.name)) for field in fields(model)}
    return SavedSide(rest.pop("framework"), model.tensors, {k: v for k, v in rest.items() if k != "tensors"})


def _model(side: SavedSide, where: str) -> ModelDescription:
    model = decode(ModelDescription, {"framework": side.framework, "tensors": {}, **side.model}, where)
    for place, module in enumerate(model.modules):
        for name in module.tensors:
            if name not in side.tensors:
                raise FieldError(f"{where}.modules[{place}].tensors", f"there is no tensor {name!r}")
    return replace(model, tensors=side.tensors)


def bare(units: Iterable[Unit]) -> Iterator[Part]:
    """The tensors of modules of no known kind."""
    return (part for unit in units if unit.kind == BARE for part in unit.parts.values())

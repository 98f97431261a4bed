"""The rules between two models, with names, shapes and dtypes of both: a layout like any other, saved in a file."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Literal, TypeAlias

from porting.architectures.base import TensorSpec
from porting.checkpoint.tensor import Array
from porting.expressions import Expression
from porting.plan import Plan, plan
from porting.rules import Rule, invert
from porting.saved_rules.crosswise import crosswise
from porting.saved_rules.tensors import TensorInfo

Role: TypeAlias = Literal["reference", "candidate"]
ROLES: tuple[Role, Role] = ("reference", "candidate")


_FLOAT32_ONLY = frozenset({"mindspore"})
"""Frameworks that run models in float32 at best."""
SAME_OUTPUTS: Mapping[str, float] = {"float64": 3e-5, "float32": 5e-4}
"""Largest relative L2 difference of the same outputs, by precision: Paddle keeps some constants in float32."""
_PROOFS: Mapping[bool | None, str] = {
    True: "proven: with these rules both models give the same outputs in {precision}, to a relative L2 of {near:.0e}; "
    "`pit-align all --pair FILE` looks for smaller mistakes",
    False: "not proven: every tensor has its counterpart, but with these rules the models give different outputs in "
    "{precision}; `pit-align bisect --pair FILE` says where they differ",
    None: "not proven yet: no run has shown the same outputs with these rules; `pit-align forward "
    "--pair FILE` runs both models",
}


@dataclass(frozen=True)
class SavedSide:
    """One of the two models.

    Attributes:
        framework: `"torch"`, `"paddle"` or `"mindspore"`.
        tensors: Name in the state dict to tensor, in its order.
        model: What else `pit-align` knows of the model; nothing here depends on it.
    """

    framework: str
    tensors: Mapping[str, TensorInfo]
    model: Mapping[str, Any] = field(default_factory=dict)

    @property
    def specs(self) -> dict[str, TensorSpec]:
        """Name to shape and kind."""
        kinds = {name: "float" if "float" in info.dtype else "int" for name, info in self.tensors.items()}
        return {name: TensorSpec(info.shape, kinds[name]) for name, info in self.tensors.items()}

    @property
    def ties(self) -> dict[str, list[str]]:
        """First name to all names of every tensor that has several."""
        return ties_of(self.tensors)

    @cached_property
    def constants(self) -> Mapping[str, Array]:
        """Name to the values of every constant, in its own dtype."""
        stored = {name: info.stored for name, info in self.tensors.items()}
        return {name: values for name, values in stored.items() if values is not None}


@dataclass(frozen=True)
class SavedTable:
    """The rules between two models.

    Attributes:
        reference: The model that the rules start from.
        candidate: The model that they lead to.
        rules: From the reference's state dict to the candidate's.
        evidence: Name in the candidate's state dict, or of a tensor of the reference that is left out, to what its
            rule was derived from; empty for one that was given.
        name: What messages call the table: its file.
        proven: Whether a run in float64 (float32 with MindSpore) gave the same outputs on both sides with these rules;
            None where none was made.
    """

    reference: SavedSide
    candidate: SavedSide
    rules: tuple[Rule, ...]
    evidence: Mapping[str, str] = field(default_factory=dict)
    name: str = "the rules"
    proven: bool | None = None

    @property
    def proof(self) -> str:
        """What a run said of the rules, in a sentence."""
        return _PROOFS[self.proven].format(precision=self.precision, near=SAME_OUTPUTS[self.precision])

    @property
    def precision(self) -> str:
        """The most exact precision in which both frameworks run models."""
        frameworks = {self.reference.framework, self.candidate.framework}
        return "float32" if frameworks & _FLOAT32_ONLY else "float64"

    @cached_property
    def crosswise(self) -> str:
        """Which modules take each other's weights, in a sentence; empty where none do."""
        return crosswise(self._there, self.reference.tensors, self.candidate.tensors)

    def side(self, role: Role) -> SavedSide:
        """Return one of the models."""
        return self.reference if role == "reference" else self.candidate

    def title(self, role: Role) -> str:
        """Return a side in words: `the reference's side (torch)`."""
        return f"the {role}'s side ({self.side(role).framework})"

    def plan(self, source: Role) -> Plan:
        """Return the plan from one side to the other.

        Args:
            source: The side that it starts from.

        Raises:
            PlanError: The rules do not map the sides onto each other; the details hold every mismatch.
        """
        return self._there if source == "reference" else self._back

    @cached_property
    def _there(self) -> Plan:
        return plan(self.rules, self.reference.specs, self.candidate.specs, self.candidate.constants)

    @cached_property
    def _back(self) -> Plan:
        back = plan(invert(self.rules), self.candidate.specs, self.reference.specs, self.reference.constants)
        return with_further_names(back, self.reference.ties, set(self.reference.tensors) - set(self._there.dropped))


def ties_of(tensors: Mapping[str, TensorInfo]) -> dict[str, list[str]]:
    """Return the first name to all names of every tensor that has several."""
    ties: dict[str, list[str]] = defaultdict(list)
    for name, info in tensors.items():
        if info.same_as:
            ties[info.same_as].append(name)
    return {first: [first, *others] for first, others in ties.items()}


def with_further_names(back: Plan, ties: Mapping[str, list[str]], kept: set[str]) -> Plan:
    """Return a way back in which a tensor that was dropped as another name of one that was kept is that very tensor."""
    further: dict[str, Expression] = {}
    for names in ties.values():
        first = next((name for name in names if name in kept), None)
        if first is not None:
            further.update({name: back.outputs[first] for name in names if name not in kept and name in back.outputs})
    groups = tuple(group for group in back.groups if not further.keys() & set(group.targets))
    return replace(back, outputs={**back.outputs, **further}, groups=groups) if further else back

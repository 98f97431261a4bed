"""A checkpoint of a known model in which some weights lie the other way round: a port that is partly transposed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from porting.architectures.base import Architecture, TensorSpec
from porting.checkpoint import Checkpoint, LazyTensor
from porting.converters import CANONICAL, layouts_of, plan_between, specs_in
from porting.errors import PlanError
from porting.plan import Plan
from porting.saved_rules import ROLES, SavedTable


class Turned(NamedTuple):
    """A checkpoint in canonical form, its misplaced tensors turned.

    Attributes:
        tensors: The tensors by canonical name, or by those of the reference's side of rules.
        wrong: Name of every tensor that was stored the other way round to what is said of it.
        filled: Names of the tensors that the layout does not keep.
        layout: The layout, or the side of the rules, that the file has but for these.
    """

    tensors: Mapping[str, LazyTensor]
    wrong: Mapping[str, str]
    filled: frozenset[str]
    layout: str


def turned(checkpoint: Checkpoint, architecture: Architecture) -> Turned | None:
    """Return a checkpoint as the layout of a model that most of its tensors have; None where none fits.

    Args:
        checkpoint: An open checkpoint whose model is not known, since shapes differ.
        architecture: The model that it may be.
    """
    candidates = []
    for layout in layouts_of(architecture):
        try:
            specs = specs_in(architecture, layout)
        except PlanError:
            continue
        if (wrong := _other_way_round(checkpoint.tensors, specs)) is not None:
            candidates.append((len(wrong), layout, wrong))
    if not candidates:
        return None
    _, layout, wrong = min(candidates, key=lambda candidate: candidate[0])
    plan = plan_between(architecture, layout, CANONICAL)
    return _turned(checkpoint, plan, wrong, f"layout {layout}", _specs_of(wrong, specs_in(architecture, layout)))


def turned_by_rules(checkpoint: Checkpoint, table: SavedTable) -> Turned | None:
    """Return a checkpoint as the candidate's side of rules that most of its tensors have, on the reference's names.

    Args:
        checkpoint: An open checkpoint that is no side of the rules, since shapes differ.
        table: The rules.
    """
    for role in ROLES:
        specs = table.side(role).specs
        wrong = _other_way_round(checkpoint.tensors, specs)
        if wrong is None or 2 * len(wrong) > sum(len(spec.shape) == 2 for spec in specs.values()):
            continue
        title = table.title(role)
        if role == "candidate":
            return _turned(checkpoint, table.plan(role), wrong, title, _specs_of(wrong, specs))
        right = _right(checkpoint.tensors, wrong)
        return Turned(right, _told(wrong, checkpoint, _specs_of(wrong, specs), title), frozenset(), title)
    return None


def _other_way_round(tensors: Mapping[str, LazyTensor], specs: Mapping[str, TensorSpec]) -> list[str] | None:
    """Names of the matrices with their sides exchanged; None if anything else differs."""
    if tensors.keys() != specs.keys():
        return None
    differing = [name for name, tensor in tensors.items() if tensor.shape != specs[name].shape]
    matrices = all(len(specs[name].shape) == 2 and tensors[name].shape == specs[name].shape[::-1] for name in differing)
    return differing if matrices else None


def _specs_of(names: Iterable[str], specs: Mapping[str, TensorSpec]) -> dict[str, TensorSpec]:
    return {name: specs[name] for name in names}


def _turned(
    checkpoint: Checkpoint, plan: Plan, wrong: list[str], title: str, specs: Mapping[str, TensorSpec]
) -> Turned:
    told = _told(wrong, checkpoint, specs, title)
    names = {target: told[source] for target in plan.outputs for source in plan.sources_of(target) if source in told}
    tensors = plan.apply(_right(checkpoint.tensors, wrong))
    return Turned(tensors, names, frozenset(plan.filled), title)


def _right(tensors: Mapping[str, LazyTensor], wrong: list[str]) -> dict[str, LazyTensor]:
    """The tensors, the wrong ones transposed."""
    return {name: transposed(tensor) if name in wrong else tensor for name, tensor in tensors.items()}


def _told(wrong: list[str], checkpoint: Checkpoint, specs: Mapping[str, TensorSpec], title: str) -> dict[str, str]:
    """What is said of each wrong tensor."""
    return {
        name: f"not transposed: {checkpoint.tensors[name].shape} in the file, {specs[name].shape} in {title}"
        for name in wrong
    }


def transposed(tensor: LazyTensor) -> LazyTensor:
    """Return a matrix with its sides exchanged; it is read when it is loaded."""
    return LazyTensor(tensor.shape[::-1], tensor.dtype, lambda: tensor.load().T)

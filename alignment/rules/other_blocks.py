"""Decisions that nothing settles in a block, made as a run has shown them to be right in other blocks of its kind.

A mistake in one block of a candidate keeps every way to store its weights from agreeing there. The same layers of the
other blocks, those in modules of the same classes on both sides, tell the way.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TypeAlias

from alignment.rules.choosing import Settled
from alignment.rules.model import Model
from alignment.rules.proposals import Decision, Key, Link, replaced
from porting.names import without_indices

OTHER_BLOCKS = "other blocks"
"""The evidence of such a link."""
_Name: TypeAlias = "tuple[str, str]"
_Way: TypeAlias = "frozenset[tuple[tuple[_Name, ...], tuple[_Name, ...], str]]"


def as_in_other_blocks(
    settled: Settled,
    scores: Mapping[Key, Mapping[int, float]],
    same: Callable[[Sequence[Link]], bool | None],
    models: tuple[Model, Model],
) -> Settled:
    """What is settled, with decisions that nothing settles made as in other blocks, if these agree on one way.

    Args:
        settled: Proposals after they were tried.
        scores: Of each decision, how well each option agrees that was tried.
        same: Tells whether the outputs agree with some links.
        models: The reference and the candidate.
    """
    blocks = _Blocks(models)
    links, doubtful = settled.proposal.links, []
    for decision in settled.doubtful:
        option = _as_elsewhere(decision, settled.proposal.decisions, scores, blocks)
        if option is None:
            doubtful.append(decision)
        else:
            links = replaced(links, [replace(link, evidence=OTHER_BLOCKS) for link in option])
    if len(doubtful) == len(settled.doubtful):
        return settled
    proposal = replace(settled.proposal, links=links)
    return replace(settled, proposal=proposal, doubtful=doubtful, same=same(links))


def _as_elsewhere(
    decision: Decision, decisions: Sequence[Decision], scores: Mapping[Key, Mapping[int, float]], blocks: _Blocks
) -> tuple[Link, ...] | None:
    """The option of a decision that is the only one to agree in every other block that was decided; None for none."""
    about = blocks.about(decision)
    common: set[_Way] | None = None
    for other in decisions:
        agreeing = [place for place, score in scores.get(other.key, {}).items() if score == 1]
        if agreeing and other.key != decision.key and blocks.about(other) == about:
            ways = {blocks.way(other.options[place]) for place in agreeing}
            common = ways if common is None else common & ways
    options = [option for option in decision.options if common is not None and blocks.way(option) in common]
    return options[0] if len(options) == 1 else None


class _Blocks:
    """Names of tensors as they are in every block of a kind: the class of the block, and the name within it."""

    def __init__(self, models: tuple[Model, Model]) -> None:
        self._stored = [model.stored for model in models]
        self._kinds = [{module.path: module.kind for module in model.description.modules} for model in models]

    def about(self, decision: Decision) -> tuple[frozenset[_Name], frozenset[_Name]]:
        """What a decision is about, in every block."""
        return frozenset(self._names(0, decision.sources)), frozenset(self._names(1, decision.targets))

    def way(self, option: Sequence[Link]) -> _Way:
        """What an option is in every block."""
        return frozenset((self._names(0, own.sources), self._names(1, own.targets), str(own.op)) for own in option)

    def _names(self, side: int, names: Sequence[str]) -> tuple[_Name, ...]:
        return tuple(self._name(side, name) for name in names)

    def _name(self, side: int, name: str) -> _Name:
        """The class of the module around the one that holds a tensor, and the tensor's name in it."""
        path = self._stored[side][name].path.rpartition(".")[0]
        return self._kinds[side].get(path, ""), without_indices(name.removeprefix(path))

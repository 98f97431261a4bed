"""Which pairs of tensors would turn the order of the data flow round.

Structure that is seen from near may be the same at two places of a model, such as one layer for query, key and value in
an attention of the reference, and in a later attention of the candidate. What is settled before and after tells.
"""

from __future__ import annotations

from collections.abc import Mapping

from alignment.rules.tensor_graph import TensorGraph


class Reversed:
    """Pairs of which one tensor comes before a settled pair, and the other comes after it.

    Args:
        graphs: Order of the tensors of the reference, and of the candidate.
        pairs: Those that are settled.
    """

    def __init__(self, graphs: tuple[TensorGraph, TensorGraph], pairs: Mapping[str, str]) -> None:
        self._graphs, self._pairs = graphs, pairs

    def __contains__(self, pair: tuple[str, str]) -> bool:
        (theirs, ours), (source, target) = self._graphs, pair
        earlier = {self._pairs[name] for name in theirs.only_before(source) if name in self._pairs}
        later = {self._pairs[name] for name in theirs.only_after(source) if name in self._pairs}
        return not (ours.only_after(target).isdisjoint(earlier) and ours.only_before(target).isdisjoint(later))

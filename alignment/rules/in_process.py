"""Rules derived in one process, where both frameworks are installed beside each other: in a notebook, or in a test."""

from __future__ import annotations

from collections.abc import Sequence

from alignment.backends.base import Backend
from alignment.pair import Pair
from alignment.pair.contract import Contract
from alignment.rules.describe_worker import describe
from alignment.rules.evidence import gather
from alignment.rules.prove_worker import settle_rules
from porting.rules import Rule


def derive_here(pair: Pair, reference: Backend, candidate: Backend, rules: Sequence[Rule] = ()) -> Contract:
    """The contract of a pair whose models are built in this process; both, and their frameworks, are left in float32.

    Args:
        pair: What is aligned; of its sides only the frameworks count, and its inputs.
        reference: The reference, built, in float32.
        candidate: The candidate, built, in float32.
        rules: Rules of the user's, which go first.

    Raises:
        AlignmentError: With a line for all that has no counterpart, and for all that could be several things.
    """
    theirs, ours = describe(pair, "reference", reference), describe(pair, "candidate", candidate)
    evidence = gather(pair, reference, theirs)
    return settle_rules(theirs, ours, rules, candidate, evidence)

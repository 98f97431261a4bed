"""All mistakes that can be planted into a candidate, in the order in which they are."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import chain, zip_longest

import numpy as np

from alignment.power.functions import in_functions, in_inputs
from alignment.power.mistakes import Mistake, Subject
from alignment.power.outputs import in_outputs
from alignment.power.settings import in_settings
from alignment.power.weights import in_weights


def mistakes_of(subject: Subject) -> list[Mistake]:
    """Return the mistakes that apply to a candidate, in an order that depends on nothing but the run's seed.

    Kinds take turns, and the modules of a kind are shuffled: what a limit leaves is a sample of all.
    """
    sources = (in_functions, in_inputs, in_outputs, in_settings, in_weights)
    return list(_in_turns(chain.from_iterable(source(subject) for source in sources), subject.job.request.seed))


def _in_turns(mistakes: Iterable[Mistake], seed: int) -> Iterator[Mistake]:
    generator = np.random.default_rng(seed)
    by_kind: dict[str, list[Mistake]] = {}
    for mistake in mistakes:
        by_kind.setdefault(mistake.kind, []).append(mistake)
    shuffled = [[own[at] for at in generator.permutation(len(own))] for own in by_kind.values()]
    for turn in zip_longest(*shuffled):
        yield from (mistake for mistake in turn if mistake is not None)

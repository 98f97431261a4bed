"""A batch that tells: random, and with the ids in it that models treat apart."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from alignment.arrays import Array, Batch
from alignment.pair.feeds import Tokens
from alignment.pair.inputs import random_batch
from alignment.pair.pair import Pair


def telling_batch(pair: Pair, batch_size: int, *, seed: int) -> Batch:
    """A batch as `random_batch` has it, whose ids hold what models treat apart.

    Those are 0, the last id, ids that are repeated, and the `padding_idx` of the embeddings of either side: among the
    others, and at the end of the last row.
    """
    contract = pair.contract
    sides = (contract.reference, contract.candidate) if contract is not None else ()
    padding = tuple(dict.fromkeys(number for side in sides for number in side.padding.values()))
    feeds = {
        name: replace(feed, special=(*feed.special, *(number for number in padding if number < feed.count)))
        for name, feed in pair.feeds.items()
        if isinstance(feed, Tokens)
    }
    if pair.inputs:
        batch = random_batch(replace(pair, inputs={**pair.inputs, **feeds}), batch_size, seed=seed)
        named = dict(batch) if isinstance(batch, Mapping) else {}
        return named | {name: _padded(named[name], feed, padding) for name, feed in feeds.items()}
    if not feeds:
        return random_batch(pair, batch_size, seed=seed)
    (feed,) = feeds.values()
    return _padded(feed.draw(np.random.default_rng(seed), batch_size), feed, padding)


def _padded(ids: Array, feed: Tokens, padding: Sequence[int]) -> Array:
    """Ids whose last row ends in padding, a quarter of it, where the embeddings have some."""
    known = [number for number in padding if number < feed.count]
    if known and ids.ndim > 1 and ids.shape[-1] > 1:
        ids.reshape(-1, ids.shape[-1])[-1, -max(1, ids.shape[-1] // 4) :] = known[0]
        missing = [number for number in dict.fromkeys((*feed.special, 0, feed.count - 1)) if number not in ids]
        places = ids.reshape(-1)[: ids.size // 2]  # in front of the padding
        places[: len(missing)] = missing[: len(places)]
    return ids

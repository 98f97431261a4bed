"""Names that tell that a file holds weights in another form than a model uses them: adapters, parts, packed numbers."""

from __future__ import annotations

import re
from collections.abc import Iterable
from itertools import islice

_FORMS = (
    (
        r"lora_(A|B|down|up|embedding_A|embedding_B|magnitude_vector)|hada_w\d_[ab]|lokr_w\d(_[ab])?",
        "{} and the like are an adapter, which is added to the weights of a model; merge the two first (peft's "
        "merge_and_unload()), and save the model",
    ),
    (
        r"weight_g|original1",
        "{} and the like are parts of a weight that torch's weight_norm keeps in two; make one of them first "
        "(remove_weight_norm, or remove_parametrizations), if the other model has one",
    ),
    (
        r"weight_mask",
        "{} and the like are masks of pruned weights; make them permanent first (torch.nn.utils.prune.remove)",
    ),
    (
        r"weight_orig|original",
        "{} and the like are weights before torch has normalised them, as spectral_norm keeps them; make them plain "
        "first (remove_spectral_norm, or remove_parametrizations), if the other model has them so",
    ),
    (
        r"qweight|qzeros|quant_state|absmax|SCB|weight_packed",
        "{} and the like are weights packed into fewer bits, which other frameworks do not have; unpack them with the "
        "library that packed them, or take the model before that",
    ),
)
"""Pattern of one part of a name, and what such tensors are; of the first that fits, the words are taken."""
_MOST = 100_000


def other_form(names: Iterable[str]) -> str | None:
    """Return in which other form a file holds weights, and what to do; None if no name tells any.

    Args:
        names: Names of tensors that the model does not have.
    """
    names = list(islice(names, _MOST))
    for pattern, words in _FORMS:
        part = re.compile(rf"(?<![^.])({pattern})(?![^.])")
        named = next((name for name in names if part.search(name)), None)
        if named is not None:
            return words.format(named)
    return None

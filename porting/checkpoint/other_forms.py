"""Names that tell that a file holds weights in another form than a model uses them: adapters, parts, packed numbers."""

from __future__ import annotations

import re
from collections.abc import Iterable
from itertools import islice

_FORMS = (
    (
        r"lora_(A|B|down|up|embedding_A|embedding_B|magnitude_vector)|hada_w\d_[ab]|lokr_w\d(_[ab])?|ia3_l|b?oft_[Rs]"
        r"|vera_(lambda_[bd]|[AB])|hra_u|adaption_prompt|prompt_embeddings",
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
_ENDS = (
    (
        r".*(_moment[12]|_velocity|_beta[12]_pow_acc|_momentum)_\d+",
        "{} and the like are the state of Paddle's optimizer; the weights are in another file, mostly .pdparams",
    ),
    (
        r"\w+_\d+\.[wb]_\d+",
        "{} and the like are Paddle's own names of parameters, which count the layers of a program and not those of a "
        "model; build the model, load them with model.set_state_dict(..., use_structured_name=False), and save its "
        "state_dict()",
    ),
    (
        r"arr_\d+",
        "{} and the like are what numpy.savez calls arrays without names; save them with names, "
        "numpy.savez(path, **arrays)",
    ),
    (
        r"[^.]+/.*(kernel|scale|embedding|mean|var|bias|weight)(:0)?",
        "{} and the like have slashes, as names of Flax, JAX and TensorFlow have, whose convolutions and Linears are "
        "stored in another order; convert them there, to a model of torch",
    ),
)
"""Pattern of a whole name, for files most of whose names fit it, and what such tensors are."""
_MOST = 100_000
_SHARE = 0.8
"""Least part of the names that has to fit a pattern of whole names."""


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
    for pattern, words in _ENDS:
        if names and sum(bool(re.fullmatch(pattern, name)) for name in names) > _SHARE * len(names):
            return words.format(next(name for name in names if re.fullmatch(pattern, name)))
    return None

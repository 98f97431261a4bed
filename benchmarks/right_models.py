"""Correct pairs for `benchmarks.right_pairs`: models that are one function, so that none may be called a divergence.

Models of `paddle.vision.models` against those of torchvision and timm that they are ports of, with the rules of the
library of tables where it has them; models of MindCV; and tiny models of transformers against their twins in Paddle.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from types import MappingProxyType
from typing import Any

from alignment.pair import AUTO, Floats, Mask, Pair, Side, Tokens
from alignment.pair.feeds import Feed
from benchmarks.rules.vision_pairs import PAIRS as VISION
from benchmarks.rules.vision_pairs import declared as vision_pair
from porting import tables

_TINY = 100
"""Images below this number of pixels are small."""
_TIMM = {
    "resnet18": "resnet18",
    "resnet34": "resnet34",
    "resnet50": "resnet50",
    "resnext50_32x4d": "resnext50_32x4d",
    "densenet121": "densenet121",
    "vgg11_bn": "vgg11_bn",
}
"""Model of Paddle to that of timm which it is as well."""
_BERT: Mapping[str, Any] = {
    "pad_token_id": None,
    "hidden_dropout_prob": 0.0,
    "attention_probs_dropout_prob": 0.0,
}
_WITHOUT_DROPOUT: Mapping[str, Mapping[str, Any]] = {
    "bert": _BERT,
    "masked_bert": {**_BERT, "masked": True},
    "gpt2": {"resid_pdrop": 0.0, "embd_pdrop": 0.0, "attn_pdrop": 0.0},
    "llama": {"pad_token_id": None},
    "t5": {"dropout_rate": 0.0},
}
"""The twins have no dropout, and no padding id, whose row Paddle's embedding would set to zero."""
_PICTURES = ("vit", "whisper")


@dataclass(frozen=True)
class RightPair:
    """A correct pair.

    Attributes:
        name: Name of the pair.
        declare: Makes the pair of a number of pixels or tokens.
        framework: Framework of the candidate.
        text: True if the size is a number of tokens or of frames of sound.
    """

    name: str
    declare: Callable[[int], Pair]
    framework: str = "paddle"
    text: bool = False


def _vision(name: str, size: int) -> Pair:
    pair, size = vision_pair(name), max(size, VISION[name].size)
    library = tables.models().get(name) if VISION[name].framework == "paddle" else None
    rules = tables.family(library).tables["paddle"].rules if library else pair.rules
    return replace(pair, input_shape=(3, size, size), rules=rules)


def _of_timm(name: str, size: int) -> Pair:
    sides = (
        Side("torch", f"{__name__}:timm_model", options={"name": _TIMM[name]}),
        Side("paddle", "benchmarks.rules.vision_pairs:candidate", options={"name": name}),
    )
    return Pair(f"timm_{name}", *sides, input_shape=(3, size, size), rules=AUTO)


def timm_model(name: str) -> Any:
    """A model of timm with ten classes."""
    from reference_torch.compat import prepare_timm

    prepare_timm()
    import timm

    return timm.create_model(name, num_classes=10)


def _twin(
    reference: str,
    candidate: str,
    inputs: Mapping[str, Feed],
    options: Mapping[str, int],
    takes: Mapping[str, str] = MappingProxyType({}),
) -> Pair:
    """A model of transformers and its twin, both built with these options."""
    more = _WITHOUT_DROPOUT.get(candidate, {})
    call = {} if candidate in _PICTURES else {"use_cache": False}
    theirs = Side("torch", f"tests.models.references:{reference}", options={**options, **more}, call=call)
    gives = ("logits",) if candidate in ("masked_bert", "t5") else ()
    module = "bert" if candidate == "masked_bert" else candidate
    ours = Side("paddle", f"tests.models.{module}_paddle:{candidate}", options=options, takes=takes)
    return Pair(candidate, replace(theirs, gives=gives), ours, inputs=inputs, rules=AUTO)


def _text(length: int) -> Tokens:
    return Tokens(29, (length,), special=(0, 1, 2))


def _bert(length: int, name: str = "bert") -> Pair:
    inputs = {"input_ids": _text(length), "attention_mask": Mask((length,)), "token_type_ids": Tokens(2, (length,))}
    return _twin("bert", name, inputs, {"positions": length})


def _masked_bert(length: int) -> Pair:
    return _bert(length, "masked_bert")


def _gpt2(length: int) -> Pair:
    return _twin("gpt2", "gpt2", {"input_ids": _text(length)}, {"positions": length})


def _llama(length: int) -> Pair:
    inputs = {"input_ids": _text(length)}
    return _twin("llama", "llama", inputs, {"positions": length}, {"tokens": "input_ids"})


def _t5(length: int) -> Pair:
    mask = Mask((length,))
    inputs = {"input_ids": _text(length), "attention_mask": mask, "decoder_input_ids": _text(length // 2)}
    return _twin("t5", "t5", inputs, {})


def _vit(size: int) -> Pair:
    inputs = {"pixel_values": Floats((3, size, size))}
    options = {"size": size, "patch": 16 if size >= _TINY else 8}
    return _twin("vit", "vit", inputs, options, {"image": "pixel_values"})


def _whisper(length: int) -> Pair:
    inputs = {"input_features": Floats((8, 2 * length))}
    return _twin("whisper", "whisper", inputs, {"positions": length}, {"mel": "input_features"})


_TWINS = (_bert, _masked_bert, _gpt2, _llama, _t5, _vit, _whisper)


def _pairs() -> Iterator[RightPair]:
    for name, pair in VISION.items():
        if not pair.differs:
            yield RightPair(name, partial(_vision, name), pair.framework)
    for name in _TIMM:
        yield RightPair(f"timm_{name}", partial(_of_timm, name))
    for twin in _TWINS:
        yield RightPair(twin.__name__.strip("_"), twin, text=twin not in (_vit,))


PAIRS: Mapping[str, RightPair] = {pair.name: pair for pair in _pairs()}


def declared(name: str, size: int) -> Pair:
    """The pair of this name for images of this many pixels, or this many tokens."""
    return PAIRS[name].declare(size)

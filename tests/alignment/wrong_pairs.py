"""Candidates with the mistakes that ports make, and builders that do not come back: loaded by the workers."""

import os
import signal
from dataclasses import replace
from functools import partial
from typing import Any

from alignment.pair import Pair, published

RIGHT = published.build("pit_ti_distilled", image_size=64, num_classes=10)


def _wrong(builder: str) -> Pair:
    candidate = replace(RIGHT.candidate, build=f"wrong_pairs.py:{builder}", options=dict(RIGHT.candidate.options))
    return replace(RIGHT, candidate=candidate)


def create(**options: Any) -> Any:
    from paddle_impl.pit import create as create_pit

    return create_pit(**options)


def with_wide_epsilon(**options: Any) -> Any:
    model = create(**options)
    model.norm._epsilon = 1e-5
    return model


def with_tanh_gelu(**options: Any) -> Any:
    import paddle.nn.functional as functional

    model = create(**options)
    model.transformers[1].blocks[3].mlp.act.forward = partial(functional.gelu, approximate=True)
    return model


def with_two_mistakes(**options: Any) -> Any:
    model = with_tanh_gelu(**options)
    model.norm._epsilon = 1e-5
    return model


def with_swapped_heads(**options: Any) -> Any:
    """Each head reads the other one's token."""
    model = create(**options)
    forward_head = model.forward_head
    model.forward_head = lambda tokens: forward_head(tokens[:, [1, 0]])
    return model


def of_old_timm(**options: Any) -> Any:
    """The reference with timm 1.0.24's heads: both read the class token."""
    from reference_torch.pit import create as create_reference

    model: Any = create_reference(**options)
    model.forward_head = lambda tokens: (model.head(tokens[:, 0]) + model.head_dist(tokens[:, 0])) / 2
    return model


def with_square_projection(**options: Any) -> Any:
    """A square projection that is applied as it is stored in torch."""
    import paddle

    model = create(**options)
    projection = model.transformers[0].blocks[1].attn.proj
    projection.forward = lambda x: paddle.matmul(x, projection.weight, transpose_y=True) + projection.bias
    return model


def with_shifted_k_bias(**options: Any) -> Any:
    """A K bias that is one too large, which no output shows."""
    model = create(**options)
    load = model.set_state_dict

    def set_state_dict(state: dict[str, Any]) -> Any:
        bias = state["transformers.2.blocks.0.attn.qkv.bias"].copy()
        bias[len(bias) // 3 : 2 * len(bias) // 3] += 1
        return load(state | {"transformers.2.blocks.0.attn.qkv.bias": bias})

    model.set_state_dict = set_state_dict
    return model


def that_raises(**_: Any) -> Any:
    raise RuntimeError("no such luck")


def that_exits(**_: Any) -> Any:
    print("last words")
    os._exit(7)


def that_segfaults(**_: Any) -> Any:
    os.kill(os.getpid(), signal.SIGSEGV)


def that_is_no_model(**_: Any) -> Any:
    return "a string"


EPSILON = _wrong("with_wide_epsilon")
GELU = _wrong("with_tanh_gelu")
TWO_MISTAKES = _wrong("with_two_mistakes")
OLD_TIMM = replace(
    RIGHT,
    reference=replace(RIGHT.reference, build="wrong_pairs.py:of_old_timm", options=dict(RIGHT.reference.options)),
)
HEADS = _wrong("with_swapped_heads")
PROJECTION = _wrong("with_square_projection")
K_BIAS = _wrong("with_shifted_k_bias")
RAISES = _wrong("that_raises")
EXITS = _wrong("that_exits")
SEGFAULTS = _wrong("that_segfaults")
NO_MODEL = _wrong("that_is_no_model")
BOTH_ON_PADDLE = replace(RIGHT, reference=RIGHT.candidate)
NOT_A_PAIR = 1

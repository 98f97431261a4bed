"""Pairs of transformers' models and their twins, with no wrapper around either: named inputs, outputs of both kinds.

The side in torch is the class of the model, its configuration the options. Rules are given where they are written down.
"""

from __future__ import annotations

from alignment.pair import Floats, Mask, Pair, Side, Tokens
from porting.operations import Concat, Transpose
from porting.rules import Rule, affine, linear, rule

_IDS = Tokens(29, (8,), special=(0, 1, 2))
_LAYER, _OWN = "encoder.layer.{i}", "layers.{i}"


def _fused(part: str) -> tuple[str, ...]:
    return tuple(f"{_LAYER}.attention.self.{name}.{part}" for name in ("query", "key", "value"))


_BERT_RULES: tuple[Rule, ...] = (
    rule("embeddings.word_embeddings.weight", "embedding.word.weight"),
    rule("embeddings.position_embeddings.weight", "embedding.position.weight"),
    rule("embeddings.token_type_embeddings.weight", "embedding.segment.weight"),
    *affine("embeddings.LayerNorm", "embedding.norm"),
    rule(_fused("weight"), f"{_OWN}.qkv.weight", [Concat(3), Transpose()]),
    rule(_fused("bias"), f"{_OWN}.qkv.bias", Concat(3)),
    *linear(f"{_LAYER}.attention.output.dense", f"{_OWN}.out"),
    *affine(f"{_LAYER}.attention.output.LayerNorm", f"{_OWN}.norm_a"),
    *linear(f"{_LAYER}.intermediate.dense", f"{_OWN}.ffn_up"),
    *linear(f"{_LAYER}.output.dense", f"{_OWN}.ffn_down"),
    *affine(f"{_LAYER}.output.LayerNorm", f"{_OWN}.norm_b"),
    *linear("pooler.dense", "pool"),
)
BERT = Pair(
    name="bert",
    reference=Side(
        "torch",
        "transformers:BertModel",
        options={
            "vocab_size": 29,
            "hidden_size": 16,
            "num_hidden_layers": 2,
            "num_attention_heads": 2,
            "intermediate_size": 32,
            "max_position_embeddings": 12,
            "attn_implementation": "eager",
            "pad_token_id": None,
            "hidden_dropout_prob": 0.0,
            "attention_probs_dropout_prob": 0.0,
        },
        call={"use_cache": False},
    ),
    candidate=Side("paddle", "tests.models.bert_paddle:bert"),
    inputs={"input_ids": _IDS, "attention_mask": Mask((8,)), "token_type_ids": Tokens(2, (8,))},
    rules=_BERT_RULES,
)
"""The twin returns a tuple: its outputs get the names of the reference's. No id is padding here: torch stops the
gradient of that row only, which Paddle cannot do without zeros in its place."""
MASKED_BERT = Pair(
    name="masked_bert",
    reference=Side("torch", "tests.models.references:bert", options={"masked": True}, gives=("logits",)),
    candidate=Side("paddle", "tests.models.bert_paddle:masked_bert"),
    inputs=BERT.inputs,
    rules="auto",
)
GPT2 = Pair(
    name="gpt2",
    reference=Side("torch", "tests.models.references:gpt2", call={"use_cache": False}),
    candidate=Side("paddle", "tests.models.gpt2_paddle:gpt2"),
    inputs={"input_ids": _IDS},
    rules="auto",
)
LLAMA = Pair(
    name="llama",
    reference=Side("torch", "tests.models.references:llama", call={"use_cache": False}),
    candidate=Side("paddle", "tests.models.llama_paddle:llama", takes={"tokens": "input_ids"}),
    inputs={"input_ids": _IDS},
    rules="auto",
)
T5 = Pair(
    name="t5",
    reference=Side("torch", "tests.models.references:t5", call={"use_cache": False}, gives=("logits",)),
    candidate=Side("paddle", "tests.models.t5_paddle:t5"),
    inputs={"input_ids": _IDS, "attention_mask": Mask((8,)), "decoder_input_ids": Tokens(29, (6,), special=(0, 1))},
    rules="auto",
)
VIT = Pair(
    name="vit",
    reference=Side("torch", "tests.models.references:vit"),
    candidate=Side("paddle", "tests.models.vit_paddle:vit", takes={"image": "pixel_values"}),
    inputs={"pixel_values": Floats((3, 16, 16))},
    rules="auto",
)
WHISPER = Pair(
    name="whisper",
    reference=Side("torch", "tests.models.references:whisper"),
    candidate=Side("paddle", "tests.models.whisper_paddle:whisper", takes={"mel": "input_features"}),
    inputs={"input_features": Floats((8, 20))},
    rules="auto",
)

"""Which tensors of transformers' models become which of the twins, written by hand, to test derived rules with."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias

import numpy as np

Array: TypeAlias = Any
State: TypeAlias = Mapping[str, Array]


def _linear(there: str, here: str, state: State, *, bias: bool = True) -> dict[str, Array]:
    """A Linear of torch, (out, in), as one of Paddle, (in, out)."""
    made = {f"{there}.weight": state[f"{here}.weight"].T}
    return made | ({f"{there}.bias": state[f"{here}.bias"]} if bias else {})


def _norm(there: str, here: str, state: State) -> dict[str, Array]:
    return {f"{there}.{part}": state[f"{here}.{part}"] for part in ("weight", "bias")}


def _fused(there: str, here: list[str], state: State, *, bias: bool = True) -> dict[str, Array]:
    """Several Linears of torch as one of Paddle."""
    made = {f"{there}.weight": np.concatenate([state[f"{name}.weight"] for name in here]).T}
    return made | ({f"{there}.bias": np.concatenate([state[f"{name}.bias"] for name in here])} if bias else {})


def bert(state: State, prefix: str = "", into: str = "") -> dict[str, Array]:
    """BERT without a head but the pooling one."""
    embeddings = f"{prefix}embeddings"
    names = {"word": "word_embeddings", "position": "position_embeddings", "segment": "token_type_embeddings"}
    made = {f"{into}embedding.{there}.weight": state[f"{embeddings}.{here}.weight"] for there, here in names.items()}
    made |= _norm(f"{into}embedding.norm", f"{embeddings}.LayerNorm", state)
    for index in range(2):
        here, there = f"{prefix}encoder.layer.{index}", f"{into}layers.{index}"
        made |= _fused(f"{there}.qkv", [f"{here}.attention.self.{part}" for part in ("query", "key", "value")], state)
        made |= _linear(f"{there}.out", f"{here}.attention.output.dense", state)
        made |= _linear(f"{there}.ffn_up", f"{here}.intermediate.dense", state)
        made |= _linear(f"{there}.ffn_down", f"{here}.output.dense", state)
        made |= _norm(f"{there}.norm_a", f"{here}.attention.output.LayerNorm", state)
        made |= _norm(f"{there}.norm_b", f"{here}.output.LayerNorm", state)
    return made | ({} if prefix else _linear("pool", "pooler.dense", state))


def masked_bert(state: State) -> dict[str, Array]:
    """BERT with its head."""
    made = bert(state, "bert.", "bert.") | _linear("transform", "cls.predictions.transform.dense", state)
    made |= _norm("norm", "cls.predictions.transform.LayerNorm", state)
    return made | {"word_bias": state["cls.predictions.bias"]}


def gpt2(state: State) -> dict[str, Array]:
    """GPT-2, whose `Conv1D` is (in, out) as Paddle's Linear is."""
    made = {"token_embedding.weight": state["transformer.wte.weight"]}
    made |= {"position_embedding": state["transformer.wpe.weight"]} | _norm("norm", "transformer.ln_f", state)
    for index in range(2):
        here, there = f"transformer.h.{index}", f"blocks.{index}"
        made |= _norm(f"{there}.ln1", f"{here}.ln_1", state) | _norm(f"{there}.ln2", f"{here}.ln_2", state)
        for part in ("weight", "bias"):
            parts = np.split(state[f"{here}.attn.c_attn.{part}"], 3, axis=-1)
            made |= {f"{there}.attention.{n}.{part}": x for n, x in zip(("query", "key", "value"), parts, strict=True)}
        names = {"attention.proj": "attn.c_proj", "mlp.0": "mlp.c_fc", "mlp.2": "mlp.c_proj"}
        for target, source in names.items():
            made |= _norm(f"{there}.{target}", f"{here}.{source}", state)
    return made


def _pairs(weight: Array, heads: int) -> Array:
    """Rows whose halves are turned together as rows whose pairs are, head by head."""
    rows, width = weight.shape
    return weight.reshape(heads, 2, rows // heads // 2, width).swapaxes(1, 2).reshape(rows, width)


def llama(state: State) -> dict[str, Array]:
    """Llama, from halves to pairs."""
    made = {"tok_embeddings.weight": state["model.embed_tokens.weight"], "norm.scale": state["model.norm.weight"]}
    made |= _linear("output", "lm_head", state, bias=False)
    for index in range(2):
        here, there = f"model.layers.{index}", f"layers.{index}"
        made[f"{there}.attention_norm.scale"] = state[f"{here}.input_layernorm.weight"]
        made[f"{there}.ffn_norm.scale"] = state[f"{here}.post_attention_layernorm.weight"]
        for name, source, heads in (("wq", "q_proj", 4), ("wk", "k_proj", 2)):
            made[f"{there}.attention.{name}.weight"] = _pairs(state[f"{here}.self_attn.{source}.weight"], heads).T
        names = {"attention.wv": "self_attn.v_proj", "attention.wo": "self_attn.o_proj"}
        names |= {
            "feed_forward.w1": "mlp.gate_proj",
            "feed_forward.w3": "mlp.up_proj",
            "feed_forward.w2": "mlp.down_proj",
        }
        for target, source in names.items():
            made |= _linear(f"{there}.{target}", f"{here}.{source}", state, bias=False)
    return made


def t5(state: State) -> dict[str, Array]:
    """T5."""
    made = {"embedding.weight": state["shared.weight"]}
    for stack, parts in {"encoder": ("self",), "decoder": ("self", "cross")}.items():
        table = f"{stack}.block.0.layer.0.SelfAttention.relative_attention_bias.weight"
        made[f"{stack}.relative_bias"] = state[table]
        made[f"{stack}.final_norm.scale"] = state[f"{stack}.final_layer_norm.weight"]
        for index in range(2):
            here, there = f"{stack}.block.{index}.layer", f"{stack}.blocks.{index}"
            for place, part in enumerate(parts):
                source = f"{here}.{place}.{'SelfAttention' if part == 'self' else 'EncDecAttention'}"
                target = f"{there}.{part}_attention"
                made |= _linear(f"{target}.query", f"{source}.q", state, bias=False)
                made |= _linear(f"{target}.out", f"{source}.o", state, bias=False)
                made |= _fused(f"{target}.key_value", [f"{source}.k", f"{source}.v"], state, bias=False)
                made[f"{there}.{part}_norm.scale"] = state[f"{here}.{place}.layer_norm.weight"]
            last = f"{here}.{len(parts)}"
            made |= _linear(f"{there}.mlp.up", f"{last}.DenseReluDense.wi", state, bias=False)
            made |= _linear(f"{there}.mlp.down", f"{last}.DenseReluDense.wo", state, bias=False)
            made[f"{there}.mlp_norm.scale"] = state[f"{last}.layer_norm.weight"]
    return made


def vit(state: State) -> dict[str, Array]:
    """The ViT."""
    made = _norm("patch_embedding", "vit.embeddings.patch_embeddings.projection", state)
    made |= {"class_token": state["vit.embeddings.cls_token"]}
    made |= {"position_embedding": state["vit.embeddings.position_embeddings"]}
    made |= _norm("encoder_norm", "vit.layernorm", state) | _linear("head", "classifier", state)
    for index in range(2):
        here, there = f"vit.layers.{index}", f"layers.{index}"
        made |= _fused(f"{there}.attn.qkv", [f"{here}.attention.{n}_proj" for n in "qkv"], state)
        made |= _linear(f"{there}.attn.proj", f"{here}.attention.o_proj", state)
        made |= _linear(f"{there}.mlp.fc1", f"{here}.mlp.fc1", state)
        made |= _linear(f"{there}.mlp.fc2", f"{here}.mlp.fc2", state)
        made |= _norm(f"{there}.attn_norm", f"{here}.layernorm_before", state)
        made |= _norm(f"{there}.mlp_norm", f"{here}.layernorm_after", state)
    return made


def whisper(state: State) -> dict[str, Array]:
    """Whisper's encoder."""
    made = _norm("conv1", "conv1", state) | _norm("conv2", "conv2", state) | _norm("ln_post", "layer_norm", state)
    made["positional_embedding"] = state["embed_positions.weight"]
    for index in range(2):
        here, there = f"layers.{index}", f"blocks.{index}"
        for target, source in {"query": "q_proj", "key": "k_proj", "value": "v_proj", "out": "out_proj"}.items():
            made |= _linear(f"{there}.attn.{target}", f"{here}.self_attn.{source}", state, bias=target != "key")
        made |= _linear(f"{there}.mlp.0", f"{here}.fc1", state) | _linear(f"{there}.mlp.2", f"{here}.fc2", state)
        made |= _norm(f"{there}.attn_ln", f"{here}.self_attn_layer_norm", state)
        made |= _norm(f"{there}.mlp_ln", f"{here}.final_layer_norm", state)
    return made

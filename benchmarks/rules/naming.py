"""Names of modules as people give them: by role, in several schemes, with containers in between."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence

SCHEMES = ("first", "any", "numbers", "words")
_WORDS: Mapping[str, Sequence[str]] = {
    "q": ("q", "query", "q_proj", "wq", "to_q", "q_lin", "fc_q"),
    "k": ("k", "key", "k_proj", "wk", "to_k", "k_lin", "fc_k"),
    "v": ("v", "value", "v_proj", "wv", "to_v", "v_lin", "fc_v"),
    "qkv": ("qkv", "in_proj", "c_attn", "query_key_value", "Wqkv", "to_qkv"),
    "kv": ("kv", "to_kv", "key_value", "c_kv"),
    "proj": ("proj", "out_proj", "o_proj", "dense", "wo", "c_proj", "out"),
    "attn": ("attn", "attention", "self_attn", "mixer", "sa", "msa"),
    "mlp": ("mlp", "ffn", "feed_forward", "ff", "mlp_block"),
    "fc1": ("fc1", "w1", "c_fc", "lin1", "intermediate", "up", "dense_h_to_4h"),
    "fc2": ("fc2", "w2", "c_proj2", "lin2", "output", "down", "dense_4h_to_h"),
    "gate": ("gate_proj", "w1", "gate", "wi_0", "w_g", "linear_1"),
    "up": ("up_proj", "w3", "up", "wi_1", "w_x", "linear_2"),
    "down": ("down_proj", "w2", "down", "wo", "w_o", "linear_3"),
    "norm1": ("norm1", "ln_1", "attn_norm", "input_layernorm", "layernorm_before", "ln1"),
    "norm2": ("norm2", "ln_2", "mlp_norm", "post_attention_layernorm", "layernorm_after", "ln2"),
    "norm": ("norm", "ln_f", "final_norm", "ln_post", "fc_norm", "encoder_norm"),
    "head": ("head", "fc", "classifier", "lm_head", "linear", "output_layer"),
    "blocks": ("blocks", "layers", "h", "body", "stages", "encoder_layers"),
    "stem": ("stem", "patch_embed", "conv_stem", "embeddings", "features_0", "conv1"),
    "shortcut": ("downsample", "shortcut", "short", "skip", "residual", "proj_skip"),
}
_NONSENSE = (
    "alpha",
    "bravo",
    "cedar",
    "delta",
    "ember",
    "fjord",
    "grove",
    "heron",
    "iris",
    "jade",
    "kelp",
    "lotus",
    "maple",
    "nova",
    "onyx",
    "pearl",
    "quartz",
    "raven",
    "slate",
    "tulip",
    "umber",
    "violet",
    "willow",
    "xenon",
    "yarrow",
    "zephyr",
)


class Names:
    """The names that one side gives, the same for the same role of the same kind of module.

    Args:
        generator: Where the choices come from.
        scheme: One of `SCHEMES`.
        nesting: Share of roles whose module sits in a container of its own.
    """

    def __init__(self, generator: random.Random, scheme: str, nesting: float) -> None:
        self._generator, self._scheme, self._nesting = generator, scheme, nesting
        self._given: dict[str, dict[str, str]] = {}
        self._kinds: dict[str, str] = {}

    def of(self, kind: str, role: str) -> str:
        """The path of a role's module within a module of this kind."""
        given = self._given.setdefault(kind, {})
        if role not in given:
            taken = {path.split(".")[0] for path in given.values()}
            fresh = (path for path in self._candidates(role) if path.split(".")[0] not in taken)
            given[role] = next(fresh)
        return given[role]

    def kind(self, kind: str) -> str:
        """The name of the class of a kind of module."""
        if kind not in self._kinds:
            plain = self._scheme in ("first", "any")
            self._kinds[kind] = kind if plain else f"{self._generator.choice(_NONSENSE).title()}{len(self._kinds)}"
        return self._kinds[kind]

    def _candidates(self, role: str) -> list[str]:
        words = list(_WORDS.get(role, (role, f"{role}_", f"the_{role}", f"{role}_layer")))
        if self._scheme != "first":
            self._generator.shuffle(words)
        numbers = [f"{prefix}{number}" for prefix in ("", "layer", "m") for number in range(30)]
        nonsense = list(_NONSENSE)
        self._generator.shuffle(nonsense)
        start = self._generator.randrange(12)
        ways = {"numbers": numbers[start:], "words": nonsense}.get(self._scheme, words) + numbers
        if self._generator.random() >= self._nesting:
            return ways
        inner = self._generator.choice(("conv", "inner", "0", "module", "layer"))
        return [f"{path}.{inner}" for path in ways]

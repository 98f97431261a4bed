"""Embeddings, attention and dropout."""

from benchmarks.frameworks.case import function, ids, layer, numbers, ones, real

_Q, _K = real(2, 2, 5, 4), real(2, 2, 6, 4)
_T = "F.scaled_dot_product_attention(*(t.transpose([0, 2, 1, 3]) for t in (x, y, z)){}).transpose([0, 2, 1, 3])"
_SDPA = "F.scaled_dot_product_attention(x, y, z{})"
_TOKENS = real(2, 5, 8)
_PADDED = "gives zeros for the padding id, where torch gives the row"

CASES = (
    layer("Embedding(7, 4)", "", ids(7, 3, 4)),
    layer("Embedding(7, 4, padding_idx=0)", "", ids(7, 3, 4), note=_PADDED),
    layer("Embedding(7, 4, padding_idx=-1)", "", ids(7, 3, 4), note=_PADDED),
    layer("Embedding(7, 4, scale_grad_by_freq=True)", "", ids(7, 3, 4)),
    layer("EmbeddingBag(7, 4)", "", ids(7, 3, 4), note="there is no such layer"),
    function("F.one_hot(x, 7)", "", ids(7, 3, 4)),
    function(_SDPA.format(""), _T.format(""), _Q, _K, _K),
    function(_SDPA.format(", is_causal=True"), _T.format(", is_causal=True"), _Q, _Q, _Q),
    function(_SDPA.format(", is_causal=True"), _T.format(", is_causal=True"), _Q, _K, _K),
    function(_SDPA.format(", w"), _T.format(", w"), _Q, _K, _K, numbers([[0.0, -0.5, 1, 0, 0, 2]] * 5)),
    function(_SDPA.format(", w"), _T.format(", w"), _Q, _K, _K, numbers([[True, False, True, True, True, False]] * 5)),
    function(_SDPA.format(", scale=0.3"), _T.format(", scale=0.3"), _Q, _K, _K),
    layer(
        "MultiheadAttention(8, 2, batch_first=True)", "MultiHeadAttention(8, 2)", _TOKENS, _TOKENS, _TOKENS, outputs=1
    ),
    layer(
        "TransformerEncoderLayer(8, 2, 16, 0.0, batch_first=True)", "TransformerEncoderLayer(8, 2, 16, 0.0)", _TOKENS
    ),
    layer(
        "TransformerEncoderLayer(8, 2, 16, 0.0, F.gelu, batch_first=True, norm_first=True)",
        "TransformerEncoderLayer(8, 2, 16, 0.0, 'gelu', normalize_before=True)",
        _TOKENS,
    ),
    layer(
        "TransformerDecoderLayer(8, 2, 16, 0.0, batch_first=True)",
        "TransformerDecoderLayer(8, 2, 16, 0.0)",
        _TOKENS,
        real(2, 4, 8),
    ),
    layer("Dropout(0.0)", "", _TOKENS),
    layer("Dropout(1.0)", "", _TOKENS),
    layer("Dropout2d(1.0)", "", real(2, 3, 4, 4)),
    layer("AlphaDropout(0.0)", "", _TOKENS),
    function("F.dropout(x, 0.25, training=True).unique()", "", ones(200)),
    function("F.dropout(x, 0.25, training=False)", "", _TOKENS),
    function("F.dropout2d(x, 0.25, training=True).amax((2, 3)).unique()", "", ones(20, 10, 2, 2)),
)

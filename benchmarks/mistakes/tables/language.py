"""Mistakes in BERT and in a Llama."""

from __future__ import annotations

from functools import partial

from benchmarks.mistakes.mistake import Mistake

_bert, _llama = partial(Mistake, net="bert"), partial(Mistake, net="llama")
_ATTENTION = "layers.?.attention"
_REPEAT = "(paddle.repeat_interleave(y, self.heads // self.groups, 2).flatten(2) for y in (k, v))"
_SCALE = " * (q.shape[-1] ** -0.5 if scale is None else scale)"

BERT: tuple[Mistake, ...] = (
    _bert(
        "tanh GELU as a function",
        old="F.gelu(self.ffn_up(x))",
        new="F.gelu(self.ffn_up(x), approximate=True)",
        guilty="layers.?",
        cause="gelu tanh where .*exact",
    ),
    _bert(
        "order of q, k, v in a chunk",
        old="q, k, v = self.qkv(x).chunk(3, axis=-1)",
        new="k, q, v = self.qkv(x).chunk(3, axis=-1)",
        guilty="layers.?",
        cause="order 0, 1, 2, where 1, 0, 2",
    ),
    _bert(
        "softmax axis",
        old="F.softmax(scores, -1)",
        new="F.softmax(scores, 1)",
        guilty="layers.?",
        cause="axis 1, not 3",
    ),
    _bert(
        "missing 1 / sqrt(d)",
        old=_SCALE,
        new="",
        guilty="layers.?",
        cause=r"lacks the scale 1 / sqrt\(8\)",
    ),
    _bert(
        "positions begin at 1",
        old="paddle.arange(ids.shape[1])",
        new="paddle.arange(1, ids.shape[1] + 1)",
        guilty="embedding",
        cause="positions are off|what position gets is off by",
    ),
    _bert(
        "epsilon of the embedding's norm",
        old="self.norm = nn.LayerNorm(width, epsilon=1e-12)\n\n    def forward(self, ids",
        new="self.norm = nn.LayerNorm(width, epsilon=1e-5)\n\n    def forward(self, ids",
        guilty="embedding.norm",
        cause="epsilon is 1e-05, not 1e-12",
    ),
    _bert(
        "ReLU for GELU",
        old="F.gelu(self.ffn_up(x))",
        new="F.relu(self.ffn_up(x))",
        guilty="layers.?",
        cause="computes relu where .*exact",
    ),
    _bert(
        "pooler without tanh",
        old="F.tanh(self.pool(x[:, 0]))",
        new="self.pool(x[:, 0])",
        guilty="",
        cause="tanh|output 1",
    ),
    _bert(
        "heads not exchanged back",
        old=".transpose([0, 2, 1, 3])\n    return mixed.reshape([0, mixed.shape[1], -1])",
        new="\n    return mixed.reshape([0, mixed.shape[2], -1])",
        guilty="layers.?",
        cause="are to be exchanged to 2, 1, 3",
    ),
    _bert(
        "the mask of padding has the wrong sign",
        old="(1 - attention_mask.astype(like.dtype))",
        new="attention_mask.astype(like.dtype)",
        guilty="",
        cause="mask",
        hidden=True,
    ),
    _bert(
        "segments are left out",
        old=" + self.segment(segments)",
        new="",
        guilty="embedding",
        cause="segment",
        hidden=True,
    ),
    _bert(
        "a row of padding",
        old="self.word = nn.Embedding(words, width)",
        new="self.word = nn.Embedding(words, width, padding_idx=0)",
        guilty="embedding.word",
        cause="zeros for the id 0|gets no gradient",
        hidden=True,
    ),
    _bert(
        "gradient of the mask's scores stopped",
        old="bias = masked(attention_mask, x)",
        new="bias = masked(attention_mask, x)\n        x.stop_gradient = True",
        guilty="",
        cause="stop_gradient=True",
        hidden=True,
    ),
    _bert(
        "state kept between calls",
        old="q, k, v = self.qkv(x).chunk(3, axis=-1)",
        new=(
            "self.seen = getattr(self, 'seen', 0) + 1\n"
            "        x = x * (1 + 0.001 * (self.seen > 1))\n"
            "        q, k, v = self.qkv(x).chunk(3, axis=-1)"
        ),
        guilty="layers.?",
        cause="",
        hidden=True,
    ),
    _bert(
        "positions do not count padding",
        old="places = paddle.arange(ids.shape[1])",
        new='places = (ids != 0).astype("int64").cumsum(1).clip(min=1) - 1',
        guilty="embedding*",
        cause="position",
        hidden=True,
    ),
    _bert(
        "the last id is that before it",
        old="self.word(ids)",
        new="self.word(ids.clip(max=27))",
        guilty="embedding*",
        cause="28|id",
        hidden=True,
    ),
    _bert(
        "the mask of the first call kept",
        old="bias = masked(attention_mask, x)",
        new=("self.kept = getattr(self, 'kept', masked(attention_mask, x))\n        bias = self.kept[: x.shape[0]]"),
        guilty="*",
        cause="keeps something|mask",
        hidden=True,
    ),
)
LLAMA: tuple[Mistake, ...] = (
    _llama(
        "key heads repeated in turn",
        old=_REPEAT,
        new="(paddle.tile(y, [1, 1, self.heads // self.groups, 1]).flatten(2) for y in (k, v))",
        guilty=_ATTENTION,
        cause="use repeat_interleave",
    ),
    _llama(
        "key heads joined from copies",
        old=_REPEAT,
        new="(paddle.concat([y] * (self.heads // self.groups), 2).flatten(2) for y in (k, v))",
        guilty=_ATTENTION,
        cause="use repeat_interleave",
    ),
    _llama(
        "rotary positions turn halves",
        old=(
            "real, imaginary = pairs[..., 0], pairs[..., 1]\n"
            "        turned = paddle.stack([real * cos - imaginary * sin, real * sin + imaginary * cos], -1)"
        ),
        new=(
            "real, imaginary = x[..., : self.size // 2], x[..., self.size // 2 :]\n"
            "        turned = paddle.concat([real * cos - imaginary * sin, real * sin + imaginary * cos], -1)"
        ),
        guilty=_ATTENTION,
        cause="rotary positions turn",
    ),
    _llama(
        "causal mask one too wide",
        old="paddle.triu(paddle.full([length, length], -1e9, like.dtype), 1)",
        new="paddle.triu(paddle.full([length, length], -1e9, like.dtype), 2)",
        guilty=_ATTENTION,
        cause="diagonal=2, not 1|no causal mask",
    ),
    _llama(
        "causal mask hides the token itself",
        old="paddle.triu(paddle.full([length, length], -1e9, like.dtype), 1)",
        new="paddle.triu(paddle.full([length, length], -1e9, like.dtype), 0)",
        guilty=_ATTENTION,
        cause="diagonal=0, not 1",
    ),
    _llama(
        "no causal mask",
        old="attend(q.flatten(2), k, v, self.heads, causal(x.shape[1], x))",
        new="attend(q.flatten(2), k, v, self.heads)",
        guilty=_ATTENTION,
        cause="no causal mask",
    ),
    _llama("missing 1 / sqrt(d)", old=_SCALE, new="", guilty=_ATTENTION, cause=r"lacks the scale 1 / sqrt\(4\)"),
    _llama(
        "GELU for SiLU",
        old="F.silu(self.w1(x))",
        new="F.gelu(self.w1(x))",
        guilty="layers.?.feed_forward",
        cause="silu",
    ),
    _llama(
        "gate and value exchanged",
        old="F.silu(self.w1(x)) * self.w3(x)",
        new="F.silu(self.w3(x)) * self.w1(x)",
        guilty="layers.?.feed_forward",
        cause=r"w1 and .*w3 give is exchanged|silu\(a\) \* c, where a \* silu\(c\) is meant",
    ),
    _llama(
        "epsilon of the norms",
        old="epsilon: float = 1e-6",
        new="epsilon: float = 1e-5",
        guilty="*norm",
        cause="epsilon is 1e-05, not 1e-06",
    ),
    _llama(
        "epsilon outside of the root",
        old="paddle.rsqrt(x.square().mean(-1, keepdim=True) + self.epsilon)",
        new="1 / (paddle.sqrt(x.square().mean(-1, keepdim=True)) + self.epsilon)",
        guilty="*norm",
        cause="added to the root",
    ),
    _llama(
        "values are turned, not keys",
        old=(
            "k = self._turn(self.wk(x).reshape([0, 0, self.groups, self.size]))\n"
            "        v = self.wv(x).reshape([0, 0, self.groups, self.size])"
        ),
        new=(
            "k = self._turn(self.wv(x).reshape([0, 0, self.groups, self.size]))\n"
            "        v = self.wk(x).reshape([0, 0, self.groups, self.size])"
        ),
        guilty=_ATTENTION,
        cause="wk and .*wv give is exchanged",
    ),
    _llama(
        "gradient of the gate stopped",
        old="F.silu(self.w1(x)) * self.w3(x)",
        new="F.silu(self.w1(x)).detach() * self.w3(x)",
        guilty="layers.?.feed_forward",
        cause=r"detach\(\) stops",
        hidden=True,
    ),
    _llama(
        "a mask of -1e4 beside large scores",
        old="paddle.full([length, length], -1e9, like.dtype)",
        new="paddle.full([length, length], -30.0, like.dtype)",
        guilty=_ATTENTION,
        cause="no causal mask",
        hidden=True,
    ),
    _llama(
        "a dropout as a function in training",
        old="return self.w2(F.silu(self.w1(x)) * self.w3(x))",
        new="return self.w2(F.dropout(F.silu(self.w1(x)) * self.w3(x), 0.25, training=self.training))",
        guilty="layers.?.feed_forward",
        cause="stays on|candidate has dropouts or drop paths of rate 0.25",
        hidden=True,
    ),
)

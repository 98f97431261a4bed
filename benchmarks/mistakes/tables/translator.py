"""Mistakes in an encoder and a decoder with relative positions."""

from __future__ import annotations

from functools import partial

from benchmarks.mistakes.mistake import Mistake

_planted = partial(Mistake, net="translator")

TRANSLATOR: tuple[Mistake, ...] = (
    _planted(
        "farthest distance", old="far: int = 12", new="far: int = 20", guilty="|near_*", cause="near_both|near_past|20"
    ),
    _planted(
        "rounded buckets",
        old='(ratio * (count - half)).astype("int64")',
        new='(ratio * (count - half)).round().astype("int64")',
        guilty="|near_*",
        cause="round|near_",
    ),
    _planted(
        "one-sided distances in the encoder",
        old="self.near_both, True",
        new="self.near_both, False",
        guilty="|near_*",
        cause="near_both",
    ),
    _planted(
        "sign of the distances",
        old="steps.unsqueeze(0) - steps.unsqueeze(1)",
        new="steps.unsqueeze(1) - steps.unsqueeze(0)",
        guilty="|near_*",
        cause="near_|sign|exchanged",
    ),
    _planted(
        "scale of the embedding left out",
        old="x = self.words(ids) * math.sqrt(DIM)",
        new="x = self.words(ids)",
        guilty="",
        cause="4 words",
    ),
    _planted(
        "scale before the head left out",
        old="self.write_norm(y) * DIM**-0.5",
        new="self.write_norm(y)",
        guilty="",
        cause="multiplied by 4|by 4|0.25|1 / 4|16",
    ),
    _planted("no temperature", old=" / 0.7", new="", guilty="", cause=r"0\.7|10/7"),
    _planted(
        "probabilities for log-probabilities",
        old="logs = F.log_softmax(",
        new="logs = F.softmax(",
        guilty="",
        cause="log_softmax|log of what its softmax",
    ),
    _planted(
        "labels are not shifted",
        old="labels = decoder_input_ids[:, 1:]",
        new="labels = decoder_input_ids[:, :-1]",
        guilty="",
        cause=r"\[:, :-1\] of .*\[:, 1:\] is meant",
    ),
    _planted(
        "padding counts in the loss",
        old="kept = (labels != PAD).astype(logs.dtype)",
        new="kept = paddle.ones_like(labels).astype(logs.dtype)",
        guilty="",
        cause="padding|left out|count",
    ),
    _planted(
        "mean over all places",
        old="losses.sum(1) / paddle.clip(kept.sum(1), min=1.0)",
        new="losses.mean(1)",
        guilty="",
        cause="mean|divide",
    ),
    _planted(
        "norm after the encoder left out", old="return self.read_norm(x)", new="return x", guilty="", cause="norm"
    ),
    _planted(
        "no mask in the attention to the encoder",
        old="bias, memory, hidden)",
        new="bias, memory, 0.0 * hidden)",
        guilty="|writer.?*",
        cause="hidden|mask|what it gets",
    ),
    _planted(
        "the mask hides queries, not keys",
        old="self.near_both, True) + hidden",
        new="self.near_both, True) + hidden.transpose([0, 1, 3, 2])",
        guilty="|reader.?*",
        cause="mask|exchanged",
    ),
    _planted(
        "no relative positions in the decoder",
        old="bias = self.bias(length, self.near_past, False) + causal",
        new="bias = causal",
        guilty="",
        cause="near_past",
    ),
    _planted(
        "tables of positions exchanged",
        old="self.bias(length, self.near_past, False)",
        new="self.bias(length, self.near_both, False)",
        guilty="",
        cause="near_",
    ),
    _planted(
        "norm after the sum in the encoder",
        old="x = x + self.mix(y, y, bias)\n        return x + self.ffn(self.norm_f(x))\n\n\nclass Dec",
        new="x = y + self.mix(y, y, bias)\n        return x + self.ffn(self.norm_f(x))\n\n\nclass Dec",
        guilty="reader.?",
        cause="norm_a",
    ),
    _planted(
        "activation of the product",
        old="F.gelu(self.gate(x), approximate=True) * self.lift(x)",
        new="F.gelu(self.gate(x) * self.lift(x), approximate=True)",
        guilty="*.ffn",
        cause="gelu",
    ),
    _planted(
        "variance for the mean square",
        old="variance = (x * x).mean(-1, keepdim=True)",
        new="variance = x.var(-1, unbiased=False, keepdim=True)",
        guilty="*norm*",
        cause="variance|mean square|mean is",
    ),
    _planted(
        "scale of the norms left out",
        old="paddle.rsqrt(variance + 1e-6) * self.scale",
        new="paddle.rsqrt(variance + 1e-6)",
        guilty="*norm*",
        cause="scale",
    ),
    _planted(
        "positions left out",
        old=" + self.places(paddle.arange(length))",
        new="",
        guilty="",
        cause="places",
    ),
    _planted(
        "the largest length first",
        old="self.places(paddle.arange(length))",
        new="self.places(paddle.arange(length - 1, -1, -1))",
        guilty="|places",
        cause="backwards|reverse|places",
    ),
    _planted(
        "gradient of the encoder stopped",
        old="y, bias, memory, hidden",
        new="y, bias, memory.detach(), hidden",
        guilty="",
        cause=r"detach\(\) stops",
        hidden=True,
    ),
    _planted(
        "gradient of the tied head stopped",
        old="paddle.matmul(y, self.words.weight, transpose_y=True)",
        new="paddle.matmul(y, self.words.weight.detach(), transpose_y=True)",
        guilty="",
        cause=r"detach\(\) stops",
        hidden=True,
    ),
    _planted(
        "rate of the dropout", old="nn.Dropout(0.1)", new="nn.Dropout(0.3)", guilty="*drop", cause="0.3", hidden=True
    ),
    _planted(
        "the row of padding is zero",
        old="self.words, self.places = nn.Embedding(VOCABULARY, DIM),",
        new="self.words, self.places = nn.Embedding(VOCABULARY, DIM, padding_idx=0),",
        guilty="words",
        cause="zeros for the id 0|gets no gradient",
        hidden=True,
    ),
)

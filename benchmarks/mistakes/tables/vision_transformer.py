"""Mistakes in a ViT."""

from __future__ import annotations

from functools import partial

from benchmarks.mistakes.mistake import Mistake

_planted = partial(Mistake, net="vit")
_ATTEND = "scores = paddle.matmul(q, k, transpose_y=True) * (q.shape[-1] ** -0.5 if scale is None else scale)"
_HEADS = "(x.reshape([0, x.shape[1], heads, -1]).transpose([0, 2, 1, 3]) for x in (q, k, v))"
_ATTENTION = "layers.?.attn"

VIT: tuple[Mistake, ...] = (
    _planted(
        "softmax axis",
        old="F.softmax(scores, -1)",
        new="F.softmax(scores, 2)",
        guilty=_ATTENTION,
        cause="axis 2, not 3",
    ),
    _planted(
        "missing 1 / sqrt(d)",
        old=_ATTEND,
        new="scores = paddle.matmul(q, k, transpose_y=True)",
        guilty=_ATTENTION,
        cause=r"lacks the scale 1 / sqrt\(8\)",
    ),
    _planted(
        "scale of all channels, not of a head",
        old=_ATTEND,
        new="scores = paddle.matmul(q, k, transpose_y=True) * (q.shape[-1] * heads) ** -0.5",
        guilty=_ATTENTION,
        cause=r"scaled by 1 / sqrt\(16\), not 1 / sqrt\(8\)",
    ),
    _planted(
        "order of q, k, v",
        old="attend(qkv[:, :, 0], qkv[:, :, 1], qkv[:, :, 2], self.num_heads)",
        new="attend(qkv[:, :, 1], qkv[:, :, 0], qkv[:, :, 2], self.num_heads)",
        guilty=_ATTENTION,
        cause="k, q, v, where it is q, k, v",
    ),
    _planted(
        "order of heads in a reshape",
        old=_HEADS,
        new="(x.reshape([0, x.shape[1], -1, heads]).transpose([0, 3, 1, 2]) for x in (q, k, v))",
        guilty=_ATTENTION,
        cause=r"split as .*\(8, 2\), where it holds \(2, 8\)|3, width, heads|split as",
    ),
    _planted(
        "heads not exchanged back before they are joined",
        old=(
            "mixed = paddle.matmul(F.softmax(scores, -1), v).transpose([0, 2, 1, 3])\n"
            "    return mixed.reshape([0, mixed.shape[1], -1])"
        ),
        new="mixed = paddle.matmul(F.softmax(scores, -1), v)\n    return mixed.reshape([0, mixed.shape[2], -1])",
        guilty=_ATTENTION,
        cause="are to be exchanged to 2, 1, 3",
    ),
    _planted(
        "dropout as a function that stays on",
        old="return self.proj(attend(qkv[:, :, 0], qkv[:, :, 1], qkv[:, :, 2], self.num_heads))",
        new="return paddle.nn.functional.dropout(self.proj(attend(*qkv.unbind(2), self.num_heads)), 0.25)",
        guilty=_ATTENTION,
        cause="stays on",
    ),
    _planted(
        "tanh GELU as a module",
        old="nn.GELU()",
        new="nn.GELU(approximate=True)",
        guilty="layers.?.mlp*",
        cause="tanh",
    ),
    _planted(
        "epsilon of the norms",
        old="(nn.LayerNorm(width, epsilon=1e-12) for _ in range(2))",
        new="(nn.LayerNorm(width) for _ in range(2))",
        guilty="layers.?.*_norm",
        cause="epsilon is 1e-05, not 1e-12",
    ),
    _planted(
        "class token last",
        old="paddle.concat([self.class_token.expand([x.shape[0], -1, -1]), x], 1)",
        new="paddle.concat([x, self.class_token.expand([x.shape[0], -1, -1])], 1)",
        guilty="",
        cause="joins in the order|class_token|joined",
    ),
    _planted(
        "mean of the tokens for the class token",
        old="self.encoder_norm(self.layers(x))[:, 0]",
        new="self.encoder_norm(self.layers(x)).mean(1)",
        guilty="",
        cause="mean over tokens",
    ),
    _planted(
        "no shortcut around the MLP",
        old="return x + self.mlp(self.mlp_norm(x))",
        new="return self.mlp(self.mlp_norm(x))",
        guilty="layers.?",
        cause="what it gets",
    ),
    _planted(
        "gradient of a shortcut stopped",
        old="x = x + self.attn(self.attn_norm(x))",
        new="x = x.detach() + self.attn(self.attn_norm(x))",
        guilty="layers.?",
        cause=r"detach\(\) stops",
        hidden=True,
    ),
    _planted(
        "attention under no_grad",
        old="return self.proj(attend(qkv[:, :, 0], qkv[:, :, 1], qkv[:, :, 2], self.num_heads))",
        new=(
            "with paddle.no_grad():\n"
            "            mixed = attend(qkv[:, :, 0], qkv[:, :, 1], qkv[:, :, 2], self.num_heads)\n"
            "        return self.proj(mixed)"
        ),
        guilty=_ATTENTION,
        cause="under no_grad",
        hidden=True,
    ),
    _planted(
        "a factor of two in training",
        old="return self.fc2(self.act(self.fc1(x)))",
        new="return self.fc2(self.act(self.fc1(x))) * (2.0 if self.training else 1.0)",
        guilty="layers.?.mlp",
        cause=r"multiplied by 2|2 fc2|'\*', of which only the left side",
        hidden=True,
    ),
    _planted(
        "a dropout in training, of which the reference has none",
        old="return self.fc2(self.act(self.fc1(x)))",
        new="return self.fc2(nn.functional.dropout(self.act(self.fc1(x)), 0.25, training=self.training))",
        guilty="layers.?.mlp",
        cause="draws random numbers in training|dropout",
        hidden=True,
    ),
    _planted(
        "class tokens for a fixed number of images",
        old="self.class_token.expand([x.shape[0], -1, -1])",
        new="self.class_token.expand([2, -1, -1])",
        guilty="",
        cause="fails for a single input",
        hidden=True,
    ),
    _planted(
        "one image loses its axis",
        old="self.head(self.encoder_norm(self.layers(x))[:, 0])",
        new="self.head(self.encoder_norm(self.layers(x))[:, 0].squeeze())",
        guilty="",
        cause="axes of length one|squeeze",
        hidden=True,
    ),
    _planted(
        "brightness of the first batch kept",
        old="x = self.patch_embedding(image)",
        new=(
            "self.first = getattr(self, 'first', image.detach().mean())\n"
            "        x = self.patch_embedding(image + image.detach().mean() - self.first)"
        ),
        guilty="",
        cause="keeps something|patch_embedding",
        hidden=True,
    ),
    _planted(
        "gradients of the image's half",
        old="x = self.patch_embedding(image)",
        new="x = self.patch_embedding(0.5 * image + 0.5 * image.detach())",
        guilty="",
        cause=r"detach\(\) stops|patch_embedding",
        hidden=True,
    ),
)

"""MindSpore's text for a case of torch: layers by `LAYERS`, functions and optimizers one by one."""

from __future__ import annotations

import ast
import re

from benchmarks.frameworks.mindspore.layers import LAYERS

_SAME_FUNCTIONS = (
    "relu", "softmax", "log_softmax", "interpolate", "grid_sample", "affine_grid", "max_pool2d", "cross_entropy",
    "nll_loss", "binary_cross_entropy", "binary_cross_entropy_with_logits", "kl_div", "pdist", "layer_norm",
    "group_norm",
)  # fmt: skip
_SAME_OPERATIONS = (
    "erf", "expm1", "log1p", "rsqrt", "clamp", "pow", "logsumexp", "cumsum", "prod", "amax", "maximum", "topk",
    "argmax", "matmul", "baddbmm", "atan2", "round", "remainder", "lerp", "where", "roll", "tril", "lgamma", "sinc",
    "sigmoid", "cdist", "renorm",
)  # fmt: skip
_MOMENTS = {"x.std(1)": "x.std(1, ddof=1)", "x.var(1)": "x.var(1, ddof=1)", "x.std()": "x.std(ddof=1)"}
_TEXTS: dict[str, str] = {
    **_MOMENTS,
    "x.var(1, unbiased=False)": "x.var(1)",
    "x.norm()": "ops.norm(x)",
    "torch.norm(x, p=1.0, dim=1)": "ops.vector_norm(x, 1.0, 1)",
    "torch.norm(x, p=3.0, dim=1)": "ops.vector_norm(x, 3.0, 1)",
    "torch.linalg.vector_norm(x, float('inf'), 1)": "ops.vector_norm(x, float('inf'), 1)",
    "torch.max(x, 1)[0]": "ops.max(x, 1)[0]",
    "torch.max(x)": "ops.amax(x)",
    "torch.median(x, 1)[0]": "ops.median(x, 1)[0]",
    "torch.sort(x, 1)[0]": "ops.sort(x, 1)[0]",
    "torch.einsum('bij,bkj->bik', x, y)": "ops.matmul(x, y.swapaxes(1, 2))",
    "x / 3": "x / 3",
    "x * 0.1 + 0.3": "x * 0.1 + 0.3",
    "x ** 2": "x**2",
    "x ** 0.5": "x**0.5",
    "x.abs()": "x.abs()",
    "torch.addcmul(x, y, y, value=0.1)": "x + 0.1 * y * y",
    "x.masked_fill(x > 0, -0.1)": "x.masked_fill(x > 0, -0.1)",
    "torch.gather(x, 1, y)": "ops.gather_elements(x, 1, y)",
    "torch.linspace(0.0, 1.0, 7)": "ops.linspace(0.0, 1.0, 7)",
    "torch.arange(0.0, 1.0, 0.1)": "ops.arange(0.0, 1.0, 0.1)",
    "torch.linalg.inv(x)": "ops.inverse(x)",
    "torch.special.erfinv(x.tanh() * 0.9)": "ops.erfinv(x.tanh() * 0.9)",
    "torch.fft.rfft(x).abs()": "ops.rfft(x).abs()",
    "x.mean((2, 3))": "x.mean((2, 3))",
    "F.silu(x) * y": "ops.silu(x) * y",
    "torch.logit(torch.sigmoid(x), 1e-06)": "ops.logit(ops.sigmoid(x), 1e-06)",
    "x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + 1e-06)": (
        "x * ops.rsqrt(x.pow(2).mean(-1, keep_dims=True) + 1e-06)"
    ),
    "F.rms_norm(x, (6,), y, eps=1e-06)": "ops.rms_norm(x, y, 1e-06)[0]",
    "F.normalize(x)": "x / ops.clamp(ops.vector_norm(x, 2, 1, True), 1e-12)",
    "F.one_hot(x, 7)": "ops.one_hot(x, 7)",
    "F.max_pool2d(x.relu(), 3, 2, 1)": "ops.max_pool2d(ops.relu(x), 3, 2, 1)",
    "F.pad(x, (1, 2))": "ops.pad(x, (1, 2))",
    "F.pad(x, (1, 2, 0, 1))": "ops.pad(x, (1, 2, 0, 1))",
    "F.pad(x, (-1, 1), mode='constant')": "ops.pad(x, (-1, 1))",
    "F.grid_sample(x, y.tanh())": "ops.grid_sample(x, y.tanh())",
    "F.binary_cross_entropy(torch.sigmoid(x), y)": "ops.binary_cross_entropy(ops.sigmoid(x), y)",
    "F.dropout(x, 0.25, training=False)": "ops.dropout(x, 0.25, training=False)",
    "F.dropout(x, 0.25, training=True).unique()": "ops.unique(ops.dropout(x, 0.25, training=True))[0].sort()[0]",
    "F.kl_div(F.log_softmax(x, -1), F.log_softmax(y, -1), reduction='sum', log_target=True)": "",
    "nn.Unfold(3, padding=1, stride=2)": "ops.unfold(x, 3, padding=1, stride=2)",
    "nn.LocalResponseNorm(3)": "nn.LRN(1, 1.0, 1e-4 / 3, 0.75)",
    "nn.LayerNorm((5, 6))": "nn.LayerNorm((5, 6), 2, 2, epsilon=1e-05)",
    "nn.MultiMarginLoss()": "ops.multi_margin_loss(x, y.astype('int64'))",
    "nn.MultiMarginLoss(p=2, margin=0.3)": "ops.multi_margin_loss(x, y.astype('int64'), 2, 0.3)",
    "torch.renorm(x, 2.0, 0, 0.7)": "ops.renorm(x, 2, 0, 0.7)",
    "F.interpolate(x, scale_factor=2)": "ops.interpolate(x, scale_factor=2.0, recompute_scale_factor=True)",
    "nn.Upsample(scale_factor=2, mode='bilinear')": (
        "nn.Upsample(scale_factor=2.0, mode='bilinear', recompute_scale_factor=True)"
    ),
    "nn.UpsamplingBilinear2d(scale_factor=2)": (
        "nn.Upsample(scale_factor=2.0, mode='bilinear', align_corners=True, recompute_scale_factor=True)"
    ),
    "nn.UpsamplingNearest2d(scale_factor=2)": "nn.Upsample(scale_factor=2.0, recompute_scale_factor=True)",
}
"""Text of torch to that of MindSpore; empty where there is none."""
_BESIDE: dict[str, tuple[str, ...]] = {
    "optim.Adam(p, lr=0.1)": ("nn.Adam(p, 0.1)",),
    "optim.AdamW(p, lr=0.1, weight_decay=0.05)": ("nn.AdamWeightDecay(p, 0.1, eps=1e-08, weight_decay=0.05)",),
    "optim.SGD(p, lr=0.1, momentum=0.9, weight_decay=0.05)": (
        "nn.SGD(p, 0.1, 0.9, weight_decay=0.05)", "nn.Momentum(p, 0.1, 0.9, weight_decay=0.05)",
    ),
    "optim.RMSprop(p, lr=0.1, alpha=0.9)": ("nn.RMSProp(p, 0.1, 0.9, epsilon=1e-08)",),
    "optim.Adagrad(p, lr=0.1)": ("nn.Adagrad(p, 0.0, 0.1)",),
    "nn.GELU()": ("nn.GELU()",),
    "nn.LayerNorm(6)": ("nn.LayerNorm((6,))",),
    "nn.LeakyReLU()": ("nn.LeakyReLU()",),
    "nn.MaxPool2d(2)": ("nn.MaxPool2d(2)",),
    "nn.Conv2d(4, 6, 3)": ("nn.Conv2d(4, 6, 3)",),
    "nn.BatchNorm2d(4, momentum=0.1)": ("nn.BatchNorm2d(4, momentum=0.1)",),
    "F.interpolate(x, scale_factor=2)": ("ops.interpolate(x, scale_factor=2.0)",),
}  # fmt: skip
"""What people take for the same beside that: the defaults of MindSpore, and its older optimizers."""


def texts(torch: str) -> tuple[str, ...]:
    """Return MindSpore's texts for a text of torch; none where it has no counterpart.

    Args:
        torch: As the tables have it: `nn.AvgPool2d(3)`.
    """
    text = _TEXTS[torch] if torch in _TEXTS else _spelled(torch)
    return tuple(dict.fromkeys(filter(None, (text, *_BESIDE.get(torch, ())))))


def _spelled(torch: str) -> str:
    if torch.startswith("optim."):
        return torch
    if torch.startswith("nn."):
        return _layer(torch)
    name = re.match(r"(F|torch)\.(\w+)\(", torch)
    known = {"F": _SAME_FUNCTIONS, "torch": _SAME_OPERATIONS}
    if name is None or name[2] not in known[name[1]]:
        return ""
    text = re.sub(r"\b(F|torch)\.", "ops.", torch).replace("scale_factor=2,", "scale_factor=2.0,")
    return re.sub(r"scale_factor=2\)", "scale_factor=2.0)", text)


def _layer(torch: str) -> str:
    made = ast.parse(torch, mode="eval").body
    if not isinstance(made, ast.Call) or not isinstance(made.func, ast.Attribute):
        return ""
    try:
        args = [ast.literal_eval(argument) for argument in made.args]
        named = {word.arg: ast.literal_eval(word.value) for word in made.keywords if word.arg}
    except ValueError:  # an argument that is a function of torch
        return ""
    function = LAYERS.get(made.func.attr)
    return function(*args, **named) if function else ""

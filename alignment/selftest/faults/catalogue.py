"""The faults, step by step; `FAULTS` has them all. A new step adds a tuple of its own."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

from alignment.selftest.faults.base import (
    NO_CAUSE,
    Fault,
    attribute,
    batch_norm,
    file,
    function,
    metric,
    module,
    weight,
)
from alignment.selftest.faults.expected_sentences import SAYS
from alignment.selftest.faults.training import TRAINING

_DEIT_ACT = "encoder.layers.5.mlp.act"
_T, _DEIT = "transformers", "deit_tiny_distilled"
_A0, _A1 = f"{_T}.0.blocks.1", f"{_T}.1.blocks.1"
_FIRST, _EMBED = f"{_T}.0.blocks.0.norm1", "patch_embed.conv"
_ACTS = tuple(
    (f"{_T}.{stage}.blocks.{block}.mlp.act" for stage, depth in enumerate((2, 3, 1)) for block in range(depth))
)
LAYERS = (
    attribute("LayerNorm eps 1e-5 for 1e-6, the last norm", "norm", "_epsilon", 1e-5, "layernorm eps", quick=True),
    attribute("LayerNorm eps 1e-5 for 1e-6, the first norm", _FIRST, "_epsilon", 1e-5, "layernorm eps"),
    attribute("LayerNorm eps 1e-12 for 1e-6", f"{_T}.1.blocks.2.norm2", "_epsilon", 1e-12, "layernorm eps"),
    module("LayerNorm without scale and shift", "norm", f"{_A1}.norm1", "affine lost", kind="plain"),
    module("LayerNorm without the mean", "norm", f"{_A0}.norm2", "rms norm", kind="rms"),
    module("LayerNorm by the unbiased variance", "norm", "norm", "unbiased variance", kind="unbiased"),
    module("tanh GELU in one block", "activation", _ACTS[3], "gelu tanh", quick=True, kind="tanh"),
    module("sigmoid GELU in one block", "activation", _ACTS[0], "gelu sigmoid", kind="sigmoid"),
    module("ReLU for GELU", "activation", _ACTS[5], "relu", kind="relu"),
    module("SiLU for GELU", "activation", _ACTS[2], "silu", kind="silu"),
    module("no activation in an MLP", "mlp", f"{_A1}.mlp", "wired otherwise", kind="no activation"),
    module("an activation after an MLP", "mlp", f"{_A0}.mlp", "extra activation", kind="activation twice"),
    module("a square weight applied transposed", "linear", f"{_A0}.attn.proj", "not transposed", kind="transposed"),
    module("a lost bias of an MLP", "linear", f"{_A1}.mlp.fc2", "bias lost", quick=True, kind="no bias"),
    module("a lost bias of qkv", "linear", f"{_A0}.attn.qkv", "bias lost", kind="no bias"),
    module("a bias added twice", "linear", f"{_A1}.attn.proj", "bias doubled", kind="doubled"),
    module("a lost bias of a head", "linear", "head_dist", "bias lost", kind="no bias"),
    module("a lost bias of the patch embedding", "convolution", _EMBED, "bias lost", kind="no bias"),
    module("BGR for RGB", "convolution", _EMBED, "channel order", kind="reversed"),
    module("a kernel turned by 180 degrees", "convolution", "pools.0.conv", "kernel flipped", kind="flipped"),
    module("height for width in a kernel", "convolution", _EMBED, "rows and columns swapped", kind="turned"),
    module("no padding in a pooling", "convolution", "pools.1.conv", "padding", kind="unpadded"),
    module("reflected padding in a pooling", "convolution", "pools.0.conv", "padding mode", kind="reflect"),
    module("replicated padding in a pooling", "convolution", "pools.1.conv", "padding mode", kind="replicate"),
    module("dropout left on", "drop", "pos_drop", "dropout left on", quick=True, rate=0.1),
    module("drop path left on", "drop", f"{_T}.1.blocks.2.drop_path1", "drop path left on", rate=0.5, whole=True),
    module("a norm in float32 where float64 is asked for", "precision", "norm", "lower precision"),
    module("a block scaled by 1 + 1e-7", "scale", f"{_T}.2.blocks.0", "scaled", factor=1 + 1e-7),
)
ATTENTION = (
    module("attention without its scale", "attention", f"{_A0}.attn", "attention scale", scale=12**0.5),
    module("attention scaled by all channels", "attention", f"{_A0}.attn", "attention scale", scale=2 ** (-0.5)),
    module("attention scale off by 1 %", "attention", f"{_A1}.attn", "attention scale", scale=1.01),
    module("k for q", "attention", f"{_A1}.attn", "q/k/v order", quick=True, order=(1, 0, 2)),
    module("v for k", "attention", f"{_A0}.attn", "q/k/v order", order=(0, 2, 1)),
    module("heads split before q, k and v", "attention", f"{_A1}.attn", "head split order", split="h3d"),
    module("heads joined in the wrong order", "attention", f"{_A1}.attn", "head merge order", merge=False),
    module("half the heads", "attention", f"{_A1}.attn", "head count", heads=2),
    module("softmax over the queries", "attention", f"{_A0}.attn", "softmax axis", axis=-2),
    module("a causal mask", "attention", f"{_A0}.attn", "causal mask", causal=True),
)
WIRING = (
    module("no shortcut around an attention", "block", _A0, "residual lost", quick=True, kind="first residual lost"),
    module("no shortcut around an MLP", "block", _A1, "residual lost", kind="second residual lost"),
    module("an attention without its norm", "block", _A1, "wired otherwise", kind="first norm skipped"),
    module("an MLP without its norm", "block", _A0, "wired otherwise", kind="second norm skipped"),
    module("an MLP beside its attention", "block", _A1, "part lost", kind="second norm of input"),
    module("the norms of a block exchanged", "block", _A0, "modules exchanged", kind="norms exchanged"),
    module("a branch added twice", "block", _A1, "weighted otherwise", kind="branch doubled"),
    module("distilled heads swapped", "model", "", "token order", quick=True, kind="heads swapped"),
    module("distilled heads summed", "model", "", "weighted otherwise", kind="heads summed"),
    module("one head of two", "model", "", "part lost", kind="one head"),
    module("both heads on the class token", "model", "", "token order", kind="both from the class token"),
    module("no position embedding", "model", "", "pos_embed not added", kind="positions lost"),
    module("a position embedding turned", "model", "", "wired otherwise", kind="positions turned"),
    module("class tokens exchanged in a stage", "stage", f"{_T}.1", "token order", kind="tokens exchanged"),
    module("a map turned in a stage", "stage", f"{_T}.1", "token order", kind="map turned"),
)
_SHIFTED = "k bias shifted"
WEIGHTS = (
    weight("a square weight not transposed", "transposed", f"{_A0}.attn.proj.weight", "not transposed", quick=True),
    weight("two rows swapped", "exchanged", f"{_A1}.mlp.fc1.weight", "rows swapped", quick=True, first=3, second=7),
    weight("two columns swapped", "exchanged", "head.weight", "columns swapped", first=3, second=7, axis=1),
    weight("a bias off by 1e-4", "shifted", f"{_A1}.mlp.fc2.bias", "shifted", quick=True, by=0.0001),
    weight("the key's bias off by 1, which no output shows", "key shifted", f"{_A0}.attn.qkv.bias", _SHIFTED, by=1.0),
    weight("k before q in a weight", "thirds", f"{_A0}.attn.qkv.weight", "q/k/v order", order=(1, 0, 2)),
    weight("v before k in a bias", "thirds", f"{_A1}.attn.qkv.bias", "q/k/v order", order=(0, 2, 1)),
    weight("heads before q, k and v in a weight", "heads first", f"{_A1}.attn.qkv.weight", "head split order", heads=4),
    weight("two norms exchanged", "swapped", f"{_A0}.norm1.weight", "holds another", other=f"{_A0}.norm2.weight"),
    weight("the weights of two heads exchanged", "swapped", "head.weight", "holds another", other="head_dist.weight"),
    weight("a kernel stored upside down", "flipped", "pools.0.conv.weight", "kernel flipped"),
    weight("a kernel stored by columns", "turned", "patch_embed.conv.weight", "rows and columns swapped"),
    weight("a kernel stored for BGR", "reversed", "patch_embed.conv.weight", "channel order", axis=1),
    weight("a position embedding stored by columns", "turned", "pos_embed", "rows and columns swapped"),
    weight("class tokens stored in reverse", "reversed", "cls_token", "class token order", axis=1),
    weight("a weight rounded to float16", "rounded", f"{_A1}.mlp.fc1.weight", "rounded", dtype="float16"),
    weight("a bias rounded to bfloat16", "rounded", "norm.bias", "rounded", dtype="bfloat16"),
    weight("one element off by 1e-6", "one element", "head.weight", NO_CAUSE, by=1e-6),
    weight("a weight scaled by 1.001", "scaled", f"{_A1}.attn.proj.weight", "scaled", by=1.001),
    weight("a bias of zeros", "constant", "pools.1.fc.bias", "lost", value=0.0),
    weight("a norm that was never loaded", "constant", f"{_T}.1.blocks.0.norm2.weight", "never loaded", value=1.0),
    weight("class tokens after the patches", "tokens last", "pos_embed", "class tokens last", prefix=2, model=_DEIT),
    weight(
        "positions stored by columns", "grid turned", "pos_embed", "position embedding order", prefix=2, model=_DEIT
    ),
    module(
        "tanh GELU in one block of DeiT",
        "activation",
        _DEIT_ACT,
        "gelu tanh",
        places="blocks.5.mlp.act",
        kind="tanh",
        model=_DEIT,
    ),
)
_SOFT, _HARD = ("bp/soft_target", "loss/label_smoothing"), ("hard targets", "label smoothing ignored")
_criterion = partial(module, step="bp", places=_SOFT)
BACKWARD = (
    module("no gradient through an MLP", "detach", f"{_A1}.mlp", "gradient lost", step="bp", what="output"),
    module("a frozen bias", "detach", f"{_A0}.mlp.fc1", "gradient lost", step="bp", what="bias"),
    module("a frozen weight", "detach", "head", "gradient lost", step="bp", quick=True, what="weight"),
    module("no gradient through a shortcut", "block", _A0, "way detached", step="bp", kind="shortcut detached"),
    module("no gradient through a softmax", "attention", f"{_A0}.attn", "gradient lost", step="bp", detach=True),
    module("a gradient doubled", "gradient", f"{_A1}.attn", "gradient scaled", step="bp", factor=2.0),
    module("a gradient off by 1e-6", "gradient", f"{_A1}.mlp.act", "gradient scaled", step="bp", factor=1 + 1e-6),
    _criterion("the training loss summed", "soft target", "", "reduction", kind="sum"),
    _criterion("hard targets in training", "soft target", "", _HARD, kind="hard"),
    module(
        "half the gradient of the loss",
        "soft target",
        "",
        "gradient scaled",
        places=_SOFT[0],
        step="bp",
        kind="half gradient",
    ),
)
_in_training = partial(module, step="train_mode", model="pit_micro")  # a distilled one gives two outputs in training
_SCALED = ("scaled", "weighted otherwise")
TRAIN_MODE = (
    _in_training("an MLP doubled in training only", "trained", f"{_A0}.mlp", _SCALED, factor=2.0),
    _in_training("an attention off by 1e-6 in training only", "trained", f"{_A1}.attn", _SCALED, factor=1 + 1e-6),
    _in_training(
        *("a gradient halved in training only", "gradient in training", f"{_A1}.mlp", "gradient scaled"), factor=0.5
    ),
)
LOSSES = (
    function("cross entropy summed", "sum", "loss/cross_entropy", "reduction", quick=True),
    function("cross entropy over classes too", "mean over classes", "loss/cross_entropy", "reduction"),
    function("cross entropy of labels off by one", "labels shifted", "loss/cross_entropy", "labels shifted"),
    function("cross entropy smoothed", "smoothed", "loss/cross_entropy", "label smoothing"),
    function("cross entropy of a softmax", "softmax twice", "loss/cross_entropy", "softmax twice"),
    function("label smoothing ignored", "unsmoothed", "loss/label_smoothing", "label smoothing ignored"),
    function("label smoothing of 0.2 for 0.1", "smoothed more", "loss/label_smoothing", "label smoothing"),
    function("label smoothing of the others only", "others only", "loss/label_smoothing", "label smoothing"),
    function("label smoothing summed", "sum", "loss/label_smoothing", "reduction"),
    function("hard targets for soft ones", "hard", "loss/soft_target", "hard targets"),
    function("divergence for cross entropy", "divergence", "loss/soft_target", "divergence for entropy"),
    function("a soft loss that vanishes", "zero", "loss/soft_target", "log targets"),
)
METRICS = (
    metric("accuracy of another k", "other k", "another k", quick=True),
    metric("accuracy in percent", "percent", "percent"),
    metric("error rate for accuracy", "error rate", "error rate"),
    metric("accuracy of labels off by one", "labels shifted", "labels shifted"),
    metric("accuracy of the lowest scores", "lowest", "lowest scores"),
    metric("accuracy that is always 1", "always", "constant"),
    function("best classes last", "reversed", "metric/top5_classes", "reversed"),
    function("lowest classes for best", "lowest", "metric/top5_classes", "lowest scores"),
    function("best classes unsorted", "unsorted", "metric/top5_classes", "unsorted"),
    function("classes counted from 1", "from one", "metric/top5_classes", "labels shifted"),
)
BATCHNORM = (
    batch_norm("torch's momentum in Paddle", "set", "batchnorm momentum", attribute="_momentum", value=0.1),
    batch_norm("the biased running variance", "batch norm", "biased variance", kind="biased"),
    batch_norm("running statistics that stay", "batch norm", "statistics frozen", kind="not updated"),
    batch_norm("gradients with frozen statistics", "batch norm", "frozen statistics", kind="frozen gradient"),
    batch_norm("BatchNorm eps 1e-3 for 1e-5", "set", "batchnorm eps", step="forward", attribute="_epsilon", value=1e-3),
    batch_norm(
        "batch statistics in evaluation", "batch norm", "train mode", step="forward", kind="batch in evaluation"
    ),
)
FILES = (
    file("NaN in the candidate", "nan", "forward/logits", "NaN", quick=True),
    file("infinity in the candidate", "infinity", "forward/stage_0", "infinite"),
    file("an array transposed", "transposed", "forward/logits", "shape"),
    file("an axis of length one too many", "unsqueezed", "bp/loss_0", "shape"),
    file("one row that would broadcast", "one row", "forward/logits", "shape"),
    file("float64 for float32", "wider", "forward/logits", "dtype"),
    file("float16 for float32", "narrower", "forward/stage_1", "dtype"),
    file("a key that is missing", "missing", "bp/gradient/norm.weight", "missing"),
    file("a key too many", "extra", "forward/extra", "missing"),
    file("no elements", "empty", "forward/stage_2", "shape"),
    file("rows in another order", "rows", "forward/logits", NO_CAUSE),
    file("one wrong element of many", "element", "forward/stage_0", NO_CAUSE),
    file("a gradient of zeros", "zeros", "bp/gradient/norm.bias", NO_CAUSE),
    file("integers that wrap around", "wrapped", "metric/top5_classes", NO_CAUSE),
)
_OF_MODELS = (*LAYERS, *ATTENTION, *WIRING, *WEIGHTS, *BACKWARD, *TRAIN_MODE)
_ALL = (*_OF_MODELS, *LOSSES, *METRICS, *BATCHNORM, *FILES, *TRAINING)
FAULTS: tuple[Fault, ...] = tuple(replace(fault, says=SAYS.get(fault.name, "")) for fault in _ALL)
"""All of them, in the order of the steps; those of training last."""

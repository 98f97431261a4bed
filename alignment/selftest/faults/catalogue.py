"""The faults, step by step; `FAULTS` has them all. A new step adds a tuple of its own."""

from __future__ import annotations

from dataclasses import replace

from alignment.selftest.faults.base import NO_KNOWN_CAUSE, Fault
from alignment.selftest.faults.expected_sentences import SAYS
from alignment.selftest.faults.shorthand import attribute as _set
from alignment.selftest.faults.shorthand import in_function as _function
from alignment.selftest.faults.shorthand import in_metric as _metric
from alignment.selftest.faults.shorthand import in_module as _module
from alignment.selftest.faults.shorthand import in_weights as _weight
from alignment.selftest.faults.training import TRAINING

_T = "transformers"
_A0, _A1 = f"{_T}.0.blocks.1", f"{_T}.1.blocks.1"
_ACTS = tuple(f"{_T}.{stage}.blocks.{block}.mlp.act" for stage, depth in enumerate((2, 3, 1)) for block in range(depth))

LAYERS = (
    _set("LayerNorm eps 1e-5 for 1e-6, the last norm", "norm", "_epsilon", 1e-5, "layernorm eps", quick=True),
    _set("LayerNorm eps 1e-5 for 1e-6, the first norm", f"{_T}.0.blocks.0.norm1", "_epsilon", 1e-5, "layernorm eps"),
    _set("LayerNorm eps 1e-12 for 1e-6", f"{_T}.1.blocks.2.norm2", "_epsilon", 1e-12, "layernorm eps"),
    _module("LayerNorm without scale and shift", "norm", f"{_A1}.norm1", "affine lost", kind_="plain"),
    _module("LayerNorm without the mean", "norm", f"{_A0}.norm2", "rms norm", kind_="rms"),
    _module("LayerNorm by the unbiased variance", "norm", "norm", "unbiased variance", kind_="unbiased"),
    _module("tanh GELU in one block", "activation", _ACTS[3], "gelu tanh", quick=True, kind_="tanh"),
    _module("sigmoid GELU in one block", "activation", _ACTS[0], "gelu sigmoid", kind_="sigmoid"),
    _module("ReLU for GELU", "activation", _ACTS[5], "relu", kind_="relu"),
    _module("SiLU for GELU", "activation", _ACTS[2], "silu", kind_="silu"),
    _module("no activation in an MLP", "mlp", f"{_A1}.mlp", "wired otherwise", kind_="no activation"),
    _module("an activation after an MLP", "mlp", f"{_A0}.mlp", "extra activation", kind_="activation twice"),
    _module("a square weight applied transposed", "linear", f"{_A0}.attn.proj", "not transposed", kind_="transposed"),
    _module("a lost bias of an MLP", "linear", f"{_A1}.mlp.fc2", "bias lost", quick=True, kind_="no bias"),
    _module("a lost bias of qkv", "linear", f"{_A0}.attn.qkv", "bias lost", kind_="no bias"),
    _module("a bias added twice", "linear", f"{_A1}.attn.proj", "bias doubled", kind_="doubled"),
    _module("a lost bias of a head", "linear", "head_dist", "bias lost", kind_="no bias"),
    _module("a lost bias of the patch embedding", "convolution", "patch_embed.conv", "bias lost", kind_="no bias"),
    _module("BGR for RGB", "convolution", "patch_embed.conv", "channel order", kind_="reversed"),
    _module("a kernel turned by 180 degrees", "convolution", "pools.0.conv", "kernel flipped", kind_="flipped"),
    _module(
        "height for width in a kernel", "convolution", "patch_embed.conv", "rows and columns swapped", kind_="turned"
    ),
    _module("no padding in a pooling", "convolution", "pools.1.conv", "padding", kind_="unpadded"),
    _module("reflected padding in a pooling", "convolution", "pools.0.conv", "padding mode", kind_="reflect"),
    _module("replicated padding in a pooling", "convolution", "pools.1.conv", "padding mode", kind_="replicate"),
    _module("dropout left on", "drop", "pos_drop", "dropout left on", quick=True, rate=0.1),
    _module("drop path left on", "drop", f"{_T}.1.blocks.2.drop_path1", "drop path left on", rate=0.5, whole=True),
    _module("a norm in float32 where float64 is asked for", "precision", "norm", "lower precision"),
    _module("a block scaled by 1 + 1e-7", "scale", f"{_T}.2.blocks.0", "scaled", factor=1 + 1e-7),
)
ATTENTION = (
    _module("attention without its scale", "attention", f"{_A0}.attn", "attention scale", scale=12**0.5),
    _module("attention scaled by all channels", "attention", f"{_A0}.attn", "attention scale", scale=2**-0.5),
    _module("attention scale off by 1 %", "attention", f"{_A1}.attn", "attention scale", scale=1.01),
    _module("k for q", "attention", f"{_A1}.attn", "q/k/v order", quick=True, order=(1, 0, 2)),
    _module("v for k", "attention", f"{_A0}.attn", "q/k/v order", order=(0, 2, 1)),
    _module("heads split before q, k and v", "attention", f"{_A1}.attn", "head split order", split="h3d"),
    _module("heads joined in the wrong order", "attention", f"{_A1}.attn", "head merge order", merge=False),
    _module("half the heads", "attention", f"{_A1}.attn", "head count", heads=2),
    _module("softmax over the queries", "attention", f"{_A0}.attn", "softmax axis", axis=-2),
    _module("a causal mask", "attention", f"{_A0}.attn", "causal mask", causal=True),
)
WIRING = (
    _module("no shortcut around an attention", "block", _A0, "residual lost", quick=True, kind_="first residual lost"),
    _module("no shortcut around an MLP", "block", _A1, "residual lost", kind_="second residual lost"),
    _module("an attention without its norm", "block", _A1, "wired otherwise", kind_="first norm skipped"),
    _module("an MLP without its norm", "block", _A0, "wired otherwise", kind_="second norm skipped"),
    _module("an MLP beside its attention", "block", _A1, "part lost", kind_="second norm of input"),
    _module("the norms of a block exchanged", "block", _A0, NO_KNOWN_CAUSE, kind_="norms exchanged"),
    _module("a branch added twice", "block", _A1, "weighted otherwise", kind_="branch doubled"),
    _module("distilled heads swapped", "model", "", "token order", quick=True, kind_="heads swapped"),
    _module("distilled heads summed", "model", "", "weighted otherwise", kind_="heads summed"),
    _module("one head of two", "model", "", "wired otherwise", kind_="one head"),
    _module("both heads on the class token", "model", "", "token order", kind_="both from the class token"),
    _module("no position embedding", "model", "", "pos_embed not added", kind_="positions lost"),
    _module("a position embedding turned", "model", "", "wired otherwise", kind_="positions turned"),
    _module("class tokens exchanged in a stage", "stage", f"{_T}.1", "token order", kind_="tokens exchanged"),
    _module("a map turned in a stage", "stage", f"{_T}.1", "token order", kind_="map turned"),
)
WEIGHTS = (
    _weight("a square weight not transposed", "transposed", f"{_A0}.attn.proj.weight", "not transposed", quick=True),
    _weight("two rows swapped", "exchanged", f"{_A1}.mlp.fc1.weight", "rows swapped", quick=True, first=3, second=7),
    _weight("two columns swapped", "exchanged", "head.weight", "columns swapped", first=3, second=7, axis=1),
    _weight("a bias off by 1e-4", "shifted", f"{_A1}.mlp.fc2.bias", "shifted", quick=True, by=1e-4),
    _weight(
        "the key's bias off by 1, which no output shows",
        "key shifted",
        f"{_A0}.attn.qkv.bias",
        "k bias shifted",
        by=1.0,
    ),
    _weight("k before q in a weight", "thirds", f"{_A0}.attn.qkv.weight", "q/k/v order", order=(1, 0, 2)),
    _weight("v before k in a bias", "thirds", f"{_A1}.attn.qkv.bias", "q/k/v order", order=(0, 2, 1)),
    _weight(
        "heads before q, k and v in a weight", "heads first", f"{_A1}.attn.qkv.weight", "head split order", heads=4
    ),
    Fault(
        *("two norms exchanged", "forward", "weights", "swapped", f"{_A0}.norm1.weight", "holds another"),
        arguments={"other": f"{_A0}.norm2.weight"},
        guilty=(f"{_A0}.norm1.weight", f"{_A0}.norm2.weight"),
    ),
    Fault(
        *("the weights of two heads exchanged", "forward", "weights", "swapped", "head.weight", "holds another"),
        arguments={"other": "head_dist.weight"},
        guilty=("head.weight", "head_dist.weight"),
    ),
    _weight("a kernel stored upside down", "flipped", "pools.0.conv.weight", "kernel flipped"),
    _weight("a kernel stored by columns", "turned", "patch_embed.conv.weight", "rows and columns swapped"),
    _weight("a kernel stored for BGR", "reversed", "patch_embed.conv.weight", "channel order", axis=1),
    _weight("a position embedding stored by columns", "turned", "pos_embed", "rows and columns swapped"),
    _weight("class tokens stored in reverse", "reversed", "cls_token", "class token order", axis=1),
    _weight("a weight rounded to float16", "rounded", f"{_A1}.mlp.fc1.weight", "rounded", dtype="float16"),
    _weight("a bias rounded to bfloat16", "rounded", "norm.bias", "rounded", dtype="bfloat16"),
    _weight("one element off by 1e-6", "one element", "head.weight", NO_KNOWN_CAUSE, by=1e-6),
    _weight("a weight scaled by 1.001", "scaled", f"{_A1}.attn.proj.weight", "scaled", by=1.001),
    _weight("a bias of zeros", "constant", "pools.1.fc.bias", "lost", value=0.0),
    _weight("a norm that was never loaded", "constant", f"{_T}.1.blocks.0.norm2.weight", "never loaded", value=1.0),
    Fault(
        *("class tokens after the patches", "forward", "weights", "tokens last", "pos_embed", "class tokens last"),
        arguments={"prefix": 2},
        model="deit_tiny_distilled",
    ),
    Fault(
        *("positions stored by columns", "forward", "weights", "grid turned", "pos_embed", "position embedding order"),
        arguments={"prefix": 2},
        model="deit_tiny_distilled",
    ),
    Fault(
        *("tanh GELU in one block of DeiT", "forward", "module", "activation", "encoder.layers.5.mlp.act", "gelu tanh"),
        arguments={"kind_": "tanh"},
        guilty=("blocks.5.mlp.act",),
        model="deit_tiny_distilled",
    ),
)
BACKWARD = (
    _module("no gradient through an MLP", "detach", f"{_A1}.mlp", "gradient lost", step="bp", what="output"),
    _module("a frozen bias", "detach", f"{_A0}.mlp.fc1", "gradient lost", step="bp", what="bias"),
    _module("a frozen weight", "detach", "head", "gradient lost", step="bp", quick=True, what="weight"),
    _module("no gradient through a shortcut", "block", _A0, "way detached", step="bp", kind_="shortcut detached"),
    _module("no gradient through a softmax", "attention", f"{_A0}.attn", "gradient lost", step="bp", detach=True),
    _module("a gradient doubled", "gradient", f"{_A1}.attn", "gradient scaled", step="bp", factor=2.0),
    _module("a gradient off by 1e-6", "gradient", f"{_A1}.mlp.act", "gradient scaled", step="bp", factor=1 + 1e-6),
    Fault(
        *("the training loss summed", "bp", "module", "soft target", "", "reduction"),
        arguments={"kind_": "sum"},
        guilty=("bp/soft_target", "loss/label_smoothing"),
    ),
    Fault(
        *("hard targets in training", "bp", "module", "soft target", "", ("hard targets", "label smoothing ignored")),
        arguments={"kind_": "hard"},
        guilty=("bp/soft_target", "loss/label_smoothing"),
    ),
    Fault(
        *("half the gradient of the loss", "bp", "module", "soft target", "", "gradient scaled"),
        arguments={"kind_": "half gradient"},
        guilty=("bp/soft_target",),
    ),
)
LOSSES = (
    _function("cross entropy summed", "sum", "loss/cross_entropy", "reduction", quick=True),
    _function("cross entropy over classes too", "mean over classes", "loss/cross_entropy", "reduction"),
    _function("cross entropy of labels off by one", "labels shifted", "loss/cross_entropy", "labels shifted"),
    _function("cross entropy smoothed", "smoothed", "loss/cross_entropy", "label smoothing"),
    _function("cross entropy of a softmax", "softmax twice", "loss/cross_entropy", "softmax twice"),
    _function("label smoothing ignored", "unsmoothed", "loss/label_smoothing", "label smoothing ignored"),
    _function("label smoothing of 0.2 for 0.1", "smoothed more", "loss/label_smoothing", "label smoothing"),
    _function("label smoothing of the others only", "others only", "loss/label_smoothing", "label smoothing"),
    _function("label smoothing summed", "sum", "loss/label_smoothing", "reduction"),
    _function("hard targets for soft ones", "hard", "loss/soft_target", "hard targets"),
    _function("divergence for cross entropy", "divergence", "loss/soft_target", "divergence for entropy"),
    _function("a soft loss that vanishes", "zero", "loss/soft_target", "log targets"),
)
METRICS = (
    _metric("accuracy of another k", "other k", "another k", quick=True),
    _metric("accuracy in percent", "percent", "percent"),
    _metric("error rate for accuracy", "error rate", "error rate"),
    _metric("accuracy of labels off by one", "labels shifted", "labels shifted"),
    _metric("accuracy of the lowest scores", "lowest", "lowest scores"),
    _metric("accuracy that is always 1", "always", "constant"),
    _function("best classes last", "reversed", "metric/top5_classes", "reversed"),
    _function("lowest classes for best", "lowest", "metric/top5_classes", "lowest scores"),
    _function("best classes unsorted", "unsorted", "metric/top5_classes", "unsorted"),
    _function("classes counted from 1", "from one", "metric/top5_classes", "labels shifted"),
)


def _norm(name: str, kind: str, cause: str, *, step: str = "batchnorm", **arguments: object) -> Fault:
    twin, path = "s3.b2.conv3.bn", "stages.2.blocks.1.bn3"
    return Fault(name, step, "module", kind, path, cause, arguments, (twin,), model="regnety_002")


BATCHNORM = (
    _norm("torch's momentum in Paddle", "set", "batchnorm momentum", attribute="_momentum", value=0.1),
    _norm("the biased running variance", "batch norm", "biased variance", kind_="biased"),
    _norm("running statistics that stay", "batch norm", "statistics frozen", kind_="not updated"),
    _norm("gradients with frozen statistics", "batch norm", "frozen statistics", kind_="frozen gradient"),
    _norm("BatchNorm eps 1e-3 for 1e-5", "set", "batchnorm eps", step="forward", attribute="_epsilon", value=1e-3),
    _norm("batch statistics in evaluation", "batch norm", "train mode", step="forward", kind_="batch in evaluation"),
)


def _file(name: str, kind: str, key: str, cause: str, *, quick: bool = False) -> Fault:
    return Fault(name, "files", "files", kind, key, cause, quick=quick)


FILES = (
    _file("NaN in the candidate", "nan", "forward/logits", "NaN", quick=True),
    _file("infinity in the candidate", "infinity", "forward/stage_0", "infinite"),
    _file("an array transposed", "transposed", "forward/logits", "shape"),
    _file("an axis of length one too many", "unsqueezed", "bp/loss_0", "shape"),
    _file("one row that would broadcast", "one row", "forward/logits", "shape"),
    _file("float64 for float32", "wider", "forward/logits", "dtype"),
    _file("float16 for float32", "narrower", "forward/stage_1", "dtype"),
    _file("a key that is missing", "missing", "bp/gradient/norm.weight", "missing"),
    _file("a key too many", "extra", "forward/extra", "missing"),
    _file("no elements", "empty", "forward/stage_2", "shape"),
    _file("rows in another order", "rows", "forward/logits", NO_KNOWN_CAUSE),
    _file("one wrong element of many", "element", "forward/stage_0", NO_KNOWN_CAUSE),
    _file("a gradient of zeros", "zeros", "bp/gradient/norm.bias", NO_KNOWN_CAUSE),
    _file("integers that wrap around", "wrapped", "metric/top5_classes", NO_KNOWN_CAUSE),
)
_ALL = (
    *(*LAYERS, *ATTENTION, *WIRING, *WEIGHTS),
    *(*BACKWARD, *LOSSES, *METRICS, *BATCHNORM, *FILES, *TRAINING),
)
FAULTS: tuple[Fault, ...] = tuple(replace(fault, says=SAYS.get(fault.name, "")) for fault in _ALL)
"""All of them, in the order of the steps; those of training last."""

"""What MindSpore does otherwise, in words, where it is more than precision."""

from __future__ import annotations

import re

_NO_KERNEL = re.compile(r"unregistered|Kernel select failed|Create kernelmod")
_BEND = "where it bends the gradient is another one"
_NOTES: tuple[tuple[str, str], ...] = (
    (r"\| nn\.Conv2d\(4, 6, 3\)$", "unless they are given, pad_mode is 'same' and there is no bias"),
    (r"Conv2dTranspose\(.*output_padding=1", "what output_padding adds is 0, where torch computes it"),
    (r"\| nn\.MaxPool2d\(2\)$", "the window moves by 1 unless stride is given"),
    (r"Adaptive(Avg|Max)Pool1d\(4\)", "the length has to be a multiple of the output's"),
    (r"\| nn\.BatchNorm2d\(4, momentum=0\.1\)$", "momentum is the share that is kept: give 1 - momentum of torch"),
    (r"\| nn\.LayerNorm\(\(6,\)\)$", "epsilon is 1e-7 unless it is given"),
    (r"\| nn\.GELU\(\)$", "it is the approximation by tanh unless approximate=False"),
    (r"\| nn\.LeakyReLU\(\)$", "the slope is 0.2 unless it is given"),
    (r"nn\.LeakyReLU\(0\.01\)", "at 0 the gradient is the mean of both slopes; torch has the lower one"),
    (r"nn\.(ReLU6|HSwish|Hardtanh)\(\)", _BEND),
    (r"nn\.Mish", "large inputs give nan"),
    (r"nn\.LogSigmoid", "inputs of -100 and below give -inf"),
    (r"nn\.RReLU", "the slopes are random in evaluation too"),
    (r"nn\.SeLU", "the gradient of inputs below 0 is wrong, in float32 too"),
    (r"nn\.ELU\(0\.3\)", "alpha can be 1 only"),
    (r"mode='bicubic'\)", "the cubic has a = -0.5, and weights at the border are scaled; torch has a = -0.75"),
    (r"mode='bicubic', align_corners=True\)", "the cubic is looked up in a table"),
    (r"antialias=True", "there is no antialias"),
    (r"scale_factor=(2\.0|1\.7)(?!.*recompute)", "scale_factor needs recompute_scale_factor=True"),
    (r"nn\.Embedding\(.*padding_idx", "the row of padding has a gradient, and is zero only when the layer is made"),
    (r"nn\.Dropout\(p=1\.0\)", "p has to be below 1"),
    (r"nn\.LSTM", "in float64 the gradients are wrong; in float32 they are right"),
    (r"nn\.TripletMarginLoss\(0\.3", "the first argument is p"),
    (r"multi_margin_loss\(.*0\.3", "margin has to be a whole number"),
    (r"ops\.kl_div\(.*ops\.softmax\(y", "what is given as the label gets no gradient"),
    (r"\| optim\.Adagrad", "in float64 it changes nothing; in float32 it does what torch's does"),
    (r"\| (optim|nn)\.Adam\(", "eps is added before the second moment's bias is corrected"),
    (r"\| nn\.AdamWeightDecay", "the bias of the moments is not corrected"),
    (r"\| nn\.RMSProp", "the mean of squares begins with 1"),
)
"""A pattern of both texts, and what is different."""


def note_of(torch: str, text: str) -> str:
    """Return what is different about a text of MindSpore beside torch's; empty where nothing is known.

    Args:
        torch: Text of torch.
        text: MindSpore's.
    """
    both = f"{torch} | {text}"
    return next((note for pattern, note in _NOTES if re.search(pattern, both)), "")


def in_words(error: str) -> str:
    """Return an error of MindSpore as the page says it: a kernel that is missing is no more than that."""
    return "has no kernel on the CPU" if _NO_KERNEL.search(error) else error

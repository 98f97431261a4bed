"""Mistakes in a classifier of blocks as in ConvNeXt V2 and in EfficientNet."""

from __future__ import annotations

from functools import partial

from benchmarks.mistakes.mistake import Mistake

_planted = partial(Mistake, net="convnet")
_BLOCKS = "blocks.?"

CONVNET: tuple[Mistake, ...] = (
    _planted("layer scale left out", old="(self.gamma * y)", new="y", guilty=_BLOCKS, cause="gamma|scale"),
    _planted(
        "mean of the norms over another axis",
        old="norms.mean(-1,",
        new="norms.mean(1,",
        guilty="blocks.?.response",
        cause="axis 1, not 3|axis",
    ),
    _planted(
        "norms over other axes",
        old=".sum([1, 2], keepdim=True)",
        new=".sum([2, 3], keepdim=True)",
        guilty="blocks.?.response",
        cause="axes",
    ),
    _planted(
        "response without what it gets",
        old="+ self.shift + x",
        new="+ self.shift",
        guilty="blocks.?.response",
        cause="what it gets",
    ),
    _planted(
        "response without a root",
        old="paddle.sqrt((x * x).sum([1, 2], keepdim=True))",
        new="(x * x).sum([1, 2], keepdim=True)",
        guilty="blocks.?.response",
        cause="root|sqrt",
    ),
    _planted(
        "gate beside what it gets",
        old="return x * F.sigmoid",
        new="return x + x * F.sigmoid",
        guilty="late.?.gate",
        cause=r"what it gets|'\+', of which only the right side",
    ),
    _planted(
        "ReLU in the gate", old="F.silu(self.fc1(", new="F.relu(self.fc1(", guilty="late.?.gate", cause="relu .*silu"
    ),
    _planted(
        "largest value in the gate",
        old="nn.AdaptiveAvgPool2D(1)",
        new="nn.AdaptiveMaxPool2D(1)",
        guilty="late.?.gate*",
        cause="largest",
    ),
    _planted(
        "no residual",
        old="self.residual = stride == 1 and width == out",
        new="self.residual = stride == 1 and width == out + 1",
        guilty="late.0",
        cause="what it gets",
    ),
    _planted(
        "activation after the last norm",
        old="bias_attr=False), _norm(out))",
        new="bias_attr=False), _norm(out), nn.Silu())",
        guilty="late.?*",
        cause="silu",
    ),
    _planted(
        "activation left out",
        old="bias_attr=False), _norm(wide), nn.Silu())\n        self.mid",
        new="bias_attr=False), _norm(wide))\n        self.mid",
        guilty="late.?|late.?.up*",
        cause="silu|activation",
    ),
    _planted(
        "final norm left out",
        old="self.final_norm(x.mean([2, 3]))",
        new="x.mean([2, 3])",
        guilty="",
        cause="final_norm|norm",
    ),
    _planted(
        "mean after the final norm",
        old="self.final_norm(x.mean([2, 3]))",
        new="self.final_norm(x.transpose([0, 2, 3, 1])).mean([1, 2])",
        guilty="",
        cause="mean",
    ),
    _planted("sum for the mean", old="x.mean([2, 3])", new="x.sum([2, 3])", guilty="", cause="4 the mean|sum"),
    _planted(
        "blocks in reverse order",
        old="for block in self.blocks:",
        new="for block in self.blocks[::-1]:",
        guilty="",
        cause="blocks",
    ),
    _planted(
        "a block left out",
        old="for block in self.blocks:",
        new="for block in self.blocks[:1]:",
        guilty="",
        cause="blocks",
    ),
    _planted(
        "padding of the first convolution",
        old="nn.Conv2D(3, 12, 4, stride=4)",
        new="nn.Conv2D(3, 12, 4, stride=4, padding=2)",
        guilty="patchify",
        cause="padding is 2, not 0",
    ),
    _planted(
        "rows and columns exchanged on the way back",
        old="(self.gamma * y).transpose([0, 3, 1, 2])",
        new="(self.gamma * y).transpose([0, 3, 2, 1])",
        guilty=_BLOCKS,
        cause="exchange",
    ),
    _planted(
        "norm before the convolution",
        old="x = self.patch_norm(self.patchify(x))",
        new="x = self.patchify(x)",
        guilty="",
        cause="patch_norm|norm",
    ),
    _planted(
        "rate of the drop path",
        old="ConvBlock(12, 0.1)",
        new="ConvBlock(12, 0.2)",
        guilty="blocks.1.path",
        cause="rate 0.1, the candidate none",
        hidden=True,
    ),
    _planted(
        "rate of the dropout", old="nn.Dropout(0.2)", new="nn.Dropout(0.5)", guilty="drop", cause="0.5", hidden=True
    ),
    _planted("no dropout", old="self.fc(self.drop(x))", new="self.fc(x)", guilty="drop|", cause="0.2", hidden=True),
    _planted(
        "drop path without its factor",
        old="return x / keep * mask",
        new="return x * mask",
        guilty="blocks.1.path",
        cause="scale|divide|multiplied|factor",
        hidden=True,
    ),
    _planted(
        "drop path of the whole batch",
        old="paddle.full([x.shape[0], 1, 1, 1], keep, x.dtype)",
        new="paddle.full([1, 1, 1, 1], keep, x.dtype)",
        guilty="blocks.1.path",
        cause="batch|sample",
        hidden=True,
    ),
    _planted(
        "layer scale is not trained",
        old="self.path = StochasticDepth(rate)",
        new="self.path = StochasticDepth(rate)\n        self.gamma.stop_gradient = True",
        guilty=_BLOCKS,
        cause="gamma|layer_scale",
        hidden=True,
    ),
    _planted(
        "momentum of the norms",
        old="momentum=0.99",
        new="momentum=0.9",
        guilty="late.*",
        cause="share of 0.1 in them, not 0.01",
        hidden=True,
    ),
    _planted(
        "gate's gradient stopped",
        old="self.fc1(self.pool(x))",
        new="self.fc1(self.pool(x.detach()))",
        guilty="late.?.gate",
        cause=r"detach\(\) stops",
        hidden=True,
    ),
)

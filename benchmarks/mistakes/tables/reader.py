"""Mistakes in a reader of text with recurrent layers, and in boxes."""

from __future__ import annotations

from functools import partial

from benchmarks.mistakes.mistake import Mistake

_planted = partial(Mistake, net="reader")

READER: tuple[Mistake, ...] = (
    _planted("order of the gates", old="i, f, g, o = (", new="i, f, o, g = (", guilty="writer", cause="order"),
    _planted(
        "input and forget gate exchanged", old="i, f, g, o = (", new="f, i, g, o = (", guilty="writer", cause="order"
    ),
    _planted(
        "a bias of the forget gate",
        old="c = F.sigmoid(f) * c",
        new="c = F.sigmoid(f + 1.0) * c",
        guilty="writer",
        cause=r"'\+', of which only the left side",
    ),
    _planted(
        "begins without a state",
        old="c = self.first_c.unsqueeze(0).expand([x.shape[0], -1])",
        new="c = paddle.zeros([x.shape[0], self.first_c.shape[0]], x.dtype)",
        guilty="writer",
        cause="first_c|zeros",
    ),
    _planted(
        "states of the beginning exchanged",
        old="h = self.first_h.unsqueeze(0)",
        new="h = self.first_c.unsqueeze(0)",
        guilty="writer",
        cause="first_",
    ),
    _planted(
        "the other direction",
        old="for time in range(x.shape[1]):",
        new="for time in reversed(range(x.shape[1])):",
        guilty="writer",
        cause="backwards|reverse",
    ),
    _planted(
        "no tanh of the cell",
        old="F.sigmoid(o) * paddle.tanh(c)",
        new="F.sigmoid(o) * c",
        guilty="writer",
        cause="tanh",
    ),
    _planted("the cell is given", old="outputs.append(h)", new="outputs.append(c)", guilty="writer", cause="cell|tanh"),
    _planted(
        "sigmoid for tanh",
        old="F.sigmoid(i) * paddle.tanh(g)",
        new="F.sigmoid(i) * F.sigmoid(g)",
        guilty="writer",
        cause="sigmoid .*tanh",
    ),
    _planted(
        "directions exchanged",
        old="both, _ = self.context(line)",
        new="both, _ = self.context(line)\n        both = paddle.concat([both[..., 6:], both[..., :6]], -1)",
        guilty="",
        cause="joins in the order|exchanged",
    ),
    _planted(
        "the first step for the last",
        old="_, last = self.gist(both)",
        new="last, _ = self.gist(both)\n        last = last[:, 0].unsqueeze(0)",
        guilty="",
        cause=r"gist|\[:, 0\] of .*\[:, 11\] is meant",
    ),
    _planted(
        "rows before channels",
        old="x.transpose([0, 3, 1, 2]).flatten(2)",
        new="x.transpose([0, 3, 2, 1]).flatten(2)",
        guilty="",
        cause="exchanged",
    ),
    _planted(
        "reshaped, not transposed",
        old="x.transpose([0, 3, 1, 2]).flatten(2)",
        new="x.reshape([x.shape[0], x.shape[3], -1])",
        guilty="",
        cause="exchanged|transpose",
    ),
    _planted(
        "width and height of the anchors",
        old="self.sizes.reshape([2, 1, 1, 2])",
        new="self.sizes.flip(-1).reshape([2, 1, 1, 2])",
        guilty="|places",
        cause="flip|backwards|reverse",
    ),
    _planted(
        "anchors and coordinates in another order",
        old="reshape([n, 2, 4, height, width]).transpose([0, 1, 3, 4, 2])",
        new="reshape([n, 4, 2, height, width]).transpose([0, 2, 3, 4, 1])",
        guilty="|places",
        cause="split as",
    ),
    _planted(
        "rows for columns",
        old="paddle.stack([xs, ys], axis=-1)",
        new="paddle.stack([ys, xs], axis=-1)",
        guilty="|places",
        cause="joins in the order",
    ),
    _planted(
        "offset of the centres", old="* 2 - 0.5 + cells", new="* 2 + cells", guilty="|places", cause="2|shift|added"
    ),
    _planted(
        "bound of the sizes",
        old="t[..., 2:], max=4.0)",
        new="t[..., 2:], max=0.0)",
        guilty="|places",
        cause="max|bound|clip",
    ),
    _planted(
        "half of the size",
        old="[middle - extent / 2, middle + extent / 2]",
        new="[middle - extent, middle + extent]",
        guilty="|places",
        cause="2",
    ),
    _planted(
        "middle and size for corners",
        old="[middle - extent / 2, middle + extent / 2]",
        new="[middle, extent]",
        guilty="|places",
        cause="joins|concat",
    ),
    _planted(
        "boxes in another order",
        old="middle + extent / 2], axis=-1).reshape([n, -1, 4])",
        new="middle + extent / 2], axis=-1).transpose([0, 2, 3, 1, 4]).reshape([n, -1, 4])",
        guilty="|places",
        cause="exchanged",
    ),
    _planted(
        "softmax for sigmoid",
        old="F.sigmoid(self.found(x)).flatten(1)",
        new="F.softmax(self.found(x), axis=1).flatten(1)",
        guilty="",
        cause="softmax .*sigmoid",
    ),
    _planted(
        "scores with channels last",
        old="F.sigmoid(self.found(x)).flatten(1)",
        new="F.sigmoid(self.found(x)).transpose([0, 2, 3, 1]).flatten(1)",
        guilty="",
        cause="exchanged",
    ),
    _planted(
        "width of the pooling",
        old="nn.MaxPool2D((2, 1))",
        new="nn.MaxPool2D((2, 3), stride=(2, 1), padding=(0, 1))",
        guilty="stem*",
        cause="kernel_size",
    ),
    _planted(
        "padding of one side",
        old="nn.Conv2D(8, 8, 3, padding=1, groups=2)",
        new="nn.Conv2D(8, 8, 3, padding=[0, 2, 0, 2], groups=2)",
        guilty="body*",
        cause="padding|one pixel",
    ),
    _planted(
        "gradient through time stopped",
        old="self.state(h))",
        new="self.state(h.detach()))",
        guilty="writer",
        cause=r"detach\(\) stops",
        hidden=True,
    ),
    _planted(
        "a dropout between",
        old="line = x.transpose([0, 3, 1, 2]).flatten(2)",
        new="line = F.dropout(x.transpose([0, 3, 1, 2]).flatten(2), 0.2, training=self.training)",
        guilty="",
        cause="stays on|dropout",
        hidden=True,
    ),
    _planted(
        "no gradient of the grid's scores",
        old='"scores": F.sigmoid(self.found(x)).flatten(1)',
        new='"scores": F.sigmoid(self.found(x.detach())).flatten(1)',
        guilty="",
        cause=r"detach\(\) stops",
        hidden=True,
    ),
)

"""Mistakes beside scores that a mask fills in, and around an activation in place."""

from __future__ import annotations

from functools import partial

from benchmarks.mistakes.mistake import Mistake

_planted = partial(Mistake, net="scorer", hidden=True)

SCORER: tuple[Mistake, ...] = (
    _planted(
        "0.01 more beside fills of -1e9",
        old="-1e9, x.dtype), self.fc(x))",
        new="-1e9, x.dtype), self.fc(x) + 0.01)",
        guilty="",
        cause=r"0\.01",
    ),
    _planted(
        "1 more beside fills of -1e12",
        old="-1e12, x.dtype), self.far(x))",
        new="-1e12, x.dtype), self.far(x) + 1.0)",
        guilty="",
        cause="1 is added",
    ),
    _planted(
        "a shortcut that an activation in place should have changed",
        old="return y + self.conv(y)",
        new="return x + self.conv(y)",
        guilty="block",
        cause="what it gets|leaky",
    ),
)

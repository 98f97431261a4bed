"""Known mistakes, by the kind of finding that they explain; every module here holds those of one place."""
from __future__ import annotations
from collections.abc import Mapping
from alignment.hypotheses.base import Hypotheses
HYPOTHESES: Mapping[str, tuple[Hypotheses, ...]] = {k: () for k in ("module","parameter","statistic","function")}

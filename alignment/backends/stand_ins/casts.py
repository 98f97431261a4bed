"""Names of what a model's own code does in float32 although the model is in float64: a cast, or a table.

In a run with exact versions it is lifted: the float64 run is the float32 run with float64 in the place of float32.
"""

from __future__ import annotations

import sys
from collections.abc import MutableMapping
from pathlib import Path
from types import FrameType

from alignment.recordings.kernels import CAST, Kernel

_OWN = str(Path(__file__).parents[3] / "alignment")


def caller(package: str) -> FrameType | None:
    """Return the frame of the code that called into a framework; None where this toolkit has called.

    Args:
        package: Folder of the framework, whose own frames are passed over.
    """
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and frame.f_code.co_filename.startswith((package, _OWN + "/backends/stand_ins")):
        frame = frame.f_back
    return None if frame is None or frame.f_code.co_filename.startswith(_OWN) else frame


def count(used: MutableMapping[str, Kernel], frame: FrameType) -> None:
    """Count one lifted cast under its place: `modeling_llama.py:68`."""
    place = f"{Path(frame.f_code.co_filename).name}:{frame.f_lineno}"
    name = CAST + place
    used[name] = used.get(name, Kernel(name)).called(0.0)

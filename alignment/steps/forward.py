"""Model forward: logits, the feature map of every stage, and the weights themselves.

The weights are compared because outputs cannot tell all of them: a constant added to the K bias of an attention leaves
every output as it was.
"""

from __future__ import annotations

from collections.abc import Iterator

from alignment.recordings.recording import Entry
from alignment.steps.base import Quantity, Trial

_OUTPUT = Entry("output", "forward")
_PARAMETER = Entry("parameter", "forward")


def run(trial: Trial) -> Iterator[Quantity]:
    """Record `forward/logits`, `forward/stage_<i>`, `forward/parameters/<canonical name>` and those of constants.

    A model that gives several tensors has each under its name: `forward/last_hidden_state`, `forward/hidden_states.0`.
    """
    outputs = trial.outputs
    for name, array in outputs.by_name.items():
        yield Quantity(f"forward/{name}", array, _OUTPUT)
    for index, stage in enumerate(outputs.stages):
        yield Quantity(f"forward/stage_{index}", stage, _OUTPUT)
    if trial.record_parameters:
        contract = trial.pair.contract
        apart = {*contract.constants, *contract.empty, *contract.dropped} if contract else ()
        for name, array in trial.canonical(trial.backend.state()).items():
            if name not in apart:
                yield Quantity(f"forward/parameters/{name}", array, _PARAMETER)
        for name, array in trial.constants.items():
            yield Quantity(f"forward/constants/{name}", array, _PARAMETER)

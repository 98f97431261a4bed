"""Among the quantities of the check points of training that diverge, those that do not follow from others."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from alignment.results.report import Row
from alignment.steps.distributed import WORKERS

_UPDATE = re.compile(r"(loss|lr|gradient_norm)_(\d+)$")
_STEP = re.compile(r"step_(\d+)/(\w+)/(.+)$")
_FAMILIES: Mapping[str, tuple[tuple[str, str], ...]] = {
    "data": (
        ("pictures", r"dataset_|dataloader_"),
        ("images", r"images$"),
        ("labels", r"labels_"),
        ("listing", r"folder/|list/"),
    ),
    "train_data": (("orders", r"order_"), ("samples", r"sample_"), ("mixing", r"mixed_|targets_")),
    "schedule": (("lr", r"lr$"), ("relative_rates", r"relative_rate/")),
    "inference": (("answers", r"probabilities|top5_classes"),),
    "regularisation": (("decays", r"decay/"), ("drop_paths", r"drop_path/|dropout/|stochastic_layers|rate_")),
}
"""Quantities of a check point that have the same cause: their common name, and a pattern of their keys."""
_FIRST_ORDER = "train_data/order_0"
"""If this differs, other images are augmented, and differences of the samples follow from it."""


@dataclass(frozen=True, slots=True)
class FirstDifference:
    """Quantities whose differences have one cause and follow from no others.

    Attributes:
        step: The check point.
        path: Key of the quantity, or the common name of several.
        rows: Rows of the quantities.
        family: Pattern of all keys that depend on the same cause, those that agree included; empty for the rows' only.
    """

    step: str
    path: str
    rows: tuple[Row, ...]
    family: str = ""

    @property
    def keys(self) -> tuple[str, ...]:
        """Keys of the quantities."""
        return tuple(row.key for row in self.rows)

    def kin(self, recorded: Iterable[str]) -> tuple[str, ...]:
        """The recorded keys that match `family` without those of the quantities that differ."""
        return tuple(key for key in recorded if self.family and re.match(self.family, key) and key not in self.keys)

    @property
    def updates(self) -> int | None:
        """Number of updates after which the quantities exist; None where that is all."""
        match = _UPDATE.search(self.path)
        return None if match is None else int(match[2]) + 1


def first_differences(rows: Sequence[Row]) -> Iterator[FirstDifference]:
    """Group the quantities that diverge by their cause, without those that follow from others.

    Args:
        rows: Rows of the quantities that diverge, in the order of their recording.
    """
    for step in dict.fromkeys(row.step for row in rows):
        own = [row for row in rows if row.step == step]
        if step in ("train", "distributed"):
            yield from _of_run(step, own)
        elif step == "optimizer":
            yield _of_optimizer(own)
        elif step in _FAMILIES:
            yield from _of_families(step, own)
        else:
            for row in own:
                yield FirstDifference(step, row.key.replace("/sample/", "/", 1), (row,))


def _of_families(step: str, rows: Sequence[Row]) -> Iterator[FirstDifference]:
    for name, pattern in _FAMILIES[step]:
        own = tuple(row for row in rows if re.match(pattern, row.key.removeprefix(f"{step}/")))
        if own and not (name == "samples" and any(row.key == _FIRST_ORDER for row in rows)):
            yield FirstDifference(step, own[0].key if len(own) == 1 else f"{step}/{name}", own, f"{step}/(?:{pattern})")


def _of_run(step: str, rows: Sequence[Row]) -> Iterator[FirstDifference]:
    """The first update that differs; where none does, the weights or their average.

    The workers of the reference count only where its one process and the candidate agree.
    """
    rows = [row for row in rows if f"/{WORKERS}" not in row.key] or rows
    numbered = [(int(match[2]), row) for row in rows if (match := _UPDATE.search(row.key)) is not None]
    if numbered:
        first = min(number for number, _ in numbered)
        at_first = [row for number, row in numbered if number == first]
        rate = [row for row in at_first if "/lr_" in row.key]
        for row in rate or at_first:
            yield FirstDifference(step, row.key, (row,))
        return
    for part in ("weights", "ema"):
        own = tuple(row for row in rows if row.key.startswith(f"{step}/{part}/"))
        if own:
            yield FirstDifference(step, f"{step}/{part}", own)


def _of_optimizer(rows: Sequence[Row]) -> FirstDifference:
    """The first step that differs: one parameter, or how all are updated."""
    parsed = [(match, row) for row in rows if (match := _STEP.search(row.key)) is not None]
    first = min(int(match[1]) for match, _ in parsed)
    own = [(match, row) for match, row in parsed if int(match[1]) == first]
    names = list(dict.fromkeys(match[3] for match, _ in own))
    kinds = list(dict.fromkeys(match[2] for match, _ in own))
    path = f"optimizer/{kinds[0] if len(kinds) == 1 else 'state'}/{names[0]}" if len(names) == 1 else "optimizer/all"
    return FirstDifference("optimizer", path, tuple(row for _, row in own))

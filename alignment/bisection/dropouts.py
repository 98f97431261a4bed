"""Rates of dropouts and drop paths, which are off while modules are compared, and show in nothing that these give."""

from __future__ import annotations

from collections.abc import Container, Iterator, Mapping

from alignment.backends.base import Module
from alignment.backends.randomness import rates
from alignment.results.findings import Cause, Evidence, Finding


def other_rates(
    reference: Mapping[str, Module], candidate: Mapping[str, Module], paths: Mapping[str, str], called: Container[str]
) -> Iterator[Finding]:
    """Yield a finding for each module whose rate is not that of its counterpart, and that neither model has elsewhere.

    A rate that both models have somewhere says nothing of one module: they may be cut otherwise, or have other names.

    Args:
        reference: The reference's modules by path.
        candidate: The candidate's.
        paths: Path in the candidate to path in the reference.
        called: Paths of the candidate's modules that are called.
    """
    theirs, ours = ({path: _rate(module) for path, module in side.items()} for side in (reference, candidate))
    known = set(theirs.values()) & set(ours.values())
    for path, twin in paths.items():
        own, meant = ours.get(path), theirs.get(twin)
        if path not in called or not own or not meant or own == meant or own in known or meant in known:
            continue
        says = f"its rate is {own:g}, not {meant:g}"
        evidence = Evidence("rate in training mode", abs(own - meant) / meant, f"{own:g}, {meant:g} in the reference")
        place = f"{path or 'the model'}: the rate of its {candidate[path].kind}"
        yield Finding(
            "module", twin, path, "train", "forward", (evidence,), (Cause("dropout rate", says, place, own, 0.0),)
        )


def _rate(module: Module) -> float | None:
    """The one rate of a module; None for one without a rate, or with several."""
    values = set(rates(module.kind, module.bases or (module.kind,), module.settings).values())
    return values.pop() if len(values) == 1 else None

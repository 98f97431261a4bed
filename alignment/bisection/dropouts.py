"""Rates of dropouts and drop paths, which are off while modules are compared, and show in nothing that these give."""

from __future__ import annotations

from collections.abc import Container, Iterator, Mapping, Sequence
from dataclasses import replace

from alignment.backends.base import Backend, Module, Taps
from alignment.backends.randomness import rates
from alignment.bisection.twins import inside
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


def has_dropouts(backend: Backend, taps: Taps) -> bool:
    """Return True if a model in training mode has drawn by functions, or has modules that draw."""
    return bool(backend.drawn) or any(map(_rates, taps.modules.values()))


def other_places(
    finding: Finding, reference: Mapping[str, Module], candidate: Mapping[str, Module], hypotheses: bool
) -> Finding:
    """Return the finding of a module that differs only in where its dropouts are, with what is known of these.

    Args:
        finding: The finding.
        reference: The reference's modules by path.
        candidate: The candidate's.
        hypotheses: Whether causes are asked for.
    """
    if not hypotheses:
        return finding
    theirs, ours = _rates_in(reference, finding.path), _rates_in(candidate, finding.candidate)
    says = "a dropout or drop path in it is missing, is one too many, or stands at another place than in the reference"
    if len(theirs) == len(ours) == 1:
        says = f"its rate is {ours[0]:g}, not {theirs[0]:g}" if ours != theirs else says
    elif theirs != ours:
        says += f" (rates of its modules: {_listed(ours)}; {_listed(theirs)} in the reference)"
    before = max((evidence.error or 0.0 for evidence in finding.evidence), default=0.0)
    place = f"{finding.candidate or 'the model'}: its dropouts"
    return replace(finding, causes=(Cause("dropout place", says, place, before, 0.0),))


def _rates_in(modules: Mapping[str, Module], path: str) -> list[float]:
    """The rates of a module and of those in it, in their order."""
    own = (module for name, module in modules.items() if name == path or inside(name, path))
    return [rate for module in own for rate in sorted(_rates(module))]


def _rates(module: Module) -> set[float]:
    return set(rates(module.kind, module.bases or (module.kind,), module.settings).values())


def _listed(values: Sequence[float]) -> str:
    return ", ".join(f"{value:g}" for value in values) or "none"


def _rate(module: Module) -> float | None:
    """The one rate of a module; None for one without a rate, or with several."""
    values = _rates(module)
    return values.pop() if len(values) == 1 else None

"""Which module of the candidate stands for which of the reference: those that hold the same parameters.

Modules without parameters (an activation, a dropout) go by their name within the nearest module that has some. Where
this finds two that are not meant to compute the same, `Pair.paths` says so.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase

from alignment.backends.base import Module
from alignment.pair import Pair, Role
from alignment.pair.layouts import inward

_OTHER_FUNCTIONS: Mapping[tuple[str, str], Mapping[str, str | None]] = {
    ("deit", "paddlevit"): {"patch_embedding": None},
    ("regnet", "paddlevit"): {"stem.1": None, "stages.*.bn1": None, "stages.*.bn2": None},
    ("regnet", "mindcv"): {"stem.bn": None, "*.f.a_bn": None, "*.f.b_bn": None},
}
"""By family and layout, modules that hold the parameters of one of timm's and do not do the same: its patch embedding
gives tokens, not a map, and most of its batch norms end with the ReLU."""


@dataclass(frozen=True)
class Counterparts:
    """The modules of two models, matched.

    Attributes:
        paths: Path in the candidate to path in the reference.
        held: Path in the candidate to the canonical names of the tensors in its counterpart.
        reference_only: Paths in the reference that nothing in the candidate stands for.
        candidate_only: The other way round.
    """

    paths: Mapping[str, str]
    held: Mapping[str, frozenset[str]]
    reference_only: tuple[str, ...]
    candidate_only: tuple[str, ...]


def match(pair: Pair, reference: Mapping[str, Module], candidate: Mapping[str, Module]) -> Counterparts:
    """Match the modules of both sides of a pair.

    Args:
        pair: Its layouts say which parameters are the same, its `paths` what else is known.
        reference: Modules of the reference by path.
        candidate: Modules of the candidate by path.
    """
    ours, theirs = _held(pair, "candidate", candidate), _held(pair, "reference", reference)
    whole = {path: names for path, (names, _) in theirs.items()}
    matched = _by_parameters(whole, {path: names for path, (names, _) in ours.items()}) | {"": ""}
    matched |= _by_most_parameters(whole, ours, matched)
    for path in candidate:
        if path not in matched and not any(ours[path]):
            above = next((each for each in _ancestors(path) if each in matched), None)
            if above is not None:
                twin = _joined(matched[above], path[len(above) :].lstrip("."))
                if twin in reference and not whole[twin]:
                    matched[path] = twin
    known = _OTHER_FUNCTIONS.get((pair.architecture.family, pair.candidate.layout), {})
    matched = _corrected(matched, {**known, **pair.paths}, candidate)
    return Counterparts(
        matched,
        {path: whole.get(twin, frozenset()) for path, twin in matched.items()},
        tuple(path for path in reference if path not in matched.values()),
        tuple(path for path in candidate if path not in matched),
    )


def _held(pair: Pair, role: Role, modules: Mapping[str, Module]) -> dict[str, tuple[frozenset[str], frozenset[str]]]:
    """Path to the canonical names of all tensors that the module and what is in it hold: whole, and in part only."""
    own = _canonical_names(pair, role)
    direct = {path: {name for name in module.parameters if name in own} for path, module in modules.items()}
    found: dict[str, set[str]] = defaultdict(set)
    for path, names in direct.items():
        for each in (path, *_ancestors(path)):
            found[each] |= names
    sources = inward(pair, role)
    whole = {name: set(sources.sources_of(name)) for name in sources.outputs if sources.sources_of(name)}
    needed: dict[str, set[str]] = defaultdict(set)
    for name, parts in whole.items():
        for part in parts:
            needed[part].add(name)
    touched = {path: {name for part in found[path] for name in needed[part]} for path in modules}
    return {
        path: (
            frozenset(name for name in names if whole[name] <= found[path]),
            frozenset(name for name in names if not whole[name] <= found[path]),
        )
        for path, names in touched.items()
    }


def _canonical_names(pair: Pair, role: Role) -> set[str]:
    plan = inward(pair, role)
    counters = set(pair.architecture.counters)
    return {source for name in plan.outputs if name not in counters for source in plan.sources_of(name)}


def _by_parameters(reference: Mapping[str, frozenset[str]], candidate: Mapping[str, frozenset[str]]) -> dict[str, str]:
    """Modules of equal holdings; of several around the same ones the innermost go together, then the next."""
    around: dict[frozenset[str], list[str]] = defaultdict(list)
    for path, names in reference.items():
        around[names].append(path)
    found: dict[str, str] = {}
    inner: dict[frozenset[str], list[str]] = defaultdict(list)
    for path, names in candidate.items():
        inner[names].append(path)
    for names, paths in inner.items():
        if names:
            outwards = (
                sorted(each, key=lambda path: -path.count(".") if path else 1) for each in (paths, around[names])
            )
            found.update(zip(*outwards, strict=False))
    return found


def _by_most_parameters(
    reference: Mapping[str, frozenset[str]],
    candidate: Mapping[str, tuple[frozenset[str], frozenset[str]]],
    matched: Mapping[str, str],
) -> dict[str, str]:
    """Modules left over that hold the same but for tensors that the candidate has in parts, in several modules.

    PaddleViT's RegNet is one: half of what is one running mean in timm is the bias of the convolution before it.
    """
    taken = set(matched.values())
    free = {path: names for path, names in reference.items() if path not in taken and names}
    found = {}
    for path, (names, partly) in candidate.items():
        twins = [twin for twin, held in free.items() if names and partly and held - partly == names]
        if path not in matched and twins:
            found[path] = twins[-1]
    return found


def _corrected(matched: Mapping[str, str], known: Mapping[str, str | None], candidate: Iterable[str]) -> dict[str, str]:
    """The matches without those that the pair denies, and with those that it declares."""
    declared = {path: twin for path, twin in known.items() if twin is not None}
    kept = {
        path: twin
        for path, twin in matched.items()
        if not any(fnmatchcase(path, pattern) for pattern, denied in known.items() if denied is None)
    }
    return {**kept, **{path: twin for path, twin in declared.items() if path in set(candidate)}}


def _ancestors(path: str) -> list[str]:
    """The paths above, nearest first, the model itself last."""
    parts = path.split(".") if path else []
    return [".".join(parts[:length]) for length in range(len(parts) - 1, -1, -1)]


def _joined(parent: str, name: str) -> str:
    return f"{parent}.{name}" if parent else name

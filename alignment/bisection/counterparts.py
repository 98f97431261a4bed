"""Matching of the candidate's modules with the reference's: two modules match if they hold the same parameters.

Modules without parameters (an activation, a dropout) match by their name within the nearest module that has some.
`Pair.paths` corrects matches of modules that are not meant to compute the same.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Set
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
"""By family and layout, modules that hold the same parameters as one of timm's and compute something else: timm's patch
embedding returns tokens, not a map, and most of timm's batch norms include the ReLU."""


_LISTS = ("ModuleList", "ModuleDict", "LayerList", "LayerDict", "CellList", "CellDict")
"""Classes of the frameworks that hold modules and are never called themselves."""


@dataclass(frozen=True)
class Counterparts:
    """The matching modules of two models.

    Attributes:
        paths: Path in the candidate to path in the reference.
        held: Path in the candidate to the canonical names of the tensors in its counterpart.
        reference_only: Paths in the reference without a match in the candidate.
        candidate_only: Paths in the candidate without a match in the reference.
    """

    paths: Mapping[str, str]
    held: Mapping[str, frozenset[str]]
    reference_only: tuple[str, ...]
    candidate_only: tuple[str, ...]


def match(pair: Pair, reference: Mapping[str, Module], candidate: Mapping[str, Module]) -> Counterparts:
    """Match the modules of both sides of a pair.

    Args:
        pair: Its layouts say which parameters are the same, its `paths` which modules match or do not.
        reference: Modules of the reference by path.
        candidate: Modules of the candidate by path.
    """
    ours, theirs = _held(pair, "candidate", candidate), _held(pair, "reference", reference)
    whole = {path: names for path, (names, _) in theirs.items()}
    lists = {path for modules in (reference, candidate) for path, one in modules.items() if one.kind in _LISTS}
    matched = _by_parameters(whole, {path: names for path, (names, _) in ours.items()}, lists) | {"": ""}
    matched |= _by_most_parameters(whole, ours, matched)
    for path in candidate:
        if path not in matched and not any(ours[path]):
            above = next((ancestor for ancestor in _ancestors(path) if ancestor in matched), None)
            if above is not None:
                name = path[len(above) :].lstrip(".")
                twin = f"{matched[above]}.{name}" if matched[above] else name
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
    """Path to the canonical names of the tensors that a module and its submodules hold: in full, and only in part.

    Who holds a tensor that has several names, such as an embedding's and a head's, holds all of it.
    """
    plan, counters = inward(pair, role), pair.architecture.counters
    described = getattr(pair.contract, role).tensors if pair.contract else {}
    first = {name: info.same_as or name for name, info in described.items()}
    whole = {name: {first.get(part, part) for part in plan.sources_of(name)} for name in plan.outputs}
    whole = {name: parts for name, parts in whole.items() if parts}
    compared = {part for name, parts in whole.items() if name not in counters for part in parts}
    held: dict[str, set[str]] = defaultdict(set)
    for path, module in modules.items():
        for holder in (path, *_ancestors(path)):
            held[holder] |= compared & {first.get(name, name) for name in module.parameters}
    needed: dict[str, set[str]] = defaultdict(set)
    for name, parts in whole.items():
        for part in parts:
            needed[part].add(name)
    touched = {path: {name for part in held[path] for name in needed[part]} for path in modules}
    return {
        path: (
            frozenset(name for name in names if whole[name] <= held[path]),
            frozenset(name for name in names if not whole[name] <= held[path]),
        )
        for path, names in touched.items()
    }


def _by_parameters(
    reference: Mapping[str, frozenset[str]], candidate: Mapping[str, frozenset[str]], lists: Set[str]
) -> dict[str, str]:
    """Match modules that hold the same tensors; of nested ones that do, the innermost match, then the next.

    Lists of modules, which nothing calls, come last.
    """
    around: dict[frozenset[str], list[str]] = defaultdict(list)
    for path, names in reference.items():
        around[names].append(path)
    matches: dict[str, str] = {}
    inner: dict[frozenset[str], list[str]] = defaultdict(list)
    for path, names in candidate.items():
        inner[names].append(path)
    for names, paths in inner.items():
        if names:
            outwards = (
                sorted(nested, key=lambda path: (path in lists, -path.count(".") if path else 1))
                for nested in (paths, around[names])
            )
            matches.update(zip(*outwards, strict=False))
    return matches


def _by_most_parameters(
    reference: Mapping[str, frozenset[str]],
    candidate: Mapping[str, tuple[frozenset[str], frozenset[str]]],
    matched: Mapping[str, str],
) -> dict[str, str]:
    """Match the remaining modules that hold the same but for tensors of which the candidate's module has a part only.

    In PaddleViT's RegNet a part of what is one running mean in timm is the bias of the convolution before it.
    """
    taken = set(matched.values())
    free = {path: names for path, names in reference.items() if path not in taken and names}
    matches = {}
    for path, (names, partly) in candidate.items():
        twins = [twin for twin, held in free.items() if names and partly and held - partly == names]
        if path not in matched and twins:
            matches[path] = twins[-1]
    return matches


def _corrected(matched: Mapping[str, str], known: Mapping[str, str | None], candidate: Iterable[str]) -> dict[str, str]:
    """The matches without those that the pair excludes, and with those that it declares."""
    declared = {path: twin for path, twin in known.items() if twin is not None}
    kept = {
        path: twin
        for path, twin in matched.items()
        if not any(fnmatchcase(path, pattern) for pattern, denied in known.items() if denied is None)
    }
    return {**kept, **{path: twin for path, twin in declared.items() if path in set(candidate)}}


def _ancestors(path: str) -> list[str]:
    """Paths of the modules around a module, the nearest first, the model itself last."""
    parts = path.split(".") if path else []
    return [".".join(parts[:length]) for length in range(len(parts) - 1, -1, -1)]

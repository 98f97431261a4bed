"""A candidate run with proposed weights, and compared with the reference module by module.

What goes into each module and comes out of it is replaced by the reference's, so that every module is given what the
reference's is given, and a mistake at one place says nothing about any other.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import permutations
from math import prod
from typing import TypeAlias

import numpy as np

from alignment.arrays import Array
from alignment.backends.base import Backend, Tap, Taps
from alignment.errors import AlignmentError
from alignment.rules.buffers import constants_differ, match_rest, statistics
from alignment.rules.evidence import Evidence, in_precision
from alignment.rules.model import Model, holders
from alignment.rules.proposals import Link, Proposal, names_in
from porting.checkpoint.tensor import Shape
from porting.operations import Each, Interleave, Op, Reorder
from porting.operations.chains import steps_of
from porting.saved_rules.table import SAME_OUTPUTS

Check: TypeAlias = "tuple[str, str]"
"""Path of a module of the candidate, and `input` or `output`."""
_MOST_AXES = 5
"""Axes of arrays of which every order is tried."""
_ARGUMENTS = 4
"""Inputs of a module that are looked through where one of another place has its values."""
CLOSE, CLOSE_IN_FLOAT32 = SAME_OUTPUTS["float64"], SAME_OUTPUTS["float32"]
"""Largest relative L2 difference of arrays that are the same; the second where a framework runs in float32 only."""
MASKED = -9e3
"""Below it, a number that is added to scores takes them out: -1e4, -1e9, the smallest number, or minus infinity."""


class Trial:
    """A candidate that is run with proposed weights.

    Args:
        backend: The candidate, in the most exact precision that it has.
        reference: The reference.
        candidate: The candidate's description.
        evidence: What the reference gave.
    """

    def __init__(self, backend: Backend, reference: Model, candidate: Model, evidence: Evidence) -> None:
        self._backend, self._evidence = backend, evidence
        self._reference, self._candidate = reference, candidate
        self._taps = backend.taps()
        self._modules: Mapping[str, str] = {}
        self._placed: dict[str, list[list[Array]]] = {}
        self._stored = candidate.stored
        self._loaded: dict[str, tuple[tuple[str, ...], Op | None, int]] = {}
        self._rests: dict[frozenset[tuple[tuple[str, ...], tuple[str, ...]]], list[Link]] = {}
        self._near = CLOSE if {backend.finest, evidence.dtype} == {"float64"} else CLOSE_IN_FLOAT32
        self.passes = 0
        self._own_constants = False

    def run(self, links: Iterable[Link], *, force: bool = True) -> dict[Check, bool]:
        """Run the candidate with these weights; returns which inputs and outputs of its modules are the reference's.

        Args:
            links: What becomes what.
            force: Put what the reference's modules took and gave in the place of what goes into modules and comes out.
        """
        links = list(links)
        self._load([*links, *self._rest(links)])
        self.passes += 1
        self._modules = _modules(links, self._reference, self._candidate)
        made = _Pass(self._evidence, self._modules, force, self._near)
        checks = made.of(self._backend, self._taps)
        self._placed |= made.inputs
        return checks

    def _rest(self, links: Sequence[Link]) -> list[Link]:
        """What else is filled: statistics, constants, and what data flows through on one side only."""
        key = frozenset((link.sources, link.targets) for link in links)
        if key not in self._rests:
            done = names_in(links)
            left = [
                [name for name in side.flow.shapes if name not in names]
                for side, names in zip((self._reference, self._candidate), done, strict=True)
            ]
            both = self._reference, self._candidate
            rest = match_rest(*both, links, done, (left[0], left[1]), own_constants=self._own_constants)
            self._rests[key] = rest.links
        return self._rests[key]

    def keep_constants(self, links: Sequence[Link]) -> bool:
        """Give the candidate its own constants back that differ from the reference's; returns whether any do."""
        tensors = self._candidate.description.tensors
        own = {
            link.targets[0]: constant
            for link in self._rest(links)
            if constants_differ(self._reference, self._candidate, link.sources[0], link.targets[0])
            and (constant := tensors[link.targets[0]].constant) is not None
        }
        if own:
            self._own_constants = True
            self._rests.clear()
            self._backend.set_state(own)
        return bool(own)

    def lacks(self, proposal: Proposal) -> bool:
        """Whether a tensor that data flows through has no counterpart, so that the outputs cannot be the same."""
        done = names_in(self._rest(proposal.links))
        return any(name not in own for names, own in zip(proposal.left, done, strict=True) for name in names)

    def within(self, targets: Iterable[str]) -> str | None:
        """The smallest module that can be run alone with tensors of the candidate and what comes after them in it.

        Only modules that took part in the last pass, and were given what the reference's is given, are counted.
        """
        wanted, graph = set(targets), self._candidate.flow.graph
        later = {name for name, before in graph.before.items() if wanted & set(before)} - wanted
        for path in holders(self._candidate.stored[next(iter(wanted))].path)[:-1]:
            contents = self._candidate.contents.get(path, frozenset())  # no data flows through some modules
            ends = later & contents or not contents <= wanted
            if wanted <= contents and ends and path in self._modules and path in self._placed:
                return path
        return None

    def alone(self, path: str, links: Iterable[Link]) -> bool:
        """Whether one module gives what the reference's does, with these weights and given what the reference's was."""
        self._load(links)
        return any(self._gives(path, inputs) for inputs in self._placed[path])

    def _gives(self, path: str, inputs: Sequence[Array]) -> bool:
        """Whether a module that is run alone on these inputs gives what the reference's does."""
        try:
            gave = self._taps.isolate(path, 0, inputs).outputs
        except AlignmentError:
            return False
        expected = [
            self._evidence.taps.get(str(Tap(self._modules[path], 0, "output", index))) for index in range(len(gave))
        ]
        pairs = [(theirs, ours) for theirs, ours in zip(expected, gave, strict=True) if theirs is not None]
        return bool(pairs) and all(in_form(theirs, ours, self._near) is not None for theirs, ours in pairs)

    def _load(self, links: Iterable[Link]) -> None:
        """Fill the candidate, norms with their statistics; parameters that hold these values already are left."""
        links = [*links]
        links += statistics(self._reference, self._candidate, links)
        arrays: dict[str, Array] = {}
        for link in links:
            made = {name: (link.sources, link.op, place) for place, name in enumerate(link.targets)}
            if all(self._loaded.get(name) == made[name] and not self._stored[name].buffer for name in made):
                continue
            sources = tuple(self._evidence.state[name] for name in link.sources)
            results = link.op.apply(*sources) if link.op else sources
            arrays |= {name: np.asarray(a, order="C") for name, a in zip(link.targets, results, strict=True)}
            self._loaded |= made
        self._backend.set_state(arrays)


class _Pass:
    """One pass of the candidate, watched."""

    def __init__(self, evidence: Evidence, modules: Mapping[str, str], force: bool, near: float) -> None:
        self._evidence, self._modules, self._force, self._near = evidence, modules, force, near
        self.checks: dict[Check, bool] = {}
        self.inputs: dict[str, list[list[Array]]] = {}

    def of(self, backend: Backend, taps: Taps) -> dict[Check, bool]:
        with taps.watch(lambda *_: None, substitute=self._meet):
            backend.forward(in_precision(self._evidence.inputs, backend.finest), None)
        return self.checks

    def _meet(self, path: str, call: int, what: str, arrays: Sequence[Array]) -> Sequence[Array] | None:
        """Compare what goes into a module or comes out of it; returns what takes its place."""
        if path not in self._modules:
            return None
        placed = [self._compare(Tap(path, call, what, index), array) for index, array in enumerate(arrays)]
        if what == "input" and not call:
            self.inputs[path] = [placed]
            own = [*placed[:1], *arrays[1:]]  # such as a mask in another form, of the same shape by chance
            pairs = zip(placed[1:], arrays[1:], strict=True)
            if any(a is not b and in_form(a, b, self._near) is None for a, b in pairs):
                self.inputs[path].append(own)
        return placed if self._force and path else None

    def _compare(self, tap: Tap, array: Array) -> Array:
        """Note whether an array is the reference's; returns the reference's in its form, or itself where none is known.

        An array of another size is another thing, such as a mask in another form, and says nothing; but the models'
        own outputs have to be of one size.
        """
        there = self._modules[tap.path]
        theirs = self._evidence.taps.get(str(replace(tap, path=there)))
        check = tap.path, tap.what
        others = (self._evidence.taps.get(str(Tap(there, tap.call, tap.what, index))) for index in range(_ARGUMENTS))
        for other in (theirs, *others):
            masks = bool(tap.path)  # not in what the model gives, which is compared as it is
            if other is not None and (placed := in_form(other, array, self._near, masks=masks)) is not None:
                self.checks.setdefault(check, True)
                return placed
        if theirs is None or theirs.size != array.size:
            if theirs is not None and check == ("", "output"):
                self.checks[check] = False
            return array
        self.checks[check] = False
        moved = _with_axes(theirs, array.shape)
        return array if moved is None else np.asarray(moved, array.dtype)


def in_form(reference: Array, array: Array, near: float = CLOSE, *, masks: bool = True) -> Array | None:
    """The reference's values in the form of an array, which may have its axes in another order, merged or cut.

    Args:
        reference: The reference's.
        array: The candidate's.
        near: Largest relative L2 difference of what is the same.
        masks: Whether entries that a mask takes out on one side may be anything on the other: each port fills in a
            number of its own, and where it adds the mask is its own choice.

    Returns:
        The values, where they are those of the array; None where they are not.
    """
    if reference.size != array.size:
        return None
    wide = reference.astype(np.float64)
    if masks and wide.ndim <= _MOST_AXES and (np.any(array < MASKED) or np.any(wide < MASKED)):
        return _seen_in_form(wide, array, near)
    if not array.size or _close(wide.reshape(array.shape), array, near):
        return np.asarray(wide.reshape(array.shape), array.dtype)
    norms = np.linalg.norm(wide), np.linalg.norm(array)
    sums = abs(wide.sum() - array.sum())
    if abs(norms[0] - norms[1]) > near * norms[0] or sums > near * np.abs(wide).sum() or wide.ndim > _MOST_AXES:
        return None
    for axes in permutations(range(wide.ndim)):
        moved = wide.transpose(axes).reshape(array.shape)
        if _close(moved, array, near):
            return np.asarray(moved, array.dtype)
    return None


def _seen_in_form(reference: Array, array: Array, near: float) -> Array | None:
    """As `in_form`, of entries that no mask takes out on either side; the others are the array's own."""
    for axes in permutations(range(reference.ndim)):
        moved = reference.transpose(axes).reshape(array.shape)
        seen = (moved >= MASKED) & (array >= MASKED)
        if seen.any() and _close(moved[seen], array[seen], near):
            return np.where(seen, moved, array).astype(array.dtype)
    return None


def _with_axes(reference: Array, shape: Shape) -> Array | None:
    """The reference's values with their axes in the order of a shape; axes of one length keep their order.

    Args:
        reference: The reference's.
        shape: Of the candidate's array, whose values are others: only the lengths tell which axis is which.

    Returns:
        The values; None where the shape has other axes.
    """
    if reference.ndim > _MOST_AXES or sorted(reference.shape) != sorted(shape):
        return None
    moved = (reference.transpose(axes) for axes in permutations(range(reference.ndim)))
    return next((array for array in moved if array.shape == tuple(shape)), None)


def _close(reference: Array, array: Array, near: float) -> bool:
    with np.errstate(invalid="ignore", over="ignore"):
        finite = np.isfinite(reference)
        if not np.array_equal(finite, np.isfinite(array)):
            return False
        difference = np.linalg.norm(np.where(finite, reference - array, 0))
        return bool(difference <= near * np.linalg.norm(np.where(finite, reference, 0)))


def _modules(links: Iterable[Link], reference: Model, candidate: Model) -> dict[str, str]:
    """Path in the candidate to path in the reference of the modules that hold the same tensors; and of the models."""
    links = list(links)
    turned = {name for link in links if regroups(link.op) for name in link.targets}
    sources: dict[str, frozenset[str]] = {}
    cut: list[frozenset[str]] = []
    for link in links:
        sources |= dict.fromkeys(link.targets, frozenset(link.sources))
        if len(link.targets) > 1 and not _is_copied(link, reference, candidate):
            cut.append(frozenset(link.targets))
    there, here = _by_contents(reference), _by_contents(candidate)
    back: dict[frozenset[str], list[str]] = defaultdict(list)
    for names, paths in here.items():
        whole = not any(names & parts and not parts <= names for parts in cut)
        if whole and not names & turned and names <= sources.keys():
            back[frozenset().union(*(sources[name] for name in names))] += paths
    pairs = {"": ""}
    for names, paths in back.items():
        others = there.get(names, [])
        if len(paths) > 1 or len(others) > 1:  # a module within one that holds nothing else
            paths, others = _holders(candidate, paths), _holders(reference, others)
        if len(paths) == len(others) == 1 and paths[0] and others[0]:
            pairs[paths[0]] = others[0]
    return pairs


def _is_copied(link: Link, reference: Model, candidate: Model) -> bool:
    """Whether each target holds as many numbers as the sources: one tensor under several names."""
    size = sum(prod(reference.stored[name].shape) for name in link.sources)
    return all(prod(candidate.stored[name].shape) == size for name in link.targets)


def _by_contents(model: Model) -> dict[frozenset[str], list[str]]:
    """The tensors of the data flow in a module and all that it holds, to the paths of the modules that hold these."""
    groups: dict[frozenset[str], list[str]] = defaultdict(list)
    for path, names in model.contents.items():
        groups[names].append(path)
    return groups


def _holders(model: Model, paths: Iterable[str]) -> list[str]:
    """The modules that hold tensors themselves."""
    own = {model.stored[name].path for name in model.flow.shapes}
    return [path for path in paths if path in own]


def regroups(op: Op | None) -> bool:
    """Whether an operation puts elements of an axis in another order, so that what a module gives is in another."""
    steps = [inner for step in steps_of(op) for inner in (step.ops if isinstance(step, Each) else (step,))]
    return any(isinstance(step, Interleave | Reorder) for step in steps)


def checks_of(targets: Iterable[str], candidate: Model, checks: Mapping[Check, bool]) -> set[Check]:
    """The checks that tensors of the candidate have a part in: of their modules, and the next ones along the data flow.

    What a module gives is replaced, so that nothing after it tells anything about its tensors; only if all of them are
    among those of interest, what comes next tells whether they are the right ones.

    Args:
        targets: The tensors.
        candidate: The candidate.
        checks: All that were made.
    """
    wanted, graph = frozenset(targets), candidate.flow.graph
    own, seen, left = set[Check](), set(wanted), [*wanted]
    while left:
        name = left.pop()
        nexts = graph.after.get(name, ())
        for later in (*nexts, None) if name in graph.last else nexts:
            met, ends = _met(candidate, (name, later), checks, wanted)
            own |= met
            if later is not None and not ends and later not in seen:
                seen.add(later)
                left.append(later)
    return own


def _met(
    candidate: Model, step: tuple[str, str | None], checks: Mapping[Check, bool], wanted: frozenset[str]
) -> tuple[set[Check], bool]:
    """The checks between a tensor and the next one, or the end of the model; and whether what is wanted ends there."""
    name, later = step
    here = holders(candidate.stored[name].path)
    there = holders(candidate.stored[later].path) if later is not None else []
    met: set[Check] = set()
    for path in here:
        if path not in there and (path, "output") in checks:
            met.add((path, "output"))
            if not candidate.contents[path] <= wanted:
                return met, True
    given = next((path for path in reversed(there) if path not in here and (path, "input") in checks), None)
    return (met, False) if given is None else ({*met, (given, "input")}, True)

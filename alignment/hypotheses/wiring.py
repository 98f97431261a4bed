"""Mistakes between modules: what each of them is given, and how a module puts together what comes out of them.

Most of what happens between modules is linear: tensors are added, scaled, cut out and joined. So the first thing that
differs, the input of a module within or the output, is written as a sum of what was there before it, on both sides;
two different sums name the mistake.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from alignment.arrays import Array
from alignment.hypotheses.arithmetic import ACTIVATIONS, FOLLOWING
from alignment.hypotheses.base import FITTED, Case, Prediction
from alignment.hypotheses.forms import SAMPLES, derived, distinct

_MOST_TERMS = 4
_LATER_CALL = re.compile(r" \(call \d+\)")
_SMALL = 1e-9
_ONE = 1e-7
"""What keeps a factor that is one from it, in a run in float32."""
_MOST_COLUMNS, _FEW = 24, 64
"""Tensors that are added up in all ways, and elements that are looked at first."""
_AROUND = ("silu", "gelu erf", "gelu tanh", "tanh", "sigmoid", "hard swish")
"""Activations that may follow a sum; what a ReLU makes of one shows in the elements above zero."""


@dataclass(frozen=True)
class Sum:
    """A tensor as a sum of others.

    Attributes:
        terms: What is summed, by name, with its factor.
        array: The sum.
        activation: What follows it; empty for nothing.
    """

    terms: Mapping[str, float]
    array: Array
    activation: str = ""

    def __str__(self) -> str:
        words = [name if abs(factor - 1) < _ONE else f"{factor:.10g} {name}" for name, factor in self.terms.items()]
        total = " + ".join(words) or "nothing"
        whole = total if len(words) == 1 else f"({total})"
        return f"{self.activation} of {whole}" if self.activation else total


def wiring(case: Case) -> Iterator[Prediction]:
    """Predict the first tensor that differs, written as a sum of others on both sides."""
    if case.finding.direction != "forward" or not case.children:
        return
    difference = first_difference(case)
    if difference is None:
        return
    name, correct, wrong = difference
    recorded = _terms(case, case.reference_children, name)
    theirs = express(correct, recorded) or _clipped(correct, recorded) or _activated(correct, recorded)
    if theirs is None:
        recorded = _terms(case, case.reference_children, name, later=True)
        theirs = express(correct, recorded)
    own = _terms(case, case.children, name)
    own = {part: own[part] for part in sorted(own, key=lambda part: part not in recorded)}
    ours = None
    if theirs is not None and theirs.activation:  # what the activation gives is no part of what goes into it
        parts = {part: array for part, array in own.items() if not np.array_equal(array, wrong)}
        ours = _clipped(wrong, parts) if theirs.activation == "relu" else _activated(wrong, parts)
    ours = ours or express(wrong, own) or _activated(wrong, own)
    if theirs is None and ours is not None and ours.activation and len(ours.terms) == 1:
        recorded |= {f"{ours.activation} of {part}": ACTIVATIONS[ours.activation](x) for part, x in recorded.items()}
        ours = Sum({str(ours): 1.0}, ours.array)
        theirs = express(correct, recorded) or _activated(correct, recorded)
    if ours is None or (theirs is None and not _are_known(ours, derived(correct.shape, recorded))):
        return
    if str(ours) == str(theirs):  # the same parts, of which one differs by itself
        return
    says = f"{words(name)} is {ours}" + (f", not {theirs}" if theirs is not None else "")
    place = f"{case.finding.candidate or 'the model'}: forward of its {case.candidate_kind}"
    yield Prediction(_name(theirs, ours, case), says, place, [ours.array], [correct], [wrong])


def _name(correct: Sum | None, wrong: Sum, case: Case) -> str:
    if correct is None:
        return "wired otherwise"
    lost: set[str]
    added: set[str]
    lost, added = [set(a.terms) - set(b.terms) for a, b in ((correct, wrong), (wrong, correct))]
    if not lost and not added:
        return "weighted otherwise"
    if lost and not added:
        if any(name.startswith("what it gets") for name in lost):
            return "residual lost"
        if all(name in case.parameters for name in lost):
            return f"{sorted(lost)[0]} not added"
        return "part lost"
    if any(name.startswith(tuple(f"{activation} of " for activation in FOLLOWING)) for name in added):
        return "extra activation"
    if _tokens_of(lost) & _tokens_of(added):
        return "token order"
    if added and not lost:
        return "part added"
    return "wired otherwise"


def _are_known(total: Sum, terms: Mapping[str, Array]) -> bool:
    """Return whether the reference has all modules of a sum, if not as many calls of them.

    One that it does not have, such as the activation after a norm that has it within, is no mistake by itself.
    """
    return all(name in terms or _LATER_CALL.sub("", name) in terms for name in total.terms)


def _tokens_of(names: set[str]) -> set[str]:
    """Return the names of what tokens are cut out of, or joined."""
    return {"joined" if "joined" in name else name.partition("[:, ")[0] for name in names}


def first_difference(case: Case) -> tuple[str, Array, Array] | None:
    """Return the first tensor that a module within is given, or that the module gives, and that differs.

    Returns:
        Its name, the reference's and the candidate's; None without one.
    """
    for name, array in case.children.items():
        correct = case.reference_children.get(name)
        if "/input/" in name and correct is not None and _near(name, case.children) and _differ(correct, array):
            return name, correct, array
    for index, (correct, array) in enumerate(zip(case.expected, case.found, strict=False)):
        if correct.shape == array.shape and _differ(correct, array):
            return f"output {index}", correct, array
    return None


def _terms(case: Case, children: Mapping[str, Array], until: str, *, later: bool = False) -> dict[str, Array]:
    """Return everything that precedes a tensor: the module's inputs and own tensors, and what its modules returned.

    Args:
        case: The finding.
        children: Inputs and outputs of the modules within.
        until: Name of the tensor.
        later: Also what comes after it, but for what the module that takes the tensor makes of it: the reference may
            run its modules in another order.
    """
    terms = {
        "what it gets" + (f" ({index})" if len(case.inputs) > 1 else ""): array
        for index, array in enumerate(case.inputs)
    }
    called = {name.partition(":")[0] for name in children}
    terms |= {
        name: array
        for name, array in case.parameters.items()
        if "." not in name
        or (array.ndim > 1 and name.rpartition(".")[0] not in called)  # a table that is read as it is
    }
    taker, after = until.partition("/")[0], False
    for name, array in children.items():
        after |= name == until
        if after and not (later and name.partition("/")[0] != taker and until != name):
            if not later:
                break
            continue
        if "/output/" in name and _near(name, children) and not _passes_on(name, children):
            terms[words(name)] = array
    for name, array in children.items():
        if name not in case.children and "/output/" in name:  # of modules that the candidate does not call
            terms.setdefault(words(name), array)
    return terms


def _passes_on(name: str, children: Mapping[str, Array]) -> bool:
    """Return whether a module gives what it gets, as a dropout that is off does."""
    given = children.get(f"{name.partition('/')[0]}/input/0")
    return given is not None and np.array_equal(given, children[name])


def _near(name: str, children: Mapping[str, Array]) -> bool:
    """Return whether a module is within no other one that was watched."""
    path = name.split(":")[0]
    return not any(path.startswith(f"{other.split(':')[0]}.") for other in children)


def express(target: Array, terms: Mapping[str, Array]) -> Sum | None:
    """Return a tensor as a sum of few others, or of what is made of them; None if it is none.

    A sum has to hold in four times as many elements as it has terms: with fewer, any tensor is a sum of any others.
    """
    columns = {name: array for name, array in derived(target.shape, terms).items() if np.isfinite(array).all()}
    columns = distinct(columns)
    if not columns or not target.size:
        return None
    names = list(columns)
    chosen = _rows(target.size)
    matrix = np.stack([np.broadcast_to(columns[name], target.shape).reshape(-1)[chosen] for name in names], axis=1)
    matrix = matrix.astype(np.float64)
    goal = target.reshape(-1)[chosen].astype(np.float64)
    plain = [at for at, name in enumerate(names) if name in terms]
    for used in _choices(matrix, goal, plain):
        if _fits(matrix, goal, used, _tolerance(target)):
            used = _fewest(matrix, goal, used, _tolerance(target))
            total = _sum(target, {names[at]: columns[names[at]] for at in used}, _solved(matrix, goal, used))
            if np.linalg.norm(total.array - target) <= _tolerance(target) * np.linalg.norm(target):
                return total
    return None


def _clipped(target: Array, terms: Mapping[str, Array]) -> Sum | None:
    """Return a tensor as what a ReLU makes of a sum, which shows where it is above zero; None if it is none."""
    above = target > 0
    if not target.size or above.all() or not above.any() or target.min() < 0:
        return None
    forms = {
        name: np.broadcast_to(array, target.shape)
        for name, array in derived(target.shape, terms).items()
        if not name.startswith("relu of ")
    }
    total = express(target[above], {name: array[above] for name, array in forms.items()})
    if total is None:
        return None
    whole = np.maximum(sum(factor * forms[name] for name, factor in total.terms.items()), 0)
    if not np.linalg.norm(whole - target) <= _tolerance(target) * np.linalg.norm(target):
        return None
    return Sum(total.terms, whole, "relu")


def _activated(target: Array, terms: Mapping[str, Array]) -> Sum | None:
    """Return a tensor as the plain sum of up to three others, or what an activation makes of it; None if it is none."""
    columns = {name: array for name, array in derived(target.shape, terms).items() if np.isfinite(array).all()}
    kept = [*distinct(columns)]
    names = [*(name for name in kept if name in terms), *(name for name in kept[::-1] if name not in terms)]
    names = names[:_MOST_COLUMNS]
    if target.size < FITTED:
        return None
    chosen: Array = np.random.default_rng(0).choice(target.size, min(target.size, _FEW), replace=False)
    parts = {name: np.broadcast_to(columns[name], target.shape).reshape(-1)[chosen] for name in names}
    goal, limit = target.reshape(-1)[chosen], _tolerance(target)
    for count in (1, 2, 3):
        for used in combinations(names, count):
            total = np.sum([parts[name] for name in used], axis=0)
            for activation in ("no activation", *_AROUND):
                with np.errstate(over="ignore"):
                    near = np.linalg.norm(ACTIVATIONS[activation](total) - goal) <= limit * np.linalg.norm(goal)
                if near:
                    whole = np.zeros(target.shape) + sum(np.broadcast_to(columns[name], target.shape) for name in used)
                    whole = ACTIVATIONS[activation](whole)
                    if np.linalg.norm(whole - target) <= limit * np.linalg.norm(target):
                        after = "" if activation == "no activation" else activation
                        return Sum(dict.fromkeys(used, 1.0), whole, after)
    return None


def _sum(target: Array, terms: Mapping[str, Array], factors: Array) -> Sum:
    whole = np.zeros(target.shape)
    for array, factor in zip(terms.values(), factors, strict=True):
        whole = whole + factor * np.broadcast_to(array, target.shape)
    kept = {name: float(factor) for name, factor in zip(terms, factors, strict=True) if abs(factor) > _SMALL}
    return Sum(kept, whole)


def _choices(matrix: Array, goal: Array, plain: list[int]) -> Iterator[list[int]]:
    """Yield sets of columns to try: one, then more, each time adding the one that explains most of the rest.

    Then come those of which nothing else is made, `plain`, since one that is like another is added too late.
    """
    used: list[int] = []
    left = goal
    norms = np.maximum(np.linalg.norm(matrix, axis=0), 1e-300)
    most = len(goal) // FITTED
    for _ in range(min(_MOST_TERMS, matrix.shape[1], most)):
        scores = np.abs(left @ matrix) / norms
        scores[used] = -1
        used.append(int(scores.argmax()))
        yield list(used)
        left = goal - matrix[:, used] @ _solved(matrix, goal, used)
    if 1 < len(plain) <= min(_MOST_COLUMNS, most):
        yield plain
    if matrix.shape[1] <= min(3 * _MOST_TERMS, most):
        yield list(range(matrix.shape[1]))


def _fewest(matrix: Array, goal: Array, used: list[int], tolerance: float) -> list[int]:
    """Return the columns of a set that do without the others, leaving out the last ones first, or the first ones."""
    smaller = []
    for order in (used[::-1], used):
        kept = used
        for column in order:
            fewer = [other for other in kept if other != column]
            if fewer and _fits(matrix, goal, fewer, tolerance):
                kept = fewer
        smaller.append(kept)
    return min(smaller, key=len)


def _fits(matrix: Array, goal: Array, used: list[int], tolerance: float) -> bool:
    left = goal - matrix[:, used] @ _solved(matrix, goal, used)
    return bool(np.linalg.norm(left) <= tolerance * np.linalg.norm(goal))


def _solved(matrix: Array, goal: Array, used: list[int]) -> Array:
    factors: Array = np.linalg.lstsq(matrix[:, used], goal, rcond=None)[0]
    return factors


def _rows(size: int) -> Array:
    if size <= SAMPLES:
        return np.arange(size)
    return np.random.default_rng(0).choice(size, SAMPLES, replace=False)


def _differ(correct: Array, actual: Array) -> bool:
    if correct.shape != actual.shape:
        return False
    return bool(np.linalg.norm(correct - actual) > _tolerance(correct) * np.linalg.norm(correct))


def _tolerance(array: Array) -> float:
    return 2e-5 if array.dtype == np.float32 else 1e-9


def words(name: str) -> str:
    """Return what a tensor is, in a sentence; what a module gives has the module's name."""
    if name.startswith("output"):
        return f"its {name}"
    path, _, rest = name.partition(":")
    call, what, index = rest.split("/")
    path += f" (call {int(call) + 1})" if call != "0" else ""
    if what in ("input", "integers"):
        return f"what {path} gets" + (f" ({index})" if index != "0" else "")
    return path if index == "0" else f"{path} ({index})"
